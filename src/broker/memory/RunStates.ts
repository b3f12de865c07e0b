/**
 * The folded state of one user's runs, bounded in number: past `maxRuns` the
 * oldest run that has ended is forgotten, and without one the oldest.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import type { Keep } from "../../protocol/event/Event.ts"
import type { RunId, ThreadId } from "../../protocol/values/Identity.ts"
import { RunFold } from "../../protocol/run/RunFold.ts"
import type { RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import { bytesOfFold, shortened, weigh } from "../../protocol/run/RunWeight.ts"
import type { RecentRuns, RunSnapshotAt } from "../Broker.ts"

/**
 * What is known of a run: its state after the event at `offset`, the thread that it
 * began in, and how many `endings` were seen of it. `since` is the offset of its
 * first event: the lower, the older is the run.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunRecord {
  readonly since: number
  fold: RunFold
  thread: ThreadId | undefined
  offset: number
  endings: number
}

/**
 * The runs of one user, the oldest first. Mutable: each event of a run is folded as it
 * is appended.
 *
 * @category models
 * @since 0.1.0
 */
export class RunStates {
  private readonly maxRuns: number
  private records: Map<RunId, RunRecord> | undefined
  private heldBytes = 0
  private activeRuns = 0

  constructor(maxRuns: number) {
    this.maxRuns = maxRuns
  }

  /** About what all of it takes in memory, in bytes. */
  get bytes(): number {
    return this.heldBytes
  }

  /** How many runs are active. */
  get active(): number {
    return this.activeRuns
  }

  /** Every run that is not forgotten, the oldest first. */
  entries(): Iterable<[RunId, RunRecord]> {
    return this.records ?? []
  }

  /** What is known of a run. */
  get(run: RunId): RunRecord | undefined {
    return this.records?.get(run)
  }

  /** Whether anything is known of a run. */
  has(run: RunId): boolean {
    return this.records?.has(run) === true
  }

  /** Takes up a run where a snapshot left it. Runs must come in order, the oldest first. */
  restore(run: RunId, since: number, offset: number, state: RunSnapshot): void {
    this.records ??= new Map()
    this.put(this.records, run, { since, fold: RunFold.from(state, weigh), thread: undefined, offset, endings: 0 })
  }

  /** Takes the next event of a run. */
  apply(
    run: RunId,
    type: string,
    data: Schema.JsonObject,
    at: number,
    offset: number,
    thread?: ThreadId,
    keep?: Keep
  ): void {
    this.records ??= new Map()
    let record = this.records.get(run)
    if (record === undefined) {
      record = { since: offset, fold: new RunFold(weigh), thread, offset, endings: 0 }
      this.put(this.records, run, record)
      if (this.records.size > this.maxRuns) this.forgetOne(this.records)
    }
    const { ended, weight } = record.fold
    record.offset = offset
    if (RunEvents.isStart(type) && record.fold.ended && record.fold.isStartedBy(at)) record.thread = thread
    record.fold.apply(type, data, at, thread, keep)
    this.heldBytes += record.fold.weight - weight
    if (record.fold.ended === ended) return
    this.activeRuns += ended ? 1 : -1
    if (!ended) record.endings++
  }

  /** Forgets the oldest run that has ended; `false` if there is none. */
  forgetEnded(): boolean {
    for (const [run, record] of this.entries()) {
      if (record.fold.ended) {
        this.forget(run, record)
        return true
      }
    }
    return false
  }

  /** Of each text of the runs that are active, keeps so many of the last characters. */
  shorten(maxCharacters: number): void {
    for (const [, record] of this.entries()) {
      const { fold } = record
      record.fold = RunFold.from(shortened(fold.snapshot(), maxCharacters), weigh)
      this.heldBytes += record.fold.weight - fold.weight
    }
  }

  /** The state of one run, if anything is known of it. */
  snapshot(run: RunId): RunSnapshotAt | undefined {
    const record = this.get(run)
    return record === undefined ? undefined : { run, offset: record.offset, state: record.fold.snapshot() }
  }

  /**
   * The state of the runs that are active, or whose last event is not before `from`,
   * and of the recent ones; of their threads alone, if they name any.
   */
  snapshots(from: number, recent?: RecentRuns): ReadonlyArray<RunSnapshotAt> {
    const threads = recent?.threads === undefined ? undefined : new Set<string>(recent.threads)
    const isWanted = ({ fold: { thread } }: RunRecord) =>
      threads === undefined || thread === undefined || threads.has(thread)
    const runs = Array.from(this.entries()).filter(([, record]) => isWanted(record))
    const others = runs.filter(([, { fold, offset }]) => fold.ended && offset < from)
    const count = recent?.count ?? 0
    const newest = new Set(
      others.toSorted(([, one], [, other]) => other.offset - one.offset).slice(0, count).map(([run]) => run)
    )
    return runs.flatMap(([run, { fold, offset }]) =>
      !fold.ended || offset >= from || newest.has(run) ? [{ run, offset, state: fold.snapshot() }] : []
    )
  }

  private put(records: Map<RunId, RunRecord>, run: RunId, record: RunRecord): void {
    records.set(run, record)
    this.heldBytes += recordOverhead + bytesOfFold(record.fold)
    if (!record.fold.ended) this.activeRuns++
  }

  // The oldest run that has ended; without one, the oldest.
  private forgetOne(records: Map<RunId, RunRecord>): void {
    if (this.forgetEnded()) return
    const [oldest] = records
    if (oldest !== undefined) this.forget(...oldest)
  }

  private forget(run: RunId, { fold }: RunRecord): void {
    this.records?.delete(run)
    this.heldBytes -= recordOverhead + bytesOfFold(fold)
    if (!fold.ended) this.activeRuns--
  }
}

// A record, its id, and its place in the map.
const recordOverhead = 200
