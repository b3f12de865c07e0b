/** What every place where leases are kept promises. */
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Effect, type Scope } from "effect"
import type { ConfigError } from "effect-emitter"
import type { LeaseStore } from "../../../src/broker/leases/LeaseStore.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { newUser } from "../events.ts"

const stateOf = (beat: ReturnType<LeaseStore["beat"]>) => Effect.map(beat, ({ state }) => state)

/** What `by` sees of a lease. */
const seen = (leases: LeaseStore, by: string, lease: string) =>
  Effect.map(leases.beat(by, []), ({ others }) => others.filter((other) => other.lease === lease))

export const leaseStoreSuite = (options: {
  readonly name: string
  readonly skip?: boolean
  readonly provide: <E>(
    body: (leases: LeaseStore) => Effect.Effect<void, E, Scope.Scope>
  ) => Effect.Effect<void, E | Cause.TimeoutError | ConfigError.ConfigError>
}) => {
  const store = <E>(name: string, body: (leases: LeaseStore) => Effect.Effect<void, E, Scope.Scope>) =>
    it.live(name, () => options.provide(body), 120_000)

  describe.skipIf(options.skip === true)(`LeaseStore: ${options.name}`, () => {
    store("takes a lease, renews it, and shows others that it counts on", (leases) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* leases.beat("a.0", []), { state: "taken", others: [], claimed: [] })
        assert.strictEqual(yield* stateOf(leases.beat("b.0", [])), "taken")
        const counts: Array<number> = []
        for (let n = 0; n < 4; n++) {
          assert.strictEqual(yield* stateOf(leases.beat("a.0", [])), "held")
          const [{ count } = { count: 0 }] = yield* seen(leases, "b.0", "a.0")
          counts.push(count)
        }
        assert.deepStrictEqual(counts, [...new Set(counts)].toSorted((a, b) => a - b))
        assert.deepStrictEqual(yield* seen(leases, "b.0", "a.0"), yield* seen(leases, "b.0", "a.0"))
      }))

    store(
      "shows those first that were renewed longest ago, whoever is renewed now",
      (leases) =>
        Effect.gen(function*() {
          for (const lease of ["a.0", "b.0", "c.0"]) yield* leases.beat(lease, [])
          yield* leases.beat("a.0", [])
          const { others } = yield* leases.beat("d.0", [])
          assert.deepStrictEqual(others.map(({ lease }) => lease), ["b.0", "c.0", "a.0"])
        })
    )

    store(
      "fault 35: claims a lease that still has the count it was seen at, and never gives it back",
      (leases) =>
        Effect.gen(function*() {
          yield* leases.beat("a.0", [])
          const old = yield* seen(leases, "b.0", "a.0")
          yield* leases.beat("a.0", [])
          assert.deepStrictEqual(
            [yield* leases.countOf("a.0"), yield* leases.countOf("never.0")],
            [(yield* seen(leases, "b.0", "a.0"))[0]?.count, undefined]
          )
          // It was renewed since, so it is its own.
          assert.deepStrictEqual((yield* leases.beat("b.0", old)).claimed, [])
          assert.strictEqual(yield* stateOf(leases.beat("a.0", [])), "held")
          const over = yield* seen(leases, "b.0", "a.0")
          assert.deepStrictEqual((yield* leases.beat("b.0", over)).claimed, ["a.0"])
          assert.deepStrictEqual(yield* seen(leases, "b.0", "a.0"), [])
          assert.strictEqual(yield* stateOf(leases.beat("a.0", [])), "lost")
          assert.isTrue(yield* leases.finish("a.0", []))
          assert.strictEqual(yield* stateOf(leases.beat("a.0", [])), "lost")
          assert.deepStrictEqual((yield* leases.beat("b.0", over)).claimed, [])
        })
    )

    store(
      "writes users down only under a lease that lives, and forgets no entry that was made again",
      (leases) =>
        Effect.gen(function*() {
          const [ada, bob] = [newUser(), newUser()]
          assert.isFalse(yield* leases.enter("a.0", ada, 1))
          yield* leases.beat("a.0", [])
          assert.isTrue(yield* leases.enter("a.0", ada, 1))
          assert.isTrue(yield* leases.enter("a.0", bob, 2))
          assert.isTrue(yield* leases.enter("a.0", ada, 3))
          yield* leases.leave("a.0", [[ada, 1], [bob, 2]])
          assert.deepStrictEqual(yield* leases.usersOf("a.0"), [ada])
          yield* leases.release("a.0")
          assert.strictEqual(yield* stateOf(leases.beat("a.0", [])), "held")
          yield* leases.leave("a.0", [[ada, 3]])
          yield* leases.release("a.0")
          assert.strictEqual(yield* stateOf(leases.beat("a.0", [])), "taken")
        })
    )

    store("is done with a lease when the last of its users is", (leases) =>
      Effect.gen(function*() {
        const users = Array.from({ length: 100 }, () => newUser())
        yield* leases.beat("a.0", [])
        for (const [mark, user] of users.entries()) yield* leases.enter("a.0", user, mark)
        yield* leases.beat("b.0", yield* seen(leases, "b.0", "a.0"))
        assert.isFalse(yield* leases.enter("a.0", newUser(), 1000))
        const done: Array<UserId> = []
        while (done.length < users.length) {
          const some = yield* leases.usersOf("a.0")
          done.push(...some)
          assert.strictEqual(yield* leases.finish("a.0", some), done.length === users.length)
        }
        assert.sameMembers(done, users)
        assert.deepStrictEqual((yield* leases.beat("b.0", [])).claimed, [])
      }))
  })
}
