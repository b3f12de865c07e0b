/**
 * The connections that have something to write, and when each does.
 *
 * A write to a socket takes tens of microseconds, so the connections that were woken
 * together write a few in each turn of the scheduler. Between two turns the event loop
 * takes in what came meanwhile: another critical event, a device's command.
 *
 * - Those with a critical event to write come first, in the order in which they were
 *   woken; the others follow in theirs.
 * - A quarter of each turn is left to the others, so that critical events of some
 *   users do not keep those of all others waiting.
 * - A connection stands in the queue once.
 * - While some wait, a turn lasts at least as long as all else did since the turn before,
 *   so that what is emitted without a pause starves no device.
 *
 * @since 0.2.0
 */
import type * as Scheduler from "effect/Scheduler"

/**
 * A connection that drains when `start` is called.
 *
 * @category models
 * @since 0.1.0
 */
export interface Startable {
  readonly start: () => void
}

/** How many connections write in one turn, at least. */
export const perTurn = 8

const leftToOthers = perTurn / 4

/**
 * Mutable: a node has one of it, and each wake-up goes through it.
 *
 * @category models
 * @since 0.2.0
 */
export class DrainQueue {
  private readonly dispatcher: Scheduler.SchedulerDispatcher
  private readonly now: () => number
  private readonly critical = new Set<Startable>()
  private readonly others = new Set<Startable>()
  private isScheduled = false
  // Since when those that a turn left wait for the next.
  private leftAt: number | undefined

  /** `now` is the monotonic time in milliseconds. */
  constructor(dispatcher: Scheduler.SchedulerDispatcher, now: () => number) {
    this.dispatcher = dispatcher
    this.now = now
  }

  /** Has a connection start in one of the next turns; before the others, if what it has to write `isCritical`. */
  add(connection: Startable, isCritical: boolean): void {
    if (isCritical) {
      this.others.delete(connection)
      this.critical.add(connection)
    } else if (!this.critical.has(connection)) {
      this.others.add(connection)
    }
    this.schedule()
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    this.dispatcher.scheduleTask(this.turn, 0)
  }

  private get size(): number {
    return this.critical.size + this.others.size
  }

  private readonly turn = (): void => {
    this.isScheduled = false
    const { leftAt, now } = this
    const begun = now()
    const until = leftAt === undefined ? begun : 2 * begun - leftAt
    try {
      do {
        this.startSome()
      } while (this.size > 0 && now() < until)
    } finally {
      this.leftAt = this.size > 0 ? now() : undefined
    }
  }

  private startSome(): void {
    const first = take(this.critical, perTurn - Math.min(leftToOthers, this.others.size))
    const then = take(this.others, perTurn - first.length)
    // Before any starts, so that the rest has its turn whatever becomes of these.
    if (this.size > 0) this.schedule()
    for (const connection of first) connection.start()
    for (const connection of then) connection.start()
  }
}

// Takes the first out of the set.
const take = (from: Set<Startable>, most: number): ReadonlyArray<Startable> => {
  const taken: Array<Startable> = []
  for (const connection of from) {
    if (taken.length === most) break
    from.delete(connection)
    taken.push(connection)
  }
  return taken
}
