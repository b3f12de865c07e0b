/**
 * A field that is present and `undefined` counts as absent, wherever settings and contexts enter.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker, EmitterConfig, Emitters } from "effect-emitter"
import { GatewayConfig } from "effect-emitter/gateway"
import { present } from "../../../src/protocol/values/Present.ts"
import { layer } from "../../emitter/support/emitting.ts"

describe("a field that is undefined", () => {
  it("fault 32: is left out at any depth, and everything else stays as it is", () => {
    const date = new Date(0)
    const list = [undefined, { a: undefined }]
    const given = { a: undefined, b: { c: undefined, d: null, e: { f: undefined } }, date, list }
    assert.deepStrictEqual(present(given), { b: { d: null, e: {} }, date, list: [undefined, {}] })
    assert.strictEqual(present(undefined), undefined)
  })

  // What JavaScript, and TypeScript without `exactOptionalPropertyTypes`, lets through.
  const nothing: never = undefined as never

  it.effect("fault 32: counts as absent in every kind of settings", () =>
    Effect.gen(function*() {
      const emitter = { profile: nothing, batching: { maxSize: nothing }, tiers: { free: { profile: nothing } } }
      assert.deepStrictEqual(
        yield* EmitterConfig.decode(emitter),
        yield* EmitterConfig.decode({ batching: {}, tiers: { free: {} } })
      )
      const gateway = { name: nothing, path: nothing, connections: { perUser: nothing } }
      assert.deepStrictEqual(yield* GatewayConfig.decode(gateway), yield* GatewayConfig.decode({ connections: {} }))
      yield* Effect.scoped(Layer.build(Broker.layerMemory({ maxEvents: nothing, maxAge: nothing })))
    }))

  it.effect("fault 32: counts as absent in an emitter's context", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const ada = yield* forUser({ userId: "ada", threadId: nothing, runId: nothing, tier: nothing, priority: nothing })
      assert.deepStrictEqual<object>(ada.context, { userId: "ada" })
    }).pipe(Effect.provide(layer())))
})
