/**
 * Whether a connection's log can be read, whether events of its user may be late
 * though it can, and what the device knows of that.
 *
 * Times are milliseconds of the monotonic clock.
 *
 * @since 0.1.0
 */
import { Lateness } from "./Lateness.ts"

/**
 * What a device is told: events may be late, or it gets everything as it comes.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "degraded" | "live"

// A time in which the log cannot be read. `until` is when the connection is given up, so that the device may find a node
// that is better off. `isDown`: the broker has said that it is away, and will say when it is back.
interface Outage {
  readonly until: number
  isDown: boolean
}

/**
 * Mutable, since a connection has one for as long as it lives: three fields, while
 * all is well.
 *
 * @category models
 * @since 0.1.0
 */
export class Availability {
  private outage: Outage | undefined
  private lateness: Lateness | undefined
  private reportedDegraded = false

  /** Whether the device was told that events may be late. */
  get isDegraded(): boolean {
    return this.reportedDegraded
  }

  /** Whether the log could not be read, and has not been since. */
  get isOut(): boolean {
    return this.outage !== undefined
  }

  /** Whether the broker has said that it is away. */
  get isDown(): boolean {
    return this.outage?.isDown === true
  }

  /** Whether events may be late though the log can be read. */
  get isLate(): boolean {
    return this.lateness !== undefined
  }

  /** Whether the device knows of trouble, or should. */
  get isTroubled(): boolean {
    return this.reportedDegraded || this.outage !== undefined || this.lateness !== undefined
  }

  /** Whether the outage has lasted for too long. */
  hasLapsed(now: number): boolean {
    return this.outage !== undefined && now >= this.outage.until
  }

  /** The log cannot be read. `patienceMs` is for how long that may go on. */
  failed(now: number, patienceMs: () => number): void {
    this.outage ??= { until: now + patienceMs(), isDown: false }
  }

  /** The broker says that it is away. */
  wentDown(now: number, patienceMs: () => number): void {
    this.failed(now, patienceMs)
    if (this.outage !== undefined) this.outage.isDown = true
  }

  /** The broker says that it is back. Events may be late for a while, if it was away. */
  cameBack(now: number): void {
    if (this.outage === undefined) return
    this.outage.isDown = false
    this.lateness ??= new Lateness(now)
    this.lateness.back(now)
  }

  /** Emitters hold events of the user for so many milliseconds yet, or (0) none any more. */
  late(lateMs: number, now: number): void {
    if (lateMs <= 0 && this.lateness === undefined) return
    this.lateness ??= new Lateness(now)
    this.lateness.said(lateMs, now)
  }

  /** The log was read. While the broker says that it is away, new events may still not be heard of. */
  wasRead(): void {
    if (!this.isDown) this.outage = undefined
  }

  /** Nothing is watched any more. */
  end(): void {
    this.outage = undefined
    this.lateness = undefined
    this.reportedDegraded = false
  }

  /** What the device has to be told, unless it knows. */
  report(now: number): Status | undefined {
    if (this.lateness !== undefined && now >= this.lateness.until) this.lateness = undefined
    const isDegraded = this.outage !== undefined || this.lateness !== undefined
    if (isDegraded === this.reportedDegraded) return undefined
    this.reportedDegraded = isDegraded
    return isDegraded ? "degraded" : "live"
  }
}
