/**
 * What a user's log holds and gives: entries, gaps, slices and snapshots, as plain
 * data.
 *
 * @since 0.1.0
 */
import type { Envelope } from "../protocol/wire/Envelope.ts"
import type { RunId, ThreadId } from "../protocol/values/Identity.ts"
import type { Position } from "../protocol/values/Position.ts"
import type { RunSnapshot } from "../protocol/run/RunSnapshot.ts"

/**
 * Where the text of an entry's wire event stands as bytes: on `page` from `start`
 * to `end`, with a comma as its last byte. Texts of consecutive entries often
 * stand one behind the other, and can then be copied together.
 *
 * @category models
 * @since 0.1.0
 */
export interface Written {
  readonly page: Uint8Array
  readonly start: number
  readonly end: number
}

/**
 * An event in a user's log: what a reader needs of its envelope, whose text becomes
 * that of the event with the `offset` (see `Envelope.toJson`). A broker that holds
 * the text as bytes says where, with `written`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry
  extends Pick<Envelope, "type" | "delivery" | "at" | "run" | "thread" | "confirm" | "body" | "bytes">
{
  readonly offset: number
  readonly written?: Written | undefined
}

/**
 * Offsets `from` to `to` of `epoch` that a reader does not get: no longer kept
 * (`retention`), or all that came before a new epoch (`epoch`; then `from` to
 * `to` are those of the new epoch that are gone already, none when `to` is
 * `from - 1`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Gap {
  readonly epoch: string
  readonly from: number
  readonly to: number
  readonly reason: "retention" | "epoch"
}

/**
 * A run's state after the event at `offset`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunSnapshotAt {
  readonly run: RunId
  readonly offset: number
  readonly state: RunSnapshot
}

/**
 * What lies past a position: a gap if the position can no longer be served,
 * then entries in order. A reader goes on from `next`; it is caught up when
 * `next.offset` is `head`.
 *
 * With a gap come the snapshots of the runs that are active and of those that
 * ended inside the gap or after it, taken at the head. Without one `snapshots`
 * is empty.
 *
 * @category models
 * @since 0.1.0
 */
export interface Slice {
  readonly gap: Gap | undefined
  readonly snapshots: ReadonlyArray<RunSnapshotAt>
  readonly entries: ReadonlyArray<Entry>
  readonly next: Position
  readonly head: number
}

/**
 * How much one `pull` returns at most. At least one entry is returned if there
 * is one, however large.
 *
 * @category models
 * @since 0.1.0
 */
export interface PullLimits {
  readonly maxEvents: number
  readonly maxBytes: number
}

/**
 * What a reader of a log gets next: an event, or the gap before the next one.
 *
 * @category models
 * @since 0.1.0
 */
export type LogItem =
  | { readonly _tag: "Event"; readonly epoch: string; readonly entry: Entry }
  | { readonly _tag: "Gap"; readonly gap: Gap; readonly snapshots: ReadonlyArray<RunSnapshotAt> }

/**
 * Which runs a device wants to see: those that are active, and the `count` newest
 * others, by their last event. With `threads` only runs of these threads, and of no
 * thread.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecentRuns {
  readonly count: number
  readonly threads?: ReadonlyArray<ThreadId> | undefined
}

/**
 * The head of a log and the state of its runs, taken in one step.
 *
 * @category models
 * @since 0.1.0
 */
export interface Head {
  readonly position: Position
  readonly snapshots: ReadonlyArray<RunSnapshotAt>
}

/**
 * The head of a log and the state of one of its runs, taken in one step. There is
 * no `snapshot` of a run that is not known, or not any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunAtHead {
  readonly position: Position
  readonly snapshot: RunSnapshotAt | undefined
}
