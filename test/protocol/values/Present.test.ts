/**
 * A field that is present and `undefined` counts as absent, where it runs. Where it is compiled, `test/package/package.test.ts`
 * shows it, by the same fields.
 */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Schema } from "effect"
import { EmitterPool, Emitters, Event } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { Options as RedisOptions } from "../../../src/broker/redis/connection/Options.ts"
import { defaults } from "../../../src/client/session/Reconnect.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { present, withDefaults } from "../../../src/protocol/values/Present.ts"
import { layer } from "../../emitter/support/emitting.ts"
import * as fields from "./undefinedFields.ts"

const dataOf = (event: Event.Event, runId?: string) =>
  Effect.gen(function*() {
    const { forUser } = yield* Emitters
    const ada = yield* forUser({ ...fields.context, runId })
    yield* ada.emit(Event.critical(event))
    const log = yield* (yield* TestBroker.TestBroker).log(UserId.make("ada"))
    return log.map(({ event: { data } }) => data)
  }).pipe(Effect.provide(layer({ config: { lifecycle: "observe" } })))

describe("a field that is undefined", () => {
  it("fault 32: is compiled beside mistakes, which the compiler has to find", () => assert.isNotEmpty(fields.wrong))

  it.effect("fault 32: is not part of an event, at any depth", () =>
    Effect.gen(function*() {
      const [data] = yield* dataOf(fields.trip)
      assert.deepStrictEqual(data, { to: "Oslo", seat: { row: 3 }, legs: [{ from: "Bergen" }] })
    }))

  it.effect("fault 32: is not part of an event of the built-in catalog", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* dataOf(fields.usage, "r"), [{ inputTokens: 1, outputTokens: 2 }])
    }))

  it.effect("fault 32: leaves the other fields to be encoded as they are", () =>
    Effect.gen(function*() {
      const at = DateTime.makeUnsafe(0)
      const [data] = yield* dataOf(fields.Trip.make({ to: "Oslo", at, note: undefined, legs: [] }))
      assert.deepStrictEqual(data, { to: "Oslo", at: "1970-01-01T00:00:00.000Z", legs: [] })
    }))

  it.effect("fault 32: where it is needed, or known to nobody, is refused with its path", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(dataOf(fields.Trip.make({ to: undefined as never, note: undefined, legs: [] })))
      assert.include(error.message, `["to"]`)
      assert.notInclude(error.message, `["note"]`)
    }))

  it.effect("fault 32: counts as absent in the options of every part", () =>
    Effect.gen(function*() {
      yield* fields.built
      yield* fields.spool
      yield* fields.notifier
      yield* Layer.build(fields.emitters)
      assert.isDefined(fields.asyncApi["channels"])
      const decode = Schema.decodeUnknownEffect(RedisOptions, { errors: "all", onExcessProperty: "error" })
      const [one, several] = yield* Effect.forEach(fields.redis, (options) => decode(present(options)))
      assert.deepStrictEqual(one, yield* decode({ url: "redis://127.0.0.1:6379/0" }))
      assert.deepStrictEqual(several?.urls, ["redis://127.0.0.1:6379/0", {
        url: "redis://127.0.0.1:6379/1",
        weight: 1
      }])
    }))

  it.effect("fault 32: makes no other emitter of a pool", () =>
    Effect.gen(function*() {
      const { get, stats } = yield* EmitterPool.EmitterPool
      yield* get(fields.context)
      yield* get({ userId: "ada" })
      assert.strictEqual((yield* stats).created, 1)
    }).pipe(Effect.provide(fields.pool.pipe(Layer.provide(layer())))))

  it("fault 32: leaves a default as it is", () => {
    assert.deepStrictEqual(withDefaults(defaults, fields.client.backoff), defaults)
    assert.deepStrictEqual(withDefaults(defaults, { baseMs: 1, capMs: undefined }), { ...defaults, baseMs: 1 })
    assert.deepStrictEqual(withDefaults(defaults, undefined), defaults)
  })
})
