/**
 * What a session knows, what it is told, and what it asks for.
 *
 * @since 0.1.0
 */
import type { Ack, Hello, Pong, Token } from "../protocol/Frame.ts"
import type { Position } from "../protocol/Position.ts"
import type { RunSnapshot } from "../protocol/RunSnapshot.ts"
import * as RecentIds from "./RecentIds.ts"
import * as Reconnect from "./Reconnect.ts"
import type { Loss, Status, StopReason } from "./Status.ts"
import type { WireEvent } from "./Wire.ts"

/**
 * Settings of a session. Times are in milliseconds.
 *
 * - `hasToken`: whether there is anything to ask for a token.
 * - `threads`: the thread filter of `hello`; `client` names the program there.
 * - `ackEveryMs`: how long an acknowledgement may wait, and `ackAtMostEveryMs`
 *   how far apart they are even if each event asks for one at once: servers limit
 *   the frames they take.
 * - `start`: the position to resume from. `earliest` stands for the oldest event
 *   that is kept, `head` for the newest.
 *
 * @category models
 * @since 0.1.0
 */
export interface Config {
  readonly hasToken: boolean
  readonly threads: ReadonlyArray<string> | undefined
  readonly client: string | undefined
  readonly start: Position | "head" | "earliest"
  readonly backoff: Reconnect.Backoff
  readonly connectTimeoutMs: number
  readonly tokenTimeoutMs: number
  readonly ackEveryMs: number
  readonly ackAtMostEveryMs: number
}

/**
 * @category constants
 * @since 0.1.0
 */
export const defaults: Config = {
  hasToken: false,
  threads: undefined,
  client: undefined,
  start: "head",
  backoff: Reconnect.defaults,
  connectTimeoutMs: 10_000,
  tokenTimeoutMs: 30_000,
  ackEveryMs: 1_000,
  ackAtMostEveryMs: 50
}

/**
 * What came, in the order in which it must be handed over.
 *
 * - `Event`: an event, once.
 * - `Gap`: the offsets `from` to `to` will not come; none when `to` is
 *   `from - 1`. `previous` is where the session stood before.
 * - `Snapshot`: a run's state after the event at `offset`.
 * - `Lost`: the log lost its memory, and nothing is known of this run any more.
 *
 * @category models
 * @since 0.1.0
 */
export type Item =
  | { readonly _tag: "Event"; readonly epoch: string; readonly event: WireEvent }
  | {
    readonly _tag: "Gap"
    readonly epoch: string
    readonly from: number
    readonly to: number
    readonly reason: "retention" | "epoch" | "slow"
    readonly previous: Position | undefined
  }
  | {
    readonly _tag: "Snapshot"
    readonly epoch: string
    readonly run: string
    readonly offset: number
    readonly state: RunSnapshot
  }
  | { readonly _tag: "Lost"; readonly run: string; readonly at: number }

/**
 * A token and, if known, when it ends (milliseconds since the Unix epoch): it is
 * then renewed in time, without a new connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenAnswer {
  readonly token: string
  readonly expiresAt?: number
}

/**
 * What a session is told.
 *
 * - `start`: begin.
 * - `token`: the answer to `askToken`; without `answer` there is no token.
 * - `tokenFailed`: the token could not be had this time.
 * - `opened`, `message`, `closed`: what a socket did.
 * - `handled`: everything delivered up to this position was handled.
 * - `tick`: time has passed; due at `wakeAt`, harmless at any time.
 * - `wake`: the network or the page came back, so waiting may be over.
 * - `renew`: get a new token and send it in band.
 * - `rest`: the program has no room for more; the connection is given up, since
 *   a browser's socket cannot be told to wait. `resume`: there is room again.
 * - `close`: the program is done.
 *
 * @category models
 * @since 0.1.0
 */
export type Input =
  | { readonly _tag: "start" }
  | { readonly _tag: "token"; readonly request: number; readonly answer: TokenAnswer | undefined }
  | { readonly _tag: "tokenFailed"; readonly request: number }
  | { readonly _tag: "opened"; readonly connection: number }
  | { readonly _tag: "message"; readonly connection: number; readonly data: unknown }
  | { readonly _tag: "closed"; readonly connection: number; readonly code: number; readonly reason: string }
  | { readonly _tag: "handled"; readonly position: Position }
  | { readonly _tag: "tick" }
  | { readonly _tag: "wake" }
  | { readonly _tag: "renew" }
  | { readonly _tag: "rest" }
  | { readonly _tag: "resume" }
  | { readonly _tag: "close" }

/**
 * A frame as the client writes it.
 *
 * @category models
 * @since 0.1.0
 */
export type ClientFrame =
  | Omit<typeof Hello.Encoded, "threads"> & { readonly threads?: ReadonlyArray<string> }
  | typeof Ack.Encoded
  | typeof Pong.Encoded
  | typeof Token.Encoded

/**
 * What a session asks its driver to do, in this order.
 *
 * - `askToken`: get a token, and answer with the same `request`. `refused` tells
 *   that the last one was not taken.
 * - `connect`: open a socket, and name it by `connection` from now on.
 * - `send`: write a frame to the open socket.
 * - `disconnect`: close the socket and forget it; nothing is expected from it.
 * - `deliver`: hand these items over, then answer `handled` with `position`.
 *   Items may be handled later; meanwhile more may come.
 * - `save`: keep this position.
 * - `status`: the status changed.
 *
 * @category models
 * @since 0.1.0
 */
export type Action =
  | { readonly _tag: "askToken"; readonly request: number; readonly refused: boolean }
  | { readonly _tag: "connect"; readonly connection: number }
  | { readonly _tag: "send"; readonly frame: ClientFrame }
  | { readonly _tag: "disconnect"; readonly code: number; readonly reason: string }
  | { readonly _tag: "deliver"; readonly items: ReadonlyArray<Item>; readonly position: Position }
  | { readonly _tag: "save"; readonly position: Position }
  | { readonly _tag: "status"; readonly status: Status }

/**
 * Where a session stands.
 *
 * - `Asking`: waiting for a token before it connects.
 * - `Opening`: waiting for the socket, `Greeting`: for the `welcome`.
 * - `Open`: welcomed. `epoch` is the server's, `head` what it knew at the
 *   welcome; `caughtUp` once everything up to there has come.
 * - `Waiting`: for `retryAt`; a `wake` may bring it forward to `notBefore`.
 * - `Resting`: until the program has room again.
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
  }
  | { readonly _tag: "Waiting"; readonly retryAt: number; readonly notBefore: number; readonly cause: Loss }
  | { readonly _tag: "Resting" }
  | { readonly _tag: "Stopped"; readonly reason: StopReason }

/**
 * Snapshots that may still be on their way, after a gap or a first welcome.
 * Until they are here, a lost connection means to go back and ask for them
 * again. `runs` are those of an old epoch that no snapshot and no event has
 * named yet; they are given up as lost after `until`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pending {
  readonly back: Back | undefined
  readonly until: number
  readonly runs: ReadonlySet<string>
}

/**
 * All that a session knows. Times are its own: they never run backwards, even
 * if the clock does (`skew` is the difference).
 *
 * - `position`: everything up to here was delivered or explained.
 * - `handled`: everything up to here was handled by the program; `acked` is the
 *   last offset acknowledged on this connection, at `ackedAt`, `confirms` are
 *   delivered events that ask for it at once, `ackDue` is when the next one is
 *   due.
 * - `attempt`: connections lost in a row. `seed`: of the jitter.
 * - `refused`: the token that the server did not take.
 * - `running`: runs that are open, as far as their events tell.
 * - `former`: ids of events delivered under older epochs.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly config: Config
  readonly phase: Phase
  readonly lastNow: number
  readonly skew: number
  readonly connection: number
  readonly request: number
  readonly asking: boolean
  readonly attempt: number
  readonly seed: number
  readonly token: TokenAnswer | undefined
  readonly refused: string | undefined
  readonly renewAt: number | undefined
  readonly reconnectAfterMs: number
  readonly complaint: string | undefined
  readonly position: Position | undefined
  readonly handled: Position | undefined
  readonly acked: number
  readonly ackedAt: number
  readonly ackDue: number | undefined
  readonly confirms: ReadonlyArray<number>
  readonly running: ReadonlySet<string>
  readonly pending: Pending | undefined
  readonly recent: RecentIds.RecentIds
  readonly former: ReadonlySet<string>
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
export const init = (config: Config, seed: number, now: number): State => {
  const start = config.start === "head" ? undefined : config.start === "earliest" ? earliest : config.start
  return {
    config,
    phase: { _tag: "Idle" },
    lastNow: now,
    skew: 0,
    connection: 0,
    request: 0,
    asking: false,
    attempt: 0,
    seed,
    token: undefined,
    refused: undefined,
    renewAt: undefined,
    reconnectAfterMs: 0,
    complaint: undefined,
    position: start,
    handled: start,
    acked: 0,
    ackedAt: -Infinity,
    ackDue: undefined,
    confirms: [],
    running: none,
    pending: undefined,
    recent: RecentIds.empty,
    former: none
  }
}

/**
 * One step in the making: a copy of the state to change, the actions so far,
 * and the session's own time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Turn {
  readonly state: { -readonly [K in keyof State]: State[K] }
  readonly actions: Array<Action>
  readonly now: number
}
