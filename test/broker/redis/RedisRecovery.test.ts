/** How soon everybody is told that a Redis which was away is back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Broker } from "effect-emitter"
import { eventually, newUser } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"

/** What an emitter and a reader of one node are told last, and when. */
const listen = Effect.fnUntraced(function*(broker: Broker.Broker["Service"]) {
  const told: Record<"watch" | "subscribe", { what: string; at: number }> = {
    watch: { what: "up", at: 0 },
    subscribe: { what: "up", at: 0 }
  }
  const note = (by: keyof typeof told) => (what?: Broker.Signal) => {
    if (what === "down" || what === "up") told[by] = { what, at: performance.now() }
  }
  yield* broker.watch?.(note("watch")) ?? Effect.void
  yield* persist(broker.subscribe(newUser(), note("subscribe")))
  const both = (what: "down" | "up", seconds: number) =>
    eventually(
      Effect.sync(() => [told.watch, told.subscribe]),
      (all) => all.every((one) => one.what === what),
      `both are told "${what}"`,
      seconds
    )
  return { both }
})

/** For how many milliseconds this process had no processor since it was asked last: on a crowded machine that is no news of Redis. */
const stalls = Effect.gen(function*() {
  const everyMs = 20
  let stalledMs = 0
  let last = performance.now()
  yield* Effect.sleep(everyMs).pipe(
    Effect.andThen(Effect.sync(() => {
      const now = performance.now()
      stalledMs += Math.max(0, now - last - 2 * everyMs)
      last = now
    })),
    Effect.forever,
    Effect.forkScoped
  )
  return Effect.sync(() => {
    const stalled = stalledMs
    stalledMs = 0
    return stalled
  })
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
            const found: Array<number> = []
            yield* withServer({}, (server) =>
              Effect.gen(function*() {
                const { both } = yield* listen(yield* startNode(server.url, { deadline: "3 seconds" }))
                const stalled = yield* stalls
                yield* server.freeze
                yield* Effect.sleep(frozenMs)
                yield* both("down", 10)
                yield* stalled
                const thawedAt = performance.now()
                yield* server.thaw
                const up = yield* both("up", 15)
                const lost = yield* stalled
                for (const { at } of up) found.push(Math.max(0, at - thawedAt - lost))
              }), 35)
            return found
          }), { concurrency: "unbounded" })
        const all = times.flat()
        console.info(
          `up after ${Math.round(medianOf(all))} ms (median), ${
            Math.round(Math.max(...all))
          } ms (most), of ${all.length}`
        )
        assert.isBelow(Math.max(...all), 1500)
      }),
    45_000
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
          const stalled = yield* stalls
          const healedAt = performance.now()
          yield* proxy.passAgain
          const up = yield* both("up", 15)
          const lost = yield* stalled
          for (const { at } of up) assert.isBelow(at - healedAt - lost, 1500)
        }), 40),
    45_000
  )
})
