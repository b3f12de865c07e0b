/**
 * One user's bounded log in memory: a ring of entries with consecutive offsets,
 * what it knows of their sources, and the folded state of the user's runs.
 *
 * It is plain synchronous state with no clock of its own, so every step is
 * atomic. It keeps at most `maxEvents` entries, `maxBytes` of their text, and
 * nothing that it took more than `maxAgeMs` ago; the oldest entries go first.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Envelope } from "../protocol/Envelope.ts"
import type { Position } from "../protocol/Position.ts"
import type { Entry, Gap, PullLimits, RunSnapshotAt, Slice } from "./Broker.ts"
import { Numbers } from "./Numbers.ts"
import { Runs } from "./Runs.ts"

/**
 * What a log may hold.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogLimits {
  readonly maxEvents: number
  readonly maxBytes: number
  readonly maxAgeMs: number
  readonly maxRuns: number
}

interface StoredEntry extends Entry {
  readonly source: Source
  readonly sequence: number
  /** When the log took it, in milliseconds: its own time, unless it came late. */
  readonly since: number
}

interface Source {
  readonly name: string
  readonly taken: Numbers
  /** How many entries of the log are from this source; without any it is forgotten. */
  held: number
}

/**
 * @category models
 * @since 0.1.0
 */
export class UserLog {
  readonly epoch: string
  private readonly limits: LogLimits
  // A ring: the entry with offset o stands at o modulo its capacity, which is a power of two.
  private ring: Array<StoredEntry | undefined> = new Array(initialCapacity)
  private first = 1
  private last = 0
  private readonly sources = new Map<string, Source>()
  private latestSource: Source | undefined = undefined
  private readonly runs: Runs
  private textBytes = 0

  constructor(epoch: string, limits: LogLimits) {
    this.epoch = epoch
    this.limits = limits
    this.runs = new Runs(limits.maxRuns)
  }

  /** The bytes of all bodies held. */
  get bytes(): number {
    return this.textBytes
  }

  /** How many entries are held. */
  get size(): number {
    return this.last - this.first + 1
  }

  /** The position of the newest event ever appended. */
  get head(): Position {
    return { epoch: this.epoch, offset: this.last }
  }

  /**
   * Appends what of the batch the log does not hold yet, and returns the
   * position of the batch's last event. `now` may lag behind the clock: events
   * tell the time too.
   */
  append(batch: NonEmptyReadonlyArray<Envelope>, now = 0): Position {
    let last = batch[0]
    let newest = now
    let isNew = false
    for (const envelope of batch) {
      last = envelope
      if (envelope.at > newest) newest = envelope.at
      const source = this.sourceOf(envelope)
      isNew = source.taken.add(envelope.sequence)
      if (isNew) this.push(envelope, source, now)
    }
    const offset = isNew ? this.last : this.offsetOf(last)
    this.expire(newest)
    return { epoch: this.epoch, offset }
  }

  /** Drops what is too old, too much or too many. */
  expire(now: number): void {
    const { maxAgeMs, maxBytes, maxEvents } = this.limits
    const oldest = now - maxAgeMs
    while (this.size > 0) {
      const entry = this.at(this.first)
      if (this.size <= maxEvents && (this.textBytes <= maxBytes || this.size === 1) && entry.since >= oldest) return
      this.dropOldest()
    }
  }

  /** Drops the oldest entry, if there is one. */
  dropOldest(): void {
    if (this.size === 0) return
    const entry = this.at(this.first)
    if (--entry.source.held === 0) this.forget(entry.source)
    this.ring[this.first & (this.ring.length - 1)] = undefined
    this.textBytes -= entry.bytes
    this.first++
  }

  /** What lies past a position. */
  pull(after: Position, limits: PullLimits): Slice {
    const gap = this.gapAfter(after)
    const entries: Array<Entry> = []
    let offset = gap === undefined ? after.offset : gap.to
    let bytes = 0
    while (offset < this.last && entries.length < limits.maxEvents) {
      const entry = this.at(offset + 1)
      bytes += entry.bytes
      if (entries.length > 0 && bytes > limits.maxBytes) break
      entries.push(entry)
      offset++
    }
    return {
      gap,
      snapshots: gap === undefined ? [] : this.snapshots(gap.from),
      entries,
      next: { epoch: this.epoch, offset },
      head: this.last
    }
  }

  /** The state of the runs that are active, or whose last event is not before `from`. */
  snapshots(from: number): ReadonlyArray<RunSnapshotAt> {
    return this.runs.snapshots(from)
  }

  private gapAfter(after: Position): Gap | undefined {
    // A position past the head was not given out by this log, so it is none of this epoch.
    if (after.epoch !== this.epoch || after.offset > this.last) {
      return { epoch: this.epoch, from: 1, to: this.first - 1, reason: "epoch" }
    }
    return after.offset + 1 < this.first
      ? { epoch: this.epoch, from: after.offset + 1, to: this.first - 1, reason: "retention" }
      : undefined
  }

  private at(offset: number): StoredEntry {
    const entry = this.ring[offset & (this.ring.length - 1)]
    if (entry === undefined) throw new RangeError(`offset ${offset} is not in the log (${this.first}–${this.last})`)
    return entry
  }

  private sourceOf({ source: name }: Envelope): Source {
    if (this.latestSource?.name === name) return this.latestSource
    let source = this.sources.get(name)
    if (source === undefined) {
      source = { name, taken: new Numbers(), held: 0 }
      this.sources.set(name, source)
    }
    this.latestSource = source
    return source
  }

  private forget(source: Source): void {
    this.sources.delete(source.name)
    if (this.latestSource === source) this.latestSource = undefined
  }

  // Only a repeated batch asks, so a search will do. What is no longer held has the place before the first.
  private offsetOf({ sequence, source }: Envelope): number {
    for (let offset = this.last; offset >= this.first; offset--) {
      const entry = this.at(offset)
      if (entry.source.name === source && entry.sequence === sequence) return offset
    }
    return this.first - 1
  }

  private push(envelope: Envelope, source: Source, now: number): void {
    if (this.size === this.ring.length) this.grow()
    source.held++
    const offset = ++this.last
    this.ring[offset & (this.ring.length - 1)] = {
      offset,
      source,
      sequence: envelope.sequence,
      since: envelope.at > now ? envelope.at : now,
      type: envelope.type,
      delivery: envelope.delivery,
      at: envelope.at,
      run: envelope.run,
      thread: envelope.thread,
      confirm: envelope.confirm,
      body: envelope.body,
      bytes: envelope.bytes
    }
    this.textBytes += envelope.bytes
    if (envelope.run !== undefined) {
      this.runs.apply(envelope.run, envelope.type, envelope.data, envelope.at, offset)
    }
    if (this.size > this.limits.maxEvents) this.dropOldest()
  }

  private grow(): void {
    const ring: Array<StoredEntry | undefined> = new Array(this.ring.length * 2)
    for (let offset = this.first; offset <= this.last; offset++) {
      ring[offset & (ring.length - 1)] = this.at(offset)
    }
    this.ring = ring
  }
}

const initialCapacity = 8
