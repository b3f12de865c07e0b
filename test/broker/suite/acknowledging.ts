/** Acknowledgements travel from whoever serves a device to whoever waits for it. */
import { assert } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import type { BrokerTest } from "../brokerSuite.ts"
import { newUser, numbered } from "../events.ts"

const settled = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.as(Effect.sleep("60 millis"), 0).pipe(Effect.map(() => fiber.pollUnsafe() !== undefined))

export const acknowledging = (test: BrokerTest) => {
  test("fault 37: ends the wait for that event, and for no other", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 5))
      const waits = yield* Effect.forEach(
        [1, 2, 3],
        (offset) => Effect.forkChild(broker.acknowledged(user, { epoch, offset }))
      )
      const [first, second, third] = waits
      if (first === undefined || second === undefined || third === undefined) throw new Error("no three waits")
      assert.isFalse(yield* settled(third))
      yield* broker.acknowledge(user, { epoch, offset: 2 })
      yield* Fiber.join(second)
      yield* broker.acknowledge(user, { epoch, offset: 4 })
      assert.deepStrictEqual([yield* settled(first), yield* settled(third)], [false, false])
      yield* broker.acknowledge(user, { epoch, offset: 3 })
      yield* Fiber.join(third)
      yield* broker.acknowledge(user, { epoch, offset: 1 })
      yield* Fiber.join(first)
    }))

  test("is remembered for whoever waits later", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 5))
      yield* broker.acknowledge(user, { epoch, offset: 4 })
      yield* broker.acknowledge(user, { epoch, offset: 2 })
      yield* broker.acknowledged(user, { epoch, offset: 2 })
      yield* broker.acknowledged(user, { epoch, offset: 4 })
      assert.isFalse(yield* settled(yield* Effect.forkChild(broker.acknowledged(user, { epoch, offset: 3 }))))
      assert.isFalse(yield* settled(yield* Effect.forkChild(broker.acknowledged(user, { epoch, offset: 5 }))))
    }))

  test("fault 37: means nothing past the head, so nothing is acknowledged before it came", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 2))
      yield* broker.acknowledge(user, { epoch, offset: 9 })
      yield* broker.append(user, numbered(3, 9))
      for (const offset of [2, 3, 9]) {
        assert.isFalse(yield* settled(yield* Effect.forkChild(broker.acknowledged(user, { epoch, offset }))))
      }
    }))

  test("means nothing in another epoch", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 2))
      const wait = yield* Effect.forkChild(broker.acknowledged(user, { epoch, offset: 1 }))
      yield* broker.acknowledge(user, { epoch: "another", offset: 2 })
      assert.isFalse(yield* settled(wait))
      const foreign = yield* Effect.forkChild(broker.acknowledged(user, { epoch: "another", offset: 1 }))
      yield* broker.acknowledge(user, { epoch, offset: 1 })
      yield* Fiber.join(wait)
      assert.isFalse(yield* settled(foreign))
    }))

  test("is remembered of the last 128 events", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 140))
      for (let offset = 1; offset <= 140; offset++) yield* broker.acknowledge(user, { epoch, offset })
      for (const offset of [13, 140]) yield* broker.acknowledged(user, { epoch, offset })
      assert.isFalse(yield* settled(yield* Effect.forkChild(broker.acknowledged(user, { epoch, offset: 12 }))))
    }))

  test("of one user is none of another's", (broker) =>
    Effect.gen(function*() {
      const [ada, bob] = [newUser("ada"), newUser("bob")]
      const ofAda = yield* broker.append(ada, numbered(1))
      const ofBob = yield* broker.append(bob, numbered(1))
      const wait = yield* Effect.forkChild(broker.acknowledged(bob, ofBob))
      yield* broker.acknowledge(ada, ofAda)
      assert.isFalse(yield* settled(wait))
      yield* broker.acknowledge(bob, ofBob)
      yield* Fiber.join(wait)
    }))

  test("is not held up by a wait that was given up", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const position = yield* broker.append(user, numbered(1))
      const given = yield* Effect.forkChild(broker.acknowledged(user, position))
      const kept = yield* Effect.forkChild(broker.acknowledged(user, position))
      assert.isFalse(yield* settled(kept))
      yield* Fiber.interrupt(given)
      yield* broker.acknowledge(user, position)
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(kept)))
    }))
}
