/** One user's trouble in Redis beside users who have none, and what an outage leaves behind. */
import { assert, describe, it } from "@effect/vitest"
import { isReadonlyArrayNonEmpty } from "effect/Array"
import { Effect, Layer } from "effect"
import { Broker, DeadLetters, EmitterLayer, Emitters, type FallbackChannel, Spool } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import * as Delivery from "../../src/emitter/delivery/Delivery.ts"
import { DeadLetterStore } from "../../src/emitter/fallback/DeadLetterStore.ts"
import { Turn } from "../../src/emitter/user/Turn.ts"
import { Turns } from "../../src/emitter/user/Turns.ts"
import type { Envelope } from "../../src/protocol/wire/Envelope.ts"
import { eventually, idOf } from "../broker/events.ts"
import { persist, program, startNode, withServer } from "../broker/redis/redisNode.ts"
import { ownTimed } from "../support/ownTime.ts"
import { defaults } from "./support/DeliveryBench.ts"
import { envelope, envelopes, userId } from "./support/envelopes.ts"
import { urgent } from "./support/events.ts"
import { patience } from "../support/patience.ts"

const over = (url: string) => EmitterLayer().pipe(Layer.provideMerge(RedisBroker.layer({ url, deadline: "5 seconds" })))

const count = (to: number) => Array.from({ length: to }, (_, i) => i + 1)

const offsetOf = (user: string) =>
  Effect.flatMap(Broker.Broker, (broker) => Effect.map(broker.head(userId(user)), ({ offset }) => offset))

/** A delivery over Redis, and eight events of `bad` of which the broker refuses the fourth: its sequence is no number. */
const withPoison = Effect.fnUntraced(function*(url: string, channels: ReadonlyArray<FallbackChannel.FallbackChannel>) {
  const broker = yield* startNode(url)
  const turns = new Turns((user) => new Turn(user))
  const deadLetters = new DeadLetterStore()
  const delivery = yield* Delivery.make({ ...defaults, broker, deadLetters, channels, exclusive: turns.exclusive })
  const bad = userId("bad")
  const { epoch } = yield* persist(broker.append(bad, envelopes("bad", 100)))
  const poison: Envelope = { ...envelope("bad", 4), ...JSON.parse(`{"sequence":"x"}`) }
  const batch = envelopes("bad", 1, 8).map((event) => event.id === poison.id ? poison : event)
  if (!isReadonlyArrayNonEmpty(batch)) return assert.fail("there is nothing to deliver")
  const log = Effect.map(
    broker.pull(bad, { epoch, offset: 0 }, { maxEvents: 100, maxBytes: 1_000_000 }),
    ({ entries }) => entries.map(idOf)
  )
  return { bad, batch, broker, deadLetters, delivery, epoch, exclusive: turns.exclusive, log }
})

const ids = (events: ReadonlyArray<number>): ReadonlyArray<string> =>
  [100, ...events].map((sequence) => envelope("bad", sequence).id)

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
            const receipt = yield* Effect.timeout(good.emit(urgent(n)), 2_000 * patience)
            assert.strictEqual(receipt._tag, "Appended")
            yield* Effect.sleep("50 millis")
          }
          assert.strictEqual(yield* offsetOf("good"), 41)
          // The broker may heal the user's log; whether or not it does, each event is there or is told of.
          const outcomes = Effect.gen(function*() {
            const letters = yield* Effect.flatMap(DeadLetters.DeadLetters, (service) => service.list())
            return { letters, appended: yield* Effect.orElseSucceed(offsetOf("bad"), () => 0) }
          })
          const { letters } = yield* eventually(
            outcomes,
            ({ appended, letters }) => appended + letters.length >= 8,
            "each of the events, or what became of it"
          )
          assert.isTrue(letters.every(({ trigger, user }) => user === bad.context.userId && trigger === "refused"))
          assert.strictEqual((yield* Effect.orElseSucceed(offsetOf("bad"), () => 0)) + letters.length, 8)
          const { breaker, delivery } = yield* emitters.stats
          assert.deepStrictEqual([breaker, delivery.breakerOpenings["broker"], delivery.spool?.events], [
            "closed",
            0,
            0
          ])
        }).pipe(Effect.scoped, Effect.provide(over(server.url)))),
    120_000
  )

  it.live("fault 1: halves a batch until the event is alone that Redis refuses, and tells of each what became of it", () =>
    withServer({}, (server) =>
      Effect.gen(function*() {
        const { bad, batch, deadLetters, delivery, epoch, log } = yield* withPoison(server.url, [])
        const outcome = yield* delivery.deliver(bad, batch)
        const appended = (offset: number): Delivery.Outcome => ({ _tag: "Appended", position: { epoch, offset } })
        const refused: Delivery.Outcome = { _tag: "DeadLettered", reason: "refused" }
        assert.deepStrictEqual(outcome, {
          _tag: "Divided",
          outcomes: [2, 3, 4, undefined, 5, 6, 7, 8].map((offset) => offset === undefined ? refused : appended(offset))
        })
        assert.deepStrictEqual(yield* log, ids([1, 2, 3, 5, 6, 7, 8]))
        const [letter, ...others] = deadLetters.list()
        assert.deepStrictEqual([letter?.event.id, letter?.trigger, others], ["bad-4", "refused", []])
        assert.match(String(letter?.reasons[0]?.cause), /bad-4 could not be read again: its sequence/)
      })))

  it.live("fault 1: drains around the event that Redis refuses, while others' appends go on as ever", () =>
    withServer({}, (server) =>
      Effect.gen(function*() {
        const spool = yield* Spool.memory()
        const { bad, batch, broker, deadLetters, delivery, exclusive, log } = yield* withPoison(server.url, [spool])
        assert.deepStrictEqual(yield* exclusive(bad, delivery.deliver(bad, batch)), {
          _tag: "HandedOver",
          channel: "spool"
        })
        const good = userId("good")
        for (const n of count(50)) {
          const outcome = yield* Effect.timeout(delivery.deliver(good, envelopes("good", n)), 2_000 * patience)
          assert.strictEqual(outcome._tag, "Appended")
          yield* Effect.sleep("20 millis")
        }
        assert.strictEqual((yield* broker.head(good)).offset, 50)
        yield* Effect.sleep("20 millis").pipe(
          Effect.repeat({ while: () => spool.spool?.holds(bad) === true }),
          Effect.timeout(10_000 * patience)
        )
        assert.deepStrictEqual(yield* log, ids([1, 2, 3, 5, 6, 7, 8]))
        assert.deepStrictEqual(deadLetters.list().map(({ event, trigger }) => [event.id, trigger]), [[
          "bad-4",
          "refused"
        ]])
        assert.strictEqual((yield* delivery.stats).breakerOpenings["broker"], 0)
      })))

  it.live(
    "fault 33: everybody has everything a moment after Redis answers again, frozen for 10 seconds",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const { forUser } = yield* Emitters
          const users = count(30).map((n) => `user${n}`)
          const emitting = yield* Effect.forEach(users, (user) => forUser({ userId: user }))
          // What the same events take where nothing is in their way: the server may have to share its machine.
          const others = yield* Effect.forEach(users, (user) => forUser({ userId: `other-${user}` }))
          const [usualMs] = yield* ownTimed(
            Effect.forEach(
              others,
              ({ emit }) => Effect.forEach(count(6), (n) => emit(urgent(n)), { discard: true }),
              { concurrency: "unbounded", discard: true }
            )
          )
          yield* Effect.forEach(emitting, ({ emit }) => emit(urgent(0)), { concurrency: "unbounded" })
          yield* server.freeze
          for (const { emit } of emitting) {
            yield* Effect.forkScoped(Effect.forEach(count(5), (n) => Effect.delay(emit(urgent(n)), "1 second")))
          }
          yield* Effect.sleep("10 seconds")
          yield* server.thaw
          const missing = Effect.map(
            Effect.forEach(users, (user) => Effect.orElseSucceed(offsetOf(user), () => 0)),
            (all) => all.filter((offset) => offset < 6).length
          )
          // Each look is work for the server too: not all the time.
          const [ownMs] = yield* ownTimed(
            missing.pipe(
              Effect.delay("5 millis"),
              Effect.repeat({ until: (users) => users === 0 }),
              Effect.timeout(10_000 * patience)
            )
          )
          const measured = `everybody had everything after ${Math.round(ownMs)} ms on a machine of its own, beside ${
            Math.round(usualMs)
          } ms without an outage`
          yield* Effect.sync(() => console.info(measured))
          // It took seven seconds while everybody waited for the circuit breaker.
          assert.isBelow(ownMs, Math.min(1_500 + 10 * usualMs, 5_000), measured)
        }).pipe(Effect.scoped, Effect.provide(over(server.url))), 40),
    120_000
  )
})
