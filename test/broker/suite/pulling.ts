/** How much one look gives. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { forSeeds } from "../../support/random.ts"
import type { BrokerTest } from "../brokerSuite.ts"
import { envelope, newUser, numbered, start } from "../events.ts"

const offsets = (entries: ReadonlyArray<{ readonly offset: number }>) => entries.map(({ offset }) => offset)

export const pulling = (test: BrokerTest) => {
  test("gives no more events than asked for, and goes on from next", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1, 5))
      const limits = { maxEvents: 2, maxBytes: 1_000_000 }
      const first = yield* broker.pull(user, from, limits)
      assert.deepStrictEqual([offsets(first.entries), first.next.offset, first.head], [[1, 2], 2, 5])
      const second = yield* broker.pull(user, first.next, limits)
      assert.deepStrictEqual([offsets(second.entries), second.next.offset, second.head], [[3, 4], 4, 5])
      const third = yield* broker.pull(user, second.next, limits)
      assert.deepStrictEqual([offsets(third.entries), third.next.offset, third.head], [[5], 5, 5])
      assert.deepStrictEqual((yield* broker.pull(user, third.next, limits)).entries, [])
    }))

  test("gives no more bytes than asked for", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1, 5))
      const { bytes } = envelope({ sequence: 1 })
      const exact = yield* broker.pull(user, from, { maxEvents: 100, maxBytes: 3 * bytes })
      assert.deepStrictEqual(offsets(exact.entries), [1, 2, 3])
      const less = yield* broker.pull(user, from, { maxEvents: 100, maxBytes: 3 * bytes - 1 })
      assert.deepStrictEqual(offsets(less.entries), [1, 2])
    }))

  test("gives at least one event, however large", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1, 2, { data: { text: "x".repeat(100_000) } }))
      const slice = yield* broker.pull(user, from, { maxEvents: 100, maxBytes: 10 })
      assert.deepStrictEqual([offsets(slice.entries), slice.next.offset, slice.head], [[1], 1, 2])
    }))

  test("comes to the whole log by small looks, whatever their limits", (broker) =>
    forSeeds({ count: 10 }, (draw) =>
      Effect.gen(function*() {
        const user = newUser()
        let position = yield* start(broker, user)
        let sequence = 0
        const seen: Array<number> = []
        for (let step = 0; step < 20; step++) {
          if (draw.chance(0.4)) {
            const size = 1 + draw.below(20)
            yield* broker.append(
              user,
              numbered(sequence + 1, sequence + size, { data: { t: "y".repeat(draw.below(90)) } })
            )
            sequence += size
          }
          const limits = { maxEvents: 1 + draw.below(9), maxBytes: draw.below(900) }
          const slice = yield* broker.pull(user, position, limits)
          assert.isUndefined(slice.gap)
          assert.isAtMost(slice.entries.length, limits.maxEvents)
          const bytes = slice.entries.reduce((sum, entry) => sum + entry.bytes, 0)
          assert.isTrue(slice.entries.length <= 1 || bytes <= limits.maxBytes)
          assert.strictEqual(slice.entries.length === 0, position.offset === sequence)
          assert.strictEqual(slice.head, sequence)
          position = slice.next
          seen.push(...offsets(slice.entries))
        }
        assert.deepStrictEqual(seen, Array.from({ length: position.offset }, (_, n) => n + 1))
      })))
}
