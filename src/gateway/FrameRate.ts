/**
 * Counts what a device sends.
 *
 * A device may send `perSecond` frames at once, and earns as many again each
 * second. It is plain state, two numbers per device.
 *
 * @since 0.1.0
 */

/**
 * @category models
 * @since 0.1.0
 */
export class FrameRate {
  private readonly perSecond: number
  private left: number
  private at: number

  constructor(perSecond: number, now: number) {
    this.perSecond = perSecond
    this.left = perSecond
    this.at = now
  }

  /** Takes one frame at `now`, in milliseconds; `false` when the device sent too many. */
  take(now: number): boolean {
    if (now > this.at) {
      this.left = Math.min(this.perSecond, this.left + ((now - this.at) * this.perSecond) / 1000)
    }
    this.at = now
    if (this.left < 1) return false
    this.left -= 1
    return true
  }
}
