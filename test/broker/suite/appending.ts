/** Order, atomicity and isolation of appends. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { BrokerTest } from "../brokerSuite.ts"
import { appendAll, entryOf, envelope, idOf, newUser, numbered, plain, plenty, start } from "../events.ts"

export const appending = (test: BrokerTest) => {
  test("starts a user's log at offset 0, and stays in its epoch", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const head = yield* broker.head(user)
      assert.strictEqual(head.offset, 0)
      assert.match(head.epoch, /^[A-Za-z0-9_-]{1,32}$/)
      assert.deepStrictEqual(yield* broker.append(user, numbered(1)), { epoch: head.epoch, offset: 1 })
      assert.deepStrictEqual(yield* broker.head(user), { epoch: head.epoch, offset: 1 })
    }))

  test("gives offsets that rise by one, through batches and within them", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.head(user)
      assert.deepStrictEqual(yield* broker.append(user, numbered(1, 3)), { epoch, offset: 3 })
      assert.deepStrictEqual(yield* broker.append(user, numbered(4)), { epoch, offset: 4 })
      assert.deepStrictEqual(yield* broker.append(user, numbered(5, 6)), { epoch, offset: 6 })
      const { entries } = yield* broker.pull(user, { epoch, offset: 0 }, plenty)
      assert.deepStrictEqual(
        entries.map((entry) => [entry.offset, idOf(entry)]),
        [1, 2, 3, 4, 5, 6].map((n) => [n, `s.${n}`])
      )
    }))

  test("keeps all of an envelope that a device may get, as it was written", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const batch = [
        envelope({ sequence: 1 }),
        envelope({
          sequence: 2,
          type: "text_delta",
          delivery: "batched",
          run: "run:1",
          thread: "thread|1",
          confirm: true,
          at: 1_700_000_000_123,
          data: { messageId: "m", delta: "\0 \r\n \u2028 😀 \" \\ ñ" }
        }),
        envelope({ sequence: 3, delivery: "volatile", run: "r", data: { empty: "" } })
      ] as const
      const from = yield* start(broker, user)
      yield* broker.append(user, batch)
      const { entries } = yield* broker.pull(user, from, plenty)
      assert.deepStrictEqual(entries.map(plain), batch.map((sent, n) => entryOf(n + 1, sent)))
    }))

  test("keeps users apart", (broker) =>
    Effect.gen(function*() {
      const ada = newUser("ada")
      const bob = newUser("bob")
      const fromBob = yield* start(broker, bob)
      yield* broker.append(ada, numbered(1, 3))
      assert.strictEqual((yield* broker.append(bob, numbered(1))).offset, 1)
      assert.notStrictEqual((yield* broker.head(ada)).epoch, fromBob.epoch)
      const { entries } = yield* broker.pull(bob, fromBob, plenty)
      assert.deepStrictEqual(entries.map(idOf), ["s.1"])
    }))

  test("appends batches whole, also when many fibers append at once", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      const sources = Array.from({ length: 12 }, (_, n) => `source${n}`)
      const ends = yield* Effect.forEach(
        sources,
        (source) =>
          Effect.gen(function*() {
            const offsets: Array<number> = []
            for (let batch = 0; batch < 5; batch++) {
              const { offset } = yield* broker.append(user, numbered(batch * 4 + 1, batch * 4 + 4, { source }))
              offsets.push(offset)
            }
            return offsets
          }),
        { concurrency: "unbounded" }
      )
      const { entries } = yield* broker.pull(user, from, plenty)
      assert.deepStrictEqual(entries.map(({ offset }) => offset), Array.from({ length: 240 }, (_, n) => n + 1))
      const ids = entries.map(idOf)
      sources.forEach((source, n) => {
        const own = ids.filter((id) => id.startsWith(`${source}.`))
        assert.deepStrictEqual(own, Array.from({ length: 20 }, (_, i) => `${source}.${i + 1}`))
        ends[n]?.forEach((end, batch) =>
          assert.deepStrictEqual(ids.slice(end - 4, end), own.slice(batch * 4, batch * 4 + 4), "a batch was torn apart")
        )
      })
    }))

  test("takes a batch that is larger than what it keeps", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      assert.strictEqual((yield* appendAll(broker, user, [numbered(1, 2), numbered(3, 30)])).offset, 30)
      const slice = yield* broker.pull(user, from, plenty)
      assert.deepStrictEqual(slice.gap, { epoch: from.epoch, from: 1, to: 26, reason: "retention" })
      assert.deepStrictEqual(slice.entries.map(idOf), ["s.27", "s.28", "s.29", "s.30"])
    }), { maxEvents: 4 })

  test("says how long it keeps events", (broker) => Effect.sync(() => assert.isAbove(broker.retentionMs, 0)))
}
