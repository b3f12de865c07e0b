/**
 * A time in which a user's events may be late though the log can be read: right
 * after the broker has come back, and for as long as an emitter says that it still
 * holds events of the user.
 *
 * Times are milliseconds of the monotonic clock.
 *
 * @since 0.1.0
 */

/**
 * How long events count as late after the broker is back, in milliseconds:
 * emitters have this long to say of whom they hold events.
 *
 * @category constants
 * @since 0.1.0
 */
export const graceMs = 1_000

/**
 * How long events count as late at most, in milliseconds, whatever emitters say.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxMs = 60_000

/**
 * Mutable: emitters say anew for how long they hold events.
 *
 * @category models
 * @since 0.1.0
 */
export class Lateness {
  private readonly latest: number
  private graceUntil: number
  private saidUntil: number

  constructor(now: number) {
    this.latest = now + maxMs
    this.graceUntil = now
    this.saidUntil = now
  }

  /** When it is over. */
  get until(): number {
    return Math.min(this.latest, Math.max(this.graceUntil, this.saidUntil))
  }

  /** The broker is back. Emitters have a grace in which to say of whom they hold events. */
  back(now: number): void {
    this.graceUntil = now + graceMs
  }

  /** Emitters hold events of the user for so many milliseconds yet, or (0) none any more. */
  said(lateMs: number, now: number): void {
    this.saidUntil = now + lateMs
  }
}
