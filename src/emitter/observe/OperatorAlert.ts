/**
 * Tells an operator that delivery is in trouble: a circuit breaker opened, or
 * events became dead letters.
 *
 * The first trouble is told at once. What happens within `atMostEvery` after an
 * alert is put together and told in the next one, so trouble that lasts does
 * not flood anybody.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Broker, EmitterLayer, OperatorAlert } from "effect-emitter"
 *
 * const emitters = EmitterLayer().pipe(
 *   OperatorAlert.provide({
 *     notify: (alert) => Effect.logFatal("Delivery is in trouble", alert),
 *     atMostEvery: "5 minutes"
 *   }),
 *   Layer.provide(Broker.layerMemory())
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { DeadLetters } from "../fallback/DeadLetters.ts"
import * as Alerts from "./Alerts.ts"

export {
  /**
   * What happened since the last alert.
   *
   * @category models
   * @since 0.1.0
   */
  type Alert,
  /**
   * How an operator is told, and how often.
   *
   * @category models
   * @since 0.1.0
   */
  type Options
} from "./Alerts.ts"

/**
 * Has an operator told of trouble in an `EmitterLayer`, with what `notify` needs taken
 * from the layer. When the engine closes, what was not told yet is told.
 *
 * It changes a layer and is none itself, so it cannot be merged beside the engine by
 * mistake, where it would have no effect.
 *
 * @category layers
 * @since 0.1.0
 */
export const provide = <E = never, R = never>(options: Alerts.Options<E, R>) =>
<A, E2, R2>(
  self: Layer.Layer<A | DeadLetters, E2, R2>
): Layer.Layer<A | DeadLetters, E2, R2 | Exclude<R, Scope.Scope>> =>
  Layer.provide(self, Layer.effect(Alerts.Current, Alerts.make(options)))
