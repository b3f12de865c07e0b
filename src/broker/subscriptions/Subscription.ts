/**
 * The subscription of one user, shared by all on this process who read the user's log
 * or wait for an acknowledgement. It tells them of each revocation, and of each change
 * of the broker's state, once.
 *
 * @since 0.1.0
 */
import type * as Deferred from "effect/Deferred"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { BrokerError, Reader, Signal } from "../Broker.ts"

/**
 * Somebody who waits until a device has acknowledged the event at `position`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Waiter {
  readonly position: Position
  readonly resume: () => void
}

/**
 * - `subscribed` is done once the channel is subscribed to, on this connection or
 *   the one before.
 * - `seen` is the epoch and last offset that readers were last woken for, as
 *   `<epoch>:<offset>`, or empty.
 * - `front` is where somebody here last had nothing left to read.
 * - `lookedAt` is when the log was last asked, on the monotonic clock.
 *
 * @category models
 * @since 0.1.0
 */
export class Subscription {
  readonly user: UserId
  readonly channel: string
  readonly subscribed: Deferred.Deferred<void, BrokerError>
  readonly readers = new Set<Reader>()
  readonly waiters = new Set<Waiter>()
  seen = ""
  front: Position | undefined
  lookedAt: number
  // Whether readers were told that the broker is down.
  private down = false
  // When the user's access was last revoked, as far as it is known here, or 0.
  private revoked = 0
  // Whether readers were told that events are late.
  private late = false
  // Readers whose own first look will tell them whether they came before that.
  private joining = none

  constructor(user: UserId, channel: string, subscribed: Deferred.Deferred<void, BrokerError>, now: number) {
    this.user = user
    this.channel = channel
    this.subscribed = subscribed
    this.lookedAt = now
  }

  /** Whether anybody reads or waits. */
  get isNeeded(): boolean {
    return this.readers.size > 0 || this.waiters.size > 0
  }

  /** Whether readers were told that the broker is down. */
  get isDown(): boolean {
    return this.down
  }

  /** Whether readers were told that events are late. */
  get isLate(): boolean {
    return this.late
  }

  /** When the user's access was last revoked, as far as it is known here, or 0. */
  get revokedAt(): number {
    return this.revoked
  }

  /** Adds a reader. It hears of no revocation until `join`. */
  add(reader: Reader): void {
    this.readers.add(reader)
    this.joining = [...this.joining, reader]
  }

  /** Removes a reader. */
  delete(reader: Reader): void {
    this.readers.delete(reader)
    this.joining = without(this.joining, reader)
  }

  /** Wakes all readers for what was seen, with the signal if there is one. */
  wake(seen: string, signal?: Signal): void {
    this.seen = seen
    for (const reader of this.readers) reader.wake(signal)
  }

  /** Tells all readers whether the broker is down, unless they know. */
  tell(isDown: boolean): void {
    if (this.down === isDown) return
    this.down = isDown
    for (const reader of this.readers) reader.wake(isDown ? "down" : "up")
  }

  /** Tells all readers for how long events are late, or (0) that they are no more. */
  lag(lateMs: number): void {
    this.late = lateMs > 0
    for (const reader of this.readers) reader.wake({ lateMs })
  }

  /** The same, as a look at the log found it: all are told if it changed, else only the reader that `joined`. */
  lagging(lateMs: number, joined: Reader | undefined): void {
    if (lateMs > 0 !== this.late) this.lag(lateMs)
    else if (lateMs > 0) joined?.wake({ lateMs })
  }

  /** Tells of a revocation, unless it is known. */
  revoke(revokedAt: number): void {
    if (revokedAt <= this.revoked) return
    this.revoked = revokedAt
    for (const reader of this.readers) {
      if (!this.joining.includes(reader)) reader.wake({ revokedAt, isNew: true })
    }
  }

  /**
   * Ends a reader's first look, which saw a revocation at `knownAt` or before. A later
   * one, which came during the look, is told as new.
   */
  join(reader: Reader, knownAt: number): void {
    this.joining = without(this.joining, reader)
    const revokedAt = this.revoked
    if (revokedAt > 0) reader.wake({ revokedAt, isNew: revokedAt > knownAt })
  }

  /** Wakes those who wait for the acknowledgement of this position. */
  release({ epoch, offset }: Position): void {
    for (const waiter of this.waiters) {
      if (waiter.position.epoch === epoch && waiter.position.offset === offset) waiter.resume()
    }
  }
}

// All share one empty list, since a subscription nearly never has any.
const none: ReadonlyArray<Reader> = []

const without = (readers: ReadonlyArray<Reader>, reader: Reader): ReadonlyArray<Reader> => {
  const others = readers.filter((other) => other !== reader)
  return others.length === 0 ? none : others
}

/**
 * Whether `seen` is further than `known`, of one epoch: another epoch is told by
 * a gap.
 *
 * @category checks
 * @since 0.1.0
 */
export const isLater = (seen: string, known: string): boolean => {
  const at = seen.lastIndexOf(":") + 1
  return seen.slice(0, at) === known.slice(0, at) && Number(seen.slice(at)) > Number(known.slice(at))
}
