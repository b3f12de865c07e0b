import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer, EmitterPool, Emitters, Identity } from "effect-emitter"
import { TestClock } from "effect/testing"

const pool = (options: EmitterPool.Options) =>
  EmitterPool.layer(options).pipe(Layer.provideMerge(EmitterLayer()), Layer.provideMerge(Broker.layerMemory()))

const use = <A, E>(userId: string, f: (emitter: Emitter.Emitter["Service"]) => Effect.Effect<A, E>) =>
  EmitterPool.EmitterPool.pipe(Effect.flatMap(({ get }) => get({ userId })), Effect.flatMap(f), Effect.scoped)

const nothing = () => Effect.void

const stats = Effect.flatMap(EmitterPool.EmitterPool, (service) => service.stats)

const delta = AgentEvents.Custom.make({ name: "note", data: null })

describe("EmitterPool", () => {
  it.effect("gives the same emitter for the same context, and another for another", () =>
    Effect.gen(function*() {
      const first = yield* use("ada", Effect.succeed)
      const again = yield* use("ada", Effect.succeed)
      const other = yield* use("bob", Effect.succeed)
      assert.strictEqual(again, first)
      assert.notStrictEqual(other, first)
      assert.deepStrictEqual(yield* stats, { open: 2, inUse: 0, created: 2, reused: 1, evicted: 0, exhausted: 0 })
    }).pipe(Effect.provide(pool({}))))

  it.effect("keeps what is pending between uses, so that it still goes out in one batch", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const ada = Identity.UserId.make("ada")
      yield* use("ada", (emitter) => emitter.emit(delta))
      yield* use("ada", (emitter) => emitter.emit(delta))
      assert.strictEqual((yield* broker.head(ada)).offset, 0)
      yield* TestClock.adjust("20 millis")
      assert.strictEqual((yield* broker.head(ada)).offset, 2)
      assert.strictEqual((yield* (yield* Emitters).stats).batches, 1)
    }).pipe(Effect.provide(pool({}))))

  it.effect("closes the one unused for longest to make room, and delivers what it had pending", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      yield* use("ada", (emitter) => emitter.emit(delta))
      yield* use("bob", nothing)
      yield* use("ada", nothing)
      yield* use("cem", nothing)
      yield* use("dan", nothing)
      assert.strictEqual((yield* broker.head(Identity.UserId.make("ada"))).offset, 1)
      assert.deepStrictEqual(yield* stats, { open: 2, inUse: 0, created: 4, reused: 1, evicted: 2, exhausted: 0 })
    }).pipe(Effect.provide(pool({ capacity: 2 }))))

  it.effect("fails when all are in use, and works again when one is given back", () =>
    Effect.gen(function*() {
      const { get } = yield* EmitterPool.EmitterPool
      const scope = yield* Scope.make()
      yield* Scope.provide(get({ userId: "ada" }), scope)
      const refused = yield* Effect.flip(use("bob", nothing))
      assert.deepStrictEqual(refused, new EmitterPool.PoolExhausted({ capacity: 1 }))
      yield* Scope.close(scope, Exit.void)
      yield* use("bob", nothing)
      assert.deepStrictEqual(yield* stats, { open: 1, inUse: 0, created: 2, reused: 0, evicted: 1, exhausted: 1 })
    }).pipe(Effect.provide(pool({ capacity: 1 }))))

  it.effect("closes one that was unused for its time to live", () =>
    Effect.gen(function*() {
      yield* use("ada", nothing)
      assert.strictEqual((yield* (yield* Emitters).stats).emitters, 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* (yield* Emitters).stats).emitters, 0)
      assert.strictEqual((yield* stats).open, 0)
    }).pipe(Effect.provide(pool({ idleTimeToLive: "1 minute" }))))

  it.effect("does not remember a refused context", () =>
    Effect.gen(function*() {
      for (let attempt = 0; attempt < 3; attempt++) {
        assert.strictEqual((yield* Effect.flip(use("null", nothing)))._tag, "InvalidContext")
      }
      assert.strictEqual((yield* stats).open, 0)
    }).pipe(Effect.provide(pool({ capacity: 1 }))))
})
