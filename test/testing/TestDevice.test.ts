import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { Broker, Command, Emitter, EmitterLayer } from "effect-emitter"
import { TestDevice } from "effect-emitter/testing"

const engine = EmitterLayer().pipe(Layer.provideMerge(Broker.layerMemory()))

const Steer = Command.make("steer", { payload: { at: Schema.Date } })

/** A run of Ada's, on a fiber of its own. */
const begin = <A, E>(program: Effect.Effect<A, E, Emitter.Emitter>) =>
  Effect.forkChild(
    Effect.exit(program.pipe(
      Emitter.run({ agentName: "writer", commands: [Steer] }),
      Effect.provide(Emitter.layerUser({ userId: "ada", runId: "r1" }))
    )),
    { startImmediately: true }
  )

const device = TestDevice.of("ada", "r1")

describe("TestDevice", () => {
  it.effect("stops a run, and is told what a device is told", () =>
    Effect.gen(function*() {
      const run = yield* begin(Effect.never)
      assert.deepStrictEqual(yield* device.cancel("enough"), Command.accepted)
      const exit = yield* Fiber.join(run)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepInclude(yield* device.cancel(), { outcome: "refused", reason: "ended" })
      assert.deepInclude(yield* TestDevice.of("bob", "r1").cancel(), { outcome: "refused", reason: "unknownRun" })
    }).pipe(Effect.provide(engine)))

  it.effect("answers what a run asks, and sends commands of the program's own as they are encoded", () =>
    Effect.gen(function*() {
      const at = new Date("2026-01-02T03:04:05.000Z")
      const run = yield* begin(Effect.all([
        Emitter.ask({ kind: "text", title: "Name?" }),
        Emitter.commands(Steer).pipe(Stream.take(1), Stream.runCollect)
      ]))
      assert.deepInclude(yield* device.answer("request-1", 1), { outcome: "refused", reason: "invalid" })
      assert.deepStrictEqual(yield* device.answer("request-1", "Ada"), Command.accepted)
      assert.deepStrictEqual(yield* device.send(Steer, { at }), Command.accepted)
      const exit = yield* Fiber.join(run)
      assert.deepStrictEqual(Exit.isSuccess(exit) && exit.value, ["Ada", [{ at }]])
    }).pipe(Effect.provide(engine)))

  it.effect("dies over a broker that takes no commands", () =>
    Effect.gen(function*() {
      const { commands: _, ...broker } = yield* Broker.Broker
      const exit = yield* Effect.exit(Effect.provideService(device.cancel(), Broker.Broker, broker))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }).pipe(Effect.provide(Broker.layerMemory())))
})
