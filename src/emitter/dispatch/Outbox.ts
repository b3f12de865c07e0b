/**
 * What one user's emitters have accepted and the broker does not have yet: an
 * ordered list of pending events, merged where their definitions allow it.
 *
 * Plain synchronous state: every step is atomic. The engine decides when a
 * list is taken; at most one taken list is in flight at a time (see `Turn`), so the
 * order of acceptance is the order of delivery.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import type { Envelope } from "../../protocol/Envelope.ts"
import type { Coalesce, DeliveryClass } from "../../protocol/Event.ts"
import type { EventId, RunId, ThreadId, UserId } from "../../protocol/Identity.ts"
import * as RunState from "../../protocol/RunState.ts"
import type { TierSettings } from "../EmitterConfig.ts"
import { owned } from "../accept/EventEncoder.ts"
import type { Outcome, Place } from "../delivery/Outcome.ts"
import type { DropReason } from "../observe/Stats.ts"
import { Turn } from "../user/Turn.ts"

/**
 * An event on the list. A merged one still grows until it is taken: its `body`
 * is written when it leaves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pending extends Envelope {
  body: string
  bytes: number
  data: Schema.JsonObject
  readonly merging: Merging | undefined
  /** Called with what becomes of the event, where somebody waits for it. */
  onReceipt: ((receipt: Receipt) => void) | undefined
}

/**
 * How an event on the list takes in others: `head` is the text before its
 * data, `text` the joined text of a `Concatenate` event. `grown` once it has
 * taken in another; then its `body` is written when it leaves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Merging {
  readonly coalesce: Coalesce
  readonly head: string
  /** The joined text, or the JSON of what is newest. */
  text: string
  grown: boolean
}

/**
 * What became of an accepted list: an outcome of its delivery, or it was
 * dropped and counted.
 *
 * @category models
 * @since 0.1.0
 */
export type Settlement = Outcome | { readonly _tag: "Dropped"; readonly reason: DropReason }

/**
 * What `emit` tells of an accepted event.
 *
 * - `Appended`: it is in the user's log, at `position`.
 * - `Deferred`: it waits for its batch.
 * - `HandedOver`: a fallback channel took it.
 * - `DeadLettered`: no way out took it; it is among the dead letters.
 * - `Dropped`: it was volatile and there was no room or nobody to see it, or
 *   the layer closed before it could leave.
 *
 * @category models
 * @since 0.1.0
 */
export type Receipt =
  | Place
  | { readonly _tag: "Dropped"; readonly reason: DropReason }
  | { readonly _tag: "Deferred" }

/**
 * What is known of one run.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunRecord {
  state: RunState.RunState
  /** Whether it gave its place to another run: who kept it must ask for it anew. */
  forgotten: boolean
  /** The time of its start, which none of its events is before: the wall clock may be put back meanwhile. */
  startedAt: number
  inputTokens: number
  outputTokens: number
  cost: number | undefined
  tools: number
  /** The run within which it began. */
  parent: RunRecord | undefined
  /** Whether somebody is about to start it. */
  claimed: boolean
  /** It was cancelled or lost: nothing new begins within it, also where interruption does not reach. */
  stopped: boolean
  /** While the run is active: whose emitter started it, how to end it in its stead, and how to interrupt its fiber. */
  owner: object | undefined
  cancel: (() => void) | undefined
  interrupt: (() => void) | undefined
}

// Ended runs are remembered, to refuse what comes after their end, up to this many runs in all. Active ones always are.
const rememberedRuns = 64

// How far back a merge looks: windows hold few messages at a time, and a scan must stay cheap.
const mergeReach = 16

/**
 * @category models
 * @since 0.1.0
 */
export class Outbox extends Turn {
  /** The settings of the user's tier; those of the emitter made last. */
  settings: TierSettings
  /** Whether the batcher knows that something is pending. */
  marked = false
  /** Since when something is pending, on the monotonic clock; `undefined` for an event that goes out in its own call. */
  pendingSince: number | undefined
  /** What goes on with the list whenever the turn was given back. */
  onFree: ((outbox: Outbox) => void) | undefined = undefined
  /** How many open emitters share this outbox. */
  emitters = 0
  // Made with the first run: most emitters are idle, and an empty map is not small.
  private runs: Map<RunId, RunRecord> | undefined
  private roomQueue: Array<() => void> | undefined
  private list: Array<Pending> | undefined
  private listBytes = 0
  private mergeable: Array<Pending> | undefined
  private urgent = false
  private volatiles = 0

  constructor(user: UserId, settings: TierSettings) {
    super(user)
    this.settings = settings
  }

  protected override freed(): void {
    this.onFree?.(this)
  }

  get size(): number {
    return this.list === undefined ? 0 : this.list.length
  }

  get bytes(): number {
    return this.listBytes
  }

  get hasRoom(): boolean {
    const { capacity, capacityBytes } = this.settings.batching
    return this.size < capacity && this.listBytes < capacityBytes
  }

  /** Callers that wait for room, in order. */
  get waitingForRoom(): Array<() => void> {
    return this.roomQueue ??= []
  }

  override get isNeeded(): boolean {
    return this.emitters > 0 || this.size > 0 || this.isWaitedForRoom || super.isNeeded
  }

  get isWaitedForRoom(): boolean {
    return this.roomQueue !== undefined && this.roomQueue.length > 0
  }

  /** Whether a volatile event is on the list. */
  get hasVolatile(): boolean {
    return this.volatiles > 0
  }

  /** Whether a critical event is on the list. */
  get isUrgent(): boolean {
    return this.urgent
  }

  run(run: RunId): RunRecord {
    this.runs ??= new Map()
    let record = this.runs.get(run)
    if (record === undefined) {
      record = {
        state: RunState.idle,
        forgotten: false,
        startedAt: 0,
        inputTokens: 0,
        outputTokens: 0,
        cost: undefined,
        tools: 0,
        parent: undefined,
        claimed: false,
        stopped: false,
        owner: undefined,
        cancel: undefined,
        interrupt: undefined
      }
      if (this.runs.size >= rememberedRuns) forgetRun(this.runs)
      this.runs.set(run, record)
    }
    return record
  }

  /**
   * Cancels the active runs of this owner, or all of them. Their fibers are
   * interrupted, and what does not end by that at once is ended in its stead:
   * runs that began last, and so are innermost, first.
   */
  cancelRuns(owner?: object): void {
    const runs = this.activeRuns((record) => owner === undefined || record.owner === owner)
    stop(runs)
    for (const record of runs.toReversed()) record.cancel?.()
  }

  /** The broker has ended these runs as lost: their fibers are interrupted, and what their programs still emit is refused. */
  loseRuns(lost: ReadonlySet<RunId>): void {
    const runs: Array<RunRecord> = []
    for (const run of lost) {
      const record = this.runs?.get(run)
      if (record?.state._tag !== "Active") continue
      record.state = { _tag: "Ended", outcome: "lost" }
      record.owner = undefined
      record.cancel = undefined
      runs.push(record)
    }
    stop(runs)
    for (const record of runs) this.stopWithin(record)
  }

  /** Stops the runs that began within this one, on whatever fiber they are. */
  stopWithin(run: RunRecord): void {
    stop(this.activeRuns((record) => isWithin(record, run)))
  }

  // In the order in which they began.
  private activeRuns(isMeant: (record: RunRecord) => boolean): ReadonlyArray<RunRecord> {
    if (this.runs === undefined) return []
    return [...this.runs.values()].filter((record) => record.state._tag === "Active" && isMeant(record))
  }

  push(event: Pending): void {
    this.list ??= []
    this.list.push(event)
    this.listBytes += event.bytes
    if (event.delivery === "volatile") this.volatiles++
    if (event.delivery === "critical") {
      this.urgent = true
      // Nothing that comes later may be merged into what stands before a critical event.
      this.writeMergeable()
    } else if (event.merging !== undefined) {
      this.mergeable ??= []
      this.mergeable.push(event)
    }
  }

  /**
   * Merges an event into one of its kind that is still on the list, if there is
   * one and it stays within `maxBytes`. `json` is the event's data as text, where
   * it may stand for the older one's.
   */
  merge(
    type: string,
    run: RunId | undefined,
    thread: ThreadId | undefined,
    coalesce: Coalesce,
    data: Schema.JsonObject,
    json: string,
    maxBytes: number
  ): boolean {
    const { mergeable } = this
    if (mergeable === undefined) return false
    const end = Math.max(0, mergeable.length - mergeReach)
    for (let index = mergeable.length - 1; index >= end; index--) {
      const older = mergeable[index]
      if (older === undefined || older.type !== type || older.run !== run || older.thread !== thread) continue
      if (coalesce.by !== undefined && older.data[coalesce.by] !== data[coalesce.by]) continue
      return coalesce._tag === "Newest"
        ? this.replace(older, data, json, maxBytes)
        : this.concatenate(older, data[coalesce.text], maxBytes)
    }
    return false
  }

  private replace(older: Pending, data: Schema.JsonObject, json: string, maxBytes: number): boolean {
    const { merging } = older
    if (merging === undefined) return false
    const bytes = bodyBytes(merging.head, json)
    if (bytes > maxBytes) return false
    merging.grown = true
    merging.text = json
    older.data = data
    this.listBytes += bytes - older.bytes
    older.bytes = bytes
    return true
  }

  private concatenate(older: Pending, text: Schema.Json | undefined, maxBytes: number): boolean {
    const { merging } = older
    if (merging === undefined || typeof text !== "string") return false
    const bytes = jsonBytes(text)
    if (older.bytes + bytes > maxBytes) return false
    merging.grown = true
    merging.text += text
    older.bytes += bytes
    this.listBytes += bytes
    return true
  }

  /** Whether there is an event that may be dropped. */
  hasDroppable(): boolean {
    return this.list?.some(isDroppable) === true
  }

  /** Drops the oldest event that may be dropped. */
  dropOldest(): DeliveryClass | undefined {
    const index = this.list?.findIndex(isDroppable) ?? -1
    const [dropped] = index < 0 ? [] : this.list?.splice(index, 1) ?? []
    if (dropped === undefined) return undefined
    this.listBytes -= dropped.bytes
    if (dropped.delivery === "volatile") this.volatiles--
    this.mergeable = this.mergeable?.filter((event) => event !== dropped)
    return dropped.delivery
  }

  /** Takes the whole list, written out. */
  take(): Array<Pending> {
    const taken = this.list ?? []
    this.list = undefined
    this.listBytes = 0
    this.urgent = false
    this.volatiles = 0
    this.writeMergeable()
    return taken
  }

  private writeMergeable(): void {
    if (this.mergeable === undefined) return
    for (const event of this.mergeable) writeMerged(event)
    this.mergeable = undefined
  }
}

// Nothing new may begin in any of them before the first is interrupted, since that may run programs.
const stop = (runs: ReadonlyArray<RunRecord>): void => {
  for (const record of runs) record.stopped = true
  for (const record of runs) record.interrupt?.()
}

const isWithin = ({ parent }: RunRecord, run: RunRecord): boolean =>
  parent !== undefined && (parent === run || isWithin(parent, run))

const forgetRun = (runs: Map<RunId, RunRecord>): void => {
  for (const [run, record] of runs) {
    if (record.state._tag === "Active") continue
    record.forgotten = true
    runs.delete(run)
    return
  }
}

const isDroppable = (event: Pending): boolean => event.delivery !== "critical"

// Writes the body of an event that will take in no more.
const writeMerged = (event: Pending): void => {
  const { merging } = event
  if (merging?.grown !== true) return
  const { coalesce, head, text } = merging
  if (coalesce._tag === "Concatenate") event.data = { ...event.data, [coalesce.text]: text }
  else event.data = owned(event.data, text)
  const json = coalesce._tag === "Concatenate" ? JSON.stringify(event.data) : text
  event.body = `${head}${json}}`
  event.bytes = bodyBytes(head, json)
}

/**
 * The bytes of a body. Its head is ASCII.
 *
 * @category conversions
 * @since 0.1.0
 */
export const bodyBytes = (head: string, json: string): number => head.length + Buffer.byteLength(json) + 1

// The bytes that a text adds to a JSON string. Pieces of an answer are short: they are soon looked through.
const jsonBytes = (text: string): number => {
  let bytes = text.length
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x22 || code === 0x5c || code === 0x0a || code >= 0x80 && code < 0x800) bytes += 1
    else if (code >= 0x800 && (code < 0xd800 || code > 0xdfff)) bytes += 2
    else if (code < 0x20 || code >= 0x800) return Buffer.byteLength(JSON.stringify(text)) - 2
  }
  return bytes
}

/**
 * The id's type is checked where ids enter; ids made here fit by construction.
 *
 * @category conversions
 * @since 0.1.0
 */
export const eventId = (prefix: string, sequence: number): EventId => `${prefix}${sequence}` as EventId
