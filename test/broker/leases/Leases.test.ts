/** How processes watch each other, played with a test's clock and leases in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { Broker } from "effect-emitter"
import { TestClock } from "effect/testing"
import * as WallClock from "../../support/wallClock.ts"
import { envelope, newUser, plenty, start } from "../events.ts"
import { LeaseRegistry, unavailable } from "./leaseRegistry.ts"
import { leaseStoreSuite } from "./leaseStoreSuite.ts"

type User = ReturnType<typeof newUser>
type BrokerService = Broker.Broker["Service"]

/** A process that can be cut off: then whatever it asks fails, or never ends. */
const join = Effect.fnUntraced(function*(registry: LeaseRegistry, name: string) {
  const scope = yield* Scope.make()
  let state: "well" | "cut" | "dead" = "well"
  // Nobody closes a process that died.
  yield* Effect.addFinalizer(() => state === "dead" ? Effect.void : Scope.close(scope, Exit.void))
  const counts = { ended: 0, failed: 0, lost: 0 }
  const broker = yield* registry.process({
    name,
    guard: (effect) =>
      Effect.suspend(() => {
        if (state === "dead") return Effect.never
        return state === "cut" ? Effect.fail(unavailable) : effect
      }),
    notes: {
      runsEnded: (count) => counts.ended += count,
      renewalFailed: () => counts.failed++,
      leaseLost: () => counts.lost++
    }
  }).pipe(Scope.provide(scope))
  return {
    broker,
    counts,
    become: (next: typeof state) => Effect.sync(() => void (state = next)),
    close: Scope.close(scope, Exit.void)
  }
})

let sources = 0

/** Starts a run, and gives what ends it. */
const startRun = Effect.fnUntraced(function*(broker: BrokerService, user: User, run = "r") {
  const source = `e${++sources}`
  yield* broker.append(user, [envelope({ source, sequence: 1, run, type: "agent_started", data: { agentName: "a" } })])
  return {
    think: (sequence: number) => broker.append(user, [envelope({ source, sequence, run, type: "agent_thinking" })]),
    end: broker.append(user, [envelope({ source, sequence: 1000, run, type: "agent_completed" })])
  }
})

/** What the log has of each run. */
const story = Effect.fnUntraced(function*(broker: BrokerService, user: User) {
  const { entries } = yield* broker.pull(user, yield* start(broker, user), plenty)
  return entries.map(({ body, run, type }) =>
    type === "agent_error" ? `${run} ${JSON.parse(`{${body}`).data.reason}` : `${run} ${type.replace("agent_", "")}`
  )
})

const test = <E>(
  name: string,
  body: (registry: LeaseRegistry, broker: BrokerService) => Effect.Effect<void, E, Scope.Scope>
) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      const broker = Context.get(yield* Layer.build(Broker.layerMemory()), Broker.Broker)
      yield* body(yield* LeaseRegistry.make("30 seconds", broker), broker)
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))))

leaseStoreSuite({
  name: "memory",
  provide: (body) =>
    Effect.gen(function*() {
      const broker = Context.get(yield* Layer.build(Broker.layerMemory()), Broker.Broker)
      yield* body((yield* LeaseRegistry.make("30 seconds", broker)).store)
    }).pipe(Effect.scoped)
})

describe("Leases", () => {
  for (const by of ["-1 hours", "1 hours"] as const) {
    it.effect(
      `fault 35: keep the living alive and let the dead go in time while wall clocks step (${by})`,
      () =>
        Effect.gen(function*() {
          const broker = Context.get(yield* Layer.build(Broker.layerMemory()), Broker.Broker)
          const registry = yield* LeaseRegistry.make("30 seconds", broker)
          const [a, b, c] = [yield* join(registry, "a"), yield* join(registry, "b"), yield* join(registry, "c")]
          const [ada, bob] = [newUser(), newUser()]
          const run = yield* startRun(a.broker, ada)
          yield* startRun(c.broker, bob)
          yield* TestClock.adjust("1 minute")
          yield* WallClock.step(by)
          yield* TestClock.adjust("10 minutes")
          yield* run.think(2)
          assert.deepStrictEqual(yield* story(broker, ada), ["r started", "r thinking"])
          assert.deepStrictEqual(yield* story(broker, bob), ["r started"])
          assert.strictEqual(a.counts.lost + b.counts.lost + c.counts.lost, 0)

          yield* c.become("dead")
          yield* TestClock.adjust("15 seconds")
          yield* WallClock.step(by)
          yield* TestClock.adjust("26 seconds")
          assert.deepStrictEqual(yield* story(broker, bob), ["r started", "r lost"])
          yield* TestClock.adjust("10 minutes")
          yield* run.end
          assert.deepStrictEqual(yield* story(broker, ada), ["r started", "r thinking", "r completed"])
          assert.strictEqual(a.counts.lost + b.counts.lost, 0)
        }).pipe(Effect.scoped, Effect.provide([WallClock.WallClock.layer, Logger.layer([])]))
    )
  }

  test(
    "end the runs of a process that died when its lease runs out, once, whoever watches",
    (registry, broker) =>
      Effect.gen(function*() {
        const a = yield* join(registry, "a")
        const watchers = yield* Effect.forEach(["b", "c", "d"], (name) => join(registry, name))
        const [ada, bob, eve] = [newUser(), newUser(), newUser()]
        yield* TestClock.adjust("1 minute")
        for (const user of [ada, bob, eve]) yield* startRun(a.broker, user)
        yield* (yield* startRun(a.broker, ada, "done")).end
        // It renewed a moment ago.
        yield* a.become("dead")
        yield* TestClock.adjust("29900 millis")
        assert.deepStrictEqual(yield* story(broker, ada), ["r started", "done started", "done completed"])
        yield* TestClock.adjust("1100 millis")
        for (const user of [ada, bob, eve]) assert.strictEqual((yield* story(broker, user)).at(-1), "r lost")
        yield* TestClock.adjust("5 minutes")
        assert.deepStrictEqual(yield* story(broker, ada), ["r started", "done started", "done completed", "r lost"])
        assert.strictEqual(watchers.reduce((sum, { counts }) => sum + counts.ended, 0), 3)
        assert.deepStrictEqual([...registry.gone], ["a.0"])
        assert.deepStrictEqual([...registry.users], [])
      })
  )

  test("are claimed by nobody who has not kept its own for as long", (registry, broker) =>
    Effect.gen(function*() {
      const a = yield* join(registry, "a")
      const user = newUser()
      yield* startRun(a.broker, user)
      yield* a.become("dead")
      yield* TestClock.adjust("20 minutes")
      const b = yield* join(registry, "b")
      yield* TestClock.adjust("29 seconds")
      assert.deepStrictEqual(yield* story(broker, user), ["r started"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* story(broker, user), ["r started", "r lost"])
      assert.strictEqual(b.counts.ended, 1)
    }))

  test("run out without harm while nobody can renew any", (registry, broker) =>
    Effect.gen(function*() {
      const [a, b] = [yield* join(registry, "a"), yield* join(registry, "b")]
      const user = newUser()
      const run = yield* startRun(a.broker, user)
      yield* TestClock.adjust("2 minutes")
      registry.isAway = true
      yield* TestClock.adjust("10 minutes")
      assert.isAbove(a.counts.failed, 0)
      registry.isAway = false
      yield* TestClock.adjust("10 minutes")
      yield* run.end
      assert.deepStrictEqual(yield* story(broker, user), ["r started", "r completed"])
      assert.strictEqual(a.counts.lost + b.counts.lost, 0)
    }))

  test(
    "that may be claimed are held for nothing new: what a process starts before it learns so ends, should it die then",
    (registry, broker) =>
      Effect.gen(function*() {
        const a = yield* join(registry, "a")
        const b = yield* join(registry, "b")
        const user = newUser()
        yield* startRun(a.broker, user)
        yield* a.become("cut")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual([...registry.gone], ["a.0"])
        // Its next try to renew is not due yet.
        yield* a.become("well")
        yield* startRun(a.broker, user, "new")
        yield* a.become("dead")
        yield* TestClock.adjust("2 minutes")
        assert.deepStrictEqual(yield* story(broker, user), ["r started", "r lost", "new started", "new lost"])
        assert.strictEqual(b.counts.ended, 2)
      })
  )

  test("that may be claimed are renewed by one try for all who wait, however long it takes to fail", (registry) =>
    Effect.gen(function*() {
      let isSlow = false
      const broker = yield* registry.process({
        name: "a",
        guard: (effect) => Effect.suspend(() => isSlow ? Effect.delay(Effect.fail(unavailable), "1 second") : effect)
      })
      yield* TestClock.adjust("1 second")
      // The process closes by asking the store as well, and then no time passes any more.
      yield* Effect.addFinalizer(() => Effect.sync(() => void (isSlow = false)))
      isSlow = true
      yield* TestClock.adjust("1 minute")
      const starts = yield* Effect.forkScoped(
        Effect.forEach(Array.from({ length: 20 }, newUser), (user) => Effect.flip(startRun(broker, user)), {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(starts.pollUnsafe())
      assert.deepStrictEqual(yield* Fiber.join(starts), Array.from({ length: 20 }, () => unavailable))
    }))

  for (const [ends, inWhat] of [["dies", Effect.die("no")], ["is interrupted", Effect.interrupt]] as const) {
    test(
      `end the runs of all users of a process that died, though ending those of one ${ends}`,
      (registry, broker) =>
        Effect.gen(function*() {
          const a = yield* join(registry, "a")
          yield* join(registry, "b")
          const [stuck, ...others] = [newUser(), newUser(), newUser()]
          for (const user of [stuck, ...others]) yield* startRun(a.broker, user)
          const { endLost } = broker
          Object.assign(broker, {
            endLost: (...[user, runs]: Parameters<typeof endLost>) => user === stuck ? inWhat : endLost(user, runs)
          })
          yield* a.become("dead")
          yield* TestClock.adjust("5 minutes")
          for (const user of others) assert.deepStrictEqual(yield* story(broker, user), ["r started", "r lost"])
        })
    )
  }

  test(
    "end the runs of all processes that died, though what one of them left cannot be read",
    (registry, broker) =>
      Effect.gen(function*() {
        const [a, b, c] = [yield* join(registry, "a"), yield* join(registry, "b"), yield* join(registry, "c")]
        const [ada, bob] = [newUser(), newUser()]
        yield* startRun(a.broker, ada)
        yield* startRun(b.broker, bob)
        yield* a.become("dead")
        yield* b.become("dead")
        const unreadable = new Map(registry.users.get("a.0"))
        registry.users.set("a.0", Object.assign(unreadable, { keys: () => assert.fail("unreadable") }))
        yield* TestClock.adjust("5 minutes")
        assert.deepStrictEqual(yield* story(broker, bob), ["r started", "r lost"])
        assert.deepStrictEqual([...registry.claimed], ["a.0"])
        assert.strictEqual(c.counts.ended, 1)
      })
  )

  test(
    "that were claimed are not given back: their process goes on under another, and what it had of the run is refused",
    (registry, broker) =>
      Effect.gen(function*() {
        const [a, b] = [yield* join(registry, "a"), yield* join(registry, "b")]
        const user = newUser()
        const run = yield* startRun(a.broker, user)
        yield* TestClock.adjust("1 minute")
        yield* a.become("cut")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* story(broker, user), ["r started", "r lost"])
        yield* a.become("well")
        yield* TestClock.adjust("10 seconds")
        const { reason } = yield* Effect.flip(run.think(2))
        assert.instanceOf(reason, Broker.RunLost)
        assert.strictEqual(a.counts.lost, 1)
        const again = yield* startRun(a.broker, user, "again")
        yield* TestClock.adjust("5 minutes")
        yield* again.think(2)
        yield* a.become("dead")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* story(broker, user), [
          "r started",
          "r lost",
          "again started",
          "again thinking",
          "again lost"
        ])
        assert.strictEqual(b.counts.ended, 2)
      })
  )

  test(
    "that were claimed give up what their process took along under another",
    (registry, broker) =>
      Effect.gen(function*() {
        const [a, b] = [yield* join(registry, "a"), yield* join(registry, "b")]
        const [ada, bob] = [newUser(), newUser()]
        yield* TestClock.adjust("1 minute")
        yield* startRun(a.broker, ada)
        yield* startRun(a.broker, bob)
        yield* a.become("cut")
        // Whoever claims the lease dies before it has ended a run.
        const { endLost } = broker
        let isStuck = true
        Object.assign(broker, {
          endLost: (...args: Parameters<typeof endLost>) => isStuck ? Effect.fail(unavailable) : endLost(...args)
        })
        yield* TestClock.adjust("40 seconds")
        assert.deepStrictEqual([...registry.claimed], ["a.0"])
        yield* a.become("well")
        yield* TestClock.adjust("2 seconds")
        isStuck = false
        yield* TestClock.adjust("5 minutes")
        assert.deepStrictEqual(yield* story(broker, ada), ["r started"])
        assert.deepStrictEqual(registry.leasesOf(bob), ["a.1"])
        yield* a.become("dead")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* story(broker, bob), ["r started", "r lost"])
        assert.strictEqual(b.counts.ended, 2)
      })
  )

  test(
    "have a user written down before the first event of a run is appended, or it is not",
    (registry, broker) =>
      Effect.gen(function*() {
        const a = yield* join(registry, "a")
        const user = newUser()
        const { append } = broker
        Object.assign(broker, {
          append: (...args: Parameters<typeof append>) =>
            Effect.tap(append(...args), () => Effect.sync(() => void registry.log.push("append")))
        })
        const patched = yield* join(registry, "b")
        yield* TestClock.adjust("1 second")
        registry.log.length = 0
        yield* startRun(patched.broker, user)
        const done = registry.log.filter((line) => line.startsWith("enter") || line === "append")
        assert.deepStrictEqual(done, [`enter b.0 ${user}`, "append"])
        registry.isAway = true
        const other = newUser()
        const error = yield* Effect.flip(startRun(a.broker, other))
        assert.strictEqual(error, unavailable)
        assert.deepStrictEqual(yield* story(broker, other), [])
      })
  )

  test("forget users who have no runs left, and keep those who have", (registry) =>
    Effect.gen(function*() {
      const a = yield* join(registry, "a")
      const [busy, quiet] = [newUser(), newUser()]
      yield* startRun(a.broker, busy)
      const run = yield* startRun(a.broker, quiet)
      yield* run.end
      assert.deepStrictEqual(registry.leasesOf(quiet), ["a.0"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(registry.leasesOf(quiet), [])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(registry.leasesOf(busy), ["a.0"])
      yield* startRun(a.broker, quiet, "another")
      assert.deepStrictEqual(registry.leasesOf(quiet), ["a.0"])
    }))

  test(
    "are taken anew, with all their users, when the store has forgotten everything",
    (registry, broker) =>
      Effect.gen(function*() {
        const [a, b] = [yield* join(registry, "a"), yield* join(registry, "b")]
        const user = newUser()
        const run = yield* startRun(a.broker, user)
        yield* TestClock.adjust("1 minute")
        registry.forget()
        yield* TestClock.adjust("11 seconds")
        assert.deepStrictEqual(registry.leasesOf(user), ["a.0"])
        yield* run.think(2)
        yield* TestClock.adjust("1 minute")
        yield* a.become("dead")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* story(broker, user), ["r started", "r thinking", "r lost"])
        assert.strictEqual(a.counts.lost, 0)
        assert.strictEqual(b.counts.ended, 1)
      })
  )

  test(
    "are given back when a process closes with nothing left, and else run out",
    (registry, broker) =>
      Effect.gen(function*() {
        const [a, b, c] = [yield* join(registry, "a"), yield* join(registry, "b"), yield* join(registry, "c")]
        const [ada, bob] = [newUser(), newUser()]
        yield* TestClock.adjust("1 minute")
        yield* (yield* startRun(a.broker, ada)).end
        yield* startRun(b.broker, bob)
        yield* a.close
        yield* b.close
        assert.deepStrictEqual([...registry.alive.keys()], ["b.0", "c.0"])
        const before = registry.log.length
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(registry.log.slice(before).filter((line) => !line.includes("c.0")), [])
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* story(broker, bob), ["r started", "r lost"])
        assert.strictEqual(c.counts.ended, 1)
      })
  )

  test("cost three calls for each of their times, and none for an event", (registry) =>
    Effect.gen(function*() {
      const a = yield* join(registry, "a")
      const user = newUser()
      const run = yield* startRun(a.broker, user)
      yield* TestClock.adjust("1 second")
      registry.log.length = 0
      for (let n = 2; n < 200; n++) yield* run.think(n)
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(registry.log.filter((line) => line.startsWith("beat")).length, 30)
      assert.deepStrictEqual([...new Set(registry.log)], ["beat a.0", `hasRuns a.0 ${user}`])
    }))
})
