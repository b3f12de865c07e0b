/**
 * Builds the emitting engine.
 *
 * `EmitterLayer(options)` takes plain options, `EmitterLayer.config` reads the
 * same settings from `Config`. Both need a `Broker`, check every setting when
 * the layer is built, and start nothing before. When the layer's scope closes,
 * active runs end as `cancelled` and what is pending is delivered within
 * `closeTimeout`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AgentEvents, Broker, Emitter, EmitterLayer, Emitters } from "effect-emitter"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const emitters = yield* Emitters
 *   const emitter = yield* emitters.forUser({ userId: "ada" })
 *   return yield* emitter.emit(AgentEvents.Custom.make({ name: "hello", data: null }))
 * })).pipe(
 *   Effect.provide(EmitterLayer({ profile: "lowLatency" })),
 *   Effect.provide(Broker.layerMemory())
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { Broker } from "../broker/Broker.ts"
import * as Batcher from "./Batcher.ts"
import type { Delivery } from "./Delivery.ts"
import { Emitters, fromEngine } from "./Emitter.ts"
import * as EmitterConfig from "./EmitterConfig.ts"
import * as Engine from "./Engine.ts"
import type { Outbox } from "./Outbox.ts"

const build = Effect.fnUntraced(function*(config: EmitterConfig.EmitterConfig) {
  const broker = yield* Broker
  // The batcher is made first, so that it ends after the engine it serves.
  const batcher = yield* Batcher.make<Outbox>({
    maxDelay: config.batching.maxDelay,
    send: (outbox) => {
      outbox.marked = false
      engine.flush(outbox)
    }
  })
  const { appendUnsafe } = broker
  const delivery: Delivery = {
    ...(appendUnsafe === undefined ? {} : {
      deliverUnsafe: (user, batch) => ({ _tag: "Appended", position: appendUnsafe(user, batch) })
    }),
    deliver: (user, batch) =>
      Effect.matchCauseEffect(broker.append(user, batch), {
        onSuccess: (position) => Exit.succeed({ _tag: "Appended", position }),
        onFailure: (cause) => Exit.succeed({ _tag: "DeadLettered", reason: Cause.pretty(cause) })
      })
  }
  const engine: Engine.Engine = yield* Engine.make({ config, broker, delivery, mark: batcher.mark })
  return yield* fromEngine(engine)
})

const fromOptions = (
  options: EmitterConfig.Options = {}
): Layer.Layer<Emitters, EmitterConfig.EmitterConfigError, Broker> =>
  Layer.effect(Emitters, Effect.flatMap(EmitterConfig.decode(options), build))

const fromConfig: Layer.Layer<Emitters, Config.ConfigError, Broker> = Layer.effect(
  Emitters,
  Effect.flatMap(EmitterConfig.config, build)
)

/**
 * @category layers
 * @since 0.1.0
 */
export const EmitterLayer: {
  (options?: EmitterConfig.Options): Layer.Layer<Emitters, EmitterConfig.EmitterConfigError, Broker>
  readonly config: Layer.Layer<Emitters, Config.ConfigError, Broker>
} = Object.assign(fromOptions, { config: fromConfig })
