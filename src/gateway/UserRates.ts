/**
 * Limits how often something may happen for each user: `perSecond` times, and
 * as many at once.
 *
 * It is for what comes without a session, so nothing tells when a user has gone.
 * A bucket that was left alone for a second is full again, and as good as a new
 * one: so each second the buckets that were not used in the last are forgotten.
 *
 * @since 0.1.0
 */
import type { UserId } from "../protocol/Identity.ts"
import { TokenBucket } from "./TokenBucket.ts"

/**
 * @category models
 * @since 0.1.0
 */
export class UserRates {
  private readonly perSecond: number
  private recent = new Map<UserId, TokenBucket>()
  private older = new Map<UserId, TokenBucket>()
  private turnedAt = -Infinity

  constructor(perSecond: number) {
    this.perSecond = perSecond
  }

  /** How many users are remembered. */
  get size(): number {
    return this.recent.size + this.older.size
  }

  /** Takes one for a user at `now`, in milliseconds; `false` when there is none left. */
  take(user: UserId, now: number): boolean {
    this.forget(now)
    const bucket = this.recent.get(user) ?? this.older.get(user) ?? new TokenBucket(this.perSecond, now)
    this.older.delete(user)
    this.recent.set(user, bucket)
    return bucket.take(now)
  }

  private forget(now: number): void {
    if (now - this.turnedAt < 1_000) return
    // After two quiet seconds nothing of the last turn counts any more.
    this.older = now - this.turnedAt < 2_000 ? this.recent : new Map()
    this.recent = new Map()
    this.turnedAt = now
  }
}
