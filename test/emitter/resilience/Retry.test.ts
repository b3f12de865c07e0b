import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import * as Retry from "../../../src/emitter/resilience/Retry.ts"

const profiles = {
  lowLatency: { options: { attempts: 1, base: "1 millis", cap: "5 millis" }, budgetMs: 1 },
  balanced: { options: { attempts: 3, base: "5 millis", cap: "25 millis" }, budgetMs: 5 + 10 + 20 },
  throughput: { options: { attempts: 5, base: "10 millis", cap: "100 millis" }, budgetMs: 10 + 20 + 40 + 80 + 100 }
} as const satisfies Record<string, { options: Retry.Options; budgetMs: number }>

/** Fails `failures` times, then succeeds; notes the time of each try. */
const flaky = (failures: number) => {
  const at: Array<number> = []
  const effect = Effect.suspend(() => at.length <= failures ? Effect.fail(`try ${at.length}`) : Effect.succeed("done"))
  return { at, effect: Effect.andThen(Effect.map(Clock.currentTimeMillis, (now) => at.push(now)), effect) }
}

/** Moves time in steps of one millisecond, so that a try's time is known to the millisecond. */
const finish = Effect.fnUntraced(function*<A, E>(effect: Effect.Effect<A, E>, withinMs: number) {
  const fiber = yield* Effect.forkChild(effect)
  yield* TestClock.adjust(Duration.millis(withinMs))
  return fiber.pollUnsafe()
})

describe("Retry", () => {
  it.effect("runs a successful effect once, in the turn of its caller", () =>
    Effect.sync(() => {
      const { at, effect } = flaky(0)
      assert.deepStrictEqual(Effect.runSyncExit(Retry.run(effect, profiles.balanced.options)), Exit.succeed("done"))
      assert.strictEqual(at.length, 1)
    }))

  it.effect("counts retries, not tries: with 3 attempts an effect runs 4 times at most, and the last error is kept", () =>
    Effect.gen(function*() {
      const { at, effect } = flaky(100)
      let retries = 0
      const exit = yield* finish(Retry.run(effect, profiles.balanced.options, () => retries++), 35)
      assert.deepStrictEqual(exit, Exit.fail("try 4"))
      assert.strictEqual(at.length, 4)
      assert.strictEqual(retries, 3)
    }))

  it.effect("ends with the first success", () =>
    Effect.gen(function*() {
      const { at, effect } = flaky(2)
      assert.deepStrictEqual(yield* finish(Retry.run(effect, profiles.balanced.options), 35), Exit.succeed("done"))
      assert.strictEqual(at.length, 3)
    }))

  it.effect("goes on from a first try that its caller made", () =>
    Effect.gen(function*() {
      const { at, effect } = flaky(1)
      const first = yield* Effect.exit(effect)
      if (Exit.isSuccess(first)) return assert.fail("the first try must fail")
      const again = Retry.afterFailure(effect, profiles.lowLatency.options, first.cause)
      assert.deepStrictEqual(yield* finish(again, 1), Exit.succeed("done"))
      assert.strictEqual(at.length, 2)
    }))

  for (const [name, { budgetMs, options }] of Object.entries(profiles)) {
    it.effect(`waits within the budget of ${name}, a random time up to the bound of each retry`, () =>
      Effect.gen(function*() {
        assert.strictEqual(Retry.budgetMs(options), budgetMs)
        const waits: Array<Array<number>> = []
        for (let seed = 0; seed < 40; seed++) {
          const { at, effect } = flaky(100)
          const exit = yield* finish(Random.withSeed(Retry.run(effect, options), seed), budgetMs)
          assert.isDefined(exit, `not done within its budget, seed ${seed}`)
          waits.push(at.slice(1).map((now, i) => now - (at[i] ?? 0)))
        }
        for (let retry = 0; retry < options.attempts; retry++) {
          const bound = Math.min(
            Duration.toMillis(options.cap),
            Duration.toMillis(options.base) * 2 ** retry
          )
          const drawn = waits.map((wait) => wait[retry] ?? Number.NaN)
          assert.isTrue(drawn.every((wait) => wait >= 0 && wait <= bound), `${drawn}`)
          assert.isTrue(Math.max(...drawn) > bound * 0.7, "full jitter reaches up to the bound")
          assert.isTrue(Math.min(...drawn) < bound * 0.3, "full jitter reaches down to nothing")
        }
      }))
  }

  it.effect("stops waiting when it is interrupted, and tries no more", () =>
    Effect.gen(function*() {
      const { at, effect } = flaky(100)
      const fiber = yield* Effect.forkChild(Retry.run(effect, { attempts: 5, base: "1 hour", cap: "1 hour" }))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 hours")
      assert.strictEqual(at.length, 1)
    }))

  it.effect("retries no defect, and keeps it", () =>
    Effect.gen(function*() {
      let tries = 0
      const exit = yield* Effect.exit(
        Retry.run(Effect.suspend(() => Effect.die(`bug ${++tries}`)), profiles.throughput.options)
      )
      assert.strictEqual(tries, 1)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause) && Cause.squash(exit.cause) === "bug 1")
    }))
})
