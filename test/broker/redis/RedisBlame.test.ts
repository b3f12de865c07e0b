/** What Redis answers with, and whose trouble it is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Broker } from "effect-emitter"
import * as Failure from "../../../src/broker/redis/connection/RedisFailure.ts"
import { newUser, numbered, start } from "../events.ts"
import { program, startNode, withServer } from "./redisNode.ts"

const inScript = "script: af429c81678ac84d0f673a96ff4d47dbc551e59b, on @user_script:1."

const answers: Record<Broker.Blame, ReadonlyArray<string>> = {
  user: [
    `WRONGTYPE Operation against a key holding the wrong kind of value ${inScript}`,
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    `ERR The ID specified in XADD is equal or smaller than the target stream top item ${inScript}`,
    "ERR Protocol error: invalid bulk length",
    `ERR user_script:1: Expected value but found invalid token at character 1 ${inScript}`
  ],
  broker: [
    `OOM command not allowed when used memory > 'maxmemory'. ${inScript}`,
    `ERR The user executing the script can't run this command or subcommand ${inScript}`,
    `ERR The user executing the script can't publish to the channel mentioned in the command ${inScript}`,
    `ERR ACL failure in script: User default has no permissions to run the 'hlen' command ${inScript}`,
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "NOAUTH Authentication required.",
    `READONLY You can't write against a read only replica. ${inScript}`,
    "LOADING Redis is loading the dataset in memory",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."
  ],
  undecided: ["ERR something that no version has said yet"]
}

describe("RedisBroker, whose trouble a failure is", () => {
  it.effect("fault 1: is told from what Redis answers", () =>
    Effect.sync(() => {
      for (const [blame, messages] of Object.entries(answers)) {
        for (const message of messages) assert.strictEqual(Failure.blameOf(message), blame, message)
      }
    }))

  it.effect("fault 1: is the broker's without a connection, and undecided after a deadline", () =>
    Effect.sync(() => {
      assert.strictEqual(Failure.unavailable("append", 0, new Error("no connection")).blame, "broker")
      assert.strictEqual(Failure.unavailable("append", 1000, new Error("late"), "undecided").blame, "undecided")
      assert.strictEqual(new Broker.BrokerRefused({ operation: "append", detail: "no" }).blame, "undecided")
    }))

  it.live.skipIf(program === undefined)(
    "fault 1: is the broker's when Redis has no memory, and undecided when it is silent",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { deadline: "200 millis" })
          const user = newUser()
          yield* start(broker, user)
          const blameOf = Effect.map(Effect.flip(broker.append(user, numbered(1))), ({ blame }) => blame)
          yield* server.send("CONFIG", "SET", "maxmemory", "1")
          assert.strictEqual(yield* blameOf, "broker")
          yield* server.send("CONFIG", "SET", "maxmemory", "0")
          yield* server.freeze
          assert.strictEqual(yield* blameOf, "undecided")
          yield* server.thaw
        }))
  )
})
