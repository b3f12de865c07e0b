/** How readers of a user keep up with Redis: what is subscribed to, and for how long. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually, newUser, numbered } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

describe.skipIf(program === undefined)("RedisBroker, its subscriptions", () => {
  it.live(
    "fault 45: end soon after the last reader of a user has left, and not where one came back before",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          const subscribers = Effect.map(
            server.send("PUBSUB", "NUMSUB", `emitter:0:{${user}}:wake`),
            (answer) => Number(answer.trim().split(":").at(-1))
          )
          yield* Effect.scoped(persist(broker.subscribe(user, () => {})))
          assert.strictEqual(yield* subscribers, 1)
          let woken = 0
          yield* Effect.scoped(Effect.gen(function*() {
            yield* broker.subscribe(user, () => void woken++)
            yield* Effect.sleep("2500 millis")
            assert.strictEqual(yield* subscribers, 1)
            const before = woken
            yield* broker.append(user, numbered(1))
            yield* eventually(Effect.sync(() => woken), (n) => n > before, "a wake-up of who came back")
          }))
          yield* eventually(subscribers, (count) => count === 0, "nobody subscribed")
        })),
    120_000
  )

  it.live(
    "fault 45: are looked at anew a moment after a look that failed, not only at the next poll",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const setUser = (name: string, ...rules: ReadonlyArray<string>) =>
            Effect.map(server.send("ACL", "SETUSER", name, ...rules), (answer) => assert.strictEqual(answer, "+OK\r\n"))
          const as = (name: string) =>
            Effect.andThen(
              setUser(name, "on", ">secret", "~*", "&*", "+@all"),
              startNode(server.url.replace("redis://", `redis://${name}:secret@`), { poll: "10 minutes" })
            )
          const [reader, writer] = [yield* as("reader"), yield* as("writer")]
          const user = newUser()
          let woken = 0
          // A slow machine may be told meanwhile that the server is away, which is no wake-up.
          yield* persist(
            reader.subscribe(user, (signal) => void (woken += signal === undefined || signal === "critical" ? 1 : 0))
          )
          yield* writer.append(user, numbered(1))
          yield* eventually(Effect.sync(() => woken), (n) => n > 0, "the wake-up of an event that is told")
          const before = woken
          // Nobody is told of the next event, and who looks after its connection was cut is refused.
          yield* setUser("writer", "resetchannels")
          yield* writer.append(user, numbered(2))
          yield* server.send("ACL", "LOG", "RESET")
          yield* setUser("reader", "-hmget")
          yield* server.send("CLIENT", "KILL", "TYPE", "pubsub", "USER", "reader")
          yield* eventually(server.send("ACL", "LOG"), (log) => log.includes("hmget"), "a look that failed", 15)
          assert.strictEqual(woken, before)
          yield* setUser("reader", "+hmget")
          yield* eventually(Effect.sync(() => woken), (n) => n > before, "what the next look finds", 15)
        }), 55),
    300_000
  )
})
