/**
 * Whose access was revoked, and when.
 *
 * @since 0.2.0
 */
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * The last revocation of each user: `at` a time of the wall clock, and `since` the file's time, by which it is forgotten.
 *
 * @category models
 * @since 0.2.0
 */
export class Revocations {
  // The oldest first.
  private readonly revoked = new Map<UserId, { readonly at: number; readonly since: number }>()

  /** When a user's access was revoked, if it was. */
  at(user: UserId): number | undefined {
    return this.revoked.get(user)?.at
  }

  /** Notes it. */
  add(user: UserId, at: number, since: number): void {
    this.revoked.delete(user)
    this.revoked.set(user, { at, since })
  }

  /** Forgets those before this time. */
  sweep(before: number): void {
    for (const [user, { since }] of this.revoked) {
      if (since >= before) return
      this.revoked.delete(user)
    }
  }
}
