/**
 * One user's log in the file, with what an append must know of it: which events came
 * already, which runs there are, and where it begins.
 *
 * Each call is one step of a transaction. Where it fails the transaction is rolled
 * back, and the object thrown away: the next one reads the file anew.
 *
 * The states of runs are folded here. They are written to the file every
 * `foldedEvery` events, and before an event goes that they were folded from.
 *
 * @since 0.2.0
 */
import type { Keep } from "../../../protocol/event/Event.ts"
import * as RunEvents from "../../../protocol/event/RunEvents.ts"
import type { RunId, ThreadId } from "../../../protocol/values/Identity.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import * as LostEnding from "../../leases/LostEnding.ts"
import type { Entry, Gap, PullLimits, Slice } from "../../Log.ts"
import { RunStates } from "../../memory/RunStates.ts"
import { maxSpentSources, SequenceSet } from "../../memory/SequenceSet.ts"
import type { Appended, LogState, RunStanding, SentEvent, Standing } from "../Messages.ts"
import * as StoredEvent from "./StoredEvent.ts"
import * as Rows from "./Rows.ts"
import type { Statements } from "./Statements.ts"

/**
 * What a log may hold.
 *
 * @category models
 * @since 0.2.0
 */
export interface Limits {
  readonly maxEvents: number
  readonly maxBytes: number
  readonly maxAgeMs: number
  readonly maxRuns: number
}

interface Source {
  readonly id: number
  readonly name: string
  readonly taken: SequenceSet
  /** How many events of the log are from it; without any it is spent, and may be forgotten. */
  held: number
  /** The offset of the last of them, once it is spent. */
  spent: number
}

// After so many events the states of runs are written, so that nobody who reads the log anew folds more.
const foldedEvery = 256

// How many of the last events that were acknowledged are remembered.
const maxAcknowledged = 128

// What is let go at once, of what may be held: so that it is not done at every append.
const stepOfEvents = (maxEvents: number): number => Math.floor(maxEvents / 16)
const stepOfBytes = (maxBytes: number): number => maxBytes < 65_536 ? 0 : Math.floor(maxBytes / 16)

// So much is let go at once because of its age, and for want of room.
const maxDropped = 1_024
const maxShrunk = 64

/**
 * The log of one user, as the file has it.
 *
 * @category models
 * @since 0.2.0
 */
export class UserLog {
  readonly id: number
  private readonly sql: Statements
  private readonly limits: Limits
  private epoch: string
  private first: number
  private head: number
  private bytes: number
  private folded: number
  // When the oldest event came, or when the log became empty.
  private oldest: number
  private agedAs = ""
  private life: number
  private readonly sources = new Map<string, Source>()
  private readonly sourcesById = new Map<number, Source>()
  private readonly spent = new Set<Source>()
  private readonly runs: RunStates
  // The runs that the file has a row of.
  private readonly rows = new Set<RunId>()
  private readonly lost = new Set<RunId>()
  private lostNumber = 0
  private readonly acknowledged: Set<number>

  private constructor(sql: Statements, row: Rows.Row, limits: Limits) {
    this.sql = sql
    this.limits = limits
    this.id = Rows.int(row, "id")
    this.epoch = Rows.text(row, "epoch")
    this.first = Rows.int(row, "first")
    this.head = Rows.int(row, "head")
    this.bytes = Rows.int(row, "bytes")
    this.folded = Rows.int(row, "folded")
    this.oldest = Rows.int(row, "oldest")
    this.life = Rows.int(row, "life")
    this.runs = new RunStates(limits.maxRuns)
    this.acknowledged = new Set(Rows.numbers(row, "acknowledged"))
  }

  /** Reads a user's log, if there is one. */
  static read(sql: Statements, user: string, limits: Limits): UserLog | undefined {
    const row = sql.user.get(user)
    if (row === undefined) return undefined
    const log = new UserLog(sql, row, limits)
    log.readSources()
    log.readRuns()
    return log
  }

  /** Begins a log. */
  static begin(
    sql: Statements,
    user: string,
    limits: Limits,
    { epoch, life, now }: { readonly epoch: string; readonly life: number; readonly now: number }
  ): UserLog {
    const added = sql.addUser.get(user, epoch, now, life)
    const id = added === undefined ? 0 : Rows.int(added, "id")
    const row: Rows.Row = {
      id,
      epoch,
      first: 1,
      head: 0,
      bytes: 0,
      folded: 0,
      oldest: now,
      life,
      acknowledged: "[]"
    }
    return new UserLog(sql, row, limits)
  }

  /** Which life of a process had it last: it counts up. */
  get lastLife(): number {
    return this.life
  }

  /** About what it takes in memory, in bytes. */
  get weight(): number {
    return 1_000 + 400 * this.sources.size + 200 * this.lost.size + this.runs.bytes
  }

  /** Where it stands. */
  get state(): LogState {
    return { epoch: this.epoch, first: this.first, head: this.head }
  }

  /** Whether nothing is in it, and no run is active. */
  get isEmpty(): boolean {
    return this.first > this.head && this.runs.active === 0
  }

  /** Whether it has something that is older. */
  isOlder(than: number): boolean {
    return this.first <= this.head && this.oldest < than
  }

  /** Goes on in another life of the process; under a new epoch, if last events may be gone. */
  enter(life: number, epoch: string | undefined): void {
    this.life = life
    if (epoch !== undefined) {
      this.epoch = epoch
      this.acknowledged.clear()
      this.sql.setAcknowledged.run("[]", this.id)
    }
    this.write()
  }

  /** The runs that are active. */
  active(): ReadonlyArray<RunId> {
    return Array.from(this.runs.entries()).flatMap(([run, { fold }]) => fold.ended ? [] : [run])
  }

  /** What is known of a run. */
  standing(run: RunId): Standing {
    const record = this.runs.get(run)
    if (record === undefined) return this.lost.has(run) ? "ended" : "unknown"
    return record.fold.ended ? "ended" : "active"
  }

  /** What is known of each run of which anything is. */
  standings(): ReadonlyArray<RunStanding> {
    const runs = new Set([...this.lost, ...Array.from(this.runs.entries(), ([run]) => run)])
    return Array.from(runs, (run) => [run, this.standing(run)] as const)
  }

  /** Those runs of the batch that were ended as lost, and that it has something new of. */
  refusedOf(batch: ReadonlyArray<SentEvent>): ReadonlyArray<RunId> {
    if (this.lost.size === 0) return []
    const refused = new Set<RunId>()
    const restarted = new Set<RunId>()
    for (const { at, run, sequence, source, type } of batch) {
      if (run === undefined || !this.lost.has(run) || restarted.has(run)) continue
      if (this.sources.get(source)?.taken.has(sequence) === true) continue
      if (RunEvents.isStart(type) && this.isStartedBy(run, at)) restarted.add(run)
      else refused.add(run)
    }
    return Array.from(refused)
  }

  /** Appends what of the batch the log does not hold yet. */
  append(batch: ReadonlyArray<SentEvent>, now: number): Appended {
    const from = this.head + 1
    const taken: Array<number> = []
    const touched = new Set<Source>()
    const before = new Map<RunId, { readonly standing: Standing; readonly endings: number }>()
    let offset = this.first - 1
    let last = batch.length - 1
    for (const [index, event] of batch.entries()) {
      const source = this.sourceOf(event.source)
      if (!source.taken.add(event.sequence)) continue
      touched.add(source)
      taken.push(index)
      last = index
      if (event.run !== undefined && !before.has(event.run)) {
        before.set(event.run, {
          standing: this.standing(event.run),
          endings: this.runs.get(event.run)?.endings ?? 0
        })
      }
      this.push(event, source, now)
    }
    if (taken.length > 0 && last === batch.length - 1) offset = this.head
    else offset = this.offsetOf(batch.at(-1))
    const turned: Array<RunStanding> = []
    const ended: Array<RunId> = []
    for (const [run, { endings, standing }] of before) {
      const now = this.standing(run)
      if (now !== standing) {
        turned.push([run, now])
        if (this.runs.has(run)) this.sql.turnRun.run(now === "ended" ? 1 : 0, this.id, run)
      }
      if ((this.runs.get(run)?.endings ?? 0) > endings) ended.push(run)
    }
    // Only one that is new makes another be forgotten.
    if (this.rows.size > this.limits.maxRuns) {
      for (const run of this.dropForgotten()) turned.push([run, this.standing(run)])
    }
    for (const source of touched) this.writeSource(source)
    if (taken.length > 0) {
      this.expire(now)
      if (this.head - this.folded >= foldedEvery) this.writeRuns()
      this.write()
    }
    return { log: this.state, offset, from, taken: taken.length === batch.length ? undefined : taken, turned, ended }
  }

  /** Ends runs that are active as lost; `source` is of these endings alone. */
  endLost(
    runs: ReadonlyArray<RunId>,
    source: string,
    at: number,
    now: number
  ): (Appended & { readonly entries: ReadonlyArray<Entry> }) | undefined {
    const batch: Array<SentEvent> = []
    for (const run of runs) {
      const record = this.runs.get(run)
      if (record === undefined || record.fold.ended) continue
      const sequence = batch.length + 1
      const thread = record.thread ?? toThread(record.fold.thread)
      const body = LostEnding.bodyOf({ id: `${source}${sequence}`, at, run, thread })
      batch.push({
        source,
        sequence,
        type: RunEvents.failed,
        delivery: "critical",
        at,
        run,
        thread,
        confirm: false,
        keep: undefined,
        body,
        bytes: Buffer.byteLength(body)
      })
    }
    if (batch.length === 0) return undefined
    const appended = this.append(batch, now)
    for (const { run } of batch) if (run !== undefined) this.close(run)
    const entries = batch.map((event, index): Entry => ({ ...event, offset: appended.from + index }))
    return { ...appended, entries }
  }

  /** What lies past a position. */
  pull(after: Position, limits: PullLimits): Slice {
    const gap = this.gapAfter(after)
    const start = gap === undefined ? after.offset : gap.to
    const entries: Array<Entry> = []
    let bytes = 0
    // What a reader asks for may be without bounds; what is counted is not.
    const most = Math.min(limits.maxEvents, this.head - start)
    if (most > 0) {
      for (const row of this.sql.events.iterate(this.id, start, most)) {
        const entry = StoredEvent.toEntry(row)
        bytes += entry.bytes
        if (entries.length > 0 && bytes > limits.maxBytes) break
        entries.push(entry)
      }
    }
    return {
      gap,
      snapshots: gap === undefined ? [] : this.runs.snapshots(gap.from),
      entries,
      next: { epoch: this.epoch, offset: entries.at(-1)?.offset ?? start },
      head: this.head
    }
  }

  /** The states of its runs, see `RunStates`. */
  get states(): RunStates {
    return this.runs
  }

  /** Remembers that an event was acknowledged; `false` if there is none at this position. */
  acknowledge({ epoch, offset }: Position): boolean {
    if (epoch !== this.epoch || offset > this.head) return false
    if (this.acknowledged.has(offset)) return true
    this.acknowledged.add(offset)
    const [eldest] = this.acknowledged
    if (this.acknowledged.size > maxAcknowledged && eldest !== undefined) this.acknowledged.delete(eldest)
    this.sql.setAcknowledged.run(JSON.stringify(Array.from(this.acknowledged)), this.id)
    return true
  }

  /** Whether an event was acknowledged. */
  isAcknowledged({ epoch, offset }: Position): boolean {
    return epoch === this.epoch && this.acknowledged.has(offset)
  }

  /** Drops what is too old, too much or too many, as far as one step goes. */
  expire(now: number): void {
    const { maxAgeMs, maxBytes, maxEvents } = this.limits
    const tooOld = now - maxAgeMs
    const size = this.head - this.first + 1
    if (size <= maxEvents && this.bytes <= maxBytes && !this.isOlder(tooOld)) return
    const mostEvents = size > maxEvents ? maxEvents - stepOfEvents(maxEvents) : maxEvents
    const mostBytes = this.bytes > maxBytes ? maxBytes - stepOfBytes(maxBytes) : maxBytes
    this.drop((left, bytes, since, dropped) =>
      left > mostEvents || (bytes > mostBytes && left > 1) || (since < tooOld && dropped < maxDropped)
    )
    if (this.first > this.head) this.oldest = now
    this.write()
  }

  /** Drops the oldest events to make room, as far as one step goes; `keep` of them stay. */
  shrink(keep: number, now: number): void {
    this.drop((left, _, __, dropped) => left > keep && dropped < maxShrunk)
    if (this.first > this.head) this.oldest = now
    this.write()
  }

  /** Erases all of it. */
  erase(): void {
    const { id, sql } = this
    sql.dropEvents.run(id, this.head + 1)
    sql.dropSources.run(id)
    sql.dropRuns.run(id)
    sql.dropAllLost.run(id)
    sql.dropUser.run(id)
  }

  // From now on the run takes no more events, until it starts anew.
  private close(run: RunId): void {
    this.lost.add(run)
    this.sql.addLost.run(this.id, run, ++this.lostNumber)
    const [eldest] = this.lost
    if (this.lost.size > this.limits.maxRuns && eldest !== undefined) this.reopen(eldest)
  }

  private reopen(run: RunId): void {
    if (this.lost.delete(run)) this.sql.dropLost.run(this.id, run)
  }

  // Whether a start at this time begins the run anew; otherwise it is the start of the run as it was, and came late.
  private isStartedBy(run: RunId, at: number): boolean {
    return this.runs.get(run)?.fold.isStartedBy(at) ?? true
  }

  private push(event: SentEvent, source: Source, now: number): void {
    const { at, body, bytes, keep, run, thread, type } = event
    if (source.held++ === 0) this.spent.delete(source)
    const offset = ++this.head
    this.sql.addEvent.run(this.id, offset, source.id, event.sequence, StoredEvent.classOf(event), now, body)
    if (this.first === offset) this.oldest = now
    this.bytes += bytes
    if (run === undefined) return
    if (RunEvents.isStart(type) && this.lost.has(run) && this.isStartedBy(run, at)) this.reopen(run)
    this.fold(run, type, body, at, offset, thread, keep)
    if (this.rows.has(run)) return
    this.rows.add(run)
    this.sql.putRun.run(this.id, run, offset, offset, this.standing(run) === "ended" ? 1 : 0, null)
  }

  private fold(
    run: RunId,
    type: string,
    body: string,
    at: number,
    offset: number,
    thread: ThreadId | undefined,
    keep: Keep | undefined
  ): void {
    this.runs.apply(run, type, RunEvents.isFolded(type, keep) ? StoredEvent.dataOf(body) : {}, at, offset, thread, keep)
  }

  // Rows of runs that are not known any more.
  private dropForgotten(): ReadonlyArray<RunId> {
    const forgotten = Array.from(this.rows).filter((run) => !this.runs.has(run))
    for (const run of forgotten) {
      this.rows.delete(run)
      this.sql.dropRun.run(this.id, run)
    }
    return forgotten
  }

  private drop(
    isDropped: (left: number, bytes: number, since: number, dropped: number) => boolean
  ): void {
    const counts = new Map<Source, { events: number; last: number }>()
    let to = this.first - 1
    let { bytes } = this
    let oldest: number | undefined
    for (const row of this.sql.eldest.iterate(this.id, this.first)) {
      const since = Rows.int(row, "since")
      if (!isDropped(this.head - to, bytes, since, to - this.first + 1)) {
        oldest = since
        break
      }
      to = Rows.int(row, "off")
      bytes -= Rows.int(row, "bytes")
      const source = this.sourcesById.get(Rows.int(row, "src"))
      if (source === undefined) continue
      const count = counts.get(source)
      if (count === undefined) counts.set(source, { events: 1, last: to })
      else {
        count.events++
        count.last = to
      }
    }
    if (to < this.first) return
    // What the states were folded from must not go before they are written.
    if (to > this.folded) this.writeRuns()
    this.sql.dropEvents.run(this.id, to + 1)
    this.first = to + 1
    this.bytes = bytes
    if (oldest !== undefined) this.oldest = oldest
    for (const [source, { events, last }] of counts) {
      source.held -= events
      source.spent = last
      this.writeSource(source)
    }
    const spent = Array.from(counts.keys()).filter(({ held }) => held === 0)
    for (const source of spent.toSorted((one, other) => one.spent - other.spent)) this.spend(source)
  }

  // What is repeated may come late: when its events have left the log, a source is still known for a while.
  private spend(source: Source): void {
    this.spent.add(source)
    if (this.spent.size <= maxSpentSources) return
    const [eldest] = this.spent
    if (eldest === undefined) return
    this.spent.delete(eldest)
    this.sources.delete(eldest.name)
    this.sourcesById.delete(eldest.id)
    this.sql.dropSource.run(eldest.id)
  }

  private gapAfter(after: Position): Gap | undefined {
    // A position past the head was not given out by this log, so it is none of this epoch.
    if (after.epoch !== this.epoch || after.offset > this.head) {
      return { epoch: this.epoch, from: 1, to: this.first - 1, reason: "epoch" }
    }
    return after.offset + 1 < this.first
      ? { epoch: this.epoch, from: after.offset + 1, to: this.first - 1, reason: "retention" }
      : undefined
  }

  // What is no longer held has the place before the first.
  private offsetOf(event: SentEvent | undefined): number {
    const source = event === undefined ? undefined : this.sources.get(event.source)
    if (event === undefined || source === undefined) return this.first - 1
    const row = this.sql.offsetOf.get(this.id, this.first, source.id, event.sequence)
    return row === undefined ? this.first - 1 : Rows.int(row, "off")
  }

  private sourceOf(name: string): Source {
    const known = this.sources.get(name)
    if (known !== undefined) return known
    const row = this.sql.addSource.get(this.id, name)
    const source: Source = {
      id: row === undefined ? 0 : Rows.int(row, "id"),
      name,
      taken: new SequenceSet(),
      held: 0,
      spent: 0
    }
    this.sources.set(name, source)
    this.sourcesById.set(source.id, source)
    return source
  }

  private readSources(): void {
    for (const row of this.sql.sources.iterate(this.id)) {
      const source: Source = {
        id: Rows.int(row, "id"),
        name: Rows.text(row, "name"),
        taken: SequenceSet.from(Rows.ranges(row, "taken")),
        held: Rows.int(row, "held"),
        spent: Rows.int(row, "spent")
      }
      this.sources.set(source.name, source)
      this.sourcesById.set(source.id, source)
      if (source.held === 0) this.spent.add(source)
    }
  }

  private readRuns(): void {
    for (const row of this.sql.lost.iterate(this.id)) {
      this.lost.add(Rows.run(row, "run"))
      this.lostNumber = Rows.int(row, "number")
    }
    for (const row of this.sql.runs.iterate(this.id)) {
      const run = Rows.run(row, "run")
      this.rows.add(run)
      if (row["state"] === null) continue
      this.runs.restore(run, Rows.int(row, "since"), Rows.int(row, "off"), StoredEvent.toState(Rows.text(row, "state")))
    }
    for (const row of this.sql.events.iterate(this.id, this.folded, this.head - this.folded)) {
      const { at, body, offset, run, thread, type } = StoredEvent.toEntry(row)
      if (run !== undefined) this.fold(run, type, body, at, offset, thread, StoredEvent.keepOf(body))
    }
  }

  private writeRuns(): void {
    for (const [run, { fold, offset, since }] of this.runs.entries()) {
      if (offset <= this.folded) continue
      this.sql.putRun.run(this.id, run, since, offset, fold.ended ? 1 : 0, JSON.stringify(fold.snapshot()))
      this.rows.add(run)
    }
    this.folded = this.head
  }

  private writeSource({ held, id, spent, taken }: Source): void {
    this.sql.setSource.run(JSON.stringify(taken), held, spent, id)
  }

  private write(): void {
    const { bytes, epoch, first, folded, head, id, life, oldest } = this
    this.sql.setUser.run(epoch, first, head, bytes, folded, life, id)
    const emptiness = first <= head ? 0 : this.isEmpty ? 1 : 2
    const aged = `${emptiness} ${oldest}`
    if (aged === this.agedAs) return
    // They are in an index, which nearly no append has to change.
    this.sql.setAge.run(emptiness, oldest, id)
    this.agedAs = aged
  }
}

// A fold has it from an event, which was checked.
const isThread = (thread: string): thread is ThreadId => thread.length > 0
const toThread = (thread: string | undefined): ThreadId | undefined =>
  thread !== undefined && isThread(thread) ? thread : undefined
