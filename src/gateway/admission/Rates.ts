/**
 * Limits how often each of many may do something, where nothing tells when one of
 * them has gone: the requests of users, or of addresses.
 *
 * A bucket that was left alone for a second is full again, and as good as a new
 * one: so each second the buckets that were not used in the last are forgotten.
 * Where very many come, the oldest are forgotten sooner.
 *
 * @since 0.1.0
 */
import { TokenBucket } from "./TokenBucket.ts"

/**
 * One limit of `perSecond` for each key.
 *
 * @category models
 * @since 0.1.0
 */
export class Rates<Key> {
  /** How many each key may take per second, and at once. */
  readonly perSecond: number
  private recent = new Map<Key, TokenBucket>()
  private older = new Map<Key, TokenBucket>()
  private turnedAt = -Infinity

  constructor(perSecond: number) {
    this.perSecond = perSecond
  }

  /** How many are remembered. */
  get size(): number {
    return this.recent.size + this.older.size
  }

  /** Takes one for `key` at `now`, in milliseconds; `false` when there is none left. */
  take(key: Key, now: number): boolean {
    this.forget(now)
    const bucket = this.recent.get(key) ?? this.older.get(key) ?? new TokenBucket(this.perSecond, now)
    this.older.delete(key)
    this.recent.set(key, bucket)
    return bucket.take(now)
  }

  /** Gives one back that was taken. */
  giveBack(key: Key): void {
    const bucket = this.recent.get(key) ?? this.older.get(key)
    bucket?.giveBack()
  }

  private forget(now: number): void {
    const isFull = this.recent.size >= maxKeys
    if (now - this.turnedAt < 1_000 && !isFull) return
    // After two quiet seconds nothing of the last turn counts any more.
    this.older = now - this.turnedAt < 2_000 ? this.recent : new Map()
    this.recent = new Map()
    this.turnedAt = now
  }
}

/** So many are remembered, twice, at most. */
const maxKeys = 50_000
