/**
 * The users of whom an emitter holds events that come late.
 *
 * Several emitters may hold something of one user: the user is late for as long as
 * any of them is. Each says for how long at most, so that one that died makes
 * nobody late for ever. Plain synchronous state; times are of a monotonic clock.
 *
 * @since 0.1.0
 */
import type { UserId } from "../protocol/values/Identity.ts"

/**
 * Which users are late, and until when at most.
 *
 * @category models
 * @since 0.1.0
 */
export class LateUsers {
  // Until when each of a user's emitters may be late.
  private readonly users = new Map<UserId, Map<string, number>>()

  /** `by` holds events of the user for `forMs` milliseconds at most, or none any more (0). Gives what `lateMs` gives. */
  note(user: UserId, by: string, forMs: number, now: number): number {
    const emitters = this.users.get(user) ?? new Map<string, number>()
    if (forMs > 0) emitters.set(by, now + forMs)
    else emitters.delete(by)
    this.users.set(user, emitters)
    return this.lateMs(user, now)
  }

  /** For how many milliseconds yet the user is late at most; 0 when nothing is. */
  lateMs(user: UserId, now: number): number {
    const emitters = this.users.get(user)
    if (emitters === undefined) return 0
    for (const [by, until] of emitters) if (until <= now) emitters.delete(by)
    if (emitters.size === 0) this.users.delete(user)
    return emitters.size === 0 ? 0 : Math.max(...emitters.values()) - now
  }

  /** Forgets whose time is over. */
  sweep(now: number): void {
    for (const user of this.users.keys()) this.lateMs(user, now)
  }
}
