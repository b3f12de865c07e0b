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
 * - **once**: an envelope that was appended is not appended again, so an append
 *   whose outcome is unknown may be repeated. This holds while the log knows the
 *   envelope's source: as long as it has an event of it, and after that until at
 *   least 128 other sources of the user have come and gone. A number of a source that never
 *   came is taken whenever it comes, also behind higher ones;
 * - **no silent loss**: a reader gets every offset after its position, or a gap
 *   that names those it does not get;
 * - **epochs**: an offset never means two events. A log that was forgotten
 *   comes back under a new epoch;
 * - **one ending**: a run that was ended as lost, or taken over, gets nothing more of
 *   a process that still believes to be running it;
 * - **one beginning**: a run whose beginning was claimed is begun by whoever has the
 *   claim, and by nobody else who asks;
 * - **commanded**: a command is decided once, and never twice, however often it is
 *   sent and whoever dies meanwhile. A command that was `accepted` was taken by its
 *   run before the run ended; one that was refused is never done. One that was taken by
 *   a process that died before it decided is `accepted` once its run was ended as lost.
 *   Where the broker cannot tell, it says nothing.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Command from "../protocol/command/Command.ts"
import type { Envelope } from "../protocol/wire/Envelope.ts"
import type { RunId, UserId } from "../protocol/values/Identity.ts"
import type { Position } from "../protocol/values/Position.ts"
import type { BrokerError } from "./BrokerError.ts"
import type { Head, PullLimits, RecentRuns, RunAtHead, Slice } from "./Log.ts"
import type { TakeOver } from "./TakeOver.ts"

export * from "./BrokerError.ts"
export * from "./Log.ts"
export type { TakeOver } from "./TakeOver.ts"

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
 * What a broker tells a reader, besides that there may be something to pull:
 *
 * - `critical`: there may be something to pull, a critical event among it. A broker
 *   that does not know of which class an event is wakes without a signal;
 * - `down`: it cannot serve the user for now, so wake-ups may not come;
 * - `up`: it can again, and there may be something to pull;
 * - a `Revocation`: the user's access was revoked;
 * - a `Lateness`: the user's events are late, or late no more.
 *
 * A broker that is never away tells neither `down` nor `up`. A pull may fail
 * without any signal.
 *
 * @category models
 * @since 0.1.0
 */
export type Signal = "critical" | "down" | "up" | Revocation | Lateness

/**
 * Is told when the broker cannot be reached any more (`down`), and when it can
 * again (`up`); `domain` names the part of it that is meant, where it has several.
 * It must return at once and not throw.
 *
 * @category models
 * @since 0.1.0
 */
export type Watcher = (signal: "down" | "up", domain?: string) => void

/**
 * Whoever reads a user's log. `wake` is what a broker calls, see `subscribe`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Reader {
  readonly wake: (signal?: Signal) => void
}

/**
 * `subscribe` as plain calls: `add` adds a reader of a user's log, `delete` takes it
 * away, if it is there. A reader that was added twice is woken twice, and has to be
 * taken away as often.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unscoped {
  readonly add: (user: UserId, reader: Reader) => void
  readonly delete: (user: UserId, reader: Reader) => void
}

/**
 * A command on its way from a device to its run. `client` is what the device calls
 * itself.
 *
 * @category models
 * @since 0.2.0
 */
export interface SentCommand extends Command.Request {
  readonly client?: string
}

/**
 * Decides about a command where its run is, and gives the outcome; nothing where it
 * does not have that run. What it decides is done, so it acts before it answers, or
 * makes sure that it will. It answers soon, and does not fail.
 *
 * @category models
 * @since 0.2.0
 */
export type CommandReceiver = (user: UserId, command: SentCommand) => Effect.Effect<Command.Outcome | undefined>

/**
 * Takes commands of devices to the processes that have their runs.
 *
 * - `send` gives the outcome once it is decided. A command is decided once: the same
 *   id gives the same outcome again, for ten minutes at least, and an id that was used
 *   for another command of the user is refused as `conflict`. What is refused as
 *   `tooMany`, or as `invalid` for its size, was not taken, and is not remembered. Of a
 *   run that has ended,
 *   that nobody knows, or that was begun by plain events and so is nobody's, the broker
 *   decides by itself: `ended`, `unknownRun`, `notAllowed`. Where nobody decides
 *   `within` the time given, the command is withdrawn, and refused as `unavailable`:
 *   it is not done later. Where it cannot be withdrawn either, `send` fails: the
 *   command may be done or not, and the same id tells. Interrupting `send` withdraws
 *   nothing: the command is decided as if its device waited.
 * - `receive` gives the commands of runs that were started through this broker to a
 *   receiver, until the scope closes. Commands of one user come in the order in which
 *   the broker took them, one by one; a receiver that takes long for one user delays no
 *   other. Several receivers are asked in turn, until one has the run. When the scope
 *   closes, what a receiver is being asked it may finish within a second. An ending
 *   that is appended settles what was not taken as `ended`, and what was taken by a
 *   process that is dead as `accepted`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Commands {
  readonly send: (
    user: UserId,
    command: SentCommand,
    within: Duration.Duration
  ) => Effect.Effect<Command.Outcome, BrokerError>
  readonly receive: (receiver: CommandReceiver) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * Each user's log.
 *
 * - `append` adds a batch in one step and returns the position of its last
 *   event. It never waits for readers.
 * - `appendUnsafe` is the same for brokers that need not wait, as a plain call;
 *   other brokers have none. It gives nothing, and does nothing, where `append`
 *   would fail.
 * - `pull` gives what lies past a position.
 * - `subscribe` makes `wake` a reader until the scope closes: it is called, from any
 *   fiber and at any time, when there may be something to pull. It must return at
 *   once and not throw. Calls may be spurious, and several appends may share one.
 *   Called with a `Signal` it says that instead; each `down` is followed by an `up`
 *   once the broker is back. `LogReader.read` makes a stream of the two.
 * - `subscribeUnscoped` is `subscribe` as plain calls, so that a reader that waits
 *   costs no scope. Only brokers whose `subscribe` neither waits nor fails have it.
 *   Whoever wraps `subscribe` must wrap it as well, or leave it out.
 * - `revoke` tells all readers of a user, on all nodes, that the user's access was
 *   revoked, and tells it to those who come later before their `subscribe`
 *   succeeds, for as long as it is remembered.
 * - `head` is the position of the newest event (offset 0 if there is none).
 * - `snapshots` is the head together with the state of the active runs, and of
 *   those whose last event is not before the offset `since`, if that is given. With
 *   `recent` it is also that of the newest others, and of its threads alone.
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
 * - `takeOver` makes an active run this process's, to go on with it, unless another
 *   process has it that lives. It decides in one step, so of many who ask at once one
 *   gets it. From then on `append` refuses, as that of a lost run, what comes of it
 *   from the process that had it. A run that was let go is given at once. Of one
 *   whose process says nothing it waits, for as long as it takes to know whether that
 *   process lives; if it does not, the run goes to whoever waits, and does not end as
 *   lost. Processes are told apart, not those within one: see `RunHolders`.
 * - `letGo` notes that nobody in this process goes on with these runs for now, so that
 *   another process may. Until then they stay this process's, and end as lost with
 *   it. An append of this process takes a run back.
 * - `late` tells all readers of a user, on all nodes, that the emitter `by` holds
 *   events of the user that come late, for `forMs` milliseconds at most, or (0)
 *   holds none any more. Readers who come later are told before their `subscribe`
 *   succeeds. A user is late for as long as one emitter says so.
 * - `canary` does for nobody what an append for this user needs of the broker: it
 *   succeeds where the append of a user in good order would. Whoever was refused
 *   without being told why learns from it whose trouble it is (see `Blame`). A
 *   broker without one leaves that undecided.
 * - `claim` makes the beginning of a run the caller's, until the scope closes, and tells
 *   whether it did: not where somebody has it who lives, in this process or in another.
 *   It decides in one step, so of many who ask at once one gets it. Whether the run has
 *   begun is for the caller to look at then. A process that dies has no claims; one that
 *   was taken for dead and lives is refused the beginning of a run that it had claimed,
 *   as that of a lost run, where another has it by then. `append` asks nobody who never
 *   claimed.
 * - `watchLost` calls its listener with runs of this process that take nothing more of
 *   it, since they were ended as lost or taken over, once the broker learns that
 *   without an append: after it was taken for dead, or with its next look. It does so
 *   until the scope closes; the listener must return at once and not throw. A broker
 *   for one process has none.
 * - `commands` takes what devices ask of runs to the processes that have them. A
 *   broker without it takes none.
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
  readonly pull: (user: UserId, after: Position, limits: PullLimits) => Effect.Effect<Slice, BrokerError>
  readonly subscribe: (
    user: UserId,
    wake: (signal?: Signal) => void
  ) => Effect.Effect<void, BrokerError, Scope.Scope>
  readonly subscribeUnscoped?: Unscoped
  readonly head: (user: UserId) => Effect.Effect<Position, BrokerError>
  readonly snapshots: (
    user: UserId,
    since?: number,
    recent?: RecentRuns
  ) => Effect.Effect<Head, BrokerError>
  readonly snapshot: (user: UserId, run: RunId) => Effect.Effect<RunAtHead, BrokerError>
  readonly readers: (user: UserId) => Effect.Effect<number, BrokerError>
  readonly acknowledge: (user: UserId, position: Position) => Effect.Effect<void, BrokerError>
  readonly acknowledged: (user: UserId, position: Position) => Effect.Effect<void, BrokerError>
  readonly endLost: (user: UserId, runs: ReadonlyArray<RunId>) => Effect.Effect<number, BrokerError>
  readonly takeOver: (user: UserId, run: RunId) => Effect.Effect<TakeOver, BrokerError>
  readonly letGo: (user: UserId, runs: ReadonlyArray<RunId>) => Effect.Effect<void, BrokerError>
  readonly claim: (user: UserId, run: RunId) => Effect.Effect<boolean, BrokerError, Scope.Scope>
  readonly revoke: (user: UserId) => Effect.Effect<void, BrokerError>
  readonly late?: (user: UserId, by: string, forMs: number) => Effect.Effect<void, BrokerError>
  readonly canary?: (user: UserId) => Effect.Effect<void, BrokerError>
  readonly watchLost?: (
    listener: (user: UserId, runs: ReadonlyArray<RunId>) => void
  ) => Effect.Effect<void, never, Scope.Scope>
  readonly commands?: Commands
  readonly watch?: (watcher: Watcher) => Effect.Effect<void, never, Scope.Scope>
  readonly retentionMs: number
  readonly domains?: Domains
}>()("effect-emitter/Broker") {}
