/**
 * Signs of life of one device, and when it is asked for one. Times are monotonic, in
 * milliseconds.
 *
 * @since 0.1.0
 */
import type { Connection } from "../../hub/connection/Connection.ts"

/**
 * Plain state, without a timer of its own.
 *
 * @category models
 * @since 0.1.0
 */
export class Heartbeat {
  private lastHeard: number
  private pingedAt: number
  // What was waiting for the network at the last look, while the device was behind.
  private stuckBytes = 0

  constructor(now: number) {
    this.lastHeard = now
    this.pingedAt = now
  }

  /** When the device was last heard of. */
  get heardAt(): number {
    return this.lastHeard
  }

  /** It showed itself. */
  hear(now: number): void {
    this.lastHeard = now
  }

  /** Time in which this process did not run. */
  forgive(ms: number): void {
    this.lastHeard += ms
  }

  /** Whoever takes what was sent lives, also where no ping can go out: looks at what waits for the network. */
  look({ state }: Connection, unsent: number, now: number): void {
    const before = this.stuckBytes
    this.stuckBytes = state === "blocked" ? unsent : 0
    if (state === "blocked" && unsent < before) this.hear(now)
  }

  /** Whether a ping is due, each `everyMs`. It counts as sent. */
  isDue(everyMs: number, now: number): boolean {
    if (now - this.pingedAt < everyMs) return false
    this.pingedAt = now
    return true
  }
}
