/**
 * What became of a list, as it is counted, and as each of its events' callers
 * learns of it.
 *
 * @since 0.1.0
 */
import type { Pending, Receipt, Settlement } from "./Outbox.ts"
import { placeOf } from "./Outcome.ts"
import type { Counters } from "./Stats.ts"

/**
 * Closing took too long. The delivery has kept the batch, and counted it, before
 * it ended.
 *
 * @category constants
 * @since 0.1.0
 */
export const interrupted: Settlement = { _tag: "DeadLettered", reason: "interrupted" }

/**
 * Counts the list and its events by where they ended.
 *
 * @category operations
 * @since 0.1.0
 */
export const countOutcome = (counters: Counters, settlement: Settlement, batch: ReadonlyArray<Pending>): void => {
  if (settlement === interrupted) return
  counters.batches++
  if (settlement._tag !== "Divided") return countEvents(counters, settlement, batch.length)
  const late = batch.filter(({ run }) => run !== undefined && settlement.lost.has(run)).length
  counters.deadLettered += late
  countEvents(counters, settlement.rest, batch.length - late)
}

const countEvents = (
  counters: Counters,
  settlement: Exclude<Settlement, { readonly _tag: "Divided" }>,
  events: number
): void => {
  switch (settlement._tag) {
    case "Appended":
      counters.appended += events
      return
    case "HandedOver":
      counters.handedOver += events
      return
    case "DeadLettered":
      counters.deadLettered += events
      return
    case "Dropped":
      counters.dropped[settlement.reason] += events
  }
}

/**
 * The receipt of the event at `at`. Batches are appended whole, so their offsets
 * are consecutive and end at the batch's.
 *
 * @category conversions
 * @since 0.1.0
 */
export const receiptOf = (settlement: Settlement, batch: ReadonlyArray<Pending>, at: number): Receipt => {
  if (settlement._tag === "Dropped") return settlement
  const { index, place, size } = placeOf(settlement, batch, at)
  if (place._tag !== "Appended" || index === size - 1) return place
  const { epoch, offset } = place.position
  return { _tag: "Appended", position: { epoch, offset: offset - (size - 1 - index) } }
}
