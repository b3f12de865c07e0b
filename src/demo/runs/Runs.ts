/**
 * The runs that the demo has under way.
 */
import { Cause, Context, Effect, Exit, FiberMap, Layer, Schema } from "effect"
import { Emitter, Emitters, Identity, Names } from "../../index.ts"
import * as Agent from "../agent/Agent.ts"
import * as Library from "../agent/Library.ts"
import { Sending } from "../agent/Sending.ts"

/** How many runs one user may have under way. */
export const maxRuns = 3

/** The thread that the runs of the demo are in. */
const thread = "demo"

/** The user has `limit` runs under way already. */
export class TooManyRuns extends Schema.TaggedError<TooManyRuns>()("TooManyRuns", { limit: Schema.Natural }) {
  override get message() {
    return `${this.limit} runs are under way already. Wait for one to end, or stop one.`
  }
}

/**
 * - `start` begins a run for a user, over the package's documents or over a text of theirs, and gives its id at once.
 *   The run goes on when the request that asked for it is over.
 *
 * Runs end when the layer's scope closes.
 */
export class Runs extends Context.Service<Runs, {
  readonly start: (
    user: Identity.UserId,
    question: string,
    text: string | undefined
  ) => Effect.Effect<Identity.RunId, TooManyRuns | Library.TextTooLong | Library.TextEmpty>
}>()("effect-emitter/demo/Runs") {}

const keyOf = (user: string, run: string) => `${user} ${run}`

/** Runs over `documents`, unless a user brings a text of their own. */
export const layer = (documents: Library.Library) =>
  Layer.effect(
    Runs,
    Effect.gen(function*() {
      const emitters = yield* Emitters
      const sending = yield* Sending
      const model = yield* Agent.OtherModel
      const fibers = yield* FiberMap.make<string>()
      let started = 0
      const prefix = yield* Names.next

      const start = Effect.fnUntraced(function*(user: Identity.UserId, question: string, text: string | undefined) {
        const own = [...fibers].filter(([key]) => key.startsWith(`${user} `))
        if (own.length >= maxRuns) return yield* new TooManyRuns({ limit: maxRuns })
        const library = text === undefined ? documents : yield* Library.fromText(text)
        const runId = Identity.RunId.make(`run-${prefix}-${++started}`)
        yield* emitters.forUser({ userId: user, threadId: thread, runId }).pipe(
          Effect.flatMap((emitter) =>
            Agent.run(question, library).pipe(
              Effect.provideService(Emitter.Emitter, emitter),
              Effect.provideService(Sending, sending),
              Effect.provideService(Agent.OtherModel, model)
            )
          ),
          Effect.scoped,
          // How the run ended is an event already; a defect belongs in the log as well.
          Effect.onExit((exit) =>
            Exit.isFailure(exit) && Cause.hasDies(exit.cause) ? Effect.logError("a run died", exit.cause) : Effect.void
          ),
          FiberMap.run(fibers, keyOf(user, runId))
        )
        return runId
      })

      return Runs.of({ start })
    })
  )
