/**
 * What a session knows.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import * as RecentIds from "./RecentIds.ts"
import * as Reconnect from "./Reconnect.ts"
import type { Action } from "./SessionIO.ts"
import type { CommandFrame } from "../transport/ClientFrame.ts"
import type { Loss, StopReason } from "./Status.ts"
import { both, type TransportName, type Transports } from "../transport/Transports.ts"

/**
 * Settings of a session. Times are in milliseconds.
 *
 * - `hasToken`: whether there is anything to ask for a token.
 * - `threads`: the thread filter of `hello`; `client` names the program there.
 * - `recentRuns`: of how many runs that are not active the state is asked for.
 * - `transports`: those to connect by, the preferred one first.
 * - `start`: the position to resume from. `earliest` stands for the oldest event
 *   that is kept, `head` for the newest.
 *
 * @category models
 * @since 0.1.0
 */
export interface Config {
  readonly hasToken: boolean
  readonly threads?: ReadonlyArray<string> | undefined
  readonly recentRuns?: number | undefined
  readonly client?: string | undefined
  readonly transports: Transports
  readonly start: Position | "head" | "earliest"
  readonly backoff: Reconnect.Backoff
  readonly connectTimeoutMs: number
}

/**
 * The settings of a session that names none.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: Config = {
  hasToken: false,
  transports: both,
  start: "head",
  backoff: Reconnect.defaults,
  connectTimeoutMs: 10_000
}

/**
 * Where a session stands.
 *
 * - `Asking`: waiting for a token before it connects.
 * - `Opening`: waiting for the socket, `Greeting`: for the `welcome`.
 * - `Open`: welcomed. `epoch` is the server's, `head` what it knew at the
 *   welcome; `caughtUp` once everything up to there has come, and the snapshots that
 *   were to come; `degraded` while
 *   the server says that events may be late.
 * - `Waiting`: for `retryAt`; a `wake` may bring it forward to `notBefore`.
 * - `Paused`: until the program has room again.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase =
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Asking"; readonly since: number }
  | { readonly _tag: "Opening"; readonly since: number }
  | { readonly _tag: "Greeting"; readonly since: number }
  | {
    readonly _tag: "Open"
    readonly since: number
    readonly heardAt: number
    readonly heartbeatMs: number
    readonly epoch: string
    readonly head: number
    readonly caughtUp: boolean
    readonly degraded: boolean
  }
  | { readonly _tag: "Waiting"; readonly retryAt: number; readonly notBefore: number; readonly cause: Loss }
  | { readonly _tag: "Paused" }
  | { readonly _tag: "Stopped"; readonly reason: StopReason }

/**
 * Snapshots on their way, after a gap or a first welcome: `left` of them. Until
 * they are here, a lost connection means to go back and ask for them again.
 * `runs` are those of before a gap that no snapshot and no event has named yet;
 * they are lost once all snapshots are here, and all that was in the log at the
 * welcome.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pending {
  readonly back: Back | undefined
  readonly left: number
  readonly runs: ReadonlySet<string>
}

/**
 * A command without an answer: how many `times` it was sent, and when it is sent next.
 *
 * @category models
 * @since 0.2.0
 */
export interface PendingCommand {
  readonly frame: CommandFrame
  readonly times: number
  readonly dueAt: number
}

/**
 * A token, and its end as a monotonic time; `Infinity` if that is not known.
 *
 * @category models
 * @since 0.1.0
 */
export interface HeldToken {
  readonly token: string
  readonly expiresAt: number
}

/**
 * A moment by two clocks, in milliseconds: `monotonic` only goes forwards, from
 * anywhere; `wall` counts from the Unix epoch, and steps when somebody sets it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Moment {
  readonly monotonic: number
  readonly wall: number
}

/**
 * All that a session knows. Times are monotonic; `wallAhead` is what the wall
 * clock shows beyond them.
 *
 * - `position`: everything up to here was delivered or explained.
 * - `handled`: everything up to here was handled by the program; `acked` is the
 *   last offset acknowledged on this connection, at `ackedAt`, `ackDue` is when
 *   the next one is due. `confirms` are delivered events that ask for a
 *   confirmation, `named` those of them that acknowledgements of this connection
 *   named, which may be lost with it.
 * - `attempt`: connections lost in a row. `pace` of the waits between, `seed` of
 *   their jitter. `flaps`: connections in a row that the server closed for cause
 *   soon after their welcome. `welcomed`: whether there ever was one.
 * - `transport`: of the last connection; `failures` in a row that were its own,
 *   `failing` those that are looked into since that of the connection `checking`,
 *   `preferAgainAt` when the preferred one is tried again. See `Fallback`.
 * - `token`: the last one that was had. `refused`: the one that the server did not take; `refusals` in a row, and
 *   `renewedAt` when the last was answered at once.
 * - `running`: runs that are open, as far as their events tell.
 * - `former`: ids of events delivered under older epochs.
 * - `commands`: those without an answer, by id. `accepts`: what the server of the last
 *   welcome takes beyond the first version of the protocol.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly config: Config
  readonly phase: Phase
  readonly wallAhead: number
  readonly connection: number
  readonly request: number
  readonly asking: boolean
  readonly attempt: number
  readonly pace: Reconnect.Pace
  readonly flaps: number
  readonly welcomed: boolean
  readonly seed: number
  readonly transport: TransportName
  readonly failures: number
  readonly failing: number
  readonly checking?: number | undefined
  readonly preferAgainAt: number
  readonly token?: HeldToken | undefined
  readonly refused?: string | undefined
  readonly refusals: number
  readonly renewedAt: number
  readonly renewAt?: number | undefined
  readonly reconnectAfterMs: number
  readonly lastError?: string | undefined
  readonly position: Position | undefined
  readonly handled: Position | undefined
  readonly acked: number
  readonly ackedAt: number
  readonly ackDue?: number | undefined
  readonly confirms: ReadonlyArray<number>
  readonly named: ReadonlyArray<number>
  readonly running: ReadonlySet<string>
  readonly pending?: Pending | undefined
  readonly recent: RecentIds.RecentIds
  readonly former: ReadonlySet<string>
  readonly commands: ReadonlyMap<string, PendingCommand>
  readonly accepts: ReadonlyArray<string>
}

/**
 * Where to go back to: `position` is what the session then stands at, `resume`
 * what it asks for. They differ after a first welcome, since only a resume that
 * cannot be served brings snapshots; events before `position` are then dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface Back {
  readonly position: Position
  readonly resume: Position
}

const none: ReadonlySet<string> = new Set()

/**
 * The epoch that no log has: a resume from it is answered with everything kept.
 *
 * @category constants
 * @since 0.1.0
 */
export const earliest: Position = { epoch: "earliest", offset: 0 }

/**
 * A session that has not started.
 *
 * @category constructors
 * @since 0.1.0
 */
export const init = (config: Config, seed: number, { monotonic, wall }: Moment): State => {
  const start = config.start === "head" ? undefined : config.start === "earliest" ? earliest : config.start
  return {
    config,
    phase: { _tag: "Idle" },
    wallAhead: wall - monotonic,
    connection: 0,
    request: 0,
    asking: false,
    attempt: 0,
    pace: { step: 0, quickUntil: -Infinity },
    flaps: 0,
    welcomed: false,
    seed,
    transport: config.transports[0],
    failures: 0,
    failing: 0,
    preferAgainAt: -Infinity,
    refusals: 0,
    renewedAt: -Infinity,
    reconnectAfterMs: 0,
    position: start,
    handled: start,
    acked: 0,
    ackedAt: -Infinity,
    confirms: [],
    named: [],
    running: none,
    recent: RecentIds.empty,
    former: none,
    commands: new Map(),
    accepts: []
  }
}

type Changing = { -readonly [K in keyof State]: State[K] }

/**
 * One step in the making: the state, which it changes, the actions so far, the
 * monotonic time, and what the wall clock shows.
 *
 * @category models
 * @since 0.1.0
 */
export interface Turn extends Changing {
  readonly actions: Array<Action>
  readonly now: number
  readonly wall: number
}
