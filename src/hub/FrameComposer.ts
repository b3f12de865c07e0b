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
import type { FrameEncoder } from "./FrameEncoder.ts"
import { isLeftOut, type SheddingLevel } from "./SlowConsumer.ts"
import type { Counters } from "./Stats.ts"
import type { Message } from "./Transport.ts"

/**
 * A slice of the log for one device. With a `level`, the events that it sheds are
 * left out, and `replacements` are the snapshots that stand for them.
 *
 * @category models
 * @since 0.1.0
 */
export interface OutgoingSlice extends Slice {
  readonly level?: SheddingLevel
  readonly replacements?: ReadonlyArray<RunSnapshotAt>
}

/**
 * What a connection writes next: `messages`, which bring the device to `next`, and
 * then the `snapshots` that the last of them, a gap, has announced. What lies past
 * that gap comes after them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Composed {
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
 * Composes the frames of one device, and knows up to where it has been told.
 *
 * @category models
 * @since 0.1.0
 */
export class FrameComposer {
  private readonly encoding: FrameEncoder
  // Those that the device asked for, if not all.
  private readonly threads: ReadonlySet<ThreadId> | undefined
  private readonly counters: Counters
  // With a thread filter, the device may know of less than was looked at.
  private announced = 0
  // The offsets of events that were told, ask for a confirmation, and have none yet.
  private asked = nothing

  constructor(encoding: FrameEncoder, threads: ReadonlyArray<ThreadId> | undefined, counters: Counters) {
    this.encoding = encoding
    this.threads = threads === undefined ? undefined : new Set(threads)
    this.counters = counters
  }

  /** The device knows of everything up to `offset`. */
  startAt(offset: number): void {
    this.announced = offset
  }

  /** What to write of an outgoing slice, which begins after `cursor`: all of it, or up to the first gap with snapshots. */
  take({ level, entries, gap, replacements, next, snapshots }: OutgoingSlice, cursor: Position): Composed {
    const messages: Array<Message> = []
    if (gap !== undefined) {
      if (gap.epoch === cursor.epoch) messages.push(...this.upTo(cursor))
      this.explain(messages, gap, snapshots)
      if (snapshots.length > 0) return { messages, snapshots, next: { epoch: gap.epoch, offset: gap.to } }
    }
    const wanted = this.wanted(entries)
    if (level !== undefined) return this.composeShed(messages, wanted, next, level, replacements)
    this.compose(messages, wanted, next)
    return { messages, snapshots: none, next }
  }

  /** Tells how far the device has come, unless it knows. */
  upTo(cursor: Position): ReadonlyArray<Message> {
    if (this.announced >= cursor.offset) return []
    this.announced = cursor.offset
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

  private compose(messages: Array<Message>, entries: ReadonlyArray<Entry>, upTo: Position): void {
    if (entries.length === 0) return
    messages.push(this.encoding.events(upTo.epoch, entries, this.threads === undefined ? undefined : upTo.offset))
    this.announced = upTo.offset
    this.counters.events += entries.length
    for (const { confirm, offset } of entries) {
      if (confirm) this.asked = [...this.asked.slice(1 - maxAsked), offset]
    }
  }

  // Writes what the level keeps, and a gap for each stretch that it sheds. The snapshots come with the first gap.
  private composeShed(
    messages: Array<Message>,
    entries: ReadonlyArray<Entry>,
    next: Position,
    level: SheddingLevel,
    replacements: ReadonlyArray<RunSnapshotAt> = none
  ): Composed {
    const { epoch } = next
    let kept: Array<Entry> = []
    let leftOut: Entry | undefined
    const explain = ({ offset: to }: Entry) =>
      this.explain(messages, { epoch, from: this.announced + 1, to, reason: "slow" }, replacements)
    const upTo = ({ offset }: Entry): Composed => ({ messages, snapshots: replacements, next: { epoch, offset } })
    for (const entry of entries) {
      if (isLeftOut(level, entry.delivery)) {
        if (leftOut === undefined) this.compose(messages, kept, { epoch, offset: entry.offset - 1 })
        kept = []
        leftOut = entry
        this.counters.leftOut[entry.delivery]++
      } else {
        if (leftOut !== undefined) {
          explain(leftOut)
          if (replacements.length > 0) return upTo(leftOut)
          leftOut = undefined
        }
        kept.push(entry)
      }
    }
    if (leftOut === undefined) {
      this.compose(messages, kept, next)
      return { messages, snapshots: none, next }
    }
    explain(leftOut)
    return replacements.length > 0 ? upTo(leftOut) : { messages, snapshots: none, next }
  }

  private explain(messages: Array<Message>, gap: Explanation, snapshots: ReadonlyArray<RunSnapshotAt>): void {
    messages.push(this.encoding.frame({ type: "gap", ...gap, snapshots: snapshots.length }))
    this.announced = gap.to
    if (gap.reason === "epoch") this.asked = nothing
    this.counters.gaps[gap.reason]++
  }

  private wanted(entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> {
    const { threads } = this
    if (threads === undefined) return entries
    return entries.filter(({ thread }) => thread === undefined || threads.has(thread))
  }
}
