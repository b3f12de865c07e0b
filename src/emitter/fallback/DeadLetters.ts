/**
 * Keeps the events that no way out took, with the reasons, until somebody
 * replays or clears them.
 *
 * They are kept in memory, 10,000 events and 16 MiB of their text at most. Past
 * that a user who holds more than an even share makes room: that user's oldest
 * letter is dropped, and counted. A user who holds less loses none.
 *
 * Letters of events that a spool in a file held are in that file too, until they
 * are delivered, cleared or dropped. The death of the process loses none of them.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Broker, DeadLetters, EmitterLayer } from "effect-emitter"
 *
 * const program = Effect.gen(function*() {
 *   const deadLetters = yield* DeadLetters.DeadLetters
 *   for (const { event, trigger, user } of yield* deadLetters.list()) {
 *     yield* Effect.logWarning(`${event.id} of ${user} was not delivered: ${trigger}`)
 *   }
 *   return yield* deadLetters.replay()
 * }).pipe(Effect.provide(EmitterLayer().pipe(Layer.provide(Broker.layerMemory()))))
 * ```
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { BrokerError } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { BreakerOpen } from "../resilience/CircuitBreaker.ts"
import type { ChannelError } from "./Channel.ts"

export {
  /**
   * The circuit breaker let no call through, since the broker kept failing.
   *
   * @category errors
   * @since 0.1.0
   */
  BreakerOpen
} from "../resilience/CircuitBreaker.ts"

/**
 * Why one way out did not take an event. `outlet` is `broker`, or the name of a
 * fallback channel; `cause` is all that it failed with, defects included.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reason {
  readonly outlet: string
  readonly cause: Cause.Cause<BrokerError | BreakerOpen | ChannelError>
}

/**
 * Why an event did not reach the broker, the first way out:
 *
 * - `brokerFailed`: the broker failed, and all retries too;
 * - `breakerOpen`: the breaker refused the call;
 * - `behindSpool`: older events of the user wait in the spool, and it took no
 *   more;
 * - `runLost`: its run was ended as lost meanwhile, since the lease of this
 *   process ran out;
 * - `refused`: the broker takes others' events, and does not take this one,
 *   however often it is asked and whatever stands beside it;
 * - `defect`: the same, and each append dies;
 * - `interrupted`: the delivery was interrupted, as when its layer closes;
 * - `damaged`: the spool's file gave it back otherwise than it was written. The
 *   letter's event has type `damaged`, and the text as it was read as its data;
 *   it is not replayed.
 *
 * @category models
 * @since 0.1.0
 */
export const Trigger = Schema.Literals([
  "brokerFailed",
  "breakerOpen",
  "behindSpool",
  "runLost",
  "refused",
  "defect",
  "interrupted",
  "damaged"
])

/**
 * One of the reasons that `Trigger` lists.
 *
 * @category models
 * @since 0.1.0
 */
export type Trigger = typeof Trigger.Type

/**
 * An event that no way out took. `sequence` numbers the letters of one process;
 * `at` is when it became one, in milliseconds since the Unix epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter {
  readonly sequence: number
  readonly user: UserId
  readonly event: Envelope
  readonly trigger: Trigger
  readonly reasons: ReadonlyArray<Reason>
  readonly at: number
}

/**
 * Which letters are meant: those of one user, and those up to a sequence
 * number. Without fields all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Selection {
  readonly user?: UserId | undefined
  readonly upTo?: number | undefined
}

/**
 * What became of replayed letters, in events.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replayed {
  readonly appended: number
  readonly handedOver: number
  readonly deadLettered: number
}

/**
 * What the store holds, and how many letters it dropped to stay within its
 * bounds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Size {
  readonly events: number
  readonly bytes: number
  readonly dropped: number
}

/**
 * The dead letters of an emitting engine.
 *
 * - `list` gives letters, oldest first.
 * - `replay` delivers letters again, each user's in order and behind what is
 *   being delivered now. Letters that fail again become new letters; those whose
 *   event was damaged stay.
 * - `clear` forgets letters, and tells how many.
 *
 * @category services
 * @since 0.1.0
 */
export class DeadLetters extends Context.Service<DeadLetters, {
  readonly list: (selection?: Selection) => Effect.Effect<ReadonlyArray<DeadLetter>>
  readonly replay: (selection?: Selection) => Effect.Effect<Replayed>
  readonly clear: (selection?: Selection) => Effect.Effect<number>
  readonly size: Effect.Effect<Size>
}>()("effect-emitter/DeadLetters") {}
