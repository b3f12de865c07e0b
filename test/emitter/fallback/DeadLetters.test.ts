import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { DeadLetterStore } from "../../../src/emitter/fallback/DeadLetterStore.ts"
import * as Spool from "../../../src/emitter/fallback/Spool.ts"
import { DeliveryBench } from "../support/DeliveryBench.ts"
import { envelope, envelopes, sequences, userId } from "../support/envelopes.ts"

const ada = userId("ada")
const bob = userId("bob")

const add = (store: DeadLetterStore, user: typeof ada, from: number, to = from) =>
  store.add(user, envelopes(user, from, to), "brokerFailed", [], 1_000)

const held = (store: DeadLetterStore, user?: typeof ada) =>
  store.list(user === undefined ? {} : { user }).map(({ event }) => event.sequence)

describe("DeadLetterStore", () => {
  it("keeps letters in the order in which they came, each event one letter", () => {
    const store = new DeadLetterStore()
    add(store, ada, 1, 2)
    add(store, bob, 7)
    assert.deepStrictEqual(store.list().map(({ event, sequence, user }) => [sequence, user, event.sequence]), [
      [1, ada, 1],
      [2, ada, 2],
      [3, bob, 7]
    ])
  })

  it("drops the oldest to stay within its count, and counts what it dropped", () => {
    const store = new DeadLetterStore({ maxEvents: 3 })
    add(store, ada, 1, 2)
    add(store, ada, 3, 5)
    assert.deepStrictEqual(held(store), [3, 4, 5])
    assert.deepInclude(store.size, { events: 3, dropped: 2 })
  })

  it("drops the oldest to stay within its bytes", () => {
    const { bytes } = envelope(ada, 1)
    const store = new DeadLetterStore({ maxBytes: 3 * bytes })
    add(store, ada, 1, 5)
    assert.deepStrictEqual(held(store), [3, 4, 5])
    assert.deepStrictEqual(store.size, { events: 3, bytes: 3 * bytes, dropped: 2 })
  })

  it("fault 1: drops the letters of a user who holds most, and no other's", () => {
    const store = new DeadLetterStore({ maxEvents: 100 })
    add(store, bob, 1, 40)
    for (let n = 1; n <= 10; n++) add(store, ada, 100 * n, 100 * n + 99)
    assert.deepStrictEqual(held(store, bob), Array.from({ length: 40 }, (_, i) => i + 1))
    assert.deepStrictEqual(held(store, ada), Array.from({ length: 60 }, (_, i) => 1_040 + i))
    assert.deepInclude(store.size, { events: 100, dropped: 940 })
  })

  it("fault 1: takes no letter of who holds no more than an even share, however many come", () => {
    const { bytes } = envelope(ada, 1_000)
    for (const limits of [{ maxEvents: 90 }, { maxBytes: 90 * bytes }]) {
      const store = new DeadLetterStore(limits)
      for (let n = 1; n <= 500; n++) {
        add(store, ada, 1_000 + n)
        if (n % 7 === 0) add(store, bob, 1_000 + n, 1_003 + n)
        if (n <= 30) add(store, userId("eve"), 1_000 + n)
      }
      assert.strictEqual(held(store, userId("eve")).length, 30)
      assert.isTrue(store.size.events <= 90 && store.size.bytes <= 90 * bytes)
    }
  })

  it("lists the letters of one user, and those up to a number", () => {
    const store = new DeadLetterStore()
    add(store, ada, 1)
    add(store, bob, 2)
    add(store, ada, 3)
    assert.deepStrictEqual(held(store, ada), [1, 3])
    assert.deepStrictEqual(store.list({ upTo: 2 }).map(({ sequence }) => sequence), [1, 2])
    assert.deepStrictEqual(store.list({ user: ada, upTo: 2 }).map(({ sequence }) => sequence), [1])
  })

  it("gives each letter out once", () => {
    const store = new DeadLetterStore()
    add(store, ada, 1, 3)
    const letters = store.list()
    assert.strictEqual(store.take(letters.slice(0, 2)).length, 2)
    assert.strictEqual(store.take(letters).length, 1)
    assert.deepStrictEqual(store.size, { events: 0, bytes: 0, dropped: 0 })
  })

  it("keeps the events alone, and nothing that a program's own envelopes carry besides", () => {
    const store = new DeadLetterStore()
    const more = { ...envelope(ada, 1), settled: () => {} }
    store.add(ada, [more], "defect", [], 0)
    assert.deepStrictEqual(store.list()[0]?.event, envelope(ada, 1))
  })
})

/** A bench whose broker was down while these users emitted. */
const withLetters = Effect.fnUntraced(function*(letters: ReadonlyArray<readonly [typeof ada, number]>) {
  const bench = yield* DeliveryBench.make()
  bench.broker.behaviour = "die"
  for (const [user, sequence] of letters) yield* bench.deliver(user, envelopes(user, sequence))
  yield* TestClock.adjust("10 seconds")
  bench.broker.behaviour = "ok"
  return bench
})

describe("DeadLetters", () => {
  it.effect("replays to the delivery, each user's events in order, and forgets what was delivered", () =>
    Effect.gen(function*() {
      const bench = yield* withLetters([[ada, 1], [bob, 1], [ada, 2]])
      const { list, replay } = bench.delivery.deadLetters
      assert.deepStrictEqual(yield* replay(), { appended: 3, handedOver: 0, deadLettered: 0 })
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 2])
      assert.deepStrictEqual(sequences(bench.broker.log(bob)), [1])
      assert.deepStrictEqual(yield* list(), [])
    }))

  it.effect("replays only what is selected", () =>
    Effect.gen(function*() {
      const bench = yield* withLetters([[ada, 1], [bob, 1]])
      assert.deepStrictEqual(yield* bench.delivery.deadLetters.replay({ user: bob }), {
        appended: 1,
        handedOver: 0,
        deadLettered: 0
      })
      assert.deepStrictEqual((yield* bench.delivery.deadLetters.list()).map(({ user }) => user), [ada])
    }))

  it.effect("keeps as new letters what fails again, and tries all together and then each once", () =>
    Effect.gen(function*() {
      const bench = yield* withLetters([[ada, 1], [ada, 2]])
      bench.broker.behaviour = "die"
      const before = bench.broker.calls.length
      assert.deepStrictEqual(yield* bench.delivery.deadLetters.replay(), {
        appended: 0,
        handedOver: 0,
        deadLettered: 2
      })
      assert.strictEqual(bench.broker.calls.length, before + 3)
      const letters = yield* bench.delivery.deadLetters.list()
      assert.deepStrictEqual(letters.map(({ at, event, sequence }) => [sequence, event.sequence, at]), [
        [3, 1, 10_000],
        [4, 2, 10_000]
      ])
    }))

  it.effect("waits with a replay for what is being delivered, and holds newer events back meanwhile", () =>
    Effect.gen(function*() {
      const bench = yield* withLetters([[ada, 1]])
      bench.broker.behaviour = { after: "1 second", do: "ok" }
      const before = bench.broker.calls.length
      const calls = () => bench.broker.calls.slice(before).map(({ batch }) => sequences(batch))
      yield* bench.emit(ada, envelopes(ada, 2))
      const replaying = yield* Effect.forkChild(bench.delivery.deadLetters.replay())
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(calls(), [[2]])
      yield* bench.emit(ada, envelopes(ada, 3))
      // Who waited for the turn has it before what was emitted meanwhile: a busy user's letters are replayed too.
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(calls(), [[2], [1]])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(calls(), [[2], [1], [3]])
      yield* bench.emit(ada, envelopes(ada, 4))
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(calls(), [[2], [1], [3]])
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude(yield* Fiber.join(replaying), { appended: 1 })
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [2, 1, 3, 4])
    }))

  it.effect("queues a replayed letter behind what its user has in the spool", () =>
    Effect.gen(function*() {
      const letters = new DeadLetterStore()
      letters.add(ada, envelopes(ada, 1), "brokerFailed", [], 0)
      const spool = yield* Spool.memory()
      const bench = yield* DeliveryBench.make({ channels: [spool], deadLetters: letters })
      bench.broker.behaviour = "die"
      yield* bench.deliver(ada, envelopes(ada, 2))
      assert.deepStrictEqual(yield* bench.delivery.deadLetters.replay(), {
        appended: 0,
        handedOver: 1,
        deadLettered: 0
      })
      bench.broker.behaviour = "ok"
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [2, 1])
    }))

  it.effect("loses no letter when a replay is interrupted", () =>
    Effect.gen(function*() {
      const bench = yield* withLetters([[ada, 1], [bob, 1]])
      bench.broker.behaviour = { after: "1 second", do: "ok" }
      const replaying = yield* Effect.forkChild(bench.delivery.deadLetters.replay())
      yield* TestClock.adjust("500 millis")
      const stopping = yield* Effect.forkChild(Fiber.interrupt(replaying))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1])
      assert.deepStrictEqual((yield* bench.delivery.deadLetters.list()).map(({ user }) => user), [bob])
    }))

  it.effect("clears what is selected, and tells how many letters", () =>
    Effect.gen(function*() {
      const bench = yield* withLetters([[ada, 1], [bob, 1], [ada, 2]])
      const { clear, list, size } = bench.delivery.deadLetters
      assert.strictEqual(yield* clear({ user: ada }), 2)
      assert.deepStrictEqual((yield* list()).map(({ user }) => user), [bob])
      assert.strictEqual(yield* clear(), 1)
      assert.deepStrictEqual(yield* size, { events: 0, bytes: 0, dropped: 0 })
    }))
})
