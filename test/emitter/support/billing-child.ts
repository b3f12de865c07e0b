/** A process that bills ada over Redis, never comes back from charging, and tells on a line of JSON that it is there. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { Broker } from "../../../src/index.ts"
import { RedisBroker } from "../../../src/broker/redis/index.ts"
import { writeSync } from "node:fs"
import { Answer, start } from "./billing.ts"

const [, , url = ""] = process.argv

const charge = Effect.andThen(Effect.sync(() => void writeSync(1, `{"charging":true}\n`)), Effect.never)

const program = Effect.gen(function*() {
  const engine = yield* start(yield* Broker.Broker, { charge, attaches: true })
  yield* Answer.execute({ question: "q" }).pipe(Effect.provide(engine))
})

const options = { lease: "2 seconds", deadline: "500 millis", silence: "1 second", trustRestarts: true } as const
Effect.runFork(
  program.pipe(
    Effect.scoped,
    Effect.tapCause((cause) => Effect.sync(() => void writeSync(2, Cause.pretty(cause)))),
    Effect.provide(RedisBroker.layer({ url, ...options }).pipe(Layer.provideMerge(Logger.layer([]))))
  )
)
