/**
 * The runs of one user: what is known of each, and how to end those that are
 * active.
 *
 * It is plain state, and the only one that writes to its records. Every step is
 * atomic.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import type * as Command from "../../protocol/command/Command.ts"
import type { RunId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import * as RunState from "../../protocol/run/RunState.ts"

/**
 * Who started a run, when, and how to end it in its stead. Nobody owns and nobody
 * cancels one that outlives its emitter: whoever works on it holds it.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunStart {
  readonly owner: object | undefined
  readonly at: number
  readonly cancel: (() => void) | undefined
}

/**
 * What became of an event that is emitted once for its key: where it stands in the
 * log, that it is on its way there, or that no way out took it.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyState = Position | "underWay" | "deadLettered"

/**
 * A run as its log has it: where it stands, when it started, what it used, how many
 * tool calls and requests it began, where its events stand that were emitted with a key, by
 * their sources, the oldest first, and which thread it is of.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoggedRun {
  readonly state: RunState.RunState
  readonly startedAt: number
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number; readonly cost?: number }
  readonly tools: number
  readonly requests: number
  readonly keys: ReadonlyArray<readonly [source: string, position: Position]>
  readonly thread: string | undefined
}

/**
 * An emitter, as one that may work on a run: the one it is bound to, or one that it
 * takes over. `last` is 0 until it has emitted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Holder {
  readonly boundTo: RunId | undefined
  readonly last: number
}

/**
 * Who cancelled a run: its user, by a command, or the program, by an interruption or
 * the end of what the run belongs to.
 *
 * @category models
 * @since 0.2.0
 */
export type CancelledBy = "user" | "program"

/**
 * Takes the commands of one name.
 *
 * - `take` gives the outcome, in one step with the decision. It does not throw.
 * - `close` is called once, when the run ends or is stopped: it takes none any more.
 *
 * @category models
 * @since 0.2.0
 */
export interface CommandTaker {
  readonly take: (data: Schema.Json | undefined, client: string | undefined) => Command.Outcome
  readonly close: () => void
}

class Record {
  state: RunState.RunState = RunState.idle
  isForgotten = false
  isClaimed = false
  isStopped = false
  isConducted = false
  isCancellable = false
  cancelledBy: CancelledBy | undefined = undefined
  takers: Map<string, CommandTaker> | undefined = undefined
  requests = 0
  startedAt = 0
  parent: Record | undefined = undefined
  inputTokens = 0
  outputTokens = 0
  cost: number | undefined = undefined
  tools = 0
  keys: Map<string, KeyState> | undefined = undefined
  start: RunStart | undefined = undefined
  interrupt: (() => void) | undefined = undefined
  holder: Holder | undefined = undefined
}

/**
 * What is known of one run.
 *
 * - `isForgotten`: it gave its place to another run. Whoever kept it asks anew.
 * - `isClaimed`: somebody is about to start it.
 * - `isStopped`: it was cancelled or lost. Nothing new begins within it, also
 *   where interruption does not reach.
 * - `isConducted`: an effect runs it, so it takes commands. `isCancellable`: a user
 *   may cancel it.
 * - `cancelledBy`: who cancelled it, where somebody has; its user, where both have.
 * - `takers`: what takes the commands it has, by their names.
 * - `startedAt`: the time of its start, in milliseconds since the Unix epoch. None
 *   of its events is before it, though the wall clock may be put back.
 * - `parent`: the run within which it began.
 * - `inputTokens`, `outputTokens`, `cost`: the sums of what it reported.
 * - `tools`, `requests`: how many tool calls it began, and requests of its user.
 * - `keys`: what became of its events that are emitted once for their key, by their
 *   sources; the last 1,024 of them.
 * - `start`, `interrupt`: while it is active, how it was started, and how to
 *   interrupt its fiber.
 * - `holder`: the emitter that works on it, or is about to take it over, where the run
 *   outlives its emitter.
 *
 * @category models
 * @since 0.1.0
 */
export type RunRecord = Readonly<Record>

// Ended runs are remembered, to refuse what comes after their end, up to this many runs in all. Active ones, and those
// that are about to start, always are.
const rememberedRuns = 64

// Past it the broker alone tells that an event was repeated.
const rememberedKeys = 1024

const none: ReadonlyArray<Holder> = []

/**
 * The records of one user's runs, and the only writer of them.
 *
 * @category models
 * @since 0.1.0
 */
export class RunRegistry {
  // Made with the first run: most emitters are idle, and an empty map is not small.
  private records: Map<RunId, Record> | undefined = undefined
  // The open emitters that are bound to a run. A list, since most users have one.
  private bound: ReadonlyArray<Holder> = none

  /** What is known of the run. */
  of(run: RunId): RunRecord {
    this.records ??= new Map()
    let record = this.records.get(run)
    if (record === undefined) {
      record = new Record()
      if (this.records.size >= rememberedRuns) forgetEnded(this.records)
      this.records.set(run, record)
    }
    return record
  }

  /** Reserves the run for whoever is about to start it. It is remembered until then. */
  claim(record: Record): void {
    record.isClaimed = true
  }

  /** Gives the run free again, as if nobody had been about to start it. */
  unclaim(record: Record): void {
    record.isClaimed = false
    record.isConducted = false
    record.isCancellable = false
    record.parent = undefined
    closeTakers(record)
  }

  /** Notes that an effect runs the run, and whether a user may cancel it. */
  setConducted(record: Record, isCancellable: boolean): void {
    record.isConducted = true
    record.isCancellable = isCancellable
  }

  /** Notes what takes the run's commands of this name, until the run ends. */
  addTaker(record: Record, name: string, taker: CommandTaker): void {
    record.takers ??= new Map()
    record.takers.set(name, taker)
  }

  /** Brings the run to its next state. A run that begins belongs to who started it until it ends. */
  advance(record: Record, state: RunState.RunState, start: () => RunStart): void {
    if (state._tag === "Ended") {
      record.start = undefined
      record.holder = undefined
      record.interrupt = undefined
    } else if (record.state._tag === "Idle") {
      record.start = start()
      record.startedAt = record.start.at
    }
    record.state = state
    if (state._tag === "Ended") closeTakers(record)
  }

  /** Goes on with a run as its log has it, whatever was known of it. Nobody here owns it. */
  takeUp(record: Record, found: LoggedRun): void {
    record.state = found.state
    closeTakers(record)
    record.isStopped = false
    record.isConducted = false
    record.isCancellable = false
    record.cancelledBy = undefined
    record.startedAt = found.startedAt
    record.tools = found.tools
    record.requests = found.requests
    record.start = undefined
    record.interrupt = undefined
    record.parent = undefined
    record.inputTokens = found.usage.inputTokens
    record.outputTokens = found.usage.outputTokens
    record.cost = found.usage.cost
    record.keys = undefined
    for (const [source, position] of found.keys) this.noteKey(record, source, position)
  }

  /** Notes who works on the run, or is about to. One that has an owner is its owner's. */
  hold(record: Record, holder: Holder): void {
    if (record.start?.owner === undefined) record.holder = holder
  }

  /** Nobody works on the run any more, if this one did. */
  release(record: Record, holder: Holder): void {
    if (record.holder === holder) record.holder = undefined
  }

  /** Notes that an emitter is bound to a run, so that it works on the run once it emits. */
  bind(holder: Holder): void {
    // Spread, it would have room for sixteen more.
    this.bound = this.bound.concat(holder)
  }

  /** Whether somebody here works on the run, or is about to. */
  isHeld(run: RunId): boolean {
    const record = this.records?.get(run)
    if (record === undefined) return false
    const { holder, start, state } = record
    if (holder !== undefined || isStarting(record)) return true
    if (state._tag !== "Active") return false
    return start?.owner !== undefined || this.bound.some(({ boundTo, last }) => boundTo === run && last > 0)
  }

  /** An emitter has closed, or all of them. Gives the active runs that it worked on, and that nobody else does. */
  letGo(holder?: Holder): ReadonlyArray<RunId> {
    const bound = holder === undefined || holder.last === 0 ? undefined : holder.boundTo
    const others = holder === undefined ? none : this.bound.filter((one) => one !== holder)
    this.bound = others.length === 0 ? none : others
    const left: Array<RunId> = []
    for (const [run, record] of this.records ?? []) {
      const isMeant = holder === undefined || record.holder === holder || run === bound
      if (isMeant && (holder === undefined || record.holder === holder)) record.holder = undefined
      if (isMeant && record.state._tag === "Active" && !this.isHeld(run)) left.push(run)
    }
    return left
  }

  /** Notes within which run this one has begun. */
  setParent(record: Record, parent: Record | undefined): void {
    record.parent = parent
  }

  /** Notes how to interrupt the run, or that there is nothing to interrupt any more. */
  setInterrupt(record: Record, interrupt: (() => void) | undefined): void {
    record.interrupt = interrupt
  }

  /** Adds to what the run has used. */
  addUsage(record: Record, inputTokens: number, outputTokens: number, cost: number | undefined): void {
    record.inputTokens += inputTokens
    record.outputTokens += outputTokens
    if (cost !== undefined) record.cost = (record.cost ?? 0) + cost
  }

  /** The number of the run's next tool call, from 1. */
  nextTool(record: Record): number {
    return ++record.tools
  }

  /** The number of the run's next request of its user, from 1. */
  nextRequest(record: Record): number {
    return ++record.requests
  }

  /** Notes what became of the event of this source, the only one that the source has. */
  noteKey(record: Record, source: string, state: KeyState): void {
    record.keys ??= new Map()
    record.keys.set(source, state)
    const [oldest] = record.keys.keys()
    if (record.keys.size > rememberedKeys && oldest !== undefined) record.keys.delete(oldest)
  }

  /** What is known of the run, if anything is. */
  find(run: RunId): RunRecord | undefined {
    return this.records?.get(run)
  }

  /** Whether the run is active here. */
  isActive(run: RunId): boolean {
    return this.records?.get(run)?.state._tag === "Active"
  }

  /** Notes that the run is cancelled, and nothing may begin within it any more. */
  forbid(record: Record, by: CancelledBy): void {
    forbid(record, by)
  }

  /**
   * Cancels one run, and those that began within it, on whatever fiber they are. Their
   * fibers are interrupted. Gives those that are to end now, the innermost first.
   */
  cancelRun(run: Record, by: CancelledBy): ReadonlyArray<RunRecord> {
    const records = this.active((record) => record === run || isWithin(record, run))
    stop(records, by)
    return records.toReversed()
  }

  /**
   * Cancels the active runs of this owner, or all of them. Their fibers are
   * interrupted. A run that does not end by that at once is ended in its stead.
   * Runs that began last, and so are innermost, come first.
   */
  cancel(owner?: object): void {
    const records = this.active((record) => owner === undefined || record.start?.owner === owner)
    stop(records, "program")
    for (const record of records.toReversed()) record.start?.cancel?.()
  }

  /** The broker has ended these runs as lost. Their fibers are interrupted, and what their programs still emit is refused. */
  lose(lost: ReadonlySet<RunId>): void {
    const records: Array<Record> = []
    for (const run of lost) {
      const record = this.records?.get(run)
      if (record?.state._tag !== "Active") continue
      record.state = { _tag: "Ended", outcome: "lost" }
      record.start = undefined
      record.holder = undefined
      records.push(record)
    }
    stop(records, undefined)
    for (const record of records) this.stopWithin(record, "program")
  }

  /** Stops the runs that began within this one, on whatever fiber they are. */
  stopWithin(run: Record, by: CancelledBy): void {
    stop(this.active((record) => isWithin(record, run)), by)
  }

  // In the order in which they began.
  private active(isMeant: (record: Record) => boolean): ReadonlyArray<Record> {
    if (this.records === undefined) return []
    return [...this.records.values()].filter((record) => record.state._tag === "Active" && isMeant(record))
  }
}

// Nothing new may begin in any of them before the first is interrupted, since that may run programs. What waits for a
// taker is told after that, so that it does not go on where interruption reaches it.
const stop = (records: ReadonlyArray<Record>, by: CancelledBy | undefined): void => {
  for (const record of records) forbid(record, by)
  for (const record of records) {
    record.interrupt?.()
    closeTakers(record)
  }
}

// A user has cancelled it also where the program had before.
const forbid = (record: Record, by: CancelledBy | undefined): void => {
  record.isStopped = true
  if (by === "user" || record.cancelledBy === undefined) record.cancelledBy = by
}

// What takes commands is told once, and may run programs.
const closeTakers = (record: Record): void => {
  const { takers } = record
  record.takers = undefined
  for (const taker of takers?.values() ?? []) taker.close()
}

const isStarting = ({ isClaimed, state }: Record): boolean => isClaimed && state._tag === "Idle"

const isWithin = ({ parent }: Record, run: Record): boolean =>
  parent !== undefined && (parent === run || isWithin(parent, run))

const forgetEnded = (records: Map<RunId, Record>): void => {
  for (const [run, record] of records) {
    if (record.state._tag === "Active" || record.holder !== undefined || isStarting(record)) continue
    record.isForgotten = true
    records.delete(run)
    return
  }
}
