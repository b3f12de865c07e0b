/** A run that somebody wants to go on with is theirs, or they are told why not. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import type { BrokerTest } from "../brokerSuite.ts"
import { envelope, newUser } from "../events.ts"

const r = RunId.make("r")
const startOf = (sequence: number) => envelope({ sequence, run: "r", type: "agent_started", data: { agentName: "a" } })
const failureOf = (sequence: number, reason: string) =>
  envelope({ sequence, run: "r", type: "agent_error", data: { reason, message: "no", retryable: false } })

export const takingOver = (test: BrokerTest) => {
  test("tells that a run is unknown, or has ended, and how", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Unknown" })
      yield* broker.append(user, [startOf(1)])
      assert.deepStrictEqual(yield* broker.takeOver(newUser(), r), { _tag: "Unknown" })
      yield* broker.append(user, [failureOf(2, "timeout")])
      assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Ended", outcome: "timeout" })
      yield* broker.letGo(user, [r])
      assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Ended", outcome: "timeout" })
    }))

  test("takes over a run of the same process, let go or not, which goes on and can be lost as before", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf(1)])
      assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Taken" })
      yield* broker.letGo(user, [r, RunId.make("other")])
      assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Taken" })
      yield* broker.letGo(user, [r])
      yield* broker.append(user, [envelope({ sequence: 2, run: "r", type: "agent_thinking", data: { text: "hm" } })])
      assert.strictEqual((yield* broker.head(user)).offset, 2)
      assert.strictEqual(yield* broker.endLost(user, [r]), 1)
      assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Ended", outcome: "lost" })
      yield* broker.append(user, [
        envelope({ at: 5_000, sequence: 1, source: "anew", run: "r", type: "agent_started" })
      ])
      assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Taken" })
    }))
}
