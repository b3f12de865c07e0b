/** What could not be read again is not written: it would keep a user's devices from all that the log has. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Broker } from "effect-emitter"
import { envelope, newUser, numbered, plenty, start } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

/** An envelope that the types forbid, as a program without them, or a file that was written by hand, may have it. */
const broken = (run: boolean, field: string, value: unknown) => {
  const sound = envelope({ sequence: 2, ...(run ? { run: "r", type: "agent_thinking", thread: "t" } : {}) })
  return Object.assign({ ...sound }, { [field]: value })
}

const noNumbers: ReadonlyArray<unknown> = [undefined, null, Number.NaN, Number.POSITIVE_INFINITY, 1.5, -1, "x", "7 8"]
const wrong: Record<string, ReadonlyArray<unknown>> = {
  at: noNumbers,
  bytes: noNumbers,
  sequence: noNumbers,
  type: [undefined, null, 7, {}],
  delivery: [undefined, null, "prompt", 7],
  run: ["", " ", 7, {}],
  thread: ["", 7, []],
  confirm: [undefined, null, "true", 1],
  body: [undefined, null, `"id":\n1}`],
  source: [undefined, null, "", " ", 7]
}

describe.skipIf(program === undefined)("RedisBroker, an event that could not be read again", () => {
  for (const [field, values] of Object.entries(wrong)) {
    it.live(
      `fault 42: is refused, the user's trouble, where its ${field} is not what it should be`,
      () =>
        withServer({}, (server) =>
          Effect.gen(function*() {
            const broker = yield* startNode(server.url, { deadline: "5 seconds" })
            const user = newUser()
            const from = yield* persist(start(broker, user))
            const kept = numbered(1)
            yield* broker.append(user, kept)
            for (const ofRun of [false, true]) {
              for (const value of values) {
                const event = broken(ofRun, field, value)
                const what = `${field}: ${typeof value} ${String(value)}`
                for (
                  const batch of [[event], [envelope({ sequence: 9 }), event, envelope({ sequence: 10 })]] as const
                ) {
                  const error = yield* Effect.flip(broker.append(user, [...batch]))
                  assert.instanceOf(error.reason, Broker.BrokerRefused, what)
                  assert.strictEqual(error.blame, "user", what)
                }
              }
            }
            const slice = yield* broker.pull(user, from, plenty)
            assert.deepStrictEqual([slice.head, slice.entries.length], [1, 1])
            yield* broker.append(user, numbered(9, 10))
            assert.strictEqual((yield* broker.pull(user, from, plenty)).entries.length, 3)
            assert.strictEqual((yield* broker.snapshots(user, 0)).position.offset, 3)
          })),
      30_000
    )
  }
})
