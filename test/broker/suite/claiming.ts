/** The beginning of a run is one's, however many ask for it. */
import { assert } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import type { BrokerTest } from "../brokerSuite.ts"
import { envelope, newUser } from "../events.ts"

const r = RunId.make("r")

export const claiming = (test: BrokerTest) => {
  test("gives the beginning of a run to one of many who ask at once, until its scope closes", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      for (let round = 0; round < 3; round++) {
        const scopes = yield* Effect.all(Array.from({ length: 8 }, () => Scope.make()))
        const answers = yield* Effect.forEach(scopes, (scope) => Scope.provide(broker.claim(user, r), scope), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(answers.filter(Boolean), [true])
        // Who did not get it gives nothing back.
        yield* Effect.forEach(scopes.filter((_, n) => answers[n] !== true), (scope) => Scope.close(scope, Exit.void))
        assert.isFalse(yield* broker.claim(user, r))
        yield* Effect.forEach(scopes, (scope) => Scope.close(scope, Exit.void))
      }
      assert.isTrue(yield* broker.claim(user, r))
    }))

  test("gives each run of each user by itself, and lets who has it begin, end and begin it anew", (broker) =>
    Effect.gen(function*() {
      const [ada, bob] = [newUser("ada"), newUser("bob")]
      assert.isTrue(yield* broker.claim(ada, r))
      assert.isTrue(yield* broker.claim(ada, RunId.make("r2")))
      assert.isTrue(yield* broker.claim(bob, r))
      const event = (sequence: number, type: string) => envelope({ sequence, at: sequence, run: "r", type })
      yield* broker.append(ada, [event(1, "agent_started"), event(2, "agent_completed"), event(3, "agent_started")])
      const { snapshot } = yield* broker.snapshot(ada, r)
      assert.strictEqual(snapshot?.state.status, "active")
      assert.isFalse(yield* broker.claim(ada, r))
    }))
}
