/**
 * Takes a user's batch to where it can be kept: the broker, else a fallback
 * channel, else the dead letters.
 *
 * `deliver` never fails and never loses: each batch ends in exactly one
 * outcome. It is called for one batch of a user at a time, in order.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Effect from "effect/Effect"
import type { Envelope } from "../protocol/Envelope.ts"
import type { UserId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"

/**
 * Where a batch ended.
 *
 * - `Appended`: in the broker's log; `position` is that of its last event.
 * - `HandedOver`: a fallback channel took it.
 * - `DeadLettered`: no way out took it; it is kept as dead letters.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "Appended"; readonly position: Position }
  | { readonly _tag: "HandedOver"; readonly channel: string }
  | { readonly _tag: "DeadLettered"; readonly reason: string }

/**
 * @category models
 * @since 0.1.0
 */
export interface Delivery {
  readonly deliver: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Outcome>
}
