/**
 * Where the agent sends a summary: into a file, since this demo talks to nobody.
 */
import { Context, Effect, FileSystem, Layer, Path, Schema } from "effect"

/** The summary could not be written to `to`. */
export class NotSent extends Schema.TaggedError<NotSent>()("NotSent", { to: Schema.String, cause: Schema.Defect() }) {
  override get message() {
    return `The summary could not be written to ${this.to}`
  }
}

/**
 * - `to` is where the summary of a run would go, as a user may look for it.
 * - `send` puts it there.
 */
export class Sending extends Context.Service<Sending, {
  readonly to: (run: string) => string
  readonly send: (run: string, text: string) => Effect.Effect<void, NotSent>
}>()("effect-emitter/demo/Sending") {}

/** The folder, from the root of the repository. */
const folder = ".tmp/demo"

/** Writes into a folder below `root`, which is made when it is first needed. */
export const layer = (root: string) =>
  Layer.effect(
    Sending,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const to = (run: string) => `${folder}/${run.replaceAll(/[^\w-]/gu, "_")}.md`
      return {
        to,
        send: (run, text) =>
          fs.makeDirectory(path.join(root, folder), { recursive: true }).pipe(
            Effect.andThen(fs.writeFileString(path.join(root, to(run)), `${text}\n`)),
            Effect.mapError((cause) => new NotSent({ to: to(run), cause }))
          )
      }
    })
  )
