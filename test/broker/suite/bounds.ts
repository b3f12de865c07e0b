/** What is dropped past the bounds, and how a reader learns of it. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { BrokerTest } from "../brokerSuite.ts"
import { envelope, idOf, newUser, numbered, plenty, start } from "../events.ts"

export const bounds = (test: BrokerTest) => {
  test("keeps the newest events, and names those it has dropped", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      for (let n = 1; n <= 10; n++) yield* broker.append(user, numbered(n))
      const slice = yield* broker.pull(user, from, plenty)
      assert.deepStrictEqual(slice.gap, { epoch: from.epoch, from: 1, to: 6, reason: "retention" })
      assert.deepStrictEqual(slice.entries.map(({ offset }) => offset), [7, 8, 9, 10])
      assert.deepStrictEqual(slice.next, { epoch: from.epoch, offset: 10 })
      assert.strictEqual(slice.head, 10)
    }), { maxEvents: 4 })

  test("keeps no more bytes than it may, and names what it has dropped", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      const data = { text: "é".repeat(60) }
      const size = envelope({ sequence: 1, data }).bytes
      assert.isAbove(size, 150)
      assert.isBelow(size, 200)
      for (let n = 1; n <= 9; n++) yield* broker.append(user, numbered(n, n, { data }))
      const slice = yield* broker.pull(user, from, plenty)
      assert.deepStrictEqual(slice.entries.map(idOf), ["s.5", "s.6", "s.7", "s.8", "s.9"])
      assert.deepStrictEqual(slice.gap, { epoch: from.epoch, from: 1, to: 4, reason: "retention" })
    }), { maxBytes: 1000 })

  test("keeps the newest event, also when it alone is larger than all may be", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1, 3))
      yield* broker.append(user, numbered(4, 4, { data: { text: "x".repeat(2000) } }))
      const slice = yield* broker.pull(user, from, plenty)
      assert.deepStrictEqual(slice.entries.map(idOf), ["s.4"])
      assert.deepStrictEqual(slice.gap, { epoch: from.epoch, from: 1, to: 3, reason: "retention" })
    }), { maxBytes: 1000 })

  test("has no gap for a reader who needs nothing of what was dropped", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 10))
      for (const offset of [6, 7, 9, 10]) {
        const slice = yield* broker.pull(user, { epoch, offset }, plenty)
        assert.isUndefined(slice.gap)
        assert.deepStrictEqual(slice.snapshots, [])
        assert.strictEqual(slice.entries.length, 10 - offset)
      }
    }), { maxEvents: 4 })

  test("begins a gap where the reader stood", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 10))
      const slice = yield* broker.pull(user, { epoch, offset: 3 }, plenty)
      assert.deepStrictEqual(slice.gap, { epoch, from: 4, to: 6, reason: "retention" })
      assert.deepStrictEqual(slice.entries.map(({ offset }) => offset), [7, 8, 9, 10])
    }), { maxEvents: 4 })

  test("gives a reader of another epoch all that is kept, behind a gap", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 10))
      const slice = yield* broker.pull(user, { epoch: "another", offset: 8 }, plenty)
      assert.deepStrictEqual(slice.gap, { epoch, from: 1, to: 6, reason: "epoch" })
      assert.deepStrictEqual(slice.entries.map(({ offset }) => offset), [7, 8, 9, 10])
      assert.deepStrictEqual(slice.next, { epoch, offset: 10 })
    }), { maxEvents: 4 })

  test("tells a reader of another epoch so, also when nothing was dropped or ever came", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.head(user)
      const empty = yield* broker.pull(user, { epoch: "another", offset: 8 }, plenty)
      assert.deepStrictEqual(empty, {
        gap: { epoch, from: 1, to: 0, reason: "epoch" },
        snapshots: [],
        entries: [],
        next: { epoch, offset: 0 },
        head: 0
      })
      yield* broker.append(user, numbered(1, 2))
      const full = yield* broker.pull(user, { epoch: "another", offset: 8 }, plenty)
      assert.deepStrictEqual(full.gap, { epoch, from: 1, to: 0, reason: "epoch" })
      assert.deepStrictEqual(full.entries.map(idOf), ["s.1", "s.2"])
    }))

  test("takes a position from the future for one of another epoch", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 5))
      const slice = yield* broker.pull(user, { epoch, offset: 6 }, plenty)
      assert.strictEqual(slice.gap?.reason, "epoch")
      assert.strictEqual(slice.gap?.to, 1)
      assert.deepStrictEqual(slice.entries.map(idOf), ["s.2", "s.3", "s.4", "s.5"])
      assert.deepStrictEqual(yield* broker.pull(user, slice.next, plenty), {
        gap: undefined,
        snapshots: [],
        entries: [],
        next: slice.next,
        head: slice.next.offset
      })
    }), { maxEvents: 4 })
}
