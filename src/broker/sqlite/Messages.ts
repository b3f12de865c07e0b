/**
 * What the broker and its worker thread say to each other: plain data that threads
 * can hand over.
 *
 * The broker sends groups of steps. The worker does the steps of a group in order, in
 * one transaction, and answers once it is committed: all of it is in the file then,
 * or nothing.
 *
 * @since 0.2.0
 */
import type { DeliveryClass, Keep } from "../../protocol/event/Event.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { RunId, ThreadId, UserId } from "../../protocol/values/Identity.ts"
import type { Entry, PullLimits, RecentRuns, RunSnapshotAt, Slice } from "../Log.ts"

/**
 * An envelope without its payload, which its body says as well.
 *
 * @category models
 * @since 0.2.0
 */
export interface SentEvent {
  readonly source: string
  readonly sequence: number
  readonly type: string
  readonly delivery: DeliveryClass
  readonly at: number
  readonly run: RunId | undefined
  readonly thread: ThreadId | undefined
  readonly confirm: boolean
  readonly keep: Keep | undefined
  readonly body: string
  readonly bytes: number
}

/**
 * What a thread is started with.
 *
 * - `life` names the process, so that a thread that takes over from one that died goes on with its runs.
 * - `boot` names the boot of the machine.
 * - `lockTimeoutMs` is how long to wait for another process to let go of the file.
 *
 * @category models
 * @since 0.2.0
 */
export interface Settings {
  readonly file: string
  readonly isFull: boolean
  readonly maxEvents: number
  readonly maxBytes: number
  readonly maxAgeMs: number
  readonly maxRuns: number
  readonly maxTotalBytes: number
  readonly revocationMs: number
  readonly outcomeMs: number
  readonly lockTimeoutMs: number
  readonly life: string
  readonly boot: string
  readonly wallMs: number
}

/**
 * What is asked of the file, of one user or of all.
 *
 * @category models
 * @since 0.2.0
 */
export type Step =
  | { readonly _tag: "append"; readonly user: UserId; readonly batch: ReadonlyArray<SentEvent> }
  | { readonly _tag: "endLost"; readonly user: UserId; readonly runs: ReadonlyArray<RunId>; readonly source: string }
  | { readonly _tag: "look"; readonly user: UserId }
  | { readonly _tag: "pull"; readonly user: UserId; readonly after: Position; readonly limits: PullLimits }
  | {
    readonly _tag: "snapshots"
    readonly user: UserId
    readonly since: number
    readonly recent: RecentRuns | undefined
  }
  | { readonly _tag: "snapshot"; readonly user: UserId; readonly run: RunId }
  | { readonly _tag: "acknowledge"; readonly user: UserId; readonly position: Position }
  | { readonly _tag: "isAcknowledged"; readonly user: UserId; readonly position: Position }
  | { readonly _tag: "revoke"; readonly user: UserId; readonly at: number }
  | { readonly _tag: "recall"; readonly user: UserId; readonly command: string }
  | {
    readonly _tag: "remember"
    readonly user: UserId
    readonly command: string
    readonly digest: string
    readonly outcome: string
  }
  | { readonly _tag: "canary" }
  | { readonly _tag: "sweep" }
  | { readonly _tag: "forget"; readonly users: ReadonlyArray<UserId> }

/**
 * Where a user's log stands: it has the offsets `first` to `head`.
 *
 * @category models
 * @since 0.2.0
 */
export interface LogState {
  readonly epoch: string
  readonly first: number
  readonly head: number
}

/**
 * What is known of a run.
 *
 * @category models
 * @since 0.2.0
 */
export type Standing = "unknown" | "active" | "ended"

/**
 * A run and what is known of it.
 *
 * @category models
 * @since 0.2.0
 */
export type RunStanding = readonly [run: RunId, standing: Standing]

/**
 * What an append came to: the position of its last event, which of its events were new (`undefined` for all) and from which
 * offset on they stand, where runs of it stand now, and which have ended by it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Appended {
  readonly log: LogState
  readonly offset: number
  readonly from: number
  readonly taken: ReadonlyArray<number> | undefined
  readonly turned: ReadonlyArray<RunStanding>
  readonly ended: ReadonlyArray<RunId>
}

/**
 * What each step gives.
 *
 * @category models
 * @since 0.2.0
 */
export interface Results {
  readonly append: Appended | { readonly lost: readonly [RunId, ...Array<RunId>] }
  readonly endLost: (Appended & { readonly entries: ReadonlyArray<Entry> }) | undefined
  readonly look: { readonly log: LogState }
  readonly pull: { readonly log: LogState; readonly slice: Slice }
  readonly snapshots: { readonly log: LogState; readonly snapshots: ReadonlyArray<RunSnapshotAt> }
  readonly snapshot: { readonly log: LogState; readonly snapshot: RunSnapshotAt | undefined }
  readonly acknowledge: boolean
  readonly isAcknowledged: boolean
  readonly revoke: number
  readonly recall: {
    readonly log: LogState
    readonly standings: ReadonlyArray<RunStanding>
    readonly known: { readonly digest: string; readonly outcome: string } | undefined
  }
  readonly remember: undefined
  readonly canary: undefined
  readonly sweep: Swept
  readonly forget: undefined
}

/**
 * What a sweep found: how large the file is, users of whom nothing is left, and whether there is more to do.
 *
 * @category models
 * @since 0.2.0
 */
export interface Swept {
  readonly fileBytes: number
  readonly empty: ReadonlyArray<UserId>
  readonly hasMore: boolean
}

/**
 * A group of steps. `now` is the file's time in whole milliseconds, which only goes forwards, and `wallMs` that of the
 * wall clock.
 *
 * @category models
 * @since 0.2.0
 */
export interface Group {
  readonly id: number
  readonly now: number
  readonly wallMs: number
  readonly steps: ReadonlyArray<Step>
}

/**
 * Why a group or a step failed: SQLite's code, if it was SQLite, and its words.
 *
 * @category models
 * @since 0.2.0
 */
export interface Failure {
  readonly code: number | undefined
  readonly message: string
}

/**
 * What came of one step.
 *
 * @category models
 * @since 0.2.0
 */
export type Answer = { readonly value: Results[Step["_tag"]] } | { readonly failure: Failure }

/**
 * Why a file cannot be used.
 *
 * @category models
 * @since 0.2.0
 */
export type OpenFailure = "locked" | "version" | "foreign" | "networkShare" | "unusable"

/**
 * What the worker says.
 *
 * - `opened`: the file is open. `now` is its time, `revoked` whose access was revoked, `setAside` where a damaged file
 *   was moved to, `isTorn` that last commits may be gone, so that logs go on under new epochs.
 * - `refused`: it cannot be opened.
 * - `done`: the answers to a group's steps, in order.
 * - `failed`: a group failed, and nothing of it was done.
 * - `reset`: the file was found to be damaged and set aside; a new one is in its place.
 *
 * @category models
 * @since 0.2.0
 */
export type Said =
  | {
    readonly _tag: "opened"
    readonly now: number
    readonly revoked: ReadonlyArray<readonly [user: UserId, at: number, since: number]>
    readonly setAside: string | undefined
    readonly isTorn: boolean
  }
  | { readonly _tag: "refused"; readonly reason: OpenFailure; readonly message: string }
  | { readonly _tag: "done"; readonly id: number; readonly answers: ReadonlyArray<Answer> }
  | { readonly _tag: "failed"; readonly id: number; readonly failure: Failure }
  | { readonly _tag: "reset"; readonly setAside: string; readonly message: string }
  | { readonly _tag: "closed" }
