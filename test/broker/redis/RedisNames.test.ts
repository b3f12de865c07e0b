/** What a program that seeds its randomness loses over one Redis: nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Random, Schema } from "effect"
import { EmitterLayer, Emitters, Event } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { newUser, plenty, start } from "../events.ts"
import { program, startNode, withServer } from "./redisNode.ts"

const Step = Event.make("step", { payload: { n: Schema.Int }, delivery: "critical" })

describe.skipIf(program === undefined)("RedisBroker", () => {
  it.live(
    "fault 5: keeps every event of a program that runs again and again under one seed",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const user = newUser()
          const node = yield* startNode(url)
          const from = yield* start(node, user)
          const life = (steps: ReadonlyArray<number>) =>
            Effect.gen(function*() {
              const { emit } = yield* (yield* Emitters).forUser({ userId: user })
              for (const n of steps) assert.strictEqual((yield* emit(Step.make({ n })))._tag, "Appended")
            }).pipe(
              Effect.scoped,
              Effect.provide(EmitterLayer().pipe(Layer.provide(Layer.fresh(RedisBroker.layer({ url }))))),
              Random.withSeed("the program's own")
            )
          for (const steps of [[1, 2, 3], [4, 5], [6, 7, 8, 9]]) yield* life(steps)
          const { entries } = yield* node.pull(user, from, plenty)
          assert.deepStrictEqual(
            entries.map(({ body }) => body.slice(body.indexOf("\"data\""))),
            [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `"data":{"n":${n}}}`)
          )
        })),
    120_000
  )
})
