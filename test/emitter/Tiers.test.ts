import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { AgentEvents, Broker, Emitter, EmitterConfig, EmitterLayer, Emitters, Event, Identity } from "effect-emitter"
import { TestClock } from "effect/testing"

const ada = Identity.UserId.make("ada")

const note = AgentEvents.Custom.make({ name: "note", data: null })

const headOf = (user: Identity.UserId) =>
  Effect.flatMap(Broker.Broker, (broker) => Effect.map(broker.head(user), ({ offset }) => offset))

const engine = (options: EmitterConfig.Options) => EmitterLayer(options).pipe(Layer.provideMerge(Broker.layerMemory()))

const forUser = (context: typeof Identity.EmissionContext.Encoded) =>
  Effect.flatMap(Emitters, (emitters) => emitters.forUser(context))

describe("Tiers", () => {
  it.effect("give their users a batch window of their own", () =>
    Effect.gen(function*() {
      const free = yield* forUser({ userId: "ada", tier: "free" })
      const pro = yield* forUser({ userId: "bob", tier: "pro" })
      yield* free.emit(note)
      yield* pro.emit(note)
      yield* TestClock.adjust("5 millis")
      assert.deepStrictEqual([yield* headOf(ada), yield* headOf(Identity.UserId.make("bob"))], [0, 1])
      yield* TestClock.adjust("95 millis")
      assert.strictEqual(yield* headOf(ada), 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(engine({ tiers: { free: { profile: "throughput" }, pro: { profile: "lowLatency" } } }))
    ))

  it.effect("limit the size of their users' events", () =>
    Effect.gen(function*() {
      const free = yield* forUser({ userId: "ada", tier: "free" })
      const error = yield* Effect.flip(free.emit(AgentEvents.Custom.make({ name: "note", data: "x".repeat(2000) })))
      assert.strictEqual(error.reason._tag === "EventTooLarge" && error.reason.limit, 1000)
    }).pipe(
      Effect.scoped,
      Effect.provide(engine({ tiers: { free: { maxEventBytes: 1000 } } }))
    ))

  it.effect("must be known once there are any, and are a label otherwise", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        forUser({ userId: "ada", tier: "gold" }).pipe(
          Effect.provide(EmitterLayer({ tiers: { free: {} } }))
        )
      )
      assert.deepStrictEqual(
        error,
        new Emitter.InvalidContext({ problem: `no tier is named "gold" (there are: free)\n  at ["tier"]` })
      )
      const emitter = yield* Effect.provide(forUser({ userId: "ada", tier: "gold" }), EmitterLayer())
      assert.strictEqual(emitter.context.tier, "gold")
    }).pipe(Effect.scoped, Effect.provide(Broker.layerMemory())))

  it.effect("are checked like all settings, with their path", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        forUser({ userId: "ada" }).pipe(
          Effect.provide(
            EmitterLayer({ tiers: { pro: { profile: "lowLatency", batching: { maxDelay: "1 second" } } } })
          )
        )
      )
      assert.deepStrictEqual(
        error._tag === "ConfigError" && error.issues.map(({ path }) => path),
        ["tiers.pro.batching.maxDelay"]
      )
    }).pipe(Effect.scoped, Effect.provide(Broker.layerMemory())))
})

describe("Priority", () => {
  const Tick = Event.make("tick", { payload: {}, delivery: "volatile" })

  const acceptedAt = (priority: number) =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      yield* broker.subscribe(ada, () => {})
      const emitter = yield* forUser({ userId: "ada", priority })
      let accepted = 0
      while ((yield* emitter.emit(Tick.make({})))._tag === "Deferred") accepted++
      return accepted
    }).pipe(
      Effect.scoped,
      Effect.provide(engine({ batching: { capacity: 100, maxSize: 100 } }))
    )

  it.effect("decides how much of a user's room volatile events may take", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual([yield* acceptedAt(0), yield* acceptedAt(4)], [10, 50])
    }))
})
