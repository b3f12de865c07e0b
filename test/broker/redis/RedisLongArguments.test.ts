/** What is too long for a Redis costs nobody else anything: neither the connection that all share, nor time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker, DeadLetters, EmitterLayer, Emitters } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { urgent } from "../../emitter/support/events.ts"
import type { RedisServer } from "../../support/redis.ts"
import { envelope, eventually, idsAfter, newUser, numbered, start } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

const settings = ["proto-max-bulk-len", "client-query-buffer-limit"] as const
const long = "x".repeat(1_500_000)
const count = (to: number) => Array.from({ length: to }, (_, i) => i + 1)

/** The address to use, as a user who may ask the server for its settings, or may not. */
const addressOf = (server: RedisServer, mayAsk: boolean) =>
  Effect.as(
    server.send("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", ...(mayAsk ? [] : ["-config"])),
    server.url.replace("redis://", "redis://app:secret@")
  )

/** The connections of brokers, as the server tells them apart. */
const connectionsOf = (server: RedisServer) =>
  Effect.map(
    server.send("CLIENT", "LIST"),
    (list) => Array.from(list.matchAll(/^id=(\d+) .*name=emitter/gmu), ([, id]) => id)
  )

for (const setting of settings) {
  for (const mayAsk of [true, false]) {
    const name = `over ${setting}, ${mayAsk ? "which may" : "which may not"} be asked for`
    describe.skipIf(program === undefined)(`Redis, what is ${name}`, () => {
      it.live("fault 1: is refused, or undecided beside a canary that is well, and the connection stays", () =>
        withServer({}, (server) =>
          Effect.gen(function*() {
            const broker = yield* startNode(yield* addressOf(server, mayAsk), { deadline: "5 seconds" })
            const signals: Array<string> = []
            yield* broker.watch?.((signal) => void signals.push(signal)) ?? Effect.void
            const [bad, good] = [newUser(), newUser()]
            const from = yield* persist(start(broker, bad))
            const before = yield* connectionsOf(server)
            yield* server.send("CONFIG", "SET", setting, "1048576")

            const poison = broker.append(bad, [envelope({ sequence: 1, data: { long } })])
            const [error] = yield* Effect.all([
              Effect.flip(poison),
              Effect.forEach(count(40), (n) => broker.append(good, numbered(n)), { concurrency: "unbounded" })
            ], { concurrency: "unbounded" })
            const isTold = mayAsk || setting === "proto-max-bulk-len"
            // Without a word of why the connection was closed, it is for the canary to tell.
            assert.include(isTold ? ["user", "undecided"] : ["undecided"], error.blame)
            if (mayAsk) {
              assert.strictEqual(error.blame, "user")
              assert.match(
                error.message,
                new RegExp(`argument has 1500\\d{3} bytes.*takes 10\\d{5}: .*raise ${setting}`)
              )
            }
            yield* broker.canary?.(bad) ?? Effect.void
            assert.strictEqual((yield* broker.head(good)).offset, 40)
            assert.strictEqual((yield* broker.head(bad)).offset, 0)
            assert.deepStrictEqual(yield* connectionsOf(server), before)
            assert.deepStrictEqual(signals, [])

            // A server that takes it gets it, whole.
            yield* server.send("CONFIG", "SET", setting, "8388608")
            yield* poison
            assert.deepStrictEqual(yield* idsAfter(broker, bad, from), [[1, "s.1"]])
            assert.deepStrictEqual(yield* connectionsOf(server), before)
          })))

      it.live(
        "fault 1: becomes a dead letter alone; its neighbours and other users go on",
        () =>
          withServer({}, (server) =>
            Effect.gen(function*() {
              yield* server.send("CONFIG", "SET", setting, "1048576")
              const url = yield* addressOf(server, mayAsk)
              yield* Effect.gen(function*() {
                const emitters = yield* Emitters
                const broker = yield* Broker.Broker
                const letters = yield* DeadLetters.DeadLetters
                const bad = yield* emitters.forUser({ userId: "bad" })
                const good = yield* emitters.forUser({ userId: "good" })
                yield* persist(broker.head(bad.context.userId))
                yield* bad.emit(urgent(0))
                yield* Effect.forkScoped(Effect.forEach(
                  [urgent(1), urgent(2), urgent(long), urgent(4), urgent(5)],
                  bad.emit,
                  { concurrency: "unbounded" }
                ))
                for (const n of count(40)) {
                  const receipt = yield* Effect.timeout(good.emit(urgent(n)), "5 seconds")
                  assert.strictEqual(receipt._tag, "Appended")
                }
                const found = yield* eventually(letters.list(), (all) => all.length > 0, "a dead letter", 15)
                assert.deepStrictEqual(found.map(({ trigger, user }) => [user, trigger]), [["bad", "refused"]])
                yield* eventually(broker.head(bad.context.userId), ({ offset }) => offset === 5, "the neighbours", 15)
                const { breaker, delivery } = yield* emitters.stats
                assert.deepStrictEqual([breaker, delivery.breakerOpenings["broker"]], ["closed", 0])
              }).pipe(
                Effect.scoped,
                Effect.provide(
                  EmitterLayer({ maxEventBytes: 4_000_000 }).pipe(
                    Layer.provideMerge(RedisBroker.layer({ url, deadline: "5 seconds" }))
                  )
                )
              )
            }), 40),
        60_000
      )
    })
  }
}
