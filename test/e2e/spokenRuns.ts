/** Runs that say what a test tells them to, and the pages that show them. */
import { type Cause, Effect, Queue, Stream } from "effect"
import { AgentEvents, Emitter, Event } from "effect-emitter"
import { HttpRouter, HttpServerResponse } from "effect/http"

/** Of each user one run at a time, which says what is given to `say`, and ends when that ends. */
export const spokenRuns = () => {
  const pieces = new Map<string, Queue.Queue<string, Cause.Done>>()
  const piecesOf = (user: string) => {
    const found = pieces.get(user)
    if (found === undefined) throw new Error(`${user} has no run`)
    return found
  }
  return {
    /** The run, as a server starts it. */
    run: () =>
      Effect.flatMap(Emitter.Emitter, ({ context: { userId } }) =>
        Stream.fromQueue(piecesOf(userId)).pipe(
          Stream.runForEach((delta) =>
            Emitter.emit(Event.critical(AgentEvents.TextDelta.make({ messageId: "m", delta })))
          ),
          Emitter.run({ agentName: "writer" })
        )),
    /** The next run of a user. */
    prepare: async (user: string) => {
      const queue = await Effect.runPromise(Queue.unbounded<string, Cause.Done>())
      pieces.set(user, queue)
      return {
        say: (...texts: ReadonlyArray<string>) => Effect.runPromise(Queue.offerAll(queue, texts)),
        end: () => Effect.runPromise(Queue.end(queue))
      }
    }
  }
}

/** A page of this name, and its script. */
export const pageOf = (name: string, script: string) =>
  [
    HttpRouter.add(
      "GET",
      `/${name}`,
      HttpServerResponse.html(
        `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>runs</title><body><script type="module" src="/${name}.js"></script>`
      )
    ),
    HttpRouter.add(
      "GET",
      `/${name}.js`,
      HttpServerResponse.text(script, { contentType: "text/javascript; charset=utf-8" })
    )
  ] as const
