/** Behaviours of the scripts over a log that show only now and then. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { maxSpentSources } from "../../../src/broker/memory/SequenceSet.ts"
import { envelope, newUser, numbered } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

describe.skipIf(program === undefined)("RedisBroker, now and then", () => {
  it.live(
    "fault 45: forgets the sources whose last events are the oldest, and no other",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { maxEvents: 1 })
          const user = newUser()
          const one = (source: string) => broker.append(user, [envelope({ source, sequence: 1 })])
          yield* one("oldest")
          for (let n = 0; n < maxSpentSources + 64; n++) yield* one(`s${n}`)
          const { offset } = yield* broker.head(user)
          yield* one(`s${64 + 1}`)
          assert.strictEqual((yield* broker.head(user)).offset, offset, "one that is among the latest")
          yield* one("oldest")
          assert.strictEqual((yield* broker.head(user)).offset, offset + 1, "the oldest")
        })),
    30_000
  )

  it.live(
    "fault 45: gives a stream that vanished its time to live again",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          yield* broker.append(user, numbered(1))
          yield* server.send("DEL", `emitter:{${user}}:log`)
          yield* broker.append(user, numbered(2))
          assert.match(yield* server.send("PTTL", `emitter:{${user}}:log`), /^:\d{4,}\r\n$/)
        })),
    30_000
  )

  it.live(
    "fault 45: confirms nothing in a new epoch by what was acknowledged in the one before",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          const before = yield* broker.append(user, numbered(1, 3))
          yield* broker.acknowledge(user, before)
          yield* server.kill
          yield* server.start
          const after = yield* persist(broker.append(user, numbered(4)))
          assert.notStrictEqual(after.epoch, before.epoch)
          const wait = broker.acknowledged(user, { ...after, offset: 1 }).pipe(Effect.timeoutOption("200 millis"))
          assert.isTrue(Option.isNone(yield* persist(wait)))
          yield* broker.acknowledge(user, after)
          yield* broker.acknowledged(user, after)
        })),
    30_000
  )
})
