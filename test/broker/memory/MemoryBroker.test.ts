import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, type Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Broker } from "effect-emitter"
import { TestClock } from "effect/testing"
import { userOverhead } from "../../../src/broker/memory/MemoryBroker.ts"
import { MemoryLog } from "../../../src/broker/memory/MemoryLog.ts"
import { brokerSuite } from "../brokerSuite.ts"
import * as WallClock from "../../support/wallClock.ts"
import { envelope, idOf, newUser, numbered, plenty, start } from "../events.ts"

brokerSuite("memory", (limits) => Broker.layerMemory(limits))

/** The same logs behind answers that take their time, so that whatever races an answer can overtake it. */
const late = Effect.map(Broker.Broker, (broker) => {
  const takesTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.yieldNow.pipe(Effect.andThen(effect), Effect.tap(Effect.yieldNow), Effect.tap(Effect.yieldNow))
  return {
    append: (user, batch) => takesTime(broker.append(user, batch)),
    pull: (user, after, limits) => takesTime(broker.pull(user, after, limits)),
    subscribe: (user, wake) => takesTime(broker.subscribe(user, wake)),
    head: (user) => takesTime(broker.head(user)),
    snapshots: (user, since, recent) => takesTime(broker.snapshots(user, since, recent)),
    snapshot: (user, run) => takesTime(broker.snapshot(user, run)),
    readers: (user) => takesTime(broker.readers(user)),
    acknowledge: (user, position) => takesTime(broker.acknowledge(user, position)),
    acknowledged: (user, position) => takesTime(broker.acknowledged(user, position)),
    endLost: (user, runs) => takesTime(broker.endLost(user, runs)),
    takeOver: (user, run) => takesTime(broker.takeOver(user, run)),
    letGo: (user, runs) => takesTime(broker.letGo(user, runs)),
    claim: (user, run) => takesTime(broker.claim(user, run)),
    revoke: (user) => takesTime(broker.revoke(user)),
    late: (user, by, forMs) => takesTime(broker.late?.(user, by, forMs) ?? Effect.void),
    commands: {
      send: (user, command, within) =>
        takesTime(broker.commands?.send(user, command, within) ?? Effect.die(new Error("it takes no commands"))),
      receive: (receiver) => broker.commands?.receive(receiver) ?? Effect.void
    },
    retentionMs: broker.retentionMs
  } satisfies Broker.Broker["Service"]
})

brokerSuite(
  "memory, answering late",
  (limits) => Layer.effect(Broker.Broker, late).pipe(Layer.provide(Broker.layerMemory(limits)))
)

type Options = Parameters<typeof Broker.layerMemory>[0]

const withBroker = <A, E>(
  options: Options,
  body: (broker: Broker.Broker["Service"]) => Effect.Effect<A, E, Scope.Scope>
) => Effect.flatMap(Broker.Broker, body).pipe(Effect.provide(Broker.layerMemory(options)))

describe("MemoryBroker, readers without a scope", () => {
  it.effect("are woken and counted until they are taken away, each as often as it was added", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        const { subscribeUnscoped = assert.fail("there are no plain calls") } = broker
        const user = newUser()
        let woken = 0
        const reader = { wake: () => void woken++ }
        const wakesOfOne = Effect.gen(function*() {
          woken = 0
          yield* broker.append(user, numbered(++sequence))
          return [woken, yield* broker.readers(user)]
        })
        let sequence = 0
        subscribeUnscoped.add(user, reader)
        subscribeUnscoped.add(user, reader)
        assert.deepStrictEqual(yield* wakesOfOne, [2, 2])
        subscribeUnscoped.delete(user, reader)
        subscribeUnscoped.delete(user, { wake: () => {} })
        assert.deepStrictEqual(yield* wakesOfOne, [1, 1])
        subscribeUnscoped.delete(user, reader)
        subscribeUnscoped.delete(user, reader)
        assert.deepStrictEqual(yield* wakesOfOne, [0, 0])
      })))
})

describe("MemoryBroker, users of whom nothing was emitted", () => {
  it.effect("have an empty log for readers, which goes on as the one that the first event makes", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.subscribe(user, () => {})
        const from = yield* start(broker, user)
        const empty = { gap: undefined, snapshots: [], entries: [], next: from, head: 0 }
        assert.deepStrictEqual(yield* broker.pull(user, from, plenty), empty)
        assert.deepStrictEqual(yield* broker.snapshots(user), { position: from, snapshots: [] })
        yield* broker.acknowledge(user, from)
        const position = yield* broker.append(user, numbered(1))
        assert.deepStrictEqual(position, { epoch: from.epoch, offset: 1 })
        const { entries, gap } = yield* broker.pull(user, from, plenty)
        assert.deepStrictEqual([entries.map(idOf), gap], [["s.1"], undefined])
        assert.notStrictEqual((yield* start(broker, newUser())).epoch, from.epoch)
      })))

  it.effect("are known by another epoch once they were forgotten", () =>
    withBroker({ maxAge: "1 minute" }, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        const from = yield* start(broker, user)
        yield* TestClock.adjust("2 minutes")
        const slice = yield* broker.pull(user, from, plenty)
        assert.strictEqual(slice.gap?.reason, "epoch")
        assert.notStrictEqual(slice.next.epoch, from.epoch)
      })))
})

const refusal = (options: object) =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(Effect.scoped(Layer.build(Broker.layerMemory(options))))
    assert.strictEqual(error._tag, "ConfigError")
    return error.message
  })

describe("MemoryBroker, age", () => {
  it.effect("keeps an event for its age, and names it once it is dropped", () =>
    withBroker({ maxAge: "1 minute" }, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.subscribe(user, () => {})
        const from = yield* start(broker, user)
        yield* broker.append(user, numbered(1, 1, { at: 0 }))
        yield* TestClock.adjust("30 seconds")
        yield* broker.append(user, numbered(2, 2, { at: 30_000 }))
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual((yield* broker.pull(user, from, plenty)).entries.map(idOf), ["s.1", "s.2"])
        yield* TestClock.adjust("1 millis")
        const slice = yield* broker.pull(user, from, plenty)
        assert.deepStrictEqual(slice.gap, { epoch: from.epoch, from: 1, to: 1, reason: "retention" })
        assert.deepStrictEqual(slice.entries.map(idOf), ["s.2"])
        yield* TestClock.adjust("1 minute")
        const empty = yield* broker.pull(user, from, plenty)
        assert.deepStrictEqual(empty.gap, { epoch: from.epoch, from: 1, to: 2, reason: "retention" })
        assert.deepStrictEqual(empty.next, { epoch: from.epoch, offset: 2 })
      })))

  it.effect("counts the age of an event that came late from when it came", () =>
    withBroker({ maxAge: "1 minute" }, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.subscribe(user, () => {})
        const from = yield* start(broker, user)
        yield* TestClock.adjust("1 hour")
        yield* broker.append(user, numbered(1, 1, { at: 1000 }))
        yield* TestClock.adjust("44 seconds")
        assert.deepStrictEqual((yield* broker.pull(user, from, plenty)).entries.map(idOf), ["s.1"])
        yield* TestClock.adjust("17 seconds")
        assert.deepStrictEqual((yield* broker.pull(user, from, plenty)).entries, [])
      })))

  for (const by of ["-1 hours", "1 hours"] as const) {
    it.effect(`fault 35: keeps an event for its age while the wall clock steps (${by})`, () =>
      Effect.flatMap(
        WallClock.WallClock,
        (wall) =>
          withBroker({ maxAge: "1 minute", revocationMemory: "10 minutes" }, (broker) =>
            Effect.gen(function*() {
              const user = newUser()
              yield* broker.subscribe(user, () => {})
              const from = yield* start(broker, user)
              yield* broker.append(user, numbered(1, 1, { at: yield* Clock.currentTimeMillis }))
              yield* broker.revoke(user)
              yield* wall.step(by)
              yield* broker.append(user, numbered(2, 2, { at: yield* Clock.currentTimeMillis }))
              yield* TestClock.adjust("1 minute")
              assert.deepStrictEqual((yield* broker.pull(user, from, plenty)).entries.map(idOf), ["s.1", "s.2"])
              yield* TestClock.adjust("1 millis")
              assert.deepStrictEqual((yield* broker.pull(user, from, plenty)).entries, [])

              const told: Array<Broker.Signal | undefined> = []
              yield* TestClock.adjust("7 minutes")
              yield* broker.subscribe(user, (news) => void told.push(news))
              assert.lengthOf(told, 1)
              yield* TestClock.adjust("3 minutes")
              yield* broker.subscribe(user, (news) => void told.push(news))
              assert.lengthOf(told, 1)
            }))
      ).pipe(Effect.provide(WallClock.WallClock.layer)))
  }

  it.effect("forgets users of whom nothing is left, and comes back under a new epoch", () =>
    withBroker({ maxAge: "1 minute" }, (broker) =>
      Effect.gen(function*() {
        const [gone, read, awaited] = [newUser("gone"), newUser("read"), newUser("awaited")]
        yield* broker.subscribe(read, () => {})
        const before = yield* Effect.forEach([gone, read, awaited], (user) =>
          broker.append(user, numbered(1, 1, { at: 0 })))
        const [ofGone, ofRead, ofAwaited] = before
        if (ofGone === undefined || ofRead === undefined || ofAwaited === undefined) {
          throw new Error("no positions")
        }
        const wait = yield* Effect.forkChild(broker.acknowledged(awaited, ofAwaited), { startImmediately: true })
        yield* TestClock.adjust("2 minutes")
        assert.notStrictEqual((yield* broker.head(gone)).epoch, ofGone.epoch)
        assert.deepStrictEqual(yield* broker.head(read), ofRead)
        assert.deepStrictEqual(yield* broker.head(awaited), ofAwaited)
        const slice = yield* broker.pull(gone, ofGone, plenty)
        assert.strictEqual(slice.gap?.reason, "epoch")
        yield* Fiber.interrupt(wait)
        yield* TestClock.adjust("2 minutes")
        assert.notStrictEqual((yield* broker.head(awaited)).epoch, ofAwaited.epoch)
      })))
})

describe("MemoryBroker, the bound of all users", () => {
  const data = { text: "x".repeat(200) }
  /** What the broker counts for a user with so many events. */
  const held = (events: number) => {
    const limits = { maxEvents: 100, maxBytes: 10_000, maxAgeMs: 1e9, maxRuns: 32 }
    const log = new MemoryLog("an-epoch", limits)
    for (let n = 1; n <= events; n++) log.append(numbered(n, n, { data }))
    return userOverhead + (events === 0 ? 0 : log.held)
  }
  const room = (maxTotalBytes: number): Options => ({ maxBytes: 3_500, maxTotalBytes })
  const one = (broker: Broker.Broker["Service"], user: ReturnType<typeof newUser>, sequence: number) =>
    broker.append(user, numbered(sequence, sequence, { data }))

  it.effect("forgets users that nobody reads first, and then those keep a new epoch", () =>
    withBroker(room(held(1) + held(3) + held(0) + 100), (broker) =>
      Effect.gen(function*() {
        const [idle, read, other] = [newUser("idle"), newUser("read"), newUser("other")]
        yield* broker.subscribe(read, () => {})
        const ofRead = yield* one(broker, read, 1)
        const ofIdle = yield* one(broker, idle, 1)
        yield* one(broker, other, 1)
        yield* one(broker, other, 2)
        yield* one(broker, other, 3)
        const now = yield* broker.head(idle)
        assert.notStrictEqual(now.epoch, ofIdle.epoch)
        assert.strictEqual(now.offset, 0)
        assert.strictEqual((yield* broker.head(other)).offset, 3)
        assert.strictEqual((yield* broker.pull(idle, ofIdle, plenty)).gap?.reason, "epoch")
        const kept = yield* broker.pull(read, { ...ofRead, offset: 0 }, plenty)
        assert.isUndefined(kept.gap)
        assert.deepStrictEqual(kept.entries.map(idOf), ["s.1"])
      })))

  it.effect("makes room also for the pages that what is read moves to", () => {
    const users = Array.from({ length: 16 }, (_, n) => newUser(`u${n}`))
    const bound = users.length * held(1) + 100
    return withBroker(room(bound), (broker) =>
      Effect.gen(function*() {
        const positions = yield* Effect.forEach(users, (user) => one(broker, user, 1))
        for (const [n, { epoch }] of positions.entries()) {
          const user = users[n] ?? newUser()
          const { entries, gap } = yield* broker.pull(user, { epoch, offset: 0 }, plenty)
          if (gap === undefined) assert.deepStrictEqual(entries.map(idOf), ["s.1"])
        }
        const heads = yield* Effect.forEach(users, (user) => broker.head(user))
        const kept = heads.filter(({ epoch }, n) => epoch === positions[n]?.epoch).length
        const log = new MemoryLog("e", { maxEvents: 1, maxBytes: 1_000, maxAgeMs: 1_000, maxRuns: 1 })
        log.append(numbered(1, 1, { data }))
        log.pull({ epoch: "e", offset: 0 }, plenty)
        assert.isAtMost(kept * log.held, bound)
        assert.isAbove(kept, 2)
      }))
  })

  it.effect("forgets those not used for longest before others", () =>
    withBroker(room(4 * held(1) + held(0) + 50), (broker) =>
      Effect.gen(function*() {
        const users = Array.from({ length: 4 }, (_, n) => newUser(`u${n}`))
        const [first, second, third, fourth] = yield* Effect.forEach(users, (user) => one(broker, user, 1))
        const late = newUser("late")
        yield* one(broker, late, 1)
        const [a, b, c, d] = users
        if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error("no users")
        // All were used once; the first to be looked at went.
        assert.deepStrictEqual(yield* broker.head(c), third)
        assert.deepStrictEqual(yield* broker.head(b), second)
        yield* one(broker, newUser("later"), 1)
        assert.deepStrictEqual(yield* broker.head(b), second)
        assert.deepStrictEqual(yield* broker.head(c), third)
        assert.notStrictEqual((yield* broker.head(d)).epoch, fourth?.epoch)
        assert.notStrictEqual((yield* broker.head(a)).epoch, first?.epoch)
      })))

  it.effect("drops the oldest events of whoever asks for more when all others are being read", () =>
    withBroker(room(held(3) + held(1) + 100), (broker) =>
      Effect.gen(function*() {
        const [ada, bob] = [newUser("ada"), newUser("bob")]
        yield* broker.subscribe(ada, () => {})
        yield* broker.subscribe(bob, () => {})
        const from = yield* start(broker, ada)
        for (let n = 1; n <= 3; n++) yield* one(broker, bob, n)
        for (let n = 1; n <= 3; n++) yield* one(broker, ada, n)
        const slice = yield* broker.pull(ada, from, plenty)
        assert.deepStrictEqual(slice.gap, { epoch: from.epoch, from: 1, to: 2, reason: "retention" })
        assert.deepStrictEqual(slice.entries.map(idOf), ["s.3"])
        assert.strictEqual((yield* broker.pull(bob, yield* start(broker, bob), plenty)).entries.length, 3)
      })))

  it.effect("fault 45: forgets no log that somebody waits on, whoever else has read it", () =>
    withBroker(room(4 * held(1)), (broker) =>
      Effect.gen(function*() {
        const [plainly, afterReading] = [newUser("awaited"), newUser("read")]
        const positions = yield* Effect.forEach([plainly, afterReading], (user) => one(broker, user, 1))
        const waits = yield* Effect.forEach([plainly, afterReading], (user, n) =>
          Effect.forkChild(broker.acknowledged(user, positions[n] ?? assert.fail()), { startImmediately: true }))
        yield* Effect.scoped(broker.subscribe(afterReading, () => {}))
        for (let n = 0; n < 8; n++) {
          yield* one(broker, newUser("other"), 1)
        }
        const heads = yield* Effect.forEach([plainly, afterReading], broker.head)
        assert.deepStrictEqual(heads, positions)
        yield* Effect.forEach(waits, Fiber.interrupt)
        for (let n = 0; n < 8; n++) {
          yield* one(broker, newUser("other"), 1)
        }
        const after = yield* Effect.forEach([plainly, afterReading], broker.head)
        assert.deepStrictEqual(
          after.map(({ offset }) =>
            offset
          ),
          [0, 0]
        )
      })))

  const expiring = (
    how: string,
    look: (
      broker: Broker.Broker["Service"],
      user: ReturnType<typeof newUser>
    ) => Effect.Effect<unknown, Broker.BrokerError>
  ) =>
    it.effect(`fault 45: counts no longer what has expired ${how}`, () =>
      withBroker(
        { ...room(held(8) + held(3) - (held(3) - held(2))), maxAge: "1 minute" },
        (broker) =>
          Effect.gen(function*() {
            const [gone, here] = [newUser("gone"), newUser("here")]
            yield* broker.subscribe(gone, () => {})
            yield* broker.subscribe(here, () => {})
            const from = yield* start(broker, here)
            for (let n = 1; n <= 3; n++) yield* one(broker, gone, n)
            yield* look(broker, gone)
            for (let n = 1; n <= 3; n++) yield* one(broker, here, n)
            for (let n = 4; n <= 8; n++) yield* one(broker, here, n)
            const { entries } = yield* broker.pull(here, from, plenty)
            assert.deepStrictEqual(entries.map(idOf), Array.from({ length: 8 }, (_, n) => `s.${n + 1}`))
          })
      ))
  expiring(
    "by a look",
    (broker, user) =>
      Effect.andThen(TestClock.adjust("61 seconds"), broker.pull(user, { epoch: "e", offset: 0 }, plenty))
  )
  expiring("by time", () => TestClock.adjust("76 seconds"))

  const started = (sequence: number, run: string) =>
    envelope({ sequence, run, type: "agent_started", data: { agentName: "a" } })
  const ended = (sequence: number, run: string) =>
    envelope({ sequence, run, type: "agent_completed", data: { agentName: "a", durationMs: 1 }, at: 2_000 })

  it.effect("fault 39a: forgets no log with an active run for its age, however quiet it is", () =>
    withBroker({ maxAge: "1 minute" }, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        const position = yield* broker.append(user, [started(1, "r")])
        yield* TestClock.adjust("1 hour")
        const head = yield* broker.snapshots(user)
        assert.deepStrictEqual(head.position, position)
        assert.deepStrictEqual(head.snapshots.map(({ run, state }) => [run, state.status]), [["r", "active"]])
        yield* broker.append(user, [ended(2, "r")])
        yield* TestClock.adjust("1 hour")
        assert.notStrictEqual((yield* broker.head(user)).epoch, position.epoch)
      })))

  it.effect("fault 39a: forgets no log with an active run for room, but one whose runs have ended", () =>
    withBroker(room(8 * held(1)), (broker) =>
      Effect.gen(function*() {
        const [active, done] = [newUser("active"), newUser("done")]
        const ofActive = yield* broker.append(active, [started(1, "r")])
        const ofDone = yield* broker.append(done, [started(1, "r")])
        yield* broker.append(done, [ended(2, "r")])
        yield* Effect.scoped(broker.subscribe(active, () => {}))
        for (let n = 0; n < 50; n++) yield* one(broker, newUser("other"), 1)
        const head = yield* broker.snapshots(active)
        assert.strictEqual(head.position.epoch, ofActive.epoch)
        assert.deepStrictEqual(head.snapshots.map(({ run }) => run), ["r"])
        assert.notStrictEqual((yield* broker.head(done)).epoch, ofDone.epoch)
      })))

  it.effect("fault 15: makes room of others' events and ended runs when the one that asks has none to give", () =>
    withBroker(room(2 * held(8)), (broker) =>
      Effect.gen(function*() {
        const users = Array.from({ length: 8 }, (_, n) => newUser(`u${n}`))
        yield* Effect.forEach(users, (user) => broker.subscribe(user, () => {}))
        for (const user of users) for (let n = 1; n <= 8; n++) yield* one(broker, user, n)
        for (const user of users) {
          const { entries, head } = yield* broker.pull(user, yield* start(broker, user), plenty)
          assert.strictEqual(head, 8)
          assert.strictEqual(entries.at(-1)?.offset, 8)
        }
      })))
})

describe("MemoryBroker, its options", () => {
  it.effect("may all be left out", () => Effect.asVoid(Effect.scoped(Layer.build(Broker.layerMemory()))))

  it.effect("are refused with their path when unknown", () =>
    Effect.gen(function*() {
      assert.match(yield* refusal({ maxEvent: 4 }), /maxEvent/)
    }))

  it.effect("are refused, all of them at once, when out of range", () =>
    Effect.gen(function*() {
      const message = yield* refusal({ maxEvents: 0, maxBytes: -1, maxRuns: 1.5, maxAge: "soon" })
      for (const path of ["maxEvents", "maxBytes", "maxRuns", "maxAge"]) assert.include(message, path)
    }))

  it.effect("are refused when a user may hold more than all users together", () =>
    Effect.gen(function*() {
      const message = yield* refusal({ maxBytes: 1000, maxTotalBytes: 999 })
      assert.match(message, /maxTotalBytes \(999\) must not be less than maxBytes \(1000\)/)
    }))
})

describe("MemoryBroker, its scope", () => {
  it.effect("leaves nothing behind that waits for the clock", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let sleeping = 0
      const counting: Clock.Clock = Object.assign(Object.create(clock), {
        sleep: (duration: Duration.Duration) =>
          Effect.acquireUseRelease(
            Effect.sync(() => sleeping++),
            () => clock.sleep(duration),
            () => Effect.sync(() => sleeping--)
          )
      })
      yield* Effect.gen(function*() {
        const scope = yield* Scope.make()
        const broker = Context.get(yield* Layer.buildWithScope(Broker.layerMemory(), scope), Broker.Broker)
        const user = newUser()
        yield* Effect.scoped(broker.subscribe(user, () => {}))
        yield* broker.append(user, numbered(1))
        yield* TestClock.adjust("2 hours")
        assert.strictEqual(sleeping, 1)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(sleeping, 0)
      }).pipe(Effect.provideService(Clock.Clock, counting))
    }))
})
