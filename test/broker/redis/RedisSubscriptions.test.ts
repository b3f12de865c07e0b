/** How readers of a user keep up with Redis: what is subscribed to, and for how long. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually, newUser, numbered } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

describe.skipIf(program === undefined)("RedisBroker, its subscriptions", () => {
  it.live(
    "fault 45: end soon after the last reader of a user has left, and not where one came back before",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          const subscribers = Effect.map(
            server.send("PUBSUB", "NUMSUB", `emitter:0:{${user}}:wake`),
            (answer) => Number(answer.trim().split(":").at(-1))
          )
          yield* Effect.scoped(persist(broker.subscribe(user, () => {})))
          assert.strictEqual(yield* subscribers, 1)
          let woken = 0
          yield* Effect.scoped(Effect.gen(function*() {
            yield* broker.subscribe(user, () => void woken++)
            yield* Effect.sleep("2500 millis")
            assert.strictEqual(yield* subscribers, 1)
            const before = woken
            yield* broker.append(user, numbered(1))
            yield* eventually(Effect.sync(() => woken), (n) => n > before, "a wake-up of who came back")
          }))
          yield* eventually(subscribers, (count) => count === 0, "nobody subscribed")
        })),
    30_000
  )
})
