/**
 * Another way out for events that the broker does not take.
 *
 * Channels are asked in the order in which they are listed; the first that
 * takes a batch has it for good. Built in: `Spool` (keeps batches and gives
 * them back to the broker in order), `Notifier` (an effect of yours) and
 * `Webhook`. Each channel stands behind a circuit breaker of its own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Channels, type FallbackChannel } from "./Channel.ts"
import type { DeadLetters } from "./DeadLetters.ts"

export {
  /**
   * Why a channel did not take a batch.
   *
   * @category errors
   * @since 0.1.0
   */
  ChannelError,
  /**
   * One of the reasons of a {@link ChannelError}, told apart by `_tag`.
   *
   * @category errors
   * @since 0.1.0
   */
  type ChannelErrorReason,
  /**
   * The other side answered, and refused for good.
   *
   * @category errors
   * @since 0.1.0
   */
  ChannelRefused,
  /**
   * The channel did not end within its deadline.
   *
   * @category errors
   * @since 0.1.0
   */
  ChannelTimeout,
  /**
   * The channel cannot be reached, or what it calls failed.
   *
   * @category errors
   * @since 0.1.0
   */
  ChannelUnavailable,
  /**
   * A fallback channel.
   *
   * @category models
   * @since 0.1.0
   */
  type FallbackChannel
} from "./Channel.ts"

/**
 * Gives an `EmitterLayer` these fallback channels, in this order, with what they
 * need taken from the layer. They are made before the engine, and closed after it.
 *
 * Without it the channel is a spool in memory, which bridges an outage of the
 * broker. Without a channel, as in `FallbackChannel.provide()`, what the broker does
 * not take becomes a dead letter at once.
 *
 * It changes a layer and is none itself, so it cannot be merged beside the engine by
 * mistake, where it would have no effect.
 *
 * ```ts
 * import { EmitterLayer, FallbackChannel, Spool } from "effect-emitter"
 *
 * const emitters = EmitterLayer().pipe(FallbackChannel.provide(Spool.sqlite({ file: "spool.db" })))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export function provide<Given extends ReadonlyArray<Effect.Effect<FallbackChannel, unknown, unknown>>>(
  ...channels: Given
): <A, E, R>(
  self: Layer.Layer<A | DeadLetters, E, R>
) => Layer.Layer<
  A | DeadLetters,
  E | Effect.Error<Given[number]>,
  R | Exclude<Effect.Services<Given[number]>, Scope.Scope>
>
export function provide(...channels: ReadonlyArray<Effect.Effect<FallbackChannel, unknown, unknown>>) {
  return <A, E, R>(self: Layer.Layer<A | DeadLetters, E, R>): Layer.Layer<A | DeadLetters, unknown, unknown> =>
    // The signature above says what each channel needs and fails with.
    // @effect-diagnostics-next-line anyUnknownInErrorContext:off
    Layer.provide(self, Layer.effect(Channels, Effect.all(channels)))
}
