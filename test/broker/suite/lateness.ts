/** That an emitter holds events of a user, and who is told. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Broker } from "effect-emitter"
import type { BrokerTest } from "../brokerSuite.ts"
import { eventually, newUser } from "../events.ts"

/** Keeps what a reader is told of late events: for how many seconds yet. */
const listener = () => {
  const told: Array<number> = []
  return {
    wake: (news?: Broker.Signal) => {
      if (typeof news === "object" && "lateMs" in news) told.push(Math.round(news.lateMs / 1_000))
    },
    told: Effect.sync(() => told.slice())
  }
}

export const lateness = (test: BrokerTest) => {
  test("tells every reader of the user, and no other, that events are late and that they are no more", (broker) =>
    Effect.gen(function*() {
      const { late = assert.fail("nobody can be late") } = broker
      const [ada, bob] = [newUser("ada"), newUser("bob")]
      const [one, two, other] = [listener(), listener(), listener()]
      yield* broker.subscribe(ada, one.wake)
      yield* broker.subscribe(ada, two.wake)
      yield* broker.subscribe(bob, other.wake)
      yield* late(ada, "emitter", 60_000)
      for (const { told } of [one, two]) yield* eventually(told, (all) => all.length === 1, "that ada is late")
      yield* late(ada, "emitter", 0)
      for (const { told } of [one, two]) {
        yield* eventually(told, (all) => all.length === 2, "that ada is late no more")
        assert.deepStrictEqual(yield* told, [60, 0])
      }
      assert.deepStrictEqual(yield* other.told, [])
    }))

  test("tells those who come later before they are readers, and nobody once the time is over", (broker) =>
    Effect.gen(function*() {
      const { late = assert.fail("nobody can be late") } = broker
      const user = newUser()
      yield* late(user, "emitter", 1_400)
      const [during, after] = [listener(), listener()]
      yield* broker.subscribe(user, during.wake)
      assert.deepStrictEqual(yield* during.told, [1])
      yield* Effect.sleep("1500 millis")
      yield* broker.subscribe(user, after.wake)
      assert.deepStrictEqual((yield* after.told).filter((seconds) => seconds > 0), [])
    }))

  test("is late for as long as any of its emitters is", (broker) =>
    Effect.gen(function*() {
      const { late = assert.fail("nobody can be late") } = broker
      const user = newUser()
      const reader = listener()
      yield* late(user, "one", 50_000)
      yield* late(user, "two", 30_000)
      yield* late(user, "one", 0)
      yield* broker.subscribe(user, reader.wake)
      assert.deepStrictEqual(yield* reader.told, [30])
      yield* late(user, "two", 0)
      yield* eventually(reader.told, (all) => all.at(-1) === 0, "that the user is late no more")
    }))
}
