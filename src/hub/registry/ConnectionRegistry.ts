/**
 * Which connections each user has.
 *
 * Most users have one device, so one connection is held as it is, and only more
 * than one in a set.
 *
 * @since 0.1.0
 */
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Connection } from "../connection/Connection.ts"

/**
 * Mutable: connections come and go by plain calls.
 *
 * @category models
 * @since 0.1.0
 */
export class ConnectionRegistry {
  private readonly users = new Map<UserId, Connection | Set<Connection>>()
  private count = 0

  /** How many connections there are. */
  get size(): number {
    return this.count
  }

  /** How many users have a connection. */
  get userCount(): number {
    return this.users.size
  }

  /** The connections of a user. */
  of(user: UserId): ReadonlyArray<Connection> {
    const held = this.users.get(user)
    if (held === undefined) return []
    return held instanceof Set ? [...held] : [held]
  }

  /** How many connections a user has. */
  countOf(user: UserId): number {
    const held = this.users.get(user)
    if (held === undefined) return 0
    return held instanceof Set ? held.size : 1
  }

  add(connection: Connection): void {
    const { user } = connection
    const held = this.users.get(user)
    if (held instanceof Set) held.add(connection)
    else this.users.set(user, held === undefined ? connection : new Set([held, connection]))
    this.count++
  }

  /** Removes a connection, if it is held. */
  delete(connection: Connection): void {
    const { user } = connection
    const held = this.users.get(user)
    if (held instanceof Set) {
      if (!held.delete(connection)) return
      const [last] = held
      if (held.size === 1 && last !== undefined) this.users.set(user, last)
    } else {
      if (held !== connection) return
      this.users.delete(user)
    }
    this.count--
  }

  /** Every connection, once. */
  *[Symbol.iterator](): Generator<Connection> {
    for (const held of this.users.values()) {
      if (held instanceof Set) yield* held
      else yield held
    }
  }
}
