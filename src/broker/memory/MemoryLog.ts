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
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { RunId, ThreadId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import * as RunState from "../../protocol/run/RunState.ts"
import type { Entry, Gap, PullLimits, RecentRuns, RunSnapshotAt, Slice } from "../Broker.ts"
import { EntryRing, Heading, type Source } from "./EntryRing.ts"
import { maxSpentSources, SequenceSet } from "./SequenceSet.ts"
import { Page } from "./Page.ts"
import { RunStates } from "./RunStates.ts"

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

/**
 * The log of one user, in one epoch.
 *
 * @category models
 * @since 0.1.0
 */
export class MemoryLog {
  readonly epoch: string
  private readonly limits: LogLimits
  // Made with the first entry: most logs belong to users who wait for one.
  private ring = EntryRing.none
  private first = 1
  private last = 0
  private sources: Map<string, Source> | undefined
  // Those of them that no entry is from, in the order of their last entries.
  private spent: Set<Source> | undefined
  // Those of the newest entries: events in a row mostly have the same.
  private latestHeading: Heading | undefined = undefined
  private headings: ReadonlyArray<Heading> = noHeadings
  private runs: RunStates | undefined = undefined
  // The runs that were ended as lost. Made with the first: hardly any user has one.
  private lost: Set<RunId> | undefined = undefined
  private page: Page | undefined = undefined
  // Those that entries stand on, and an offset before which none of them is free.
  private pages: ReadonlyArray<Page> = noPages
  private pagesFreeAt = 0
  // What the pages take, in bytes.
  private pageBytes = 0
  // What the log itself takes, with its sources, in bytes.
  private ownBytes = logOverhead

  constructor(epoch: string, limits: LogLimits) {
    this.epoch = epoch
    this.limits = limits
  }

  /** The bytes of all bodies held. */
  get bytes(): number {
    return this.ring.textBytes
  }

  /**
   * About what the log takes in memory, in bytes: texts, pages, sources, folded
   * runs and itself.
   */
  get held(): number {
    const { ownBytes, pageBytes, ring } = this
    return ownBytes + pageBytes + ring.placeBytes + ring.heldBytes + (this.runs === undefined ? 0 : this.runs.bytes)
  }

  /** Whether a run is active. */
  get isActive(): boolean {
    return this.runs !== undefined && this.runs.active > 0
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
   * position of the batch's last event. Ages count from `now`, in milliseconds
   * of any clock that `expire` goes by too.
   */
  append(batch: NonEmptyReadonlyArray<Envelope>, now = 0): Position {
    let last = batch[0]
    let isNew = false
    for (const envelope of batch) {
      last = envelope
      const heading = this.headingOf(envelope)
      const { taken } = heading.source
      const before = taken.size
      isNew = taken.add(envelope.sequence)
      this.ownBytes += rangeOverhead * (taken.size - before)
      if (isNew) this.push(envelope, heading, now)
    }
    const offset = isNew ? this.last : this.offsetOf(last)
    this.expire(now)
    return { epoch: this.epoch, offset }
  }

  /** Those runs of the batch that were ended as lost, and that it has something new of. */
  refusedOf(batch: ReadonlyArray<Envelope>): ReadonlyArray<RunId> {
    const { lost } = this
    if (lost === undefined || lost.size === 0) return noRuns
    const refused = new Set<RunId>()
    const restarted = new Set<RunId>()
    for (const envelope of batch) {
      const { run, type } = envelope
      if (run === undefined || !lost.has(run) || restarted.has(run)) continue
      if (this.sources?.get(envelope.source)?.taken.has(envelope.sequence) === true) continue
      if (RunState.isStart(type) && this.isStartedBy(run, envelope.at)) restarted.add(run)
      else refused.add(run)
    }
    return [...refused]
  }

  /** Of these runs those that are active, and the threads they belong to. */
  activeOf(runs: ReadonlyArray<RunId>): ReadonlyArray<{ readonly run: RunId; readonly thread: ThreadId | undefined }> {
    return runs.flatMap((run) => {
      const record = this.runs?.get(run)
      return record === undefined || record.fold.ended ? [] : [{ run, thread: record.thread }]
    })
  }

  /** Whether a run is known, and has ended. */
  standing(run: RunId): "unknown" | "active" | "ended" {
    const record = this.runs?.get(run)
    if (record === undefined) return this.lost?.has(run) === true ? "ended" : "unknown"
    return record.fold.ended ? "ended" : "active"
  }

  /** How often a run has ended, as far as it is known. */
  endings(run: RunId): number {
    return this.runs?.get(run)?.endings ?? 0
  }

  /** From now on these runs take no more events, until they start anew. */
  close(runs: ReadonlyArray<RunId>): void {
    this.lost ??= new Set()
    for (const run of runs) {
      this.lost.add(run)
      const [oldest] = this.lost
      if (this.lost.size > this.limits.maxRuns && oldest !== undefined) this.lost.delete(oldest)
    }
  }

  /** Drops what is too old, too much or too many. */
  expire(now: number): void {
    const { maxAgeMs, maxBytes, maxEvents } = this.limits
    const oldest = now - maxAgeMs
    while (this.size > 0) {
      const since = this.ring.sinceOf(this.first)
      if (this.size <= maxEvents && (this.ring.textBytes <= maxBytes || this.size === 1) && since >= oldest) return
      this.dropOldest()
    }
  }

  /** Drops the oldest entry, if there is one. */
  dropOldest(): void {
    if (this.size === 0) return
    const source = this.ring.drop(this.first, this.last)
    if (source !== undefined && --source.held === 0) this.spend(source)
    this.first++
    if (this.ring.isWideFor(this.size)) this.ring = this.ring.narrowed(this.first, this.last)
    if (this.size === 0) this.page = undefined
    if (this.first > this.pagesFreeAt && this.pages.length > 0) this.freePages()
  }

  /** Gives up what is only kept for those who come back: all events but the newest, and runs that have ended. */
  shrink(isEnough: () => boolean): void {
    while (this.size > 1 && !isEnough()) this.dropOldest()
    while (!isEnough() && this.runs?.forgetEnded() === true);
  }

  /** Of each text of the active runs, keeps only the end. */
  shorten(): void {
    this.runs?.shorten(shortText)
  }

  /** What lies past a position. */
  pull(after: Position, limits: PullLimits): Slice {
    const gap = this.gapAfter(after)
    const entries: Array<Entry> = []
    let offset = gap === undefined ? after.offset : gap.to
    let bytes = 0
    while (offset < this.last && entries.length < limits.maxEvents) {
      bytes += this.ring.bytesOf(offset + 1)
      if (entries.length > 0 && bytes > limits.maxBytes) break
      if (!this.ring.isOnPage(++offset)) this.move(offset)
      entries.push(this.ring.read(offset))
    }
    return {
      gap,
      snapshots: gap === undefined ? [] : this.snapshots(gap.from),
      entries,
      next: { epoch: this.epoch, offset },
      head: this.last
    }
  }

  /** The state of the runs that are active, or whose last event is not before `from`, and of the recent ones. */
  snapshots(from: number, recent?: RecentRuns): ReadonlyArray<RunSnapshotAt> {
    return this.runs?.snapshots(from, recent) ?? []
  }

  /** The state of one run, if anything is known of it. */
  snapshot(run: RunId): RunSnapshotAt | undefined {
    return this.runs?.snapshot(run)
  }

  // Whether a start at this time begins the run anew; otherwise it is the start of the run as it was, and came late.
  private isStartedBy(run: RunId, at: number): boolean {
    return this.runs?.get(run)?.fold.isStartedBy(at) ?? true
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

  // The text of an entry that a reader asks for moves to a page.
  private move(offset: number): void {
    const page = this.ring.move(offset, this.page)
    if (page === this.page) return
    this.page = page
    this.pages = [...this.pages, page]
    this.pageBytes += pageOverhead + page.bytes.length
    this.freePages()
  }

  // Pages on which no entry stands any more, but for the one that is being written.
  private freePages(): void {
    const kept: Array<Page> = []
    this.pagesFreeAt = Number.POSITIVE_INFINITY
    for (const page of this.pages) {
      if (page !== this.page && page.last < this.first) {
        this.pageBytes -= pageOverhead + page.bytes.length
      } else {
        kept.push(page)
        this.pagesFreeAt = Math.min(this.pagesFreeAt, page.last)
      }
    }
    this.pages = kept.length === 0 ? noPages : kept
  }

  // Events of a run take turns in a few headings, so looking through the latest ones finds nearly all.
  private headingOf(envelope: Envelope): Heading {
    if (this.latestHeading?.fits(envelope) === true) return this.latestHeading
    const known = this.headings.find((heading) => heading.fits(envelope))
    this.latestHeading = known ?? new Heading(this.last + 1, this.sourceOf(envelope), envelope, this.latestHeading)
    if (known === undefined) this.headings = [this.latestHeading, ...this.headings.slice(0, maxHeadings - 1)]
    return this.latestHeading
  }

  private sourceOf({ source: name }: Envelope): Source {
    this.sources ??= new Map()
    let source = this.sources.get(name)
    if (source === undefined) {
      source = { name, taken: new SequenceSet(), held: 0 }
      this.sources.set(name, source)
      this.ownBytes += sourceOverhead
    }
    return source
  }

  // What is repeated may come late: when its events have left the log, a source is still known for a while.
  private spend(source: Source): void {
    this.spent ??= new Set()
    this.spent.add(source)
    if (this.spent.size <= maxSpentSources) return
    const [oldest] = this.spent
    if (oldest === undefined) return
    this.spent.delete(oldest)
    if (this.sources?.delete(oldest.name) === true) this.ownBytes -= sourceOverhead
    this.ownBytes -= rangeOverhead * oldest.taken.size
    this.headings = this.headings.filter(({ source }) => source !== oldest)
    if (this.latestHeading?.source === oldest) this.latestHeading = undefined
  }

  // Only a repeated batch asks, so a search will do. What is no longer held has the place before the first.
  private offsetOf({ sequence, source }: Envelope): number {
    for (let offset = this.last; offset >= this.first; offset--) {
      if (this.ring.isOf(offset, source, sequence)) return offset
    }
    return this.first - 1
  }

  private push(envelope: Envelope, heading: Heading, now: number): void {
    const { source } = heading
    if (source.held++ === 0) this.spent?.delete(source)
    // The oldest makes room before the new one comes, so that a full ring need not grow.
    if (this.size >= this.limits.maxEvents) this.dropOldest()
    if (this.size === this.ring.capacity) this.ring = this.ring.grown(this.first, this.last)
    const offset = ++this.last
    this.ring.put(offset, heading, envelope, now)
    if (envelope.run !== undefined) {
      this.runs ??= new RunStates(this.limits.maxRuns)
      if (this.lost !== undefined && RunState.isStart(envelope.type) && this.isStartedBy(envelope.run, envelope.at)) {
        this.lost.delete(envelope.run)
      }
      const { at, data, keep, run, thread, type } = envelope
      this.runs.apply(run, type, data, at, offset, thread, keep)
    }
  }
}

// How many headings are looked through: a run has events of about as many types.
const maxHeadings = 8

// One for all logs, since it is replaced.
const noHeadings: ReadonlyArray<never> = []

const noPages: ReadonlyArray<never> = []

const noRuns: ReadonlyArray<never> = []

// What things take in memory besides their texts, in bytes, as measured in V8.
const logOverhead = 500
const pageOverhead = 250
const sourceOverhead = 350
const rangeOverhead = 48

// How many characters are kept of a text when memory is short.
const shortText = 1024
