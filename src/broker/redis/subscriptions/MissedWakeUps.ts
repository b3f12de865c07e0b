/**
 * Tells wake-ups that were lost from those that are only late.
 *
 * A look at a log often finds an event just before its publication arrives on the
 * other connection. The wake-up counts as lost only if the publication has not
 * arrived a whole tick later.
 *
 * @since 0.1.0
 */
import type { Repair } from "../Metrics.ts"

interface Find {
  readonly seen: string
  readonly by: Repair
}

/**
 * Keeps what was found in a log before its publication came, and reports what none
 * came for.
 *
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

  /** A look found the log of this channel at `seen`, before any publication of it. */
  found(channel: string, seen: string, by: Repair): void {
    this.fresh.set(channel, { seen, by })
  }

  /** A publication of `seen` arrived. */
  told(channel: string, seen: string): void {
    if (this.fresh.size > 0) forget(this.fresh, channel, seen)
    if (this.overdue.size > 0) forget(this.overdue, channel, seen)
  }

  /** Ends a tick: reports what was found before it and has not been published since. */
  tick(): void {
    for (const { by } of this.overdue.values()) this.onLost(by)
    this.overdue = this.fresh
    this.fresh = new Map()
  }
}

const forget = (finds: Map<string, Find>, channel: string, seen: string): void => {
  if (finds.get(channel)?.seen === seen) finds.delete(channel)
}
