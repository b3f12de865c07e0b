/**
 * Turns what a connection pulled into messages, so that a device can account
 * for every offset: it got the event, a gap names it, or `upTo` says that the
 * device's own thread filter left it out.
 *
 * @since 0.1.0
 */
import type { Entry, Gap, RunSnapshotAt } from "../../broker/Broker.ts"
import type { GapReason } from "../../protocol/wire/Frame.ts"
import type { ThreadId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { FrameEncoder } from "./FrameEncoder.ts"
import type { OutgoingSlice } from "../capacity/LoadShedding.ts"
import { isLeftOut, type SheddingLevel } from "../capacity/SlowConsumer.ts"
import type { Counters } from "../Stats.ts"
import type { Message } from "../Transport.ts"

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
const maxUnconfirmed = 1024

/**
 * Composes the frames of one device. Mutable: it goes with a connection, and
 * remembers up to which offset the device has accounted for everything.
 *
 * @category models
 * @since 0.1.0
 */
export class FrameComposer {
  private readonly encoder: FrameEncoder
  // The threads that the device asked for, if it did not ask for all.
  private readonly threads: ReadonlySet<ThreadId> | undefined
  private readonly counters: Counters
  // Up to which offset the device knows of everything. With a thread filter that may be less than was looked at.
  private announced = 0
  // The offsets of events that were composed, ask for a confirmation, and have none yet.
  private unconfirmed = nothing

  constructor(encoder: FrameEncoder, threads: ReadonlyArray<ThreadId> | undefined, counters: Counters) {
    this.encoder = encoder
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
    return [this.encoder.events(cursor.epoch, [], cursor.offset)]
  }

  /** The offsets up to `offset` of events that were composed and ask for a confirmation. Each is given once. */
  confirm(offset: number): ReadonlyArray<number> {
    if (this.unconfirmed.length === 0) return nothing
    const confirmed = this.unconfirmed.filter((each) => each <= offset)
    this.unconfirmed = confirmed.length === this.unconfirmed.length
      ? nothing
      : this.unconfirmed.filter((each) => each > offset)
    return confirmed
  }

  /** The message for the state of a run. */
  snapshot(snapshot: RunSnapshotAt): string {
    return this.encoder.frame({ type: "snapshot", ...snapshot })
  }

  /** The message that tells whether events may be late. */
  status(state: "degraded" | "live"): string {
    return this.encoder.frame({ type: "status", state })
  }

  private compose(messages: Array<Message>, entries: ReadonlyArray<Entry>, upTo: Position): void {
    if (entries.length === 0) return
    messages.push(this.encoder.events(upTo.epoch, entries, this.threads === undefined ? undefined : upTo.offset))
    this.announced = upTo.offset
    this.counters.events += entries.length
    for (const { confirm, offset } of entries) {
      if (confirm) this.unconfirmed = [...this.unconfirmed.slice(1 - maxUnconfirmed), offset]
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
    messages.push(this.encoder.frame({ type: "gap", ...gap, snapshots: snapshots.length }))
    this.announced = gap.to
    if (gap.reason === "epoch") this.unconfirmed = nothing
    this.counters.gaps[gap.reason]++
  }

  private wanted(entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> {
    const { threads } = this
    if (threads === undefined) return entries
    return entries.filter(({ thread }) => thread === undefined || threads.has(thread))
  }
}
