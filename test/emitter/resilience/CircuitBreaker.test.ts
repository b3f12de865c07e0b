import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Random, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "../../../src/emitter/resilience/CircuitBreaker.ts"
import { type Draw, forSeeds } from "../../support/random.ts"

const options: CircuitBreaker.Options = { failures: 3, openFor: { first: "1 second", cap: "10 seconds" } }

const failing = Effect.fail("down")

const failTimes = (breaker: CircuitBreaker.CircuitBreaker, times: number) =>
  Effect.forEach(Array.from({ length: times }), () => Effect.exit(breaker.run(failing)), { discard: true })

const tag = (breaker: CircuitBreaker.CircuitBreaker) => Effect.map(breaker.state, (state) => state._tag)

/** How long the breaker refuses calls yet. */
const refusesFor = (breaker: CircuitBreaker.CircuitBreaker) => Effect.sync(() => breaker.retryAfterMsUnsafe())

describe("CircuitBreaker", () => {
  it.effect("opens after as many failures in a row as it was told, and not before", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      yield* failTimes(breaker, 2)
      assert.deepStrictEqual(yield* breaker.state, { _tag: "Closed", failures: 2 })
      yield* failTimes(breaker, 1)
      assert.deepInclude(yield* breaker.state, { _tag: "Open", openings: 1 })
    }))

  it.effect("counts failures in a row only: a success between them starts the count anew", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      yield* failTimes(breaker, 2)
      yield* breaker.run(Effect.void)
      assert.deepStrictEqual(yield* breaker.state, { _tag: "Closed", failures: 0 })
      yield* failTimes(breaker, 2)
      assert.strictEqual(yield* tag(breaker), "Closed")
    }))

  it.effect("does not run a call while open, and says for how long", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      yield* failTimes(breaker, 3)
      yield* TestClock.adjust("300 millis")
      const left = yield* refusesFor(breaker)
      let ran = false
      const error = yield* Effect.flip(breaker.run(Effect.sync(() => ran = true)))
      assert.isFalse(ran)
      assert.deepStrictEqual(error, new CircuitBreaker.BreakerOpen({ breaker: "broker", retryAfterMs: left }))
      assert.isTrue(left >= 500 && left <= 700, `${left}`)
    }))

  it.effect("opens for twice as long each time, up to the cap, and for the first time again after a success", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      yield* failTimes(breaker, 3)
      for (const bound of [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
        const openFor = yield* refusesFor(breaker)
        assert.isTrue(openFor >= bound * 0.8 && openFor <= bound, `${openFor} for ${bound}`)
        yield* TestClock.adjust(Duration.millis(Math.ceil(openFor)))
        yield* failTimes(breaker, 1)
      }
      assert.strictEqual((yield* breaker.state)._tag, "Open")
      yield* TestClock.adjust("10 seconds")
      yield* breaker.run(Effect.void)
      yield* failTimes(breaker, 3)
      const again = yield* refusesFor(breaker)
      assert.isTrue(again >= 800 && again <= 1_000, `${again}`)
      assert.deepInclude(yield* breaker.state, { _tag: "Open", openings: 1 })
    }))

  it.effect("takes its jitter from Random: one seed, one open time; another seed, another", () =>
    Effect.gen(function*() {
      const openFor = Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make("broker", options)
        yield* failTimes(breaker, 3)
        return yield* refusesFor(breaker)
      })
      const first = yield* Random.withSeed(openFor, "a")
      assert.strictEqual(yield* Random.withSeed(openFor, "a"), first)
      assert.notStrictEqual(yield* Random.withSeed(openFor, "b"), first)
    }))

  it.effect("lets exactly one of many callers probe when the open time is over", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      yield* failTimes(breaker, 3)
      yield* TestClock.adjust("1 second")
      const gate = yield* Deferred.make<void>()
      const calls = yield* Effect.forEach(
        Array.from({ length: 50 }),
        () => Effect.forkChild(Effect.exit(breaker.run(Deferred.await(gate))))
      )
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* tag(breaker), "HalfOpen")
      yield* Deferred.succeed(gate, undefined)
      const exits = yield* Effect.forEach(calls, Fiber.join)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      assert.deepStrictEqual(yield* breaker.state, { _tag: "Closed", failures: 0 })
    }))

  it.effect("gives the probe's place to the next call when the probe is interrupted", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      yield* failTimes(breaker, 3)
      yield* TestClock.adjust("1 second")
      const probe = yield* Effect.forkChild(breaker.run(Effect.never))
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* tag(breaker), "HalfOpen")
      yield* Fiber.interrupt(probe)
      assert.deepInclude(yield* breaker.state, { _tag: "Open", openings: 1 })
      yield* breaker.run(Effect.void)
      assert.strictEqual(yield* tag(breaker), "Closed")
    }))

  it.effect("lets no call that began while closed settle a later probe", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      const early = yield* Deferred.make<void, string>()
      const earlyFailure = yield* Deferred.make<void, string>()
      const callers = [
        yield* Effect.forkChild(Effect.exit(breaker.run(Deferred.await(early)))),
        yield* Effect.forkChild(Effect.exit(breaker.run(Deferred.await(earlyFailure))))
      ]
      yield* TestClock.adjust(0)
      yield* failTimes(breaker, 3)
      yield* TestClock.adjust("1 second")
      const probing = yield* Deferred.make<void, string>()
      const probe = yield* Effect.forkChild(Effect.exit(breaker.run(Deferred.await(probing))))
      yield* TestClock.adjust(0)

      yield* Deferred.succeed(early, undefined)
      yield* Deferred.fail(earlyFailure, "late")
      yield* Fiber.awaitAll(callers)
      assert.strictEqual(yield* tag(breaker), "HalfOpen")

      yield* Deferred.fail(probing, "still down")
      yield* Fiber.await(probe)
      assert.deepInclude(yield* breaker.state, { _tag: "Open", openings: 2 })
    }))

  it.effect("counts a defect as a failure, and an interruption as nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      yield* Effect.exit(breaker.run(Effect.die("a bug")))
      assert.deepStrictEqual(yield* breaker.state, { _tag: "Closed", failures: 1 })
      const call = yield* Effect.forkChild(breaker.run(Effect.never))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(call)
      assert.deepStrictEqual(yield* breaker.state, { _tag: "Closed", failures: 1 })
    }))

  it.effect("counts no failure that its caller says tells nothing of what is guarded, and frees the probe's place", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", { ...options, failures: 1 })
      const full = breaker.run(Effect.fail("full"), () => false)
      assert.deepStrictEqual(yield* Effect.exit(full), Exit.fail("full"))
      assert.deepStrictEqual(yield* breaker.state, { _tag: "Closed", failures: 0 })
      yield* failTimes(breaker, 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Effect.exit(full), Exit.fail("full"))
      assert.strictEqual(breaker.admissionUnsafe(), "probe")
    }))

  it.effect("passes on what the call ended with: value, error, defect", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", { ...options, failures: 10 })
      assert.strictEqual(yield* breaker.run(Effect.succeed(7)), 7)
      assert.deepStrictEqual(yield* Effect.exit(breaker.run(Effect.fail("no"))), Exit.fail("no"))
      const exit = yield* Effect.exit(breaker.run(Effect.die("a bug")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }))

  it.effect("does not reopen or stay shut when the wall clock is corrected", () =>
    Effect.gen(function*() {
      let wall = 1_000_000
      let monotonic = 0n
      const live = yield* Clock.Clock
      const clock: Clock.Clock = {
        ...live,
        currentTimeMillisUnsafe: () => wall,
        monotonicTimeNanosUnsafe: () => monotonic
      }
      const breaker = yield* Effect.provideService(CircuitBreaker.make("broker", options), Clock.Clock, clock)
      yield* failTimes(breaker, 3)
      wall += 3_600_000
      assert.isUndefined(breaker.admitUnsafe())
      wall -= 7_200_000
      monotonic += 1_000_000_000n
      assert.deepStrictEqual(breaker.admitUnsafe(), { probe: true })
    }))

  it.effect("tells each transition in order, to each listener", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      const listen = Effect.forkChild(
        breaker.transitions.pipe(
          Stream.map(({ breaker: name, event, from, to }) => `${name} ${event}: ${from._tag} ${to._tag}`),
          Stream.take(7),
          Stream.runCollect
        )
      )
      const listeners = [yield* listen, yield* listen]
      yield* TestClock.adjust(0)
      yield* failTimes(breaker, 3)
      yield* TestClock.adjust("1 second")
      yield* failTimes(breaker, 1)
      yield* TestClock.adjust("2 seconds")
      const probe = yield* Effect.forkChild(breaker.run(Effect.never))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(probe)
      yield* breaker.run(Effect.void)
      for (const listener of listeners) {
        assert.deepStrictEqual(yield* Fiber.join(listener), [
          "broker opened: Closed Open",
          "broker probing: Open HalfOpen",
          "broker opened: HalfOpen Open",
          "broker probing: Open HalfOpen",
          "broker released: HalfOpen Open",
          "broker probing: Open HalfOpen",
          "broker closed: HalfOpen Closed"
        ])
      }
    }))

  it.effect("keeps only the newest transitions for a listener that does not read", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", { failures: 1, openFor: { first: 1, cap: 1 } })
      const hold = yield* Deferred.make<void>()
      const seen: Array<CircuitBreaker.Transition> = []
      const listener = yield* breaker.transitions.pipe(
        Stream.rechunk(1),
        Stream.runForEach((transition) =>
          Effect.andThen(
            Effect.sync(() => seen.push(transition)),
            seen.length === 0 ? Effect.void : Deferred.await(hold)
          )
        ),
        Effect.forkChild
      )
      yield* TestClock.adjust(0)
      yield* failTimes(breaker, 1)
      for (let i = 0; i < 500; i++) {
        yield* TestClock.adjust(1)
        yield* failTimes(breaker, 1)
      }
      yield* Deferred.succeed(hold, undefined)
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(listener)
      assert.isTrue(seen.length > 1 && seen.length < 140, `${seen.length} of 1001`)
      assert.strictEqual(seen.at(-1)?.to._tag, "Open")
    }))

  it.effect("settles within one synchronous step, so its hot path needs no fiber", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make("broker", options)
      const permit = breaker.admitUnsafe()
      if (permit === undefined) return assert.fail("a closed breaker refused")
      assert.isFalse(permit.probe)
      breaker.settleUnsafe(permit, false)
      breaker.settleUnsafe(permit, false)
      assert.strictEqual(breaker.admissionUnsafe(), "closed")
      breaker.settleUnsafe(permit, false)
      assert.strictEqual(breaker.admissionUnsafe(), "refuse")
      assert.isUndefined(breaker.admitUnsafe())
      breaker.settleUnsafe(permit, true)
      assert.strictEqual(breaker.admissionUnsafe(), "refuse")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(breaker.admissionUnsafe(), "probe")
    }))

  it.effect("agrees with a plain model of it, whatever calls, failures, interruptions and waits follow each other", () =>
    forSeeds({ count: 300 }, agreesWithModel))
})

/** The reference model: what a breaker must do, in the plainest words. */
class Model {
  readonly failures: number
  readonly firstMs: number
  readonly capMs: number
  state: "Closed" | "Open" | "HalfOpen" = "Closed"
  failed = 0
  openings = 0
  opened = 0
  until = 0
  /** Counts the changes of state; a call belongs to the one it was admitted in. */
  age = 0

  constructor(failures: number, firstMs: number, capMs: number) {
    this.failures = failures
    this.firstMs = firstMs
    this.capMs = capMs
  }

  call(now: number): number | undefined {
    if (this.state === "Closed") return this.age
    if (this.state === "HalfOpen" || now < this.until) return undefined
    this.state = "HalfOpen"
    return ++this.age
  }

  /** `openFor` is the time the breaker chose, which must be one the options allow. */
  end(age: number, outcome: "success" | "failure" | "interrupt", now: number, openFor: () => number): void {
    if (age !== this.age) return
    if (outcome === "interrupt") {
      if (this.state !== "HalfOpen") return
      this.state = "Open"
      this.age++
    } else if (outcome === "success") {
      this.failed = 0
      if (this.state === "Closed") return
      this.state = "Closed"
      this.openings = 0
      this.age++
    } else if (this.state === "HalfOpen" || ++this.failed >= this.failures) {
      this.state = "Open"
      this.failed = 0
      this.opened++
      const bound = Math.min(this.capMs, this.firstMs * 2 ** this.openings++)
      const chosen = openFor()
      assert.isTrue(chosen >= bound * 0.8 - 1e-6 && chosen <= bound + 1e-6, `open for ${chosen}, bound ${bound}`)
      this.until = now + chosen
      this.age++
    }
  }
}

interface Call {
  readonly age: number
  readonly fiber: Fiber.Fiber<void, string | CircuitBreaker.BreakerOpen>
  readonly end: Deferred.Deferred<void, string>
}

const agreesWithModel = Effect.fnUntraced(function*(draw: Draw) {
  const failures = 1 + draw.below(4)
  const first = 10 + draw.below(200)
  const cap = first * (1 + draw.below(10))
  let opened = 0
  const breaker = yield* CircuitBreaker.make("model", { failures, openFor: { first, cap } }, ({ event }) => {
    if (event === "opened") opened++
  })
  const model = new Model(failures, first, cap)
  const calls: Array<Call> = []

  const begin = Effect.gen(function*() {
    const end = yield* Deferred.make<void, string>()
    const fiber = yield* Effect.forkChild(breaker.run(Deferred.await(end)))
    yield* TestClock.adjust(0)
    const age = model.call(yield* Clock.currentTimeMillis)
    const exit = fiber.pollUnsafe()
    if (age === undefined) {
      assert.isTrue(exit !== undefined && Exit.isFailure(exit), "the model refuses, the breaker does not")
    } else {
      assert.isUndefined(exit, "the breaker refuses, the model does not")
      calls.push({ age, fiber, end })
    }
  })

  const settle = Effect.gen(function*() {
    const [call] = calls.splice(draw.below(calls.length), 1)
    if (call === undefined) return
    const outcome = draw.pick(["success", "failure", "failure", "interrupt"] as const)
    if (outcome === "success") yield* Deferred.succeed(call.end, undefined)
    else if (outcome === "failure") yield* Deferred.fail(call.end, "down")
    else yield* Fiber.interrupt(call.fiber)
    yield* Fiber.await(call.fiber)
    model.end(call.age, outcome, yield* Clock.currentTimeMillis, breaker.retryAfterMsUnsafe)
  })

  for (let step = 0; step < 120; step++) {
    const choice = draw.next()
    if (choice < 0.45) yield* begin
    else if (choice < 0.85) yield* settle
    else yield* TestClock.adjust(Duration.millis(draw.below(draw.chance(0.3) ? cap : first)))

    const state = yield* breaker.state
    const where = `step ${step}`
    assert.strictEqual(state._tag, model.state, where)
    assert.strictEqual(opened, model.opened, where)
    if (state._tag === "Closed") assert.strictEqual(state.failures, model.failed, where)
    if (state._tag === "Open") assert.strictEqual(state.openings, model.openings, where)
  }
  yield* Effect.forEach(calls, (call) => Fiber.interrupt(call.fiber))
})
