/**
 * Turns what a connection pulled into messages, so that a device can account
 * for every offset: it got the event, a gap names it, or `upTo` says that the
 * device's own thread filter left it out.
 *
 * @since 0.1.0
 */
import type { Entry, Gap, RunSnapshotAt, Slice } from "../broker/Broker.ts"
import type { GapReason } from "../protocol/Frame.ts"
import type { ThreadId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"
import type { Encoding } from "./FrameEncoder.ts"
import { type Diet, isLeftOut } from "./SlowConsumer.ts"
import type { Counters } from "./Stats.ts"
import type { Message } from "./Transport.ts"

/**
 * A slice for one device. With a `diet`, what it forbids is left out, and
 * `makeUp` is the state that stands for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Portion extends Slice {
  readonly diet?: Diet
  readonly makeUp?: ReadonlyArray<RunSnapshotAt>
}

/**
 * What a connection writes next: `messages`, which bring the device to `next`, and
 * then the `snapshots` that the last of them, a gap, has announced. What lies past
 * that gap comes after them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Told {
  readonly messages: ReadonlyArray<Message>
  readonly snapshots: ReadonlyArray<RunSnapshotAt>
  readonly next: Position
}

type Explanation = Omit<Gap, "reason"> & { readonly reason: GapReason }

const none: ReadonlyArray<RunSnapshotAt> = []
const nothing: ReadonlyArray<number> = []

// How many events may wait for a confirmation of one device.
const maxAsked = 1024

/**
 * What one device has been told so far.
 *
 * @category models
 * @since 0.1.0
 */
export class Narration {
  private readonly encoding: Encoding
  // Those that the device asked for, if not all.
  private readonly threads: ReadonlySet<ThreadId> | undefined
  private readonly counters: Counters
  // With a thread filter, the device may know of less than was looked at.
  private told = 0
  // The offsets of events that were told, ask for a confirmation, and have none yet.
  private asked = nothing

  constructor(encoding: Encoding, threads: ReadonlyArray<ThreadId> | undefined, counters: Counters) {
    this.encoding = encoding
    this.threads = threads === undefined ? undefined : new Set(threads)
    this.counters = counters
  }

  /** The device knows of everything up to `offset`. */
  startAt(offset: number): void {
    this.told = offset
  }

  /** What to write of a portion, which begins after `cursor`: all of it, or up to the first gap with snapshots. */
  take({ diet, entries, gap, makeUp, next, snapshots }: Portion, cursor: Position): Told {
    const messages: Array<Message> = []
    if (gap !== undefined) {
      if (gap.epoch === cursor.epoch) messages.push(...this.upTo(cursor))
      this.explain(messages, gap, snapshots)
      if (snapshots.length > 0) return { messages, snapshots, next: { epoch: gap.epoch, offset: gap.to } }
    }
    const wanted = this.wanted(entries)
    if (diet !== undefined) return this.tellPart(messages, wanted, next, diet, makeUp)
    this.tell(messages, wanted, next)
    return { messages, snapshots: none, next }
  }

  /** Tells how far the device has come, unless it knows. */
  upTo(cursor: Position): ReadonlyArray<Message> {
    if (this.told >= cursor.offset) return []
    this.told = cursor.offset
    return [this.encoding.events(cursor.epoch, [], cursor.offset)]
  }

  /** The offsets up to `offset` of events that were told and ask for a confirmation. Each is given once. */
  confirm(offset: number): ReadonlyArray<number> {
    if (this.asked.length === 0) return nothing
    const confirmed = this.asked.filter((asked) => asked <= offset)
    this.asked = confirmed.length === this.asked.length ? nothing : this.asked.filter((asked) => asked > offset)
    return confirmed
  }

  /** The message for the state of a run. */
  snapshot(snapshot: RunSnapshotAt): string {
    return this.encoding.frame({ type: "snapshot", ...snapshot })
  }

  /** The message that tells whether events may be late. */
  status(state: "degraded" | "live"): string {
    return this.encoding.frame({ type: "status", state })
  }

  private tell(messages: Array<Message>, entries: ReadonlyArray<Entry>, upTo: Position): void {
    if (entries.length === 0) return
    messages.push(this.encoding.events(upTo.epoch, entries, this.threads === undefined ? undefined : upTo.offset))
    this.told = upTo.offset
    this.counters.events += entries.length
    for (const { confirm, offset } of entries) {
      if (confirm) this.asked = [...this.asked.slice(1 - maxAsked), offset]
    }
  }

  // Tells what the diet allows, and a gap for each stretch that it does not; what makes up for them comes with the first.
  private tellPart(
    messages: Array<Message>,
    entries: ReadonlyArray<Entry>,
    next: Position,
    diet: Diet,
    makeUp: ReadonlyArray<RunSnapshotAt> = none
  ): Told {
    const { epoch } = next
    let kept: Array<Entry> = []
    let leftOut: Entry | undefined
    const explain = ({ offset: to }: Entry) =>
      this.explain(messages, { epoch, from: this.told + 1, to, reason: "slow" }, makeUp)
    const upTo = ({ offset }: Entry): Told => ({ messages, snapshots: makeUp, next: { epoch, offset } })
    for (const entry of entries) {
      if (isLeftOut(diet, entry.delivery)) {
        if (leftOut === undefined) this.tell(messages, kept, { epoch, offset: entry.offset - 1 })
        kept = []
        leftOut = entry
        this.counters.leftOut[entry.delivery]++
      } else {
        if (leftOut !== undefined) {
          explain(leftOut)
          if (makeUp.length > 0) return upTo(leftOut)
          leftOut = undefined
        }
        kept.push(entry)
      }
    }
    if (leftOut === undefined) {
      this.tell(messages, kept, next)
      return { messages, snapshots: none, next }
    }
    explain(leftOut)
    return makeUp.length > 0 ? upTo(leftOut) : { messages, snapshots: none, next }
  }

  private explain(messages: Array<Message>, gap: Explanation, snapshots: ReadonlyArray<RunSnapshotAt>): void {
    messages.push(this.encoding.frame({ type: "gap", ...gap, snapshots: snapshots.length }))
    this.told = gap.to
    if (gap.reason === "epoch") this.asked = nothing
    this.counters.gaps[gap.reason]++
  }

  private wanted(entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> {
    const { threads } = this
    if (threads === undefined) return entries
    return entries.filter(({ thread }) => thread === undefined || threads.has(thread))
  }
}
