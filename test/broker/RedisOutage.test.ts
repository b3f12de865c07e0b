/** An outage of Redis as programs and devices see it, with emitters on one node and devices on another. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { EmitterLayer, Emitters, Event } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { eventually, newUser, plenty } from "./events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

const Step = Event.make("step", { payload: { n: Schema.Int }, delivery: "critical" })

const stepOf = ({ body }: { readonly body: string }): number => {
  const wire: { readonly data: { readonly n: number } } = JSON.parse(`{${body}`)
  return wire.data.n
}

const total = 60

describe.skipIf(program === undefined)("An outage of Redis", () => {
  it.live(
    "costs a program nothing but time: its spool takes over, and everything arrives once and in order",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const options = { url: server.url, trustRestarts: true, deadline: "300 millis" } as const
          const device = yield* startNode(server.url, options)
          const user = newUser()
          const from = yield* persist(device.head(user))
          const steps = Effect.map(persist(device.pull(user, from, plenty)), ({ entries }) => entries.map(stepOf))

          yield* Effect.gen(function*() {
            const { forUser, stats } = yield* Emitters
            const emitter = yield* forUser({ userId: user })
            for (let n = 1; n <= total; n++) {
              if (n === 20) yield* server.kill
              if (n === 40) {
                assert.isAbove((yield* stats).delivery.spool?.events ?? 0, 0)
                yield* server.start
              }
              yield* emitter.emit(Step.make({ n }))
              yield* Effect.sleep("10 millis")
            }
            yield* eventually(steps, ({ length }) => length >= total, "all events, after the outage")
            const { deadLettered, pending } = yield* stats
            assert.deepStrictEqual({ deadLettered, pending }, { deadLettered: 0, pending: 0 })
          }).pipe(
            Effect.scoped,
            Effect.provide(EmitterLayer({ profile: "lowLatency" }).pipe(Layer.provide(RedisBroker.layer(options))))
          )
          assert.deepStrictEqual(yield* steps, Array.from({ length: total }, (_, n) => n + 1))
        })),
    30_000
  )
})
