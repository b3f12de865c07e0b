/** What could not be read again is not written: it would keep a user's devices from all that the log has. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Broker } from "effect-emitter"
import { Inbox } from "../../../src/broker/commands/Inbox.ts"
import { envelope, newUser, numbered, plenty, start } from "../events.ts"
import { command, receiving, send, startOf, wordOf } from "../suite/commanding.ts"
import { persist, program, startNode, startStore, withServer } from "./redisNode.ts"

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
  source: [undefined, null, "", " ", 7, "of\ntwo lines"]
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

/** A command as it is written down, first in its line. */
const writtenDown = (body: string) => ["0", "digest", "9999999999999", ",", "", "r", body].join("\n")

describe.skipIf(program === undefined)("RedisBroker, what is written of commands and cannot be read", () => {
  it.live(
    "is refused, done by nobody, and keeps no other command of its user waiting",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { deadline: "5 seconds" })
          const user = newUser()
          yield* persist(broker.append(user, [startOf("r")]))
          const seen = yield* receiving(broker, user)
          const bodies = ["", "{", "{}", JSON.stringify({ id: "bad-3", run: "r", name: "Of a later version" })]
          for (const [n, body] of bodies.entries()) {
            yield* server.send("HSET", `emitter:{${user}}:commands`, `bad-${n}`, writtenDown(body))
          }
          const sent = command()
          assert.strictEqual(yield* wordOf(send(broker, user, sent)), "accepted")
          assert.deepStrictEqual(seen, [sent.id])
          for (const n of bodies.keys()) {
            assert.match(
              yield* server.send("HGET", `emitter:{${user}}:outcomes`, `bad-${n}`),
              /\ndigest\n\{"outcome":"refused","reason":"invalid"/
            )
          }
          assert.strictEqual(yield* server.send("HLEN", `emitter:{${user}}:commands`), ":0\r\n")
        })),
    60_000
  )

  it.live(
    "costs no process its lease, and no user the commands that can be read",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const inbox = new Inbox("test")
          const leases = yield* startStore(server, inbox)
          const user = newUser()
          const mail = ["nobody at all", "1", "undefined", "2", "ada", "x", user, "7"]
          yield* server.send("HSET", "p:{leases}:mail:test", ...mail)
          assert.strictEqual((yield* leases.beat("test.0", [])).state, "taken")
          assert.deepStrictEqual(inbox.take(), [[user, 7]])
          // Nor does it keep the runs of a process that died from being ended.
          yield* server.send("HSET", "p:{leases}:users:dead.0", "nobody at all", "1", user, "2")
          assert.deepStrictEqual(yield* leases.usersOf("dead.0"), [user])
        })),
    60_000
  )
})
