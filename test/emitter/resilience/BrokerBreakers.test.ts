import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, Layer, Metric } from "effect"
import { AgentEvents, Broker, EmitterLayer, Emitters } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import * as MemorySpoolStore from "../../../src/emitter/fallback/MemorySpoolStore.ts"
import * as Spool from "../../../src/emitter/fallback/Spool.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { DeliveryBench, ScriptedChannel } from "../support/DeliveryBench.ts"
import { envelopes, sequences, userId } from "../support/envelopes.ts"
import { ScriptedBroker } from "../support/ScriptedBroker.ts"

const [ada, bob] = [userId("left-ada"), userId("right-bob")]

/** Two parts, told by how a user's id begins. */
const domains: Broker.Domains = { names: ["left", "right"], of: (user) => user.split("-")[0] ?? "" }

const brokerWithoutLeft = () => {
  const broker = new ScriptedBroker(domains)
  broker.decide = ({ user }) => domains.of(user) === "left" ? "fail" : "ok"
  return broker
}

const deliver = (bench: DeliveryBench, user: UserId, sequence: number) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(bench.deliver(user, envelopes(user, sequence)))
    yield* TestClock.adjust("5 millis")
    return yield* Fiber.join(fiber)
  })

const states = (bench: DeliveryBench) =>
  Effect.forEach(bench.delivery.breakers, ({ name, state }) => Effect.map(state, ({ _tag }) => `${name}: ${_tag}`))

describe("BrokerBreakers", () => {
  it.effect("keep the trouble of one domain from the users of another", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make({
        broker: brokerWithoutLeft(),
        channels: [new ScriptedChannel("other")]
      })
      for (let sequence = 1; sequence <= 3; sequence++) {
        assert.deepStrictEqual(yield* deliver(bench, ada, sequence), { _tag: "HandedOver", channel: "other" })
      }
      assert.deepStrictEqual(yield* states(bench), ["broker/left: Open", "broker/right: Closed"])
      const before = bench.broker.calls.length
      assert.deepStrictEqual(yield* deliver(bench, ada, 4), { _tag: "HandedOver", channel: "other" })
      assert.strictEqual(bench.broker.calls.length, before)
      assert.deepInclude(yield* deliver(bench, bob, 1), { _tag: "Appended" })
      assert.deepStrictEqual((yield* bench.delivery.stats).breakerOpenings, {
        "broker/left": 1,
        "broker/right": 0,
        other: 0
      })
    }))

  it.effect("name the domain whose breaker refused a dead letter", () =>
    Effect.gen(function*() {
      const bench = yield* DeliveryBench.make({ broker: brokerWithoutLeft() })
      for (let sequence = 1; sequence <= 3; sequence++) yield* deliver(bench, ada, sequence)
      assert.deepStrictEqual(yield* deliver(bench, ada, 4), { _tag: "DeadLettered", reason: "breakerOpen" })
      const letter = (yield* bench.delivery.deadLetters.list({ user: ada })).at(-1)
      const [reason] = letter?.reasons ?? []
      assert.deepInclude(reason === undefined ? undefined : Cause.squash(reason.cause), {
        _tag: "BreakerOpen",
        breaker: "broker/left"
      })
    }))

  it.effect("let the spool give back what a domain takes, however many users of another still wait before it", () =>
    Effect.gen(function*() {
      const store = yield* MemorySpoolStore.make()
      const broker = brokerWithoutLeft()
      const bench = yield* DeliveryBench.make({ broker, channels: [Spool.make(store)] })
      const waiting = Array.from({ length: 300 }, (_, n) => userId(`left-${n}`))
      for (const user of waiting) yield* deliver(bench, user, 1)
      broker.behaviour = "fail"
      const { decide } = broker
      broker.decide = () => "fail"
      yield* deliver(bench, bob, 1)
      assert.isTrue(store.holds(bob))
      broker.decide = decide
      yield* TestClock.adjust("150 millis")
      assert.isFalse(store.holds(bob))
      assert.deepStrictEqual(sequences(broker.log(bob)), [1])
      assert.strictEqual(store.depth().users, 300)
      broker.decide = () => "ok"
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(store.depth().users, 0)
      for (const user of waiting) assert.deepStrictEqual(sequences(broker.log(user)), [1])
    }))

  it.effect("are told apart in the engine's statistics and metrics", () =>
    Effect.gen(function*() {
      const controls = yield* TestBroker.TestBroker
      const { forUser, stats } = yield* Emitters
      yield* controls.behave(({ user }) => domains.of(user) === "left" ? "fail" : "ok")
      const emitter = yield* forUser({ userId: ada })
      for (let n = 0; n < 3; n++) {
        const emitting = yield* Effect.forkChild(emitter.emit(AgentEvents.Custom.make({ name: "hello", data: null })))
        yield* TestClock.adjust("20 millis")
        yield* Fiber.join(emitting)
      }
      yield* TestClock.adjust("1 second")
      const { breaker, breakers } = yield* stats
      assert.strictEqual(breaker, breakers["broker/left"])
      assert.notStrictEqual(breaker, "closed")
      assert.strictEqual(breakers["broker/right"], "closed")
      const gauges = (yield* Metric.snapshot).filter(({ id }) => id === "emitter_breaker_open")
      assert.deepStrictEqual(
        gauges.map(({ attributes }) => attributes).toSorted((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1),
        [{ breaker: "broker/left" }, { breaker: "broker/right" }]
      )
    }).pipe(
      Effect.scoped,
      Effect.provide(
        EmitterLayer({ profile: "lowLatency" }).pipe(
          Layer.provideMerge(TestBroker.layer(
            Layer.effect(
              Broker.Broker,
              Effect.map(Broker.Broker, (broker) => ({ ...broker, domains }))
            ).pipe(Layer.provide(Broker.layerMemory()))
          ))
        )
      ),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))
})
