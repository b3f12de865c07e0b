/**
 * What a delivery counted since it was made.
 *
 * Counters are plain numbers that are written in place, so counting costs
 * nothing per event.
 *
 * @since 0.1.0
 */
import type { Size, Trigger } from "../fallback/DeadLetters.ts"
import type { Depth } from "../fallback/SpoolStore.ts"

/**
 * One consistent view of the counters.
 *
 * - `appendedBatches` and `appendedEvents`: what the broker took, `drainedEvents`
 *   of them out of the spool;
 * - `appendFailures`: appends that failed, each try counted; `retries`: tries
 *   after the first;
 * - `breakerOpenings`: by breaker, that is `broker` (or `broker/` and the name of
 *   each of its domains) or the name of a channel;
 * - `handedOver`: events by the channel that took them; `channelFailures`:
 *   batches that a channel did not take, with those its open breaker refused;
 * - `deadLettered`: events by what kept them from the broker;
 * - `lostRuns`: runs that an earlier process left in the spool without an ending,
 *   and that were ended as lost;
 * - `spool` and `deadLetters`: what is kept there now.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeliveryStats {
  readonly appendedBatches: number
  readonly appendedEvents: number
  readonly drainedEvents: number
  readonly appendFailures: number
  readonly retries: number
  readonly breakerOpenings: Readonly<Record<string, number>>
  readonly handedOver: Readonly<Record<string, number>>
  readonly channelFailures: Readonly<Record<string, number>>
  readonly deadLettered: Readonly<Record<Trigger, number>>
  readonly lostRuns: number
  readonly spool: Depth | undefined
  readonly deadLetters: Size
}

/**
 * The counters behind `DeliveryStats`.
 *
 * @category models
 * @since 0.1.0
 */
export class DeliveryCounters {
  appendedBatches = 0
  appendedEvents = 0
  drainedEvents = 0
  appendFailures = 0
  retries = 0
  lostRuns = 0
  readonly breakerOpenings: Record<string, number> = {}
  readonly handedOver: Record<string, number> = {}
  readonly channelFailures: Record<string, number> = {}
  readonly deadLettered: Record<Trigger, number> = {
    brokerFailed: 0,
    breakerOpen: 0,
    behindSpool: 0,
    runLost: 0,
    refused: 0,
    defect: 0,
    interrupted: 0,
    damaged: 0
  }

  constructor(breakers: ReadonlyArray<string>, channels: ReadonlyArray<string>) {
    for (const breaker of breakers) this.breakerOpenings[breaker] = 0
    for (const channel of channels) {
      this.handedOver[channel] = 0
      this.channelFailures[channel] = 0
    }
  }

  snapshot(spool: Depth | undefined, deadLetters: Size): DeliveryStats {
    return {
      appendedBatches: this.appendedBatches,
      appendedEvents: this.appendedEvents,
      drainedEvents: this.drainedEvents,
      appendFailures: this.appendFailures,
      retries: this.retries,
      breakerOpenings: { ...this.breakerOpenings },
      handedOver: { ...this.handedOver },
      channelFailures: { ...this.channelFailures },
      deadLettered: { ...this.deadLettered },
      lostRuns: this.lostRuns,
      spool,
      deadLetters
    }
  }
}

/**
 * Adds to a counter by name.
 *
 * @category conversions
 * @since 0.1.0
 */
export const count = <Key extends string>(counters: Record<Key, number>, key: Key, by = 1): void => {
  counters[key] = (counters[key] ?? 0) + by
}
