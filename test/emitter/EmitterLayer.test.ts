/**
 * What an emitters' layer is given besides its options: fallback channels, and an operator who is told.
 */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import {
  Broker,
  type ConfigError,
  type DeadLetters,
  EmitterLayer,
  Emitters,
  FallbackChannel,
  Notifier,
  OperatorAlert,
  Spool
} from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { urgent, within } from "./support/emitting.ts"

class Mail extends Context.Service<Mail, (alert: OperatorAlert.Alert) => void>()("test/Mail") {}

/** A channel that takes everything. */
const channel = (name: string) => Notifier.make({ name, notify: () => Effect.void })

const failing = Layer.effectDiscard(Effect.flatMap(TestBroker.TestBroker, ({ behave }) => behave("fail"))).pipe(
  Layer.provideMerge(TestBroker.layer(Broker.layerMemory()))
)

/** Where an event goes that the broker does not take. */
const wayOut = Effect.flatMap(
  Emitters,
  ({ forUser }) =>
    Effect.flatMap(forUser({ userId: "ada" }), (emitter) => within("1 minute", emitter.emit(urgent("x"))))
).pipe(
  Effect.scoped
)

describe("EmitterLayer", () => {
  it.effect("asks its channels in their order, and tells its operator", () => {
    const alerts: Array<OperatorAlert.Alert> = []
    const emitters = EmitterLayer().pipe(
      FallbackChannel.provide(
        Notifier.make({ name: "first", notify: () => Effect.fail("no") }),
        channel("second"),
        channel("third")
      ),
      OperatorAlert.provide({ notify: (alert) => Effect.map(Mail, (send) => send(alert)) }),
      Layer.provide(Layer.succeed(Mail, (alert) => void alerts.push(alert))),
      Layer.provide(failing)
    )
    return Effect.gen(function*() {
      for (let n = 0; n < 5; n++) {
        assert.deepStrictEqual(yield* wayOut, { _tag: "HandedOver", channel: "second" })
      }
      assert.containsSubset(alerts, [{ breakerOpenings: { first: 1 } }])
    }).pipe(Effect.provide(emitters))
  })

  it.effect("bridges an outage with a spool in memory unless it is given channels, and none is one way to do so", () =>
    Effect.gen(function*() {
      const emitters = EmitterLayer().pipe(Layer.provide(failing))
      const without = EmitterLayer().pipe(FallbackChannel.provide(), Layer.provide(failing))
      assert.deepStrictEqual(yield* Effect.provide(wayOut, emitters), { _tag: "HandedOver", channel: "spool" })
      assert.deepInclude(yield* Effect.provide(wayOut, without), { _tag: "DeadLettered" })
    }))

  it.effect("shares nothing with another one of the same program, whichever is built first", () =>
    Effect.gen(function*() {
      const give = (name: string) => EmitterLayer().pipe(FallbackChannel.provide(channel(name)))
      const way = (emitters: Layer.Layer<Emitters, ConfigError.ConfigError, Broker.Broker>) =>
        Layer.effectDiscard(Effect.map(wayOut, (way) => void ways.push(way))).pipe(Layer.provide(emitters))
      const ways: Array<unknown> = []
      yield* Effect.provide(
        Effect.void,
        Layer.mergeAll(way(give("a")), way(EmitterLayer()), way(give("b"))).pipe(Layer.provide(failing))
      )
      assert.sameDeepMembers(ways, ["a", "spool", "b"].map((channel) => ({ _tag: "HandedOver", channel })))
    }))

  it("is what channels and an operator are given to, with what they need and fail with; beside it they do not compile", () => {
    const given = EmitterLayer().pipe(
      FallbackChannel.provide(Spool.sqlite({ file: "spool.db" }), channel("push")),
      OperatorAlert.provide({ notify: () => Effect.flatMap(Mail, () => Effect.fail("no")) })
    )
    expectTypeOf(given).toEqualTypeOf<
      Layer.Layer<
        Emitters | DeadLetters.DeadLetters,
        ConfigError.ConfigError | Spool.SpoolOpenError,
        Broker.Broker | Mail
      >
    >()
    const [channels, operator] = [
      FallbackChannel.provide(channel("push")),
      OperatorAlert.provide({ notify: () => Effect.void })
    ]
    // @effect-diagnostics anyUnknownInErrorContext:off
    const mistakes = () => [
      // @ts-expect-error: channels are no layer
      Layer.mergeAll(EmitterLayer(), channels),
      // @ts-expect-error: channels are no layer
      EmitterLayer().pipe(Layer.provide(channels)),
      // @ts-expect-error: an operator is no layer
      Layer.mergeAll(EmitterLayer(), operator),
      // @ts-expect-error: a broker has no channels
      Broker.layerMemory().pipe(channels),
      // @ts-expect-error: a broker tells no operator
      Broker.layerMemory().pipe(operator)
    ]
    assert.isFunction(mistakes)
  })
})
