/**
 * Keeps each user's ordered log of events, and hands it to readers.
 *
 * It is the one seam between emitters and connections: emitters append,
 * connections read, and neither knows of the other. `layerMemory` keeps the
 * logs in this process; `RedisBroker` keeps them in Redis, for many processes.
 *
 * What every broker promises:
 *
 * - **order**: the offsets of one user's events rise by one, in the order of
 *   `append`; within a batch in the order of the batch;
 * - **atomicity**: a batch is appended whole or not at all;
 * - **once**: an envelope that was appended is not appended again as long as the
 *   log knows its source: while it holds an event of it, and until at least 128
 *   other sources of that user have come and gone after it. So an append whose
 *   outcome is unknown may be repeated. A number that never came is taken whenever
 *   it comes, also behind higher ones;
 * - **no silent loss**: a reader gets every offset after its position, or a gap
 *   that names those it does not get;
 * - **epochs**: an offset never means two events. A log that was forgotten
 *   comes back under a new epoch;
 * - **one ending**: a run that was ended as lost gets nothing more, whoever still
 *   believes to be running it.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Envelope } from "../protocol/Envelope.ts"
import type { DeliveryClass } from "../protocol/Event.ts"
import type { RunId, ThreadId, UserId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"
import type { RunSnapshot } from "../protocol/RunSnapshot.ts"
import { type Given, present } from "../protocol/Present.ts"
import type { BrokerError } from "./BrokerError.ts"
import * as MemoryBroker from "./memory/MemoryBroker.ts"

export * from "./BrokerError.ts"

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
 * An event in a user's log. `body` is the envelope's text without its offset
 * (see `Envelope.toJson`), `bytes` its length in UTF-8. A broker that holds the
 * text as bytes says where, with `written`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly offset: number
  readonly type: string
  readonly delivery: DeliveryClass
  readonly at: number
  readonly run: RunId | undefined
  readonly thread: ThreadId | undefined
  readonly confirm: boolean
  readonly body: string
  readonly bytes: number
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
 * One step of `read`.
 *
 * @category models
 * @since 0.1.0
 */
export type LogItem =
  | { readonly _tag: "Event"; readonly epoch: string; readonly entry: Entry }
  | { readonly _tag: "Gap"; readonly gap: Gap; readonly snapshots: ReadonlyArray<RunSnapshotAt> }

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

/**
 * Parts of a broker that fail apart from each other, such as several servers
 * over which users are spread.
 *
 * - `names` are all of them, no two alike; they are seen in errors and metrics.
 * - `of` names the part that keeps a user's log. A name that is not listed counts
 *   as the first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Domains {
  readonly names: NonEmptyReadonlyArray<string>
  readonly of: (user: UserId) => string
}

/**
 * That a user's access was revoked, at a time of the broker's clock in
 * milliseconds since the Unix epoch. It `isNew` when the reader was there before;
 * otherwise it is the last one before the reader came.
 *
 * @category models
 * @since 0.1.0
 */
export interface Revocation {
  readonly revokedAt: number
  readonly isNew: boolean
}

/**
 * That events of the user are late: an emitter holds them, since the broker was
 * away, and they come within `lateMs` milliseconds, or (0) all of them have come.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lateness {
  readonly lateMs: number
}

/**
 * What a reader is told besides that there may be something to pull: the broker
 * cannot serve the user for now, so wake-ups may not come (`down`), or it can
 * again, and there may be something to pull (`up`); or the user's access was
 * revoked; or the user's events are late, or late no more. A broker that is never
 * away tells neither `down` nor `up`. A pull may fail without any news.
 *
 * @category models
 * @since 0.1.0
 */
export type News = "down" | "up" | Revocation | Lateness

/**
 * Is told when the broker cannot be reached any more (`down`), and when it can
 * again (`up`); `domain` names the part of it that is meant, where it has several.
 * It must return at once and not throw.
 *
 * @category models
 * @since 0.1.0
 */
export type Watcher = (news: "down" | "up", domain?: string) => void

/**
 * Makes somebody a reader of a user's log, until the scope closes.
 *
 * A broker that neither waits nor fails may offer the same as plain calls, so
 * that a reader that waits costs no scope. `unscoped` is part of `subscribe`, so
 * that a broker which wraps another's `subscribe` does not leave it as it was.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscribe {
  (user: UserId, wake: (news?: News) => void): Effect.Effect<void, BrokerError, Scope.Scope>
  readonly unscoped?: Unscoped
}

/**
 * `add` makes `wake` a reader of a user's log, `delete` takes one such reader
 * away, if there is one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unscoped {
  readonly add: (user: UserId, wake: (news?: News) => void) => void
  readonly delete: (user: UserId, wake: (news?: News) => void) => void
}

/**
 * Each user's log.
 *
 * - `append` adds a batch in one step and returns the position of its last
 *   event. It never waits for readers.
 * - `appendUnsafe` is the same for brokers that need not wait, as a plain call;
 *   other brokers have none. It gives nothing, and does nothing, where `append`
 *   would fail.
 * - `read` gives the events past `after`, then live ones, with no hole and no
 *   repeat between; without `after` only live ones. It never ends by itself.
 * - `pull` and `subscribe` are the lean form of `read`: `wake` is called, from
 *   any fiber and at any time, when there may be something to pull. It must
 *   return at once and not throw; calls may be spurious, and several appends may
 *   share one. Called with `News` it says those instead; each `down` is followed
 *   by an `up` once the broker is back. A reader counts as present until its
 *   scope closes.
 * - `revoke` tells all readers of a user, on all nodes, that the user's access was
 *   revoked, and tells it to those who come later before their `subscribe`
 *   succeeds, for as long as it is remembered.
 * - `head` is the position of the newest event (offset 0 if there is none).
 * - `snapshots` is the head together with the state of the active runs, and of
 *   those whose last event is not before the offset `since`, if that is given.
 * - `snapshot` is the head together with the state of one run, whether active or
 *   ended, so that nobody need hold the states of all of a user's runs.
 * - `readers` tells how many readers the user has, on all nodes.
 * - `acknowledge` records that a device handled the event at a position, and says
 *   nothing of the events before it, since the device may not have been sent them;
 *   `acknowledged` waits until some device has acknowledged that event. Positions
 *   of other epochs and past the head are ignored. At least the last 128 events
 *   that were acknowledged are remembered.
 * - `endLost` ends runs whose process is gone: each of them that is active gets an
 *   `agent_error` with reason `lost`, and `append` refuses its events from then on,
 *   until it starts anew. Others are left alone; it gives how many it ended. A
 *   broker for many processes does this by itself when one of them dies.
 * - `late` tells all readers of a user, on all nodes, that the emitter `by` holds
 *   events of the user that come late, for `forMs` milliseconds at most, or (0)
 *   holds none any more. Readers who come later are told before their `subscribe`
 *   succeeds. A user is late for as long as one emitter says so.
 * - `canary` does for nobody what an append for this user needs of the broker: it
 *   succeeds where the append of a user in good order would. Whoever was refused
 *   without being told why learns from it whose trouble it is (see `Blame`). A
 *   broker without one leaves that undecided.
 * - `watch` calls its listener at each turn of the broker's state, until the scope
 *   closes. A broker that is never away has none.
 * - `domains` are the parts that fail apart from each other, so that what is in
 *   trouble does not stand for the rest; without them the broker is one.
 *
 * @category services
 * @since 0.1.0
 */
export class Broker extends Context.Service<Broker, {
  readonly append: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Position, BrokerError>
  readonly appendUnsafe?: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Position | undefined
  readonly read: (user: UserId, after: Option.Option<Position>) => Stream.Stream<LogItem, BrokerError>
  readonly pull: (user: UserId, after: Position, limits: PullLimits) => Effect.Effect<Slice, BrokerError>
  readonly subscribe: Subscribe
  readonly head: (user: UserId) => Effect.Effect<Position, BrokerError>
  readonly snapshots: (user: UserId, since?: number) => Effect.Effect<Head, BrokerError>
  readonly snapshot: (user: UserId, run: RunId) => Effect.Effect<RunAtHead, BrokerError>
  readonly readers: (user: UserId) => Effect.Effect<number, BrokerError>
  readonly acknowledge: (user: UserId, position: Position) => Effect.Effect<void, BrokerError>
  readonly acknowledged: (user: UserId, position: Position) => Effect.Effect<void, BrokerError>
  readonly endLost: (user: UserId, runs: ReadonlyArray<RunId>) => Effect.Effect<number, BrokerError>
  readonly revoke: (user: UserId) => Effect.Effect<void, BrokerError>
  readonly late?: (user: UserId, by: string, forMs: number) => Effect.Effect<void, BrokerError>
  readonly canary?: (user: UserId) => Effect.Effect<void, BrokerError>
  readonly watch?: (watcher: Watcher) => Effect.Effect<void, never, Scope.Scope>
  readonly retentionMs: number
  readonly domains?: Domains
}>()("effect-emitter/Broker") {}

/**
 * A broker that keeps the logs in this process, bounded per user and in total.
 * For its options and their defaults see `MemoryBroker.Options`; a wrong or
 * unknown option fails the layer with every problem listed.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (
  options: Given<typeof MemoryBroker.Options.Encoded> = {}
): Layer.Layer<Broker, Schema.SchemaError> =>
  Layer.effect(
    Broker,
    Effect.flatMap(
      Schema.decodeUnknownEffect(MemoryBroker.Options, {
        errors: "all",
        onExcessProperty: "error",
        reportInput: true
      })(present(options)),
      MemoryBroker.make
    )
  )
