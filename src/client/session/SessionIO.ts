/**
 * What goes into a session and what comes out: inputs, actions, and the items
 * that are handed over.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import type { RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import type { Outcome } from "../../protocol/command/Command.ts"
import type { ClientFrame, CommandFrame } from "../transport/ClientFrame.ts"
import type { HttpAnswer } from "../transport/HttpAnswer.ts"
import type { Status } from "./Status.ts"
import type { TransportName } from "../transport/Transports.ts"
import type { WireEvent } from "../../protocol/event/ReceivedEvent.ts"

/**
 * A stretch of offsets that will not come, from `from` to `to`, and why; none when
 * `to` is `from - 1`. `previous` is where the client stood before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gap {
  readonly epoch: string
  readonly from: number
  readonly to: number
  readonly reason: "retention" | "epoch" | "slow"
  readonly previous: Position | undefined
}

/**
 * A run's state after the event at `offset`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly epoch: string
  readonly run: string
  readonly offset: number
  readonly state: RunSnapshot
}

/**
 * What came, in the order in which it must be handed over.
 *
 * - `Event`: an event, once.
 * - `Gap`: offsets that will not come.
 * - `Snapshot`: a run's state.
 * - `Lost`: the log lost its memory, and nothing is known of this run any more.
 *
 * @category models
 * @since 0.1.0
 */
export type Item =
  | { readonly _tag: "Event"; readonly epoch: string; readonly event: WireEvent }
  | { readonly _tag: "Gap" } & Gap
  | { readonly _tag: "Snapshot" } & Snapshot
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
 * What happens to a session.
 *
 * - `start`: begin.
 * - `token`: the answer to `askToken`; without `answer` there is no token.
 * - `tokenFailed`: the token could not be had this time.
 * - `opened`, `message`, `closed`: what a socket did.
 * - `acknowledged`: an `ack` arrived that named these events as `confirmed`.
 * - `unacknowledged`: the last `ack` of a connection did not arrive.
 * - `checked`: the answer to `check`.
 * - `handled`: everything delivered up to this position was handled.
 * - `ask`: a command, which is kept until it is answered; `forget`: nobody waits for
 *   this one any more.
 * - `tick`: time has passed; due at `wakeAt`, harmless at any time.
 * - `wake`: the network or the page came back, so waiting may be over.
 * - `renew`: get a new token and send it in band.
 * - `reconnect`: connect again now, as far as the server allows.
 * - `pause`: the program has no room for more; the connection is given up, since
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
  | { readonly _tag: "acknowledged"; readonly connection: number; readonly confirmed: ReadonlyArray<number> }
  | { readonly _tag: "unacknowledged"; readonly connection: number }
  | { readonly _tag: "checked"; readonly connection: number; readonly answer: HttpAnswer | undefined }
  | { readonly _tag: "handled"; readonly position: Position }
  | { readonly _tag: "ask"; readonly command: CommandFrame }
  | { readonly _tag: "forget"; readonly id: string }
  | { readonly _tag: "tick" }
  | { readonly _tag: "wake" }
  | { readonly _tag: "renew" }
  | { readonly _tag: "reconnect" }
  | { readonly _tag: "pause" }
  | { readonly _tag: "resume" }
  | { readonly _tag: "close" }

/**
 * What a session asks its driver to do, in this order.
 *
 * - `askToken`: get a token, and answer with the same `request`.
 * - `connect`: open a connection by this transport, and name it by `connection`
 *   from now on.
 * - `check`: ask what the gateway answers to a plain request over HTTP, and tell
 *   `checked` with the same `connection`; without an `answer` there was none.
 * - `send`: write a frame to the open socket.
 * - `disconnect`: close the socket and forget it; nothing is expected from it.
 * - `deliver`: hand these items over, then answer `handled` with `position`.
 *   Items may be handled later; meanwhile more may come.
 * - `save`: keep this position.
 * - `answered`: this is what became of a command; without an `outcome` the server
 *   takes none.
 * - `status`: the status changed.
 *
 * @category models
 * @since 0.1.0
 */
export type Action =
  | { readonly _tag: "askToken"; readonly request: number }
  | { readonly _tag: "connect"; readonly connection: number; readonly transport: TransportName }
  | { readonly _tag: "check"; readonly connection: number }
  | { readonly _tag: "send"; readonly frame: ClientFrame }
  | { readonly _tag: "disconnect"; readonly code: number; readonly reason: string }
  | { readonly _tag: "deliver"; readonly items: ReadonlyArray<Item>; readonly position: Position }
  | { readonly _tag: "save"; readonly position: Position }
  | { readonly _tag: "answered"; readonly id: string; readonly outcome: Outcome | undefined }
  | { readonly _tag: "status"; readonly status: Status }
