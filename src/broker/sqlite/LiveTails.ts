/**
 * The latest events of users who are read: readers that keep up take them from here,
 * and nothing from the file.
 *
 * @since 0.2.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import type { Entry, PullLimits, Slice } from "../Log.ts"
import type { LogState } from "./Messages.ts"

// How much is kept: of one user, and of all.
const maxEvents = 1_024
const maxBytes = 256 * 1024
const maxTotalBytes = 64 * 1024 * 1024

// What an event takes besides its text.
const overhead = 250

interface Tail {
  /** The newest events, without a gap between them; those before `start` are gone. */
  entries: Array<Entry>
  start: number
  bytes: number
}

/**
 * The latest events by user, within a bound over all of them.
 *
 * @category models
 * @since 0.2.0
 */
export class LiveTails<Key> {
  // In the order in which they began.
  private readonly tails = new Map<Key, Tail>()
  private total = 0

  /** Takes the next events of a user. */
  add(user: Key, entries: ReadonlyArray<Entry>): void {
    const [first] = entries
    if (first === undefined) return
    let tail = this.tails.get(user)
    if (tail !== undefined && tail.entries.at(-1)?.offset !== first.offset - 1) {
      this.forget(user)
      tail = undefined
    }
    if (tail === undefined) {
      tail = { entries: [], start: 0, bytes: 0 }
      this.tails.set(user, tail)
    }
    for (const entry of entries) {
      tail.entries.push(entry)
      this.count(tail, entry.bytes + overhead)
    }
    while (
      tail.entries.length - tail.start > maxEvents || (tail.bytes > maxBytes && tail.entries.length > tail.start)
    ) {
      this.count(tail, -((tail.entries[tail.start++]?.bytes ?? 0) + overhead))
    }
    if (tail.start > tail.entries.length / 2) {
      tail.entries = tail.entries.slice(tail.start)
      tail.start = 0
    }
    for (const eldest of this.tails.keys()) {
      if (this.total <= maxTotalBytes) return
      this.forget(eldest)
    }
  }

  /** What lies past a position, if all of it is here. */
  pull(user: Key, after: Position, log: LogState, limits: PullLimits): Slice | undefined {
    if (after.epoch !== log.epoch || after.offset > log.head || after.offset + 1 < log.first) return undefined
    const slice = (entries: ReadonlyArray<Entry>): Slice => ({
      gap: undefined,
      snapshots: [],
      entries,
      next: { epoch: after.epoch, offset: entries.at(-1)?.offset ?? after.offset },
      head: log.head
    })
    if (after.offset === log.head) return slice([])
    const tail = this.tails.get(user)
    const newest = tail?.entries.at(-1)
    if (tail === undefined || newest === undefined || newest.offset !== log.head) return undefined
    const from = tail.entries.length - (log.head - after.offset)
    if (from < tail.start) return undefined
    let to = from
    let bytes = 0
    while (to < tail.entries.length && to - from < limits.maxEvents) {
      bytes += tail.entries[to]?.bytes ?? 0
      if (to > from && bytes > limits.maxBytes) break
      to++
    }
    return slice(tail.entries.slice(from, to))
  }

  /** Keeps nothing of a user. */
  forget(user: Key): void {
    const tail = this.tails.get(user)
    if (tail === undefined) return
    this.total -= tail.bytes
    this.tails.delete(user)
  }

  /** Keeps nothing. */
  clear(): void {
    this.tails.clear()
    this.total = 0
  }

  private count(tail: Tail, bytes: number): void {
    tail.bytes += bytes
    this.total += bytes
  }
}
