import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DeadLetterStore } from "../../../src/emitter/fallback/DeadLetterStore.ts"
import * as MemorySpoolStore from "../../../src/emitter/fallback/MemorySpoolStore.ts"
import * as Spool from "../../../src/emitter/fallback/Spool.ts"
import { SpoolFailure, type SpoolStore } from "../../../src/emitter/fallback/SpoolStore.ts"
import * as SqliteSpoolStore from "../../../src/emitter/fallback/SqliteSpoolStore.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { DeliveryBench } from "../support/DeliveryBench.ts"
import { envelopes, sequences, userId } from "../support/envelopes.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { type Behaviour, ScriptedBroker } from "../support/ScriptedBroker.ts"
import { spoolUntilKilled } from "../support/spoolUntilKilled.ts"
import { patience } from "../../support/patience.ts"

const ada = userId("ada")
const bob = userId("bob")

const count = (to: number) => Array.from({ length: to }, (_, i) => i + 1)

const benchOver = (
  store: SpoolStore,
  more: { readonly broker?: ScriptedBroker; readonly deadLetters?: DeadLetterStore } = {}
) => DeliveryBench.make({ ...more, channels: [Spool.make(store)] })

/** A bench with a memory spool that holds events 1 to `to` of each user, since the broker does `behaviour`. */
const spooled = Effect.fnUntraced(function*(to: number, behaviour: Behaviour = "fail", users = [ada]) {
  const store = yield* MemorySpoolStore.make()
  const bench = yield* benchOver(store)
  bench.broker.behaviour = behaviour
  for (const user of users) {
    for (let sequence = 1; sequence <= to; sequence++) {
      const fiber = yield* Effect.forkChild(bench.deliver(user, envelopes(user, sequence)))
      yield* TestClock.adjust("2 millis")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "HandedOver" })
    }
  }
  return { bench, store }
})

/** Drains four events of ada into a broker that takes none beside another, and each alone only at its fifth try. */
const takesEachAfterFourTries = Effect.fnUntraced(function*(store: SpoolStore) {
  const bench = yield* benchOver(store)
  const failures = new Map<number, number>()
  bench.broker.decide = ({ batch, user }) => {
    if (user !== ada || batch.length > 1) return user === ada ? "die" : "ok"
    const [{ sequence }] = batch
    const failed = failures.get(sequence) ?? 0
    failures.set(sequence, failed + 1)
    // Each append is asked twice what becomes of it.
    return failed < 8 ? "die" : "ok"
  }
  yield* TestClock.adjust("1 minute")
  assert.deepStrictEqual(sequences(bench.broker.log(ada)), count(4))
  assert.strictEqual((yield* bench.delivery.stats).deadLetters.events, 0)
})

describe("SpoolDrainer", () => {
  it.effect("gives everything back in order once the broker works, with nobody emitting: the drainer is the probe", () =>
    Effect.gen(function*() {
      const { bench, store } = yield* spooled(5)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* bench.delivery.breakers[0].state)._tag, "Open")
      bench.broker.behaviour = "ok"
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), count(5))
      assert.isFalse(store.holds(ada))
      assert.strictEqual((yield* bench.delivery.breakers[0].state)._tag, "Closed")
      assert.deepInclude(yield* bench.delivery.stats, { drainedEvents: 5, appendedEvents: 5 })
      assert.deepInclude(yield* bench.deliver(ada, envelopes("ada", 6)), { _tag: "Appended" })
    }))

  it.effect("goes on after turns that were interrupted, more of them than there are fibers to drain", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      let turns = 0
      const bench = yield* benchOver({
        ...store,
        peek: (user, limits) => Effect.suspend(() => ++turns <= 30 ? Effect.interrupt : store.peek(user, limits))
      })
      bench.broker.behaviour = "fail"
      const fiber = yield* Effect.forkChild(bench.deliver(ada, envelopes(ada, 1)))
      yield* TestClock.adjust("2 millis")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "HandedOver" })
      bench.broker.behaviour = "ok"
      yield* TestClock.adjust("2 minutes")
      assert.isAbove(turns, 30)
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1])
    }))

  it.effect("tries nothing behind an event before that one has left the spool, so that a restart finds what follows", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(benchOver(store), scope)
      // One batch of four: the second is not taken, the third is, and the process ends while the fourth is under way.
      first.broker.behaviour = "fail"
      const fiber = yield* Effect.forkChild(first.deliver(ada, envelopes("ada", 1, 4)))
      yield* TestClock.adjust("2 millis")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "HandedOver" })
      first.broker.decide = ({ batch, user }) => {
        if (user !== ada) return "ok"
        if (batch.length > 1 || batch[0].sequence === 2) return "die"
        return batch[0].sequence === 4 ? { after: "1 hour", do: "ok" } : "ok"
      }
      while (!sequences(first.broker.log(ada)).includes(3)) yield* TestClock.adjust("50 millis")
      yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("10 seconds")

      const second = yield* benchOver(store, { broker: first.broker })
      second.broker.decide = () => "ok"
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(sequences(second.broker.log(ada)), [1, 3, 4])
      assert.isFalse(store.holds(ada))
    }))

  it.effect("gives back the same envelopes", () =>
    Effect.gen(function*() {
      const { bench } = yield* spooled(2)
      bench.broker.behaviour = "ok"
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(bench.broker.log(ada), envelopes("ada", 1, 2))
    }))

  it.effect("leaves a broker that is down alone, but for its probes", () =>
    Effect.gen(function*() {
      const { bench } = yield* spooled(1)
      const before = bench.broker.calls.length
      yield* TestClock.adjust("10 minutes")
      // Open for 8 to 10 seconds at a time, after a few shorter ones.
      const probes = bench.broker.calls.length - before
      assert.isTrue(probes >= 60 && probes <= 90, `${probes} calls in 10 minutes`)
    }))

  it.effect("lets no event that is emitted while a user is drained overtake those in the spool", () =>
    Effect.gen(function*() {
      const { bench } = yield* spooled(3)
      bench.broker.behaviour = { after: "300 millis", do: "ok" }
      for (let sequence = 4; sequence <= 40; sequence++) {
        yield* bench.emit(ada, envelopes("ada", sequence))
        yield* TestClock.adjust("50 millis")
      }
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), count(40))
    }))

  it.effect("holds one user's new events back while it drains, and no other's", () =>
    Effect.gen(function*() {
      const { bench } = yield* spooled(1)
      bench.broker.decide = ({ user }) => user === ada ? { after: "10 seconds", do: "ok" } : "ok"
      yield* TestClock.adjust("1 second")
      const waiting = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", 2)))
      yield* TestClock.adjust("1 second")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("8 seconds")
      assert.deepInclude(yield* bench.deliver(bob, envelopes("bob", 1)), { _tag: "Appended" })
      yield* TestClock.adjust("20 seconds")
      assert.deepInclude(yield* Fiber.join(waiting), { _tag: "Appended" })
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 2])
    }))

  it.effect("drains many users, each in order", () =>
    Effect.gen(function*() {
      const users = Array.from({ length: 200 }, (_, i) => userId(`u${i}`))
      const { bench, store } = yield* spooled(3, "fail", users)
      bench.broker.behaviour = { after: "10 millis", do: "ok" }
      yield* TestClock.adjust("30 seconds")
      for (const user of users) assert.deepStrictEqual(sequences(bench.broker.log(user)), count(3))
      assert.strictEqual(store.depth().users, 0)
    }))

  it.effect("removes a batch only when the broker has it, and appends nothing twice when removing fails", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      let failures = 3
      const stubborn: SpoolStore = {
        ...store,
        remove: (user, chunk) =>
          Effect.suspend(() =>
            failures-- > 0
              ? Effect.fail(new SpoolFailure({ operation: "remove", cause: new Error("disk") }))
              : store.remove(user, chunk)
          )
      }
      yield* store.put(ada, envelopes("ada", 1, 2))
      const bench = yield* benchOver(stubborn)
      const newer = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", 3)))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(newer)
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 2, 3])
      assert.isFalse(store.holds(ada))
    }))

  it.effect("gives up a batch that the broker dies of, keeps it as dead letters, and goes on behind it", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      for (const sequence of count(4)) yield* store.put(ada, envelopes("ada", sequence))
      const bench = yield* benchOver(store)
      bench.broker.decide = ({ batch }) => batch.some(({ sequence }) => sequence === 2) ? "die" : "ok"
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 3, 4])
      const letters = yield* bench.delivery.deadLetters.list()
      assert.deepStrictEqual(letters.map(({ event, trigger }) => [event.sequence, trigger]), [[2, "defect"]])
      assert.match(String(letters[0]?.reasons[0]?.cause), /a bug in the broker/)
    }))

  it.effect("fault 45: counts only the tries of an event that failed in a row", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      for (const sequence of count(4)) yield* store.put(ada, envelopes("ada", sequence))
      yield* takesEachAfterFourTries(store)
    }))

  it.effect("fault 45: counts the tries of each part of a batch anew", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      yield* store.put(ada, envelopes("ada", 1, 4))
      yield* takesEachAfterFourTries(store)
    }))

  it.effect("fault 45: lets time pass between two tries of one user, also beside users who wait for theirs", () =>
    Effect.gen(function*() {
      const users = count(30).map((n) => userId(`u${n}`))
      for (const behaviour of ["fail", "timeOut"] as const) {
        const store = yield* MemorySpoolStore.make()
        for (const user of users) yield* store.put(user, envelopes(user, 1))
        const bench = yield* DeliveryBench.make({
          channels: [Spool.make(store)],
          breaker: { failures: 1_000_000, openFor: { first: "1 second", cap: "1 second" } }
        })
        // The canary is another user: what times out is then each user's own trouble.
        bench.broker.decide = ({ user }) => users.includes(user) ? behaviour : "ok"
        yield* TestClock.adjust("1 second")
        const calls = bench.broker.calls.filter(({ user }) => user === users[0]).length
        assert.isTrue(calls >= 1 && calls <= 11, `${calls} calls in a second, which ${behaviour}`)
        assert.strictEqual((yield* bench.delivery.stats).deadLetters.events, 0, "five tries take longer")
        yield* bench.close
      }
    }))

  it.effect("fault 45: lets time pass between two tries of one user, also beside users who have nothing left", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      const bench = yield* DeliveryBench.make({
        channels: [Spool.make(store)],
        breaker: { failures: 1_000_000, openFor: { first: "1 second", cap: "1 second" } }
      })
      bench.broker.decide = ({ user }) => user === ada ? "fail" : "ok"
      yield* bench.emit(ada, envelopes("ada", 1))
      yield* TestClock.adjust("10 millis")
      const before = bench.broker.calls.length
      for (const sequence of count(100)) {
        yield* store.put(bob, envelopes("bob", sequence))
        yield* bench.emit(bob, envelopes("bob", 1_000 + sequence))
        yield* TestClock.adjust("100 millis")
      }
      const calls = bench.broker.calls.slice(before).filter(({ user }) => user === ada).length
      assert.isTrue(calls >= 50 && calls <= 101, `${calls} calls in 10 seconds`)
      assert.strictEqual(bench.broker.log(bob).length, 200)
    }))

  it.effect("fault 33: tries at once when the broker says that it is back, and tells who is late until they are not", () =>
    Effect.gen(function*() {
      const { bench, store } = yield* spooled(3, "fail", [ada, bob])
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* bench.delivery.breakers[0].state)._tag, "Open")
      assert.deepStrictEqual(bench.broker.told, [])
      // Whoever is not the first has to wait.
      const isFirst = (user: UserId) => bench.broker.log(user === ada ? bob : ada).length === 0
      bench.broker.decide = ({ user }) => isFirst(user) ? "ok" : { after: "5 seconds", do: "ok" }
      bench.broker.tell("up")
      yield* TestClock.adjust(0)
      const [late = assert.fail("nobody is late"), ...others] = [ada, bob].filter((user) => store.holds(user))
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(sequences(bench.broker.log(late === ada ? bob : ada)), [1, 2, 3])
      const told = () => bench.broker.told.filter(([user]) => user === late)
      assert.deepStrictEqual(told(), [[late, "bench", 60_000]])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(sequences(bench.broker.log(late)), [1, 2, 3])
      assert.deepStrictEqual(told(), [[late, "bench", 60_000], [late, "bench", 0]])
    }))

  it.effect("gives up nothing that the broker merely does not take", () =>
    Effect.gen(function*() {
      const { bench, store } = yield* spooled(2, "refuse")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(store.depth().events, 2)
      assert.strictEqual((yield* bench.delivery.stats).deadLetters.events, 0)
    }))

  it.effect("starts again after a defect of the store, and loses nothing by it", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      let defects = 2
      const buggy: SpoolStore = {
        ...store,
        peek: (user, limits) => defects-- > 0 ? Effect.die(new Error("a bug in the store")) : store.peek(user, limits)
      }
      yield* store.put(ada, envelopes("ada", 1, 3))
      const bench = yield* benchOver(buggy)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 2, 3])
    }))

  it.live("gives back what a killed process left in its file, in order and once", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const file = join(directory, "spool.db")
      const put = yield* Effect.promise(() => spoolUntilKilled({ file, users: 10, lines: 500 }))
      const store = yield* SqliteSpoolStore.make({ file })
      const held = store.depth().events
      const bench = yield* benchOver(store)
      yield* Effect.sleep("10 millis").pipe(
        Effect.repeat({ while: () => store.depth().users > 0 }),
        Effect.timeout(8_000 * patience)
      )
      let appended = 0
      for (const [user, last] of put) {
        const log = sequences(bench.broker.log(userId(user)))
        assert.isTrue(log.length >= last)
        assert.deepStrictEqual(log, count(log.length))
        appended += log.length
      }
      assert.strictEqual(appended, held)
    }), 120_000)

  for (
    const { more, options, share } of [
      { more: "", share: [0, 0.2], options: { timeout: 120_000 } },
      { more: ", in a storm", share: [0.2, 1], options: { tags: "storm", timeout: 120_000 } }
    ] as const
  ) {
    /** This share of so many seeds. */
    const seeds = (first: number, count: number) => ({
      from: first + count * share[0],
      count: count * (share[1] - share[0])
    })

    it.effect(
      `loses nothing, repeats nothing and keeps every user's order, whatever fails when${more}`,
      () => forSeeds(seeds(1, 150), (draw) => survives(draw, clear, inMemory)),
      options
    )

    it.effect(
      `loses nothing and keeps every user's order, also when outcomes are unknown${more}`,
      () => forSeeds(seeds(1_000, 150), (draw) => survives(draw, ambiguous, inMemory)),
      options
    )

    it.effect(
      `loses nothing, repeats nothing and keeps every user's order over a file that is closed and opened again${more}`,
      () => forSeeds(seeds(2_000, 25), (draw) => survives(draw, clear, inFile)),
      options
    )
  }
})

/** Gives the spool's store as often as asked, always with what was left in it. */
type Reopen = (maxEvents: number) => Effect.Effect<
  Effect.Effect<SpoolStore, SqliteSpoolStore.SpoolOpenError, Scope.Scope>,
  never,
  Scope.Scope
>

const inMemory: Reopen = (maxEvents) => Effect.map(MemorySpoolStore.make({ maxEvents }), Effect.succeed)

const inFile: Reopen = (maxEvents) =>
  Effect.map(
    temporaryDirectory,
    (directory) => SqliteSpoolStore.make({ file: join(directory, "spool.db"), sync: "normal", maxEvents })
  )

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-drain-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

const clear: ReadonlyArray<Behaviour> = ["ok", "ok", "fail", "fail", "refuse", "die", "throw", "hang"]

const ambiguous: ReadonlyArray<Behaviour> = [
  ...clear,
  "loseAck",
  { after: "400 millis", do: "ok" },
  { after: "400 millis", do: "fail" },
  { after: "400 millis", do: "loseAck" }
]

/** Emits, breaks, repairs, interrupts and restarts at random, then repairs everything and looks where each event is. */
const survives = Effect.fnUntraced(function*(draw: Draw, behaviours: ReadonlyArray<Behaviour>, reopen: Reopen) {
  const users = [ada, bob, userId("eve")]
  const open = yield* reopen(draw.chance(0.3) ? 15 : 10_000)
  const broker = new ScriptedBroker()
  // Of each user, the sequences of all events that became dead letters, as often as they did.
  const dead = new Map<UserId, Array<number>>(users.map((user) => [user, []]))
  const emitted = new Map<UserId, number>(users.map((user) => [user, 0]))
  const start = Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const store = yield* Scope.provide(open, scope)
    // A file gives its letters to each life anew; they come first.
    const inherited = store.letters?.load().length ?? 0
    const deadLetters = new DeadLetterStore({ maxEvents: 1_000_000, maxBytes: Infinity })
    const bench = yield* Scope.provide(benchOver(store, { broker, deadLetters }), scope)
    const note = Effect.sync(() => {
      for (const { event, user } of deadLetters.list().slice(inherited)) dead.get(user)?.push(event.sequence)
    })
    return { store, bench, close: Effect.andThen(Effect.andThen(bench.close, Scope.close(scope, Exit.void)), note) }
  })
  let life = yield* start

  const checkOrder = () => {
    for (const user of users) {
      const log = sequences(broker.log(user))
      assert.deepStrictEqual(log, [...new Set(log)].toSorted((a, b) => a - b), `the order of ${user}`)
    }
  }

  for (let step = 0; step < 80; step++) {
    const user = draw.pick(users)
    const choice = draw.next()
    if (choice < 0.45) {
      const last = emitted.get(user) ?? 0
      const batch = envelopes(user, last + 1, last + 1 + draw.below(4))
      emitted.set(user, last + batch.length)
      yield* life.bench.emit(user, batch)
    } else if (choice < 0.6) {
      broker.behaviour = draw.pick(behaviours)
    } else if (choice < 0.9) {
      yield* TestClock.adjust(Duration.millis(draw.below(draw.chance(0.3) ? 4_000 : 120)))
    } else if (choice < 0.97) {
      yield* life.bench.interrupt(user)
    } else {
      yield* life.close
      life = yield* start
    }
    checkOrder()
  }

  yield* Effect.forEach(users, (user) => life.bench.interrupt(user))
  // What hangs in the drainer is not interrupted by anybody but its scope.
  yield* life.close
  broker.behaviour = "ok"
  life = yield* start
  yield* TestClock.adjust("2 minutes")
  checkOrder()
  assert.deepInclude(life.store.depth(), { users: 0, batches: 0, events: 0, bytes: 0 })
  yield* life.close
  for (const user of users) {
    const ends = [...sequences(broker.log(user)), ...dead.get(user) ?? []].toSorted((a, b) => a - b)
    const all = count(emitted.get(user) ?? 0)
    assert.deepStrictEqual(behaviours === clear ? ends : [...new Set(ends)], all, `the events of ${user}`)
  }
})
