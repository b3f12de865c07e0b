/**
 * Tells wake-ups that were lost from those that are only late.
 *
 * Who looks at a log often finds an event just before its publication comes on
 * the other connection. Such a find counts as a lost wake-up only if the
 * publication has not come a whole tick later.
 *
 * @since 0.1.0
 */
import type { Repair } from "../Metrics.ts"

interface Find {
  readonly seen: string
  readonly by: Repair
}

/**
 * @category models
 * @since 0.1.0
 */
export class MissedWakeUps {
  private readonly onLost: (by: Repair) => void
  private fresh = new Map<string, Find>()
  private overdue = new Map<string, Find>()

  constructor(onLost: (by: Repair) => void) {
    this.onLost = onLost
  }

  /** The log of this channel was found at `seen`, of which no publication had told. */
  found(channel: string, seen: string, by: Repair): void {
    this.fresh.set(channel, { seen, by })
  }

  /** A publication told of `seen`. */
  told(channel: string, seen: string): void {
    if (this.fresh.size > 0) forget(this.fresh, channel, seen)
    if (this.overdue.size > 0) forget(this.overdue, channel, seen)
  }

  /** Time has passed. */
  tick(): void {
    for (const { by } of this.overdue.values()) this.onLost(by)
    this.overdue = this.fresh
    this.fresh = new Map()
  }
}

const forget = (finds: Map<string, Find>, channel: string, seen: string): void => {
  if (finds.get(channel)?.seen === seen) finds.delete(channel)
}
