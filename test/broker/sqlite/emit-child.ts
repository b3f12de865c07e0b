/**
 * Emits critical events to a log in a file, with a spool behind, and says of each what became of it; at SIGUSR2 it ends that, and
 * says so once nothing is left in the spool. Its arguments: the file, and the spool's.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqliteBroker } from "../../../src/broker/sqlite/index.ts"
import {
  AgentEvents,
  Broker,
  EmitterLayer,
  Emitters,
  Event,
  FallbackChannel,
  Identity,
  Spool
} from "../../../src/index.ts"

const [file = "", spool = ""] = process.argv.slice(2)
const say = (line: object) => Effect.sync(() => process.stdout.write(`${JSON.stringify(line)}\n`))

const rest = { isAskedFor: false }
process.on("SIGUSR2", () => {
  rest.isAskedFor = true
})

await Effect.runPromise(
  Effect.gen(function*() {
    const { watch } = yield* Broker.Broker
    if (watch !== undefined) yield* watch((signal) => Effect.runSync(say({ signal })))
    const emitters = yield* Emitters
    const emitter = yield* emitters.forUser({ userId: Identity.UserId.make("u") })
    let n = 0
    while (!rest.isAskedFor) {
      const event = Event.critical(AgentEvents.Custom.make({ name: "n", data: { n: ++n } }))
      const { _tag } = yield* emitter.emit(event)
      yield* say({ n, receipt: _tag })
      yield* Effect.sleep("20 millis")
    }
    while (true) {
      const { delivery, pending } = yield* emitters.stats
      if (pending === 0 && delivery.spool?.events === 0) {
        yield* say({ rested: n, drained: delivery.drainedEvents })
        return yield* Effect.never
      }
      yield* Effect.sleep("50 millis")
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(
      // So long that what closes the breaker is what the broker says of itself.
      EmitterLayer({ profile: "lowLatency", breaker: { openFor: "10 minutes", maxOpenFor: "10 minutes" } }).pipe(
        FallbackChannel.provide(Spool.sqlite({ file: spool })),
        Layer.provideMerge(SqliteBroker.layer({ file, deadline: "2 seconds" }))
      )
    )
  )
)
