/**
 * What becomes of a batch.
 *
 * @since 0.1.0
 */
import type { Envelope } from "../protocol/Envelope.ts"
import type { RunId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"

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
export type Place =
  | { readonly _tag: "Appended"; readonly position: Position }
  | { readonly _tag: "HandedOver"; readonly channel: string }
  | { readonly _tag: "DeadLettered"; readonly reason: string }

/**
 * What became of a batch: it ended in one place, or was `Divided`, since some of
 * its runs were ended as lost: the events of these are dead letters, and the rest
 * ended in its place.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | Place
  | { readonly _tag: "Divided"; readonly lost: ReadonlySet<RunId>; readonly rest: Place }

/**
 * Where one event of a batch ended, and in which place of what ended there with
 * it: the `index`th of `size`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const placeOf = (
  outcome: Outcome,
  batch: ReadonlyArray<Envelope>,
  index: number
): { readonly place: Place; readonly index: number; readonly size: number } => {
  if (outcome._tag !== "Divided") return { place: outcome, index, size: batch.length }
  const { lost, rest } = outcome
  const isLost = ({ run }: Envelope) => run !== undefined && lost.has(run)
  const event = batch[index]
  if (event === undefined || isLost(event)) return { place: lateEvents, index, size: batch.length }
  const before = batch.slice(0, index).filter((other) => !isLost(other)).length
  return { place: rest, index: before, size: batch.filter((other) => !isLost(other)).length }
}

/**
 * Where events of runs end that were ended as lost.
 *
 * @category models
 * @since 0.1.0
 */
export const lateEvents: Place = { _tag: "DeadLettered", reason: "runLost" }
