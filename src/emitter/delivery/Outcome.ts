/**
 * What becomes of a batch.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/Position.ts"

/**
 * Where a batch ended.
 *
 * - `Appended`: in the broker's log; `position` is that of its last event.
 * - `HandedOver`: a fallback channel took it.
 * - `DeadLettered`: no way out took it; it is kept as dead letters. `reason`
 *   tells what kept it from the broker.
 *
 * @category models
 * @since 0.1.0
 */
export type Place = Appended | HandedOver | DeadLettered

/**
 * In the broker's log, at `position`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Appended {
  readonly _tag: "Appended"
  readonly position: Position
}

/**
 * The fallback channel called `channel` took it.
 *
 * @category models
 * @since 0.1.0
 */
export interface HandedOver {
  readonly _tag: "HandedOver"
  readonly channel: string
}

/**
 * Kept as a dead letter. `reason` tells what kept it from the broker.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLettered {
  readonly _tag: "DeadLettered"
  readonly reason: string
}

/**
 * What became of a batch: it ended in one place, or was `Divided`, since some of
 * its runs were ended as lost, or the broker takes some of its events for good and
 * others never. `places` are then those of its events, one for each, in order; the
 * position of one that was appended is its own.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | Place
  | { readonly _tag: "Divided"; readonly places: ReadonlyArray<Place> }

/**
 * Where the event at `index` ended, of a batch of `size`. Batches are appended
 * whole, so their offsets are consecutive and end at the batch's.
 *
 * @category conversions
 * @since 0.1.0
 */
export const placeOf = (outcome: Outcome, size: number, index: number): Place => {
  if (outcome._tag === "Divided") return outcome.places[index] ?? lateEvents
  if (outcome._tag !== "Appended" || index === size - 1) return outcome
  const { epoch, offset } = outcome.position
  return { _tag: "Appended", position: { epoch, offset: offset - (size - 1 - index) } }
}

/**
 * Where each event of a batch of `size` ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const placesOf = (outcome: Outcome, size: number): ReadonlyArray<Place> =>
  Array.from({ length: size }, (_, index) => placeOf(outcome, size, index))

/**
 * Where events of runs end that were ended as lost.
 *
 * @category models
 * @since 0.1.0
 */
export const lateEvents: Place = { _tag: "DeadLettered", reason: "runLost" }
