/** That a user's access was revoked, and who is told. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Broker } from "effect-emitter"
import type { BrokerTest } from "../brokerSuite.ts"
import { eventually, newUser } from "../events.ts"

/** Keeps what a reader is told of revocations. */
const listener = () => {
  const told: Array<Broker.Revocation> = []
  return {
    wake: (news?: Broker.Signal) => {
      if (typeof news === "object" && "isNew" in news) told.push(news)
    },
    told: Effect.sync(() => told.slice())
  }
}

export const revoking = (test: BrokerTest) => {
  test("tells every reader of the user, and no other, that it is new", (broker) =>
    Effect.gen(function*() {
      const [ada, bob] = [newUser("ada"), newUser("bob")]
      const [one, two, other] = [listener(), listener(), listener()]
      yield* broker.subscribe(ada, one.wake)
      yield* broker.subscribe(ada, two.wake)
      yield* broker.subscribe(bob, other.wake)
      yield* broker.revoke(ada)
      for (const { told } of [one, two]) {
        yield* eventually(told, (all) => all.length === 1, "a revocation")
        assert.deepStrictEqual((yield* told).map(({ isNew }) => isNew), [true])
      }
      assert.deepStrictEqual(yield* other.told, [])
    }))

  test("tells those who come later when it was, before they are readers", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const [before, after, later] = [listener(), listener(), listener()]
      yield* broker.subscribe(user, before.wake)
      yield* broker.revoke(user)
      yield* eventually(before.told, (all) => all.length === 1, "the first revocation")
      const [first] = yield* before.told
      yield* broker.subscribe(user, after.wake)
      assert.deepStrictEqual(yield* after.told, [{ revokedAt: first?.revokedAt ?? 0, isNew: false }])
      assert.isAtMost(Math.abs((first?.revokedAt ?? 0) - Date.now()), 5_000)

      yield* broker.revoke(user)
      yield* eventually(after.told, (all) => all.length === 2, "the second revocation")
      const second = (yield* after.told).at(-1)
      assert.isTrue(second?.isNew)
      assert.isAtLeast(second?.revokedAt ?? 0, first?.revokedAt ?? Infinity)
      yield* broker.subscribe(user, later.wake)
      assert.deepStrictEqual(yield* later.told, [{ revokedAt: second?.revokedAt ?? 0, isNew: false }])
    }))

  test("is remembered of a user whom nobody reads and who has no log", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.revoke(user)
      const reader = listener()
      yield* broker.subscribe(user, reader.wake)
      assert.deepStrictEqual((yield* reader.told).map(({ isNew }) => isNew), [false])
    }))
}
