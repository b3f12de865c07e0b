/**
 * Waits until a device has acknowledged an event.
 *
 * The acknowledgement may come from a device on another node: the broker
 * carries it. While nobody has acknowledged, each attempt makes sure that the
 * log still holds the event (the same event, with the same id) and waits again.
 * Once the emitter has closed there is no further attempt.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Broker } from "../../broker/Broker.ts"
import type { Event } from "../../protocol/event/Event.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { Dispatcher } from "../dispatch/Dispatcher.ts"
import { type EmitError, NotConfirmed } from "../EmitError.ts"
import type { Acceptor } from "./Acceptor.ts"
import type { Binding } from "./Binding.ts"

/**
 * How long and how often to wait: `attempts` (default 1) times up to `within`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfirmOptions {
  readonly within: Duration.Input
  readonly attempts?: number | undefined
}

/**
 * Emits an event as a critical one, waits until a device has acknowledged it, and
 * gives its position. With a `key` it is in the log once.
 *
 * @category models
 * @since 0.1.0
 */
export type Confirm = (
  binding: Binding,
  event: Event,
  options: ConfirmOptions,
  key?: string
) => Effect.Effect<Position, EmitError>

/**
 * Makes the waiting over one broker.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  acceptor: Acceptor,
  dispatcher: Dispatcher,
  broker: Pick<Broker["Service"], "acknowledged" | "head" | "readers">
): Confirm =>
  Effect.fnUntraced(function*(binding, event, options, key) {
    const { envelope, receipt } = yield* Effect.suspend(() => acceptor.emitConfirmed(binding, event, key))
    const { user } = binding.outbox
    const attempts = Math.max(1, options.attempts ?? 1)
    let position = receipt._tag === "Appended" ? receipt.position : undefined
    let progress: NotConfirmed["progress"] = "notAppended"

    const appended = Effect.map(
      dispatcher.deliverAgain(user, envelope),
      (outcome) => outcome._tag === "Appended" ? outcome.position : undefined
    )
    const isStillThere = (at: Position) =>
      broker.head(user).pipe(
        Effect.map((head) => head.epoch === at.epoch),
        Effect.orElseSucceed(() => true)
      )

    let attempt = 0
    for (; attempt < attempts; attempt++) {
      // A closed emitter delivers nothing any more.
      if (attempt > 0 && acceptor.isClosed(binding)) break
      if (position === undefined ? attempt > 0 : !(yield* isStillThere(position))) position = yield* appended
      if (position === undefined) {
        progress = "notAppended"
        yield* Effect.sleep(options.within)
        continue
      }
      const done = yield* broker.acknowledged(user, position).pipe(
        Effect.timeoutOption(options.within),
        Effect.orElseSucceed(() => Option.none<void>())
      )
      if (Option.isSome(done)) return position
      const readers = yield* Effect.orElseSucceed(broker.readers(user), () => 0)
      progress = readers === 0 ? "notConnected" : "notAcknowledged"
    }
    return yield* acceptor.rejected(
      new NotConfirmed({
        event: event.type,
        progress,
        attempts: attempt,
        withinMs: Duration.toMillis(options.within)
      })
    )
  })
