import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Spool from "../../../src/emitter/fallback/Spool.ts"
import { DeliveryBench, ScriptedChannel } from "../support/DeliveryBench.ts"
import { envelopes, sequences, userId } from "../support/envelopes.ts"
import type { Behaviour } from "../support/ScriptedBroker.ts"

const ada = userId("ada")
const bob = userId("bob")

/** Delivers batches of one event, one after the other, and gives their outcomes. */
const deliverEach = (bench: DeliveryBench, user: typeof ada, from: number, to: number) =>
  Effect.forEach(
    Array.from({ length: to - from + 1 }, (_, i) => from + i),
    (sequence) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(bench.deliver(user, envelopes(user, sequence)))
        yield* TestClock.adjust("5 millis")
        return yield* Fiber.join(fiber)
      })
  )

/** Makes the breaker open by the failures of another user. */
const openBreaker = (bench: DeliveryBench, behaviour: Behaviour = "fail") =>
  Effect.gen(function*() {
    bench.broker.behaviour = behaviour
    yield* deliverEach(bench, userId("opener"), 1, 3)
    assert.strictEqual((yield* bench.delivery.breakers[0].state)._tag, "Open")
  })

describe("Delivery, while the broker works", () => {
  it.effect("appends a batch once, and tells the position of its last event", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make()
      const outcome = yield* bench.deliver(ada, envelopes("ada", 1, 3))
      assert.deepStrictEqual(outcome, { _tag: "Appended", position: { epoch: "e", offset: 3 } })
      assert.strictEqual(bench.broker.calls.length, 1)
    }))

  it.effect("ends within its caller's turn", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make({ channels: [yield* Spool.memory(), new ScriptedChannel("other")] })
      const fiber = Effect.runFork(bench.delivery.deliver(ada, envelopes("ada", 1)))
      assert.deepStrictEqual(
        fiber.pollUnsafe(),
        Exit.succeed({ _tag: "Appended", position: { epoch: "e", offset: 1 } })
      )
    }))

  it.effect("counts what it appended", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make()
      yield* bench.deliver(ada, envelopes("ada", 1, 3))
      yield* bench.deliver(bob, envelopes("bob", 1))
      assert.deepInclude(yield* bench.delivery.stats, {
        appendedBatches: 2,
        appendedEvents: 4,
        appendFailures: 0,
        retries: 0,
        breakerOpenings: { broker: 0 }
      })
    }))
})

describe("Delivery, when the broker fails", () => {
  it.effect("retries with the same envelopes, and appends them once though an acknowledgement was lost", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make()
      const script: Array<Behaviour> = ["loseAck", "ok"]
      bench.broker.decide = () => script[bench.broker.calls.length - 1] ?? "ok"
      const [outcome] = yield* deliverEach(bench, ada, 1, 1)
      assert.deepStrictEqual(outcome, { _tag: "Appended", position: { epoch: "e", offset: 1 } })
      assert.strictEqual(bench.broker.calls[0]?.batch, bench.broker.calls[1]?.batch)
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1])
      assert.deepInclude(yield* bench.delivery.stats, { appendFailures: 1, retries: 1, appendedBatches: 1 })
    }))

  it.effect("asks the channels in order, and stops at the first that takes the batch", () =>
    Effect.gen(function*() {
      const [first, second, third] = ["first", "second", "third"].map((name) => new ScriptedChannel(name))
      if (first === undefined || second === undefined || third === undefined) return assert.fail()
      const bench = yield* DeliveryBench.make({ channels: [first, second, third] })
      bench.broker.behaviour = "fail"
      first.behaviour = "fail"
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 1, 1), [{ _tag: "HandedOver", channel: "second" }])
      assert.deepStrictEqual([first.calls, second.calls, third.calls], [1, 1, 0])
      assert.deepInclude(yield* bench.delivery.stats, {
        handedOver: { first: 0, second: 1, third: 0 },
        channelFailures: { first: 1, second: 0, third: 0 }
      })
    }))

  it.effect("opens the breaker, and then goes straight to the channels without trying the broker", () =>
    Effect.gen(function*() {
      const channel = new ScriptedChannel("other")
      const bench = yield* DeliveryBench.make({ channels: [channel] })
      yield* openBreaker(bench)
      const before = bench.broker.calls.length
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 1, 1), [{ _tag: "HandedOver", channel: "other" }])
      assert.strictEqual(bench.broker.calls.length, before)
      assert.deepInclude(yield* bench.delivery.stats, { breakerOpenings: { broker: 1, other: 0 } })
    }))

  it.effect("closes the breaker by one probe, of which other users do not wait for the end", () =>
    Effect.gen(function*() {
      const channel = new ScriptedChannel("other")
      const bench = yield* DeliveryBench.make({ channels: [channel] })
      yield* openBreaker(bench)
      yield* TestClock.adjust("1 second")
      bench.broker.behaviour = { after: "50 millis", do: "ok" }
      const probe = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", 1)))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* bench.deliver(bob, envelopes("bob", 1)), { _tag: "HandedOver", channel: "other" })
      yield* TestClock.adjust("50 millis")
      assert.deepInclude(yield* Fiber.join(probe), { _tag: "Appended" })
      bench.broker.behaviour = "ok"
      assert.deepInclude(yield* bench.deliver(bob, envelopes("bob", 2)), { _tag: "Appended" })
    }))

  it.effect("keeps as dead letters what no channel takes, with each reason in order", () =>
    Effect.gen(function*() {
      const failing = new ScriptedChannel("failing")
      const dying = new ScriptedChannel("dying")
      failing.behaviour = "fail"
      dying.behaviour = "die"
      const bench = yield* DeliveryBench.make({ channels: [failing, dying] })
      bench.broker.behaviour = "refuse"
      yield* TestClock.adjust("7 seconds")
      const fiber = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", 1, 2)))
      yield* TestClock.adjust("5 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "DeadLettered", reason: "brokerFailed" })

      const letters = yield* bench.delivery.deadLetters.list()
      assert.deepStrictEqual(letters.map(({ event, user }) => [user, event.sequence]), [[ada, 1], [ada, 2]])
      for (const { at, reasons, trigger } of letters) {
        assert.isTrue(at >= 7_000 && at <= 7_005)
        assert.strictEqual(trigger, "brokerFailed")
        assert.deepStrictEqual(reasons.map(({ outlet }) => outlet), ["broker", "failing", "dying"])
        const [broker, first, second] = reasons.map(({ cause }) => cause)
        assert.isTrue(broker?.reasons.every(Cause.isFailReason))
        assert.deepInclude(first?.reasons[0], { _tag: "Fail" })
        assert.match(String(second === undefined ? "" : Cause.squash(second)), /a bug in dying/)
      }
      assert.deepInclude((yield* bench.delivery.stats).deadLettered, { brokerFailed: 2 })
    }))

  it.effect("says of a dead letter that the breaker was open, when it was", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make()
      yield* openBreaker(bench)
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 1, 1), [{ _tag: "DeadLettered", reason: "breakerOpen" }])
      const [letter] = yield* bench.delivery.deadLetters.list({ user: ada })
      const [reason] = letter?.reasons ?? []
      assert.deepInclude(reason === undefined ? undefined : Cause.squash(reason.cause), {
        _tag: "BreakerOpen",
        breaker: "broker"
      })
    }))

  for (const bug of ["die", "throw"] as const) {
    it.effect(`fault 1: takes a broker that ${bug}s for this user's trouble, without a retry, and keeps the cause`, () =>
      Effect.gen(function*() {
        const bench = yield* DeliveryBench.make()
        bench.broker.behaviour = bug
        assert.deepStrictEqual(yield* deliverEach(bench, ada, 1, 1), [{ _tag: "DeadLettered", reason: "defect" }])
        const [letter] = yield* bench.delivery.deadLetters.list()
        const cause = letter?.reasons[0]?.cause
        assert.isTrue(cause !== undefined && Cause.hasDies(cause))
        assert.deepInclude(yield* bench.delivery.stats, { appendFailures: 1, retries: 0 })
        yield* deliverEach(bench, ada, 2, 20)
        assert.deepStrictEqual(yield* bench.delivery.breakers[0].state, { _tag: "Closed", failures: 0 })
      }))
  }

  it.effect("gives each channel a breaker of its own", () =>
    Effect.gen(function*() {
      const bad = new ScriptedChannel("bad")
      bad.behaviour = "fail"
      const good = new ScriptedChannel("good")
      const bench = yield* DeliveryBench.make({
        channels: [bad, good],
        channelBreaker: { failures: 2, openFor: { first: "1 minute", cap: "1 minute" } }
      })
      bench.broker.behaviour = "fail"
      const outcomes = yield* deliverEach(bench, ada, 1, 6)
      assert.isTrue(outcomes.every((outcome) => outcome._tag === "HandedOver" && outcome.channel === "good"))
      assert.strictEqual(bad.calls, 2)
      assert.strictEqual(good.calls, 6)
      assert.deepInclude((yield* bench.delivery.stats).breakerOpenings, { bad: 1, good: 0 })
    }))

  it.effect("refuses two spools, and two ways out of one name, where the delivery is made", () =>
    Effect.gen(function*() {
      const spools = [yield* Spool.memory(), { ...(yield* Spool.memory()), name: "another" }]
      for (
        const channels of [spools, [new ScriptedChannel("a"), new ScriptedChannel("a")], [
          new ScriptedChannel("broker")
        ]]
      ) {
        const exit = yield* Effect.exit(DeliveryBench.make({ channels }))
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof TypeError)
      }
    }))
})

describe("Delivery, when it is interrupted", () => {
  it.effect("spools the batch of a hanging append", () =>
    Effect.gen(function*() {
      const spool = yield* Spool.memory()
      const other = new ScriptedChannel("other")
      const bench = yield* DeliveryBench.make({ channels: [other, spool] })
      bench.broker.behaviour = "hang"
      const fiber = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", 1, 2)))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(other.calls, 0)
      assert.strictEqual((yield* bench.delivery.stats).spool?.events, 2)
      bench.broker.behaviour = "ok"
      yield* TestClock.adjust("1 second")
    }))

  it.effect("makes dead letters of the batch without a spool: during the append, the retry, and a hanging channel", () =>
    Effect.gen(function*() {
      const channel = new ScriptedChannel("other")
      channel.behaviour = "hang"
      const bench = yield* DeliveryBench.make({
        channels: [channel],
        retry: { attempts: 1, base: "1 hour", cap: "1 hour" }
      })
      const interruptWhile = Effect.fnUntraced(function*(behaviour: Behaviour, sequence: number) {
        bench.broker.behaviour = behaviour
        const fiber = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", sequence)))
        yield* TestClock.adjust(0)
        assert.isUndefined(fiber.pollUnsafe())
        yield* Fiber.interrupt(fiber)
      })
      yield* interruptWhile("hang", 1)
      yield* interruptWhile("fail", 2)
      yield* interruptWhile("die", 3)
      assert.strictEqual(channel.calls, 1)
      const letters = yield* bench.delivery.deadLetters.list()
      assert.deepStrictEqual(letters.map(({ event, trigger }) => [event.sequence, trigger]), [
        [1, "interrupted"],
        [2, "interrupted"],
        [3, "defect"]
      ])
    }))

  it.effect("spools the batch that a hanging channel before the spool had", () =>
    Effect.gen(function*() {
      const channel = new ScriptedChannel("other")
      channel.behaviour = "hang"
      const spool = yield* Spool.memory()
      const bench = yield* DeliveryBench.make({ channels: [channel, spool] })
      bench.broker.behaviour = "fail"
      const fiber = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", 1)))
      yield* TestClock.adjust("5 millis")
      assert.strictEqual(channel.calls, 1)
      yield* Fiber.interrupt(fiber)
      const stats = yield* bench.delivery.stats
      assert.deepInclude(stats.handedOver, { spool: 1 })
      assert.strictEqual(stats.deadLetters.events, 0)
    }))

  it.effect("does not keep what ended before the interruption", () =>
    Effect.gen(function*() {
      const spool = yield* Spool.memory()
      const bench = yield* DeliveryBench.make({ channels: [spool] })
      const fiber = Effect.runFork(bench.delivery.deliver(ada, envelopes("ada", 1)))
      yield* Fiber.interrupt(fiber)
      const stats = yield* bench.delivery.stats
      assert.deepInclude(stats, { appendedEvents: 1 })
      assert.strictEqual(stats.spool?.events, 0)
      assert.strictEqual(stats.deadLetters.events, 0)
    }))

  it.effect("frees the probe's place", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make()
      yield* openBreaker(bench)
      yield* TestClock.adjust("1 second")
      bench.broker.behaviour = "hang"
      const probe = yield* Effect.forkChild(bench.deliver(ada, envelopes("ada", 1)))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(probe)
      bench.broker.behaviour = "ok"
      assert.deepInclude(yield* bench.deliver(bob, envelopes("bob", 1)), { _tag: "Appended" })
    }))
})

describe("Delivery, with a spool", () => {
  it.effect("queues newer events of a user behind those in the spool, while other users go direct", () =>
    Effect.gen(function*() {
      const spool = yield* Spool.memory()
      const bench = yield* DeliveryBench.make({ channels: [new ScriptedChannel("unused"), spool].toReversed() })
      bench.broker.decide = ({ user }) => user === ada ? "fail" : "ok"
      yield* deliverEach(bench, ada, 1, 1)
      const calls = () => bench.broker.calls.filter(({ user }) => user === ada).length
      const before = calls()
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 2, 2), [{ _tag: "HandedOver", channel: "spool" }])
      assert.strictEqual(calls(), before)
      assert.deepInclude(yield* bench.deliver(bob, envelopes("bob", 1)), { _tag: "Appended" })
      bench.broker.decide = () => "ok"
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 2])
    }))

  it.effect("delivers within the call only for users who have nothing in the spool", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make({ channels: [yield* Spool.memory()] })
      const { deliverUnsafe = assert.fail("nothing is delivered within the call") } = bench.delivery
      bench.broker.behaviour = "fail"
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 1, 1), [{ _tag: "HandedOver", channel: "spool" }])
      bench.broker.behaviour = "ok"
      assert.isUndefined(deliverUnsafe(ada, envelopes("ada", 2)))
      assert.deepInclude(deliverUnsafe(bob, envelopes("bob", 1)), { _tag: "Appended" })
      yield* TestClock.adjust("20 seconds")
      assert.deepInclude(deliverUnsafe(ada, envelopes("ada", 2)), { _tag: "Appended" })
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 2])
    }))

  it.effect("uses the spool first for a user who has something there, wherever it stands in the order", () =>
    Effect.gen(function*() {
      const first = new ScriptedChannel("first")
      const spool = yield* Spool.memory()
      const bench = yield* DeliveryBench.make({ channels: [first, spool] })
      bench.broker.behaviour = "fail"
      first.behaviour = "fail"
      yield* deliverEach(bench, ada, 1, 1)
      first.behaviour = "ok"
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 2, 2), [{ _tag: "HandedOver", channel: "spool" }])
      assert.deepStrictEqual(yield* deliverEach(bench, bob, 1, 1), [{ _tag: "HandedOver", channel: "first" }])
    }))

  it.effect("asks the next channel, and never the broker, when the spool that holds older events is full", () =>
    Effect.gen(function*() {
      const spool = yield* Spool.memory({ maxEvents: 2, userShare: 1 })
      const next = new ScriptedChannel("next")
      const bench = yield* DeliveryBench.make({ channels: [spool, next] })
      bench.broker.behaviour = "fail"
      yield* deliverEach(bench, ada, 1, 2)
      const before = bench.broker.calls.filter(({ batch }) => batch[0].sequence === 3).length
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 3, 3), [{ _tag: "HandedOver", channel: "next" }])
      assert.strictEqual(bench.broker.calls.filter(({ batch }) => batch[0].sequence === 3).length, before)
      next.behaviour = "fail"
      assert.deepStrictEqual(yield* deliverEach(bench, ada, 4, 4), [{ _tag: "DeadLettered", reason: "behindSpool" }])
      // That it was full, however often, says nothing against it: with room again it takes events at once.
      yield* deliverEach(bench, ada, 5, 9)
      bench.broker.decide = ({ user }) => user === ada ? "ok" : "fail"
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* deliverEach(bench, bob, 1, 1), [{ _tag: "HandedOver", channel: "spool" }])
      assert.deepInclude((yield* bench.delivery.stats).breakerOpenings, { spool: 0 })
    }))

  it.effect("keeps what cannot be delivered in time: in the spool, or else as dead letters", () =>
    Effect.gen(function*() {
      const spool = yield* Spool.memory({ maxEvents: 1, userShare: 1 })
      const bench = yield* DeliveryBench.make({ channels: [new ScriptedChannel("other"), spool] })
      bench.broker.behaviour = "fail"
      assert.deepStrictEqual(yield* bench.delivery.keep(ada, envelopes("ada", 1)), {
        _tag: "HandedOver",
        channel: "spool"
      })
      assert.deepStrictEqual(yield* bench.delivery.keep(ada, envelopes("ada", 2)), {
        _tag: "DeadLettered",
        reason: "interrupted"
      })
    }))
})

describe("Delivery, its scope", () => {
  it.effect("starts nothing that outlives it, though the spool is full and the broker down", () =>
    Effect.gen(function*() {
      const spool = yield* Spool.memory()
      const scope = yield* Scope.make()
      const bench = yield* Scope.provide(DeliveryBench.make({ channels: [spool] }), scope)
      bench.broker.behaviour = "fail"
      yield* deliverEach(bench, ada, 1, 3)
      yield* Scope.close(scope, Exit.void)
      const calls = bench.broker.calls.length
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(bench.broker.calls.length, calls)
    }))
})
