/** Who begins a run, among processes that die, freeze and come back: played with a test's clock. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Scope } from "effect"
import { Broker } from "effect-emitter"
import { TestClock } from "effect/testing"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { envelope, newUser } from "../events.ts"
import { LeaseRegistry, unavailable } from "./leaseRegistry.ts"

const r = RunId.make("r")

/** Two processes over one store. Each does as it is told: what it asks fails, or never ends. */
const play = <E>(
  name: string,
  body: (players: {
    readonly registry: LeaseRegistry
    readonly ada: Effect.Success<ReturnType<typeof join>>
    readonly bob: Effect.Success<ReturnType<typeof join>>
  }) => Effect.Effect<void, E, Scope.Scope>
) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      const broker = Context.get(yield* Layer.build(Broker.layerMemory()), Broker.Broker)
      const registry = yield* LeaseRegistry.make("30 seconds", broker)
      yield* body({ registry, ada: yield* join(registry, "ada"), bob: yield* join(registry, "bob") })
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))))

const join = Effect.fnUntraced(function*(registry: LeaseRegistry, name: string) {
  const scope = yield* Scope.make()
  let state: "well" | "cut" | "frozen" = "well"
  // Nobody closes a process that does not go on.
  yield* Effect.addFinalizer(() => state === "frozen" ? Effect.void : Scope.close(scope, Exit.void))
  const broker = yield* registry.process({
    name,
    guard: (effect) =>
      Effect.suspend(() => {
        if (state === "cut") return Effect.fail(unavailable)
        return state === "frozen" ? Effect.never : effect
      })
  }).pipe(Scope.provide(scope))
  return {
    broker,
    become: (next: typeof state) =>
      Effect.sync(() => {
        state = next
      })
  }
})

const startOf = (source: string) => envelope({ source, sequence: 1, run: "r", type: "agent_started" })

describe("A claim", () => {
  play(
    "of a process that died is its until its lease is over, and then another's",
    ({ ada, bob }) =>
      Effect.gen(function*() {
        const user = newUser()
        const scope = yield* Scope.make()
        assert.isTrue(yield* Scope.provide(ada.broker.claim(user, r), scope))
        yield* TestClock.adjust("1 minute")
        assert.isFalse(yield* bob.broker.claim(user, r))
        yield* ada.become("frozen")
        yield* TestClock.adjust("25 seconds")
        assert.isFalse(yield* bob.broker.claim(user, r))
        yield* TestClock.adjust("20 seconds")
        assert.isTrue(yield* bob.broker.claim(user, r))
      })
  )

  play("that another has by now keeps a process that was frozen from beginning the run, and from nothing else", (
    { ada, bob }
  ) =>
    Effect.gen(function*() {
      const user = newUser()
      assert.isTrue(yield* ada.broker.claim(user, r))
      yield* ada.become("cut")
      yield* TestClock.adjust("1 minute")
      assert.isTrue(yield* bob.broker.claim(user, r))
      yield* bob.broker.append(user, [startOf("bob")])
      yield* ada.become("well")
      const refused = yield* Effect.flip(ada.broker.append(user, [startOf("ada")]))
      assert.deepStrictEqual(refused.reason, new Broker.RunLost({ runs: [r] }))
      assert.strictEqual((yield* bob.broker.head(user)).offset, 1)
      const other = envelope({ source: "ada", sequence: 2, run: "r2", type: "agent_started" })
      assert.strictEqual((yield* ada.broker.append(user, [other])).offset, 2)
    }))

  play("that another had and gave back keeps it from beginning the run, too", ({ ada, bob }) =>
    Effect.gen(function*() {
      const user = newUser()
      assert.isTrue(yield* ada.broker.claim(user, r))
      yield* ada.become("cut")
      yield* TestClock.adjust("1 minute")
      assert.isTrue(yield* Effect.scoped(bob.broker.claim(user, r)))
      yield* ada.become("well")
      const refused = yield* Effect.flip(ada.broker.append(user, [startOf("ada")]))
      assert.strictEqual(refused.reason._tag, "RunLost")
    }))

  play(
    "that nobody wanted meanwhile lets a process that was frozen begin the run",
    ({ ada, bob }) =>
      Effect.gen(function*() {
        const user = newUser()
        assert.isTrue(yield* ada.broker.claim(user, r))
        yield* ada.become("cut")
        yield* TestClock.adjust("1 minute")
        yield* ada.become("well")
        yield* ada.broker.append(user, [startOf("ada")])
        assert.isFalse(yield* bob.broker.claim(user, r))
      })
  )

  play(
    "that could not be given back is given back later, and is nobody's here before that",
    ({ ada, bob }) =>
      Effect.gen(function*() {
        const user = newUser()
        const scope = yield* Scope.make()
        assert.isTrue(yield* Scope.provide(ada.broker.claim(user, r), scope))
        yield* ada.become("cut")
        yield* Scope.close(scope, Exit.void)
        assert.isFalse(yield* ada.broker.claim(user, r))
        yield* ada.become("well")
        assert.isFalse(yield* bob.broker.claim(user, r))
        yield* TestClock.adjust("1 second")
        assert.isTrue(yield* Effect.scoped(bob.broker.claim(user, r)))
        assert.isTrue(yield* ada.broker.claim(user, r))
      })
  )

  play("that failed bars nobody", ({ ada, bob }) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* TestClock.adjust("1 second")
      yield* ada.become("cut")
      assert.strictEqual((yield* Effect.flip(ada.broker.claim(user, r)))._tag, "BrokerError")
      yield* ada.become("well")
      assert.isTrue(yield* Effect.scoped(bob.broker.claim(user, r)))
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* ada.broker.claim(user, r))
    }))
})
