/**
 * What to leave out for a device that reads too slowly.
 *
 * A slow device costs no memory, but the further it falls behind, the staler is
 * what it shows. So past a limit its volatile events are left out, past the next
 * its batched ones too, each stretch named by a `gap` and replaced by
 * snapshots, so that it comes back to the present; a device that is too slow
 * even for its critical events is closed, and may resume.
 *
 * A device that still catches up after it connected is slow for a good reason:
 * it gets everything, as long as it goes on reading.
 *
 * @since 0.1.0
 */
import type { Slice } from "../../broker/Broker.ts"
import type { DeliveryClass } from "../../protocol/event/Event.ts"

/**
 * A limit on lag. It is met when so many bytes wait in the log, or when the
 * device has been behind for so long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limit {
  readonly bytes: number
  readonly ms: number
}

/**
 * When a slow device loses its volatile events, its batched events, and its
 * connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  readonly volatile: Limit
  readonly batched: Limit
  readonly close: Limit
}

/**
 * What a device gets: everything, all but volatile events, or critical events
 * alone.
 *
 * @category models
 * @since 0.1.0
 */
export type SheddingLevel = "everything" | "noVolatile" | "criticalOnly"

/**
 * Whether an event is left out at this level.
 *
 * @category checks
 * @since 0.1.0
 */
export const isLeftOut = (level: SheddingLevel, delivery: DeliveryClass): boolean =>
  delivery === "volatile" ? level !== "everything" : delivery === "batched" && level === "criticalOnly"

/**
 * One time in which a device is behind: from the first full transport until it has
 * caught up. Mutable: its level only gets stricter.
 *
 * @category models
 * @since 0.1.0
 */
export class SlowConsumer {
  /** When the device fell behind. */
  readonly since: number
  /** Up to which offset snapshots stand for what was left out. */
  replacedUpTo = 0
  private currentLevel: SheddingLevel = "everything"

  constructor(now: number) {
    this.since = now
  }

  get level(): SheddingLevel {
    return this.currentLevel
  }

  /**
   * Looks at a slice that is about to be sent. The bytes that wait are estimated
   * from those of the slice. Returns `false` when the device is too slow.
   */
  judge(limits: Limits, slice: Slice, after: number, now: number): boolean {
    const waiting = slice.head - after
    const perEvent = slice.entries.length === 0 ? 0 : waiting / slice.entries.length
    let bytes = 0
    let critical = 0
    for (const entry of slice.entries) {
      bytes += entry.bytes
      if (entry.delivery === "critical") critical += entry.bytes
    }
    const ms = now - this.since
    const meets = (limit: Limit, lag: number) => lag * perEvent >= limit.bytes || ms >= limit.ms
    if (meets(limits.batched, bytes)) this.currentLevel = "criticalOnly"
    else if (this.currentLevel === "everything" && meets(limits.volatile, bytes)) this.currentLevel = "noVolatile"
    return !meets(limits.close, critical)
  }
}
