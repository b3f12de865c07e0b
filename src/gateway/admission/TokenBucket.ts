/**
 * Limits how often something may happen.
 *
 * It may happen `perSecond` times at once, and as many times again each second.
 * It is plain state, two numbers per bucket.
 *
 * @since 0.1.0
 */

/**
 * One limit. The caller tells the time, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export class TokenBucket {
  private readonly perSecond: number
  private left: number
  private at: number

  constructor(perSecond: number, now: number) {
    this.perSecond = perSecond
    this.left = perSecond
    this.at = now
  }

  /** Whether nothing shows any more, at `now` in milliseconds, of what was taken. */
  isFull(now: number): boolean {
    return this.leftAt(now) === this.perSecond
  }

  /** Takes one at `now`, in milliseconds; `false` when there is none left. */
  take(now: number): boolean {
    this.left = this.leftAt(now)
    this.at = now
    if (this.left < 1) return false
    this.left -= 1
    return true
  }

  /** Gives one back that was taken. */
  giveBack(): void {
    this.left = Math.min(this.perSecond, this.left + 1)
  }

  private leftAt(now: number): number {
    return now > this.at ? Math.min(this.perSecond, this.left + ((now - this.at) * this.perSecond) / 1000) : this.left
  }
}
