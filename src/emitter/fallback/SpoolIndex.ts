/**
 * How much each user has in a spool, and whether there is room for more.
 *
 * @since 0.1.0
 */
import type { UserId } from "../../protocol/values/Identity.ts"
import { type Depth, SpoolFull, type SpoolLimits } from "./SpoolStore.ts"

interface Room {
  readonly events: number
  readonly bytes: number
}

const nothing: Room = { events: 0, bytes: 0 }

/**
 * What a store knows of its content without looking: who has how much, and
 * whether there is room. Plain synchronous state.
 *
 * @category models
 * @since 0.1.0
 */
export class SpoolIndex {
  private readonly limits: Room
  private readonly userShare: number
  // Batches by user, in the order in which users came: one that was drained and comes back stands last.
  private readonly waiting = new Map<UserId, number>()
  private batches = 0
  private events = 0
  // With the room that is reserved for batches on their way in.
  private reserved: Room = nothing
  private readonly reservedBy = new Map<UserId, Room>()
  unreadable = 0

  constructor(limits: SpoolLimits) {
    this.limits = { events: limits.maxEvents ?? 100_000, bytes: limits.maxBytes ?? 256 * 1024 * 1024 }
    this.userShare = limits.userShare ?? 0.25
  }

  /** Takes room, or tells why there is none. */
  reserve(user: UserId, events: number, bytes: number): SpoolFull | undefined {
    const full = this.full(user, "events", events) ?? this.full(user, "bytes", bytes)
    if (full === undefined) this.take(user, events, bytes)
    return full
  }

  private full(user: UserId, unit: keyof Room, asked: number): SpoolFull | undefined {
    const limit = this.limits[unit]
    const total = this.reserved[unit]
    if (total + asked > limit) return new SpoolFull({ scope: "spool", unit, limit, held: total, asked })
    const held = (this.reservedBy.get(user) ?? nothing)[unit]
    const share = Math.floor(this.userShare * (limit - (total - held)))
    return held + asked > share ? new SpoolFull({ scope: "user", unit, limit: share, held, asked }) : undefined
  }

  /** Takes room for what is there already, even beyond the limits. */
  take(user: UserId, events: number, bytes: number): void {
    this.reserved = { events: this.reserved.events + events, bytes: this.reserved.bytes + bytes }
    const own = this.reservedBy.get(user) ?? nothing
    this.reservedBy.set(user, { events: own.events + events, bytes: own.bytes + bytes })
  }

  /** Gives room back. */
  release(user: UserId, events: number, bytes: number): void {
    this.take(user, -events, -bytes)
    if (this.reservedBy.get(user)?.events === 0) this.reservedBy.delete(user)
  }

  /** Notes batches that are kept now, in room that was taken. */
  add(user: UserId, batches: number, events: number): void {
    this.waiting.set(user, (this.waiting.get(user) ?? 0) + batches)
    this.batches += batches
    this.events += events
  }

  /** Forgets batches of a user, and gives their room back. */
  remove(user: UserId, batches: number, events: number, bytes: number): void {
    const left = (this.waiting.get(user) ?? 0) - batches
    if (left > 0) this.waiting.set(user, left)
    else this.waiting.delete(user)
    this.batches -= batches
    this.events -= events
    this.release(user, events, bytes)
  }

  holds(user: UserId): boolean {
    return this.waiting.size > 0 && this.waiting.has(user)
  }

  users(limit: number): ReadonlyArray<UserId> {
    const users: Array<UserId> = []
    for (const user of this.waiting.keys()) {
      if (users.length >= limit) break
      users.push(user)
    }
    return users
  }

  depth(): Depth {
    return {
      users: this.waiting.size,
      batches: this.batches,
      events: this.events,
      bytes: this.reserved.bytes,
      unreadable: this.unreadable
    }
  }
}
