/** Whose turn it is to deliver for one user, and that it is known before anything delivers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, References } from "effect"
import { Broker, EmitterLayer, FallbackChannel, Spool } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import * as MemorySpoolStore from "../../../src/emitter/fallback/MemorySpoolStore.ts"
import { Turn } from "../../../src/emitter/user/Turn.ts"
import { Turns } from "../../../src/emitter/user/Turns.ts"
import { envelope } from "../../broker/events.ts"
import { userId } from "../support/envelopes.ts"

const ada = userId("ada")

describe("Turns", () => {
  it.effect("fault 45: lets one at a time of several who wait have a user's turn, in the order in which they came", () =>
    Effect.gen(function*() {
      const turns = new Turns((user) => new Turn(user))
      const steps: Array<string> = []
      let having = 0
      const one = (name: string) =>
        turns.exclusive(
          ada,
          Effect.gen(function*() {
            assert.strictEqual(++having, 1)
            steps.push(`${name} begins`)
            yield* Effect.sleep("1 second")
            steps.push(`${name} ends`)
            having--
          })
        )
      const fibers = yield* Effect.forEach(["a", "b", "c"], (name) => Effect.forkChild(one(name)))
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(steps, ["a begins"])
      yield* TestClock.adjust("10 seconds")
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(steps, ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"])
      assert.strictEqual(turns.size, 0)
    }))

  it.effect("wakes the next where one who waits gives up", () =>
    Effect.gen(function*() {
      const turns = new Turns((user) => new Turn(user))
      const first = yield* Effect.forkChild(turns.exclusive(ada, Effect.sleep("1 second")))
      yield* TestClock.adjust(0)
      const second = yield* Effect.forkChild(turns.exclusive(ada, Effect.never))
      const third = yield* Effect.forkChild(turns.exclusive(ada, Effect.succeed("third")))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(second)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(first)
      assert.strictEqual(yield* Fiber.join(third), "third")
      assert.strictEqual(turns.size, 0)
    }))
})

describe("EmitterLayer", () => {
  it.effect("fault 28: begins to drain what is in the spool only once there is all that this needs", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      yield* store.put(ada, [envelope({ source: "old", sequence: 1 })])
      const logged: Array<unknown> = []
      const layer = EmitterLayer().pipe(
        FallbackChannel.provide(Effect.succeed(Spool.make(store))),
        Layer.provideMerge(TestBroker.layer(Broker.layerMemory())),
        Layer.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))]))
      )
      const log = Effect.flatMap(TestBroker.TestBroker, (broker) => broker.log(ada))
      yield* Effect.gen(function*() {
        yield* TestClock.adjust("10 millis")
        assert.strictEqual((yield* log).length, 1)
      }).pipe(
        Effect.provide(layer),
        // Others have their turn between a few steps of the building fiber.
        Effect.provideService(References.MaxOpsBeforeYield, 8)
      )
      assert.deepStrictEqual(logged, [])
    }))

  it("fault 1: gives a turn back as often as it is taken within that, and needs no deeper stack", () => {
    let taken = 0
    const takeAgain = (turn: Turn): void => {
      if (++taken > 100_000) return
      turn.enter()
      turn.leave(takeAgain)
    }
    const turn = new Turn(ada)
    turn.enter()
    turn.leave(takeAgain)
    assert.deepStrictEqual([taken, turn.inFlight], [100_001, false])
  })
})
