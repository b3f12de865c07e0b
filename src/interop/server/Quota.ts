/**
 * Counts what each user has open, up to a limit.
 *
 * @since 0.2.0
 */
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * The places of one kind: `limit` for each user.
 *
 * @category models
 * @since 0.2.0
 */
export class Quota {
  readonly limit: number
  readonly #taken = new Map<UserId, number>()

  constructor(limit: number) {
    this.limit = limit
  }

  /** How many places are taken, by all users. */
  get size(): number {
    let size = 0
    for (const count of this.#taken.values()) size += count
    return size
  }

  /** Whether a user has no place left. */
  isFull(user: UserId): boolean {
    return (this.#taken.get(user) ?? 0) >= this.limit
  }

  /** Takes a place for a user, and tells whether there was one. */
  take(user: UserId): boolean {
    if (this.isFull(user)) return false
    this.#taken.set(user, (this.#taken.get(user) ?? 0) + 1)
    return true
  }

  /** Gives a place back. */
  giveBack(user: UserId): void {
    const count = this.#taken.get(user) ?? 0
    if (count <= 1) this.#taken.delete(user)
    else this.#taken.set(user, count - 1)
  }
}
