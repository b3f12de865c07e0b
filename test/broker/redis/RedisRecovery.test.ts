/** How soon everybody is told that a Redis which was away is back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Broker } from "effect-emitter"
import { ownTimed } from "../../support/ownTime.ts"
import { eventually, newUser } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"

/** What an emitter and a reader of one node are told last. */
const listen = Effect.fnUntraced(function*(broker: Broker.Broker["Service"]) {
  const told: Record<"watch" | "subscribe", string> = { watch: "up", subscribe: "up" }
  const note = (by: keyof typeof told) => (what?: Broker.Signal) => {
    if (what === "down" || what === "up") told[by] = what
  }
  yield* broker.watch?.(note("watch")) ?? Effect.void
  yield* persist(broker.subscribe(newUser(), note("subscribe")))
  const both = (what: "down" | "up", seconds: number) =>
    eventually(
      Effect.sync(() => [told.watch, told.subscribe]),
      (all) => all.every((one) => one === what),
      `both are told "${what}"`,
      seconds
    )
  return { both }
})

const medianOf = (times: ReadonlyArray<number>) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0

describe.skipIf(program === undefined)("RedisBroker, over a Redis that was away", () => {
  it.live(
    "fault 33: tells within a moment of its thawing that a server is back which was frozen for 10 seconds",
    () =>
      Effect.gen(function*() {
        // So many at once that the server comes back at different moments of the broker's attempts.
        const times = yield* Effect.forEach([9_000, 9_400, 9_800, 10_200], (frozenMs) =>
          Effect.gen(function*() {
            let found = 0
            yield* withServer({}, (server) =>
              Effect.gen(function*() {
                const { both } = yield* listen(yield* startNode(server.url, { deadline: "3 seconds" }))
                yield* server.freeze
                yield* Effect.sleep(frozenMs)
                yield* both("down", 10)
                const [ownMs] = yield* ownTimed(Effect.andThen(server.thaw, both("up", 30)))
                found = ownMs
              }), 55)
            return found
          }), { concurrency: "unbounded" })
        const [median, most] = [medianOf(times), Math.max(...times)].map(Math.round)
        console.info(`up after ${median} ms (median), ${most} ms (most), of ${times.length}`)
        assert.isBelow(Math.max(...times), 1500)
      }),
    120_000
  )

  it.live(
    "fault 33: waits for no attempt to connect that began while the server was away and is never answered",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const { both } = yield* listen(
            yield* startNode(proxy.url, { silence: "5 seconds", deadline: "3 seconds", lease: "1 minute" })
          )
          yield* proxy.swallow
          yield* proxy.cut
          yield* both("down", 10)
          // By now an attempt is under way that has 10 seconds.
          yield* Effect.sleep("1 second")
          const [ownMs] = yield* ownTimed(Effect.andThen(proxy.passAgain, both("up", 30)))
          assert.isBelow(ownMs, 1500)
        }), 55),
    120_000
  )
})
