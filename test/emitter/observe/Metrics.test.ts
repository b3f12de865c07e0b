import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import { TestClock } from "effect/testing"

const run = Effect.gen(function*() {
  const emitter = yield* Emitter.Emitter
  yield* emitter.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "Hello " }))
  yield* emitter.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "Ada" }))
  yield* Effect.flip(emitter.emit(AgentEvents.AgentStarted.make({ agentName: "again" })))
  yield* TestClock.adjust("1 second")
}).pipe(Emitter.run({ agentName: "greeter" }), Effect.provide(Emitter.layerUser({ userId: "ada", runId: "r1" })))

const published = Effect.map(Metric.snapshot, (all) =>
  Object.fromEntries(
    all.flatMap(({ attributes, id, state }) => {
      if (!id.startsWith("emitter_") || id === "emitter_last_event_seconds") return []
      const labels = Object.values(attributes ?? {}).map((value) => `{${value}}`).join("")
      const value = "count" in state ? state.count : "value" in state ? state.value : undefined
      return value === 0 || value === 0n ? [] : [[`${id}${labels}`, value]]
    })
  ))

describe("Metrics", () => {
  it.effect("tell what the engine counted, at the latest when its layer closes", () =>
    Effect.gen(function*() {
      yield* run.pipe(Effect.provide(EmitterLayer()))
      const { emitter_memory_bytes: held, ...counted } = yield* published
      assert.isAbove(Number(held), 0)
      assert.deepStrictEqual(counted, {
        "emitter_memory_users": 1,
        "emitter_events_total{agent_started}": 1,
        "emitter_events_total{text_delta}": 2,
        "emitter_events_total{agent_completed}": 1,
        "emitter_merged_total": 1,
        "emitter_rejected_total{IllegalEvent}": 1,
        "emitter_outcomes_total{appended}": 3,
        "emitter_batches_total": 3,
        "emitter_wait_milliseconds": 1
      })
    }).pipe(Effect.provide(Broker.layerMemory()), Effect.provideService(Metric.MetricRegistry, new Map())))
})

describe("emitter_wait_milliseconds", () => {
  it.effect("tells how long lists waited, and says nothing of what went out within its call", () =>
    Effect.gen(function*() {
      yield* run.pipe(Effect.provide(EmitterLayer({ batching: { maxDelay: "30 millis" } })))
      const waits = (yield* Metric.snapshot).find(({ id }) => id === "emitter_wait_milliseconds")
      assert.isTrue(waits?.type === "Histogram")
      if (waits?.type !== "Histogram") return
      const { buckets, count, max, min, sum } = waits.state
      assert.deepStrictEqual({ count, min, max, sum }, { count: 1, min: 30, max: 30, sum: 30 })
      assert.deepStrictEqual(buckets.filter(([, events]) => events > 0)[0], [50, 1])
    }).pipe(Effect.provide(Broker.layerMemory()), Effect.provideService(Metric.MetricRegistry, new Map())))
})
