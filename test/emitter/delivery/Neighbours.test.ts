/** What fails for one user, or what one user does, costs no other an event or more than a bounded delay. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Layer } from "effect"
import { Broker, DeadLetters, EmitterLayer, Emitters, FallbackChannel, Spool } from "effect-emitter"
import { Fault, Promises, Recorder, TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type * as Delivery from "../../../src/emitter/delivery/Delivery.ts"
import type { Envelope } from "../../../src/protocol/wire/Envelope.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { DeliveryBench, ScriptedChannel } from "../support/DeliveryBench.ts"
import { notes, within } from "../support/emitting.ts"
import { envelopes, sequences, userId } from "../support/envelopes.ts"
import { urgent } from "../support/events.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { ScriptedBroker } from "../support/ScriptedBroker.ts"

const bad = userId("bad")
const good = userId("good")

const count = (to: number) => Array.from({ length: to }, (_, i) => i + 1)

const emitters = EmitterLayer({ profile: "lowLatency" })

const engine = (channels: ReadonlyArray<FallbackChannel.FallbackChannel> | undefined) =>
  Recorder.layer(
    channels === undefined
      ? emitters
      : emitters.pipe(FallbackChannel.provide(...channels.map((_) => Effect.succeed(_))))
  ).pipe(Layer.provideMerge(TestBroker.layer(Broker.layerMemory())))

describe("Neighbours", () => {
  for (const deed of ["reject", "refuse", "die"] as const) {
    for (const [where, channels] of [["with a spool", undefined], ["without fallback channels", []]] as const) {
      it.effect(`fault 1: a user whose appends always ${deed} delays nobody, ${where}`, () =>
        Effect.gen(function*() {
          const broker = yield* TestBroker.TestBroker
          const emitters = yield* Emitters
          yield* broker.behave(({ user }) => user === bad ? deed : "ok")
          const one = yield* emitters.forUser({ userId: "bad" })
          const other = yield* emitters.forUser({ userId: "good" })
          yield* Effect.forEach(count(8), (n) => one.emit(urgent(n)), { concurrency: "unbounded" }).pipe(
            Effect.forkChild
          )
          for (const second of count(60)) {
            const receipt = yield* within("1 second", Effect.timeout(other.emit(urgent(second)), "10 millis"))
            assert.strictEqual(receipt._tag, "Appended")
          }
          assert.deepStrictEqual(notes(yield* broker.log(good)), count(60))
          const { breaker, delivery } = yield* emitters.stats
          assert.deepStrictEqual([breaker, delivery.breakerOpenings["broker"], delivery.spool?.events ?? 0], [
            "closed",
            0,
            0
          ])
          const letters = yield* (yield* DeadLetters.DeadLetters).list()
          const trigger = deed === "die" ? "defect" : "refused"
          assert.deepStrictEqual(
            letters.map(({ event, trigger, user }) => [user, event.data["data"], trigger]),
            count(8).map((n) => [bad, n, trigger])
          )
          assert.match(String(letters[0]?.reasons[0]?.cause), /told to/)
          yield* Promises.assertKept(yield* Recorder.trace)
        }).pipe(Effect.scoped, Effect.provide(engine(channels))))
    }
  }

  it.effect("fault 1: a refusal of everybody is the broker's trouble: nothing is given up, and all of it comes", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitters = yield* Emitters
      yield* broker.behave("refuse")
      const all = yield* Effect.forEach(["a", "b", "c"], (user) => emitters.forUser({ userId: user }))
      for (const emitter of all) {
        yield* Effect.forkChild(Effect.forEach(count(5), (n) => emitter.emit(urgent(n))))
      }
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* (yield* DeadLetters.DeadLetters).list(), [])
      yield* broker.behave("ok")
      yield* TestClock.adjust("30 seconds")
      for (const { context } of all) assert.deepStrictEqual(notes(yield* broker.log(context.userId)), count(5))
    }).pipe(Effect.scoped, Effect.provide(engine(undefined))))

  it.effect("fault 1: users who are kept waiting by an outage come back beside one whose batch is refused for good", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitters = yield* Emitters
      yield* broker.behave("fail")
      const users = ["bad", ...count(20).map((n) => `user${n}`)]
      for (const user of users) {
        const emitter = yield* emitters.forUser({ userId: user })
        yield* Effect.forkChild(Effect.forEach(count(3), (n) => emitter.emit(urgent(n))))
        yield* TestClock.adjust("10 millis")
      }
      yield* TestClock.adjust("1 minute")
      yield* broker.behave(({ user }) => user === bad ? Fault.sequence("refuse")() : "ok")
      yield* TestClock.adjust("11 seconds")
      for (const user of users.slice(1)) assert.deepStrictEqual(notes(yield* broker.log(userId(user))), count(3))
    }).pipe(Effect.scoped, Effect.provide(engine(undefined))))

  for (const where of ["memory", "file"] as const) {
    it.effect(`fault 1: a user who floods during an outage takes no room from others, in ${where}`, () =>
      Effect.gen(function*() {
        const channels = yield* spools[where](400)
        yield* Effect.gen(function*() {
          const broker = yield* TestBroker.TestBroker
          const emitters = yield* Emitters
          yield* broker.behave("fail")
          const one = yield* emitters.forUser({ userId: "bad" })
          const other = yield* emitters.forUser({ userId: "good" })
          yield* Effect.forkChild(Effect.forEach(count(1_000), (n) => one.emit(urgent(n))))
          yield* TestClock.adjust("10 seconds")
          const { delivery } = yield* emitters.stats
          assert.isAbove(delivery.deadLettered.behindSpool, 0, "the flood found its bound")
          yield* Effect.forkChild(Effect.forEach(count(60), (n) => other.emit(urgent(n))))
          yield* TestClock.adjust("10 seconds")
          yield* broker.behave("ok")
          yield* TestClock.adjust("30 seconds")
          assert.deepStrictEqual(notes(yield* broker.log(good)), count(60))
          const letters = yield* (yield* DeadLetters.DeadLetters).list()
          assert.isTrue(letters.every(({ user }) => user === bad))
          assert.strictEqual((yield* broker.log(bad)).length + letters.length, 1_000)
        }).pipe(Effect.provide(engine(channels)))
      }).pipe(Effect.scoped))
  }

  it.effect("fault 1: where nobody can tell whose trouble it is, each user in turn is the probe", () =>
    Effect.gen(function*() {
      const broker = new ScriptedBroker()
      delete broker.canary
      broker.behaviour = "fail"
      const bench = yield* DeliveryBench.make({ broker, channels: [yield* Spool.memory()] })
      const users = [bad, good, userId("other")]
      for (const user of users) {
        yield* bench.emit(user, envelopes(user, 1, 2))
        yield* TestClock.adjust("1 second")
      }
      broker.decide = ({ user }) => user === bad ? "refuse" : "ok"
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(sequences(broker.log(good)), [1, 2])
      assert.deepStrictEqual(sequences(broker.log(userId("other"))), [1, 2])
    }))

  it.effect("fault 1: the appends of several poisoned users take no turn from others, though each takes long to fail", () =>
    Effect.gen(function*() {
      const broker = new ScriptedBroker()
      const bench = yield* DeliveryBench.make({ broker, channels: [yield* Spool.memory()] })
      broker.behaviour = "fail"
      const poisoned = count(20).map((n) => userId(`bad${n}`))
      for (const user of [...poisoned, good]) yield* bench.emit(user, envelopes(user, 1, 8))
      yield* TestClock.adjust("1 second")
      broker.decide = ({ user }) => poisoned.includes(user) ? { after: "500 millis", do: "timeOut" } : "ok"
      yield* TestClock.adjust("15 seconds")
      assert.deepStrictEqual(sequences(broker.log(good)), count(8))
      assert.strictEqual((yield* bench.delivery.breakers[0].state)._tag, "Closed")
    }))

  it.effect(
    "fault 1: finds poisoned events wherever they stand, and appends all others in order",
    () => forSeeds({ from: 5_000, count: 60 }, (draw) => findsPoison(draw, "memory")),
    120_000
  )

  it.effect(
    "fault 1: finds poisoned events wherever they stand, without a spool",
    () => forSeeds({ from: 6_000, count: 60 }, (draw) => findsPoison(draw, "none")),
    120_000
  )

  it.effect(
    "fault 1: finds poisoned events wherever they stand, over a spool in a file",
    () => forSeeds({ from: 7_000, count: 15 }, (draw) => findsPoison(draw, "file")),
    120_000
  )

  it.effect("fault 1: offers an event that the broker never takes to the other channels, with its reason", () =>
    Effect.gen(function*() {
      const channel = new ScriptedChannel("other")
      const bench = yield* DeliveryBench.make({ channels: [channel] })
      bench.broker.decide = ({ batch }) => batch.some(({ sequence }) => sequence === 3) ? "reject" : "ok"
      const outcome = yield* bench.deliver(good, envelopes("good", 1, 5))
      const appended = (offset: number): Delivery.Outcome => ({ _tag: "Appended", position: { epoch: "e", offset } })
      assert.deepStrictEqual(outcome, {
        _tag: "Divided",
        outcomes: [appended(1), appended(2), { _tag: "HandedOver", channel: "other" }, appended(3), appended(4)]
      })
      assert.deepStrictEqual(channel.taken.map(({ envelope }) => envelope.sequence), [3])
      channel.behaviour = "fail"
      assert.deepStrictEqual(yield* bench.deliver(good, envelopes("good", 3)), {
        _tag: "DeadLettered",
        reason: "refused"
      })
      const [letter] = yield* bench.delivery.deadLetters.list()
      assert.deepStrictEqual(letter?.reasons.map(({ outlet }) => outlet), ["broker", "other"])
      assert.match(String(Cause.squash(letter?.reasons[0]?.cause ?? Cause.empty)), /poison/)
    }))
})

const spools = {
  memory: (maxEvents?: number) => Effect.map(Spool.memory({ maxEvents }), (spool) => [spool]),
  none: () => Effect.succeed([]),
  file: (maxEvents?: number) =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-poison-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
      )
      return [yield* Effect.orDie(Spool.sqlite({ file: join(directory, "spool.db"), sync: "normal", maxEvents }))]
    })
}

/** Emits for several users, some of whose events the broker never takes, and sees where each event ends. */
const findsPoison = Effect.fnUntraced(function*(draw: Draw, where: keyof typeof spools) {
  const users = ["a", "b", "c", "d"].map(userId)
  const broker = new ScriptedBroker()
  const bench = yield* DeliveryBench.make({ broker, channels: yield* spools[where]() })
  const poison = new Map<UserId, Set<number>>(users.map((user) => [user, new Set()]))
  const isPoison = (user: UserId) => ({ sequence }: Envelope) => poison.get(user)?.has(sequence) === true
  const kind = draw.pick(["reject", "refuse", "die", "throw"] as const)
  // Without a spool, what the broker does not take for its own trouble is lost to the log.
  const mayBeDown = where !== "none"
  let isDown = false
  broker.decide = ({ batch, user }) => isDown ? "fail" : batch.some(isPoison(user)) ? kind : "ok"
  const last = new Map<UserId, number>(users.map((user) => [user, 0]))
  for (let step = 0; step < 30; step++) {
    const user = draw.pick(users)
    const choice = draw.next()
    if (choice < 0.6) {
      const from = (last.get(user) ?? 0) + 1
      const to = from + draw.below(9)
      for (let sequence = from; sequence <= to; sequence++) {
        if (draw.chance(0.12)) poison.get(user)?.add(sequence)
      }
      last.set(user, to)
      yield* bench.emit(user, envelopes(user, from, to))
    } else if (choice < 0.75 && mayBeDown) isDown = !isDown
    else yield* TestClock.adjust(Duration.millis(draw.below(1_500)))
  }
  isDown = false
  yield* TestClock.adjust("5 minutes")
  const letters = yield* bench.delivery.deadLetters.list()
  for (const user of users) {
    const isGood = (sequence: number) => poison.get(user)?.has(sequence) !== true
    const all = count(last.get(user) ?? 0)
    assert.deepStrictEqual(sequences(broker.log(user)), all.filter(isGood), `the log of ${user}`)
    const dead = letters.filter((letter) => letter.user === user)
    assert.deepStrictEqual(dead.map(({ event }) => event.sequence), all.filter((sequence) => !isGood(sequence)))
    assert.isTrue(dead.every(({ trigger }) => trigger === (kind === "die" || kind === "throw" ? "defect" : "refused")))
  }
  yield* bench.close
})
