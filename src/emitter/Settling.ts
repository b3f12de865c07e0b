/**
 * What became of a list, as it is counted, and as each of its events' callers
 * learns of it.
 *
 * @since 0.1.0
 */
import type { Pending, Receipt, Settlement } from "./dispatch/Outbox.ts"
import { placeOf } from "./delivery/Outcome.ts"
import type { Counters } from "./observe/Stats.ts"

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
  for (const place of settlement.places) countEvents(counters, place, 1)
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
 * The receipt of the event at `at`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const receiptOf = (settlement: Settlement, size: number, at: number): Receipt =>
  settlement._tag === "Dropped" ? settlement : placeOf(settlement, size, at)
