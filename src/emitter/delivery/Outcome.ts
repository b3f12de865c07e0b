/**
 * What becomes of an accepted event, and of a batch of them.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import type { Trigger } from "../fallback/DeadLetters.ts"

/**
 * Where an event ended, or all events of a batch: in the broker's log, with a
 * fallback channel, or among the dead letters. Receipts, counters and replays
 * tell the same three apart.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = Appended | HandedOver | DeadLettered

/**
 * In the broker's log. Of a batch `position` is that of the last event.
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
 * No way out took it, and it is kept as a dead letter. `reason` tells what kept it
 * from the broker.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLettered {
  readonly _tag: "DeadLettered"
  readonly reason: Trigger
}

/**
 * The events of a batch ended in several places: some of its runs were ended as
 * lost, or the broker never takes some of its events. `outcomes` has one for each
 * event, in order, with the event's own position.
 *
 * @category models
 * @since 0.1.0
 */
export interface Divided {
  readonly _tag: "Divided"
  readonly outcomes: ReadonlyArray<Outcome>
}

/**
 * What became of the event at `index` of a batch of `size`. A batch is appended
 * whole, so its offsets are consecutive and end at the batch's position.
 *
 * @category conversions
 * @since 0.1.0
 */
export const outcomeOf = (ofBatch: Outcome | Divided, size: number, index: number): Outcome => {
  if (ofBatch._tag === "Divided") return ofBatch.outcomes[index] ?? lostRun
  if (ofBatch._tag !== "Appended" || index === size - 1) return ofBatch
  const { epoch, offset } = ofBatch.position
  return { _tag: "Appended", position: { epoch, offset: offset - (size - 1 - index) } }
}

/**
 * What became of each event of a batch of `size`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const outcomesOf = (ofBatch: Outcome | Divided, size: number): ReadonlyArray<Outcome> =>
  ofBatch._tag === "Divided"
    ? ofBatch.outcomes
    : Array.from({ length: size }, (_, index) => outcomeOf(ofBatch, size, index))

/**
 * What becomes of an event whose run was ended as lost.
 *
 * @category models
 * @since 0.1.0
 */
export const lostRun: DeadLettered = { _tag: "DeadLettered", reason: "runLost" }
