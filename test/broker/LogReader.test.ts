import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { Broker } from "effect-emitter"
import { newUser } from "./events.ts"
import * as LogReader from "../../src/broker/LogReader.ts"

describe("A reader of a log, made from pulls and wake-ups", () => {
  it.effect("waits while the broker is away, asks nothing of it, and goes on once it is back", () =>
    Effect.gen(function*() {
      let wake: (signal?: Broker.Signal) => void = () => {}
      let isAway = false
      let pulls = 0
      let offset = 1
      const head = Effect.succeed({ epoch: "e", offset: 1 })
      const away = new Broker.BrokerError({
        reason: new Broker.BrokerUnavailable({ operation: "pull", afterMs: 1, cause: new Error("away") })
      })
      const broker: Parameters<typeof LogReader.read>[0] = {
        head: () => head,
        subscribe: (_, told) => Effect.sync(() => void (wake = told)),
        pull: (_, after) =>
          Effect.suspend(() => {
            pulls++
            if (isAway) return Effect.fail(away)
            const gap: Broker.Gap | undefined = after.offset === offset
              ? undefined
              : { epoch: "e", from: after.offset + 1, to: offset, reason: "retention" }
            return Effect.succeed({ gap, snapshots: [], entries: [], next: { epoch: "e", offset }, head: offset })
          })
      }
      const items: Array<number> = []
      const reading = yield* LogReader.read(broker, newUser(), Option.none()).pipe(
        Stream.runForEach((item) => Effect.sync(() => items.push(item._tag === "Gap" ? item.gap.to : -1))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Effect.yieldNow
      isAway = true
      wake("down")
      wake({ lateMs: 1_000 })
      wake({ revokedAt: 1, isNew: true })
      for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
      assert.deepStrictEqual([pulls, items, reading.pollUnsafe()], [1, [], undefined])
      isAway = false
      offset = 3
      wake("up")
      for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
      assert.deepStrictEqual([pulls, items, reading.pollUnsafe()], [2, [3], undefined])
    }))
})
