/** One user's trouble in Redis beside users who have none, and what an outage leaves behind. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker, DeadLetters, EmitterLayer, Emitters } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { program, withServer } from "../broker/redis/redisNode.ts"
import { userId } from "./support/envelopes.ts"
import { urgent } from "./support/events.ts"

const over = (url: string) => EmitterLayer().pipe(Layer.provideMerge(RedisBroker.layer({ url })))

const count = (to: number) => Array.from({ length: to }, (_, i) => i + 1)

const offsetOf = (user: string) =>
  Effect.flatMap(Broker.Broker, (broker) => Effect.map(broker.head(userId(user)), ({ offset }) => offset))

describe.skipIf(program === undefined)("Neighbours, over Redis", () => {
  it.live(
    "fault 1: a user whose keys are of another type delays nobody, and loses nothing unseen",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const emitters = yield* Emitters
          const bad = yield* emitters.forUser({ userId: "bad" })
          const good = yield* emitters.forUser({ userId: "good" })
          yield* good.emit(urgent(0))
          yield* bad.emit(urgent(0))
          for (const key of ["log", "meta", "sources"]) {
            yield* server.send("DEL", `emitter:{bad}:${key}`)
            yield* server.send("SET", `emitter:{bad}:${key}`, "not what it should be")
          }
          yield* Effect.forkScoped(Effect.forEach(count(8), (n) => bad.emit(urgent(n)), { concurrency: "unbounded" }))
          for (const n of count(40)) {
            const receipt = yield* Effect.timeout(good.emit(urgent(n)), "2 seconds")
            assert.strictEqual(receipt._tag, "Appended")
            yield* Effect.sleep("50 millis")
          }
          assert.strictEqual(yield* offsetOf("good"), 41)
          // The broker may heal the user's log; whether or not it does, each event is there or is told of.
          yield* Effect.sleep("1 second")
          const letters = yield* Effect.flatMap(DeadLetters, (service) => service.list())
          assert.isTrue(letters.every(({ trigger, user }) => user === bad.context.userId && trigger === "refused"))
          assert.strictEqual((yield* Effect.orElseSucceed(offsetOf("bad"), () => 0)) + letters.length, 8)
          const { breaker, delivery } = yield* emitters.stats
          assert.deepStrictEqual([breaker, delivery.breakerOpenings["broker"], delivery.spool?.events], [
            "closed",
            0,
            0
          ])
        }).pipe(Effect.scoped, Effect.provide(over(server.url)))),
    30_000
  )

  it.live(
    "fault 33: everybody has everything a moment after Redis answers again, frozen for 10 seconds",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const { forUser } = yield* Emitters
          const users = count(30).map((n) => `user${n}`)
          const emitting = yield* Effect.forEach(users, (user) => forUser({ userId: user }))
          yield* Effect.forEach(emitting, ({ emit }) => emit(urgent(0)), { concurrency: "unbounded" })
          yield* server.freeze
          for (const { emit } of emitting) {
            yield* Effect.forkScoped(Effect.forEach(count(5), (n) => Effect.delay(emit(urgent(n)), "1 second")))
          }
          yield* Effect.sleep("10 seconds")
          yield* server.thaw
          const thawed = performance.now()
          const missing = Effect.map(
            Effect.forEach(users, (user) => Effect.orElseSucceed(offsetOf(user), () => 0)),
            (all) => all.filter((offset) => offset < 6).length
          )
          yield* missing.pipe(Effect.repeat({ until: (users) => users === 0 }), Effect.timeout("10 seconds"))
          const tookMs = performance.now() - thawed
          assert.isBelow(tookMs, 1_500, "a second, with room for a busy machine")
          yield* Effect.logInfo(`everybody had everything after ${Math.round(tookMs)} ms`)
        }).pipe(Effect.scoped, Effect.provide(over(server.url))), 40),
    60_000
  )
})
