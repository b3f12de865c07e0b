/**
 * A fallback channel that is an effect of yours: mail, push, a message to a
 * queue.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { EmitterLayer, FallbackChannel, Notifier } from "effect-emitter"
 *
 * const push = Notifier.make({
 *   name: "push",
 *   deadline: "3 seconds",
 *   notify: (user, batch) => Effect.log(`${batch.length} events wait for ${user}`)
 * })
 *
 * const emitters = EmitterLayer().pipe(FallbackChannel.provide(push))
 * ```
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import { ChannelError, ChannelTimeout, ChannelUnavailable, type FallbackChannel } from "./FallbackChannel.ts"

/**
 * - `notify` gets a whole batch of a user, and answers for all of it when it
 *   succeeds: what it does not pass on, such as events that are not critical, is
 *   gone. `body` of an envelope is its JSON text (see `Envelope`).
 * - `deadline` ends a `notify` that takes longer, default 10 seconds.
 * - `name` is `notifier` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E, R> {
  readonly notify: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<void, E, R>
  readonly deadline?: Duration.Input | undefined
  readonly name?: string | undefined
}

/**
 * Makes the channel, with the services `notify` needs from where it is made.
 * What `notify` fails with is the `cause` of a `ChannelUnavailable`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*<E = never, R = never>(
  options: Options<E, R>
): Effect.fn.Return<FallbackChannel, never, R> {
  const context = yield* Effect.context<R>()
  const name = options.name ?? "notifier"
  const deadline = Duration.fromInputUnsafe(options.deadline ?? "10 seconds")
  return {
    name,
    deliver: (user, batch) =>
      Effect.suspend(() => options.notify(user, batch)).pipe(
        Effect.mapError((cause) => new ChannelError({ channel: name, reason: new ChannelUnavailable({ cause }) })),
        Effect.timeoutOrElse({
          duration: deadline,
          orElse: () =>
            Effect.fail(
              new ChannelError({
                channel: name,
                reason: new ChannelTimeout({ withinMs: Duration.toMillis(deadline) })
              })
            )
        }),
        Effect.provideContext(context)
      )
  }
})
