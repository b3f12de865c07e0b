import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Batcher from "../../../src/emitter/dispatch/Batcher.ts"

const maxDelay = Duration.millis(20)

/** A batcher that sends from now on. */
const start = <A>(send: (item: A) => void) => Effect.tap(Batcher.make<A>(maxDelay), (batcher) => batcher.run(send))

describe("a batcher", () => {
  it.effect("sends what was marked within its window together, in order, counted from the first", () =>
    Effect.gen(function*() {
      const sent: Array<[number, string]> = []
      const clock = yield* Clock.Clock
      const batcher = yield* start<string>((item) => void sent.push([clock.currentTimeMillisUnsafe(), item]))
      batcher.mark("a")
      yield* TestClock.adjust("15 millis")
      batcher.mark("b")
      yield* TestClock.adjust("5 millis")
      batcher.mark("c")
      yield* TestClock.adjust("19 millis")
      assert.deepStrictEqual(sent, [[20, "a"], [20, "b"]])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(sent, [[20, "a"], [20, "b"], [40, "c"]])
    }))

  it.effect("lets others have a turn between the parts of a large group, and loses none of it when its scope closes", () =>
    Effect.gen(function*() {
      const sent: Array<number> = []
      const seen: Array<number> = []
      const scope = yield* Scope.make()
      const begun = yield* Deferred.make<void>()
      const batcher = yield* Scope.provide(
        start<number>((item) => {
          sent.push(item)
          Deferred.doneUnsafe(begun, Effect.void)
        }),
        scope
      )
      const others = yield* Effect.forkChild(Effect.gen(function*() {
        yield* Deferred.await(begun)
        while (sent.length < 1_000) {
          seen.push(sent.length)
          yield* Effect.yieldNow
        }
        yield* Scope.close(scope, Exit.void)
      }))
      const items = Array.from({ length: 2_000 }, (_, index) => index)
      for (const item of items) batcher.mark(item)
      yield* TestClock.adjust(maxDelay)
      yield* Fiber.join(others)
      // In each turn between two looks some are sent, and never many.
      const inTurn = seen.map((count, turn) => count - (seen[turn - 1] ?? 0))
      assert.isAbove(new Set(seen).size, 2)
      assert.isAtMost(Math.max(...inTurn), 32)
      assert.deepStrictEqual(sent, items)
    }))

  it.effect("does nothing while nothing is marked", () =>
    Effect.gen(function*() {
      let sent = 0
      yield* start<string>(() => void sent++)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(sent, 0)
    }))

  it.effect("sends what is marked when its scope closes, and then no more", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const scope = yield* Scope.make()
      const batcher = yield* Scope.provide(
        start<string>((item) => void sent.push(item)),
        scope
      )
      batcher.mark("a")
      batcher.mark("b")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(sent, ["a", "b"])
      batcher.mark("late")
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(sent, ["a", "b"])
    }))

  it.effect("that dies is logged and starts again, and the others of its group are sent", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const sent: Array<string> = []
      const batcher = yield* start<string>((item) => {
        if (item === "bad") throw new Error("a bug in send")
        sent.push(item)
      }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))])))
      for (const item of ["a", "bad", "b", "c"]) batcher.mark(item)
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(sent, ["a"])
      assert.match(String(logged[0]), /The batcher died and starts again,Error: a bug in send/)
      yield* TestClock.adjust("1020 millis")
      assert.deepStrictEqual(sent, ["a", "b", "c"])
      batcher.mark("d")
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(sent, ["a", "b", "c", "d"])
      assert.strictEqual(logged.length, 1)
    }))
})
