/**
 * How a client's connection stands, as programs and pages see it.
 *
 * @since 0.1.0
 */
import type { TransportName } from "../transport/Transports.ts"

/**
 * How a client's connection stands.
 *
 * - `connecting`: on the way to its first connection.
 * - `live`: connected, and every event known at the time of connecting is here, and the
 *   state of every run that was to be told of. `transport` is how: `sse` where no WebSocket gets through.
 * - `degraded`: connected, but the server cannot read the events at the moment,
 *   so they may be late. Nothing is lost; they follow when it is `live` again.
 * - `resuming`: on the way back to a position, or still catching up with it.
 * - `waiting`: not connected; connects at `retryAt` (milliseconds since the Unix
 *   epoch), for the `attempt`th time in a row. `cause` tells how the last
 *   connection was lost.
 * - `stopped`: not connected, and will not connect again.
 *
 * @category models
 * @since 0.1.0
 */
export type Status =
  | { readonly state: "connecting" }
  | { readonly state: "live"; readonly transport: TransportName }
  | { readonly state: "degraded" }
  | { readonly state: "resuming" }
  | { readonly state: "waiting"; readonly retryAt: number; readonly attempt: number; readonly cause: Loss }
  | { readonly state: "stopped"; readonly reason: StopReason }

/**
 * The status now, and word of each change. `getSnapshot` gives the same value while
 * nothing changes. `subscribe` calls after each change, and returns what ends that.
 *
 * ```ts
 * import { connect } from "effect-emitter/client"
 *
 * const { status } = connect({ url: "wss://example.org/events" })
 * const leave = status.subscribe(() => console.log(status.getSnapshot().state))
 * // In React: useSyncExternalStore(status.subscribe, status.getSnapshot)
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface StatusStore {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => Status
}

/**
 * How a connection was lost.
 *
 * - `closed`: the server or the network closed it, or never opened it. `code` is
 *   the close code, or the status of an HTTP response in its place; `name` is the
 *   code's name, if it is one of the protocol, or says what an HTTP response means;
 *   `detail` is what the server said, or what to do.
 * - `silent`: nothing came for `silentMs` milliseconds.
 * - `timeout`: no connection, or no answer to `hello`, within `afterMs`.
 * - `missing`: the server sent `received` where `expected` had to come, and did not
 *   say why.
 * - `badFrame`: the server sent something that is no frame, or not in its place.
 * - `tokenFailed`: the token could not be had.
 *
 * @category models
 * @since 0.1.0
 */
export type Loss =
  | { readonly _tag: "closed"; readonly code: number; readonly name: string | undefined; readonly detail: string }
  | { readonly _tag: "silent"; readonly silentMs: number }
  | { readonly _tag: "timeout"; readonly afterMs: number }
  | { readonly _tag: "missing"; readonly expected: string; readonly received: string }
  | { readonly _tag: "badFrame"; readonly detail: string }
  | { readonly _tag: "tokenFailed" }

/**
 * Why a client stopped.
 *
 * - `closed`: its program closed it.
 * - `refused`: the server closed with a code that says not to come back, or
 *   answered over HTTP that this address, origin or request will never do. `code`
 *   and `name` are as in `Loss`; `detail` says why, and what to do.
 * - `noToken`: the server wants a new token, and there is none; `detail` says
 *   why.
 *
 * @category models
 * @since 0.1.0
 */
export type StopReason =
  | { readonly _tag: "closed" }
  | { readonly _tag: "refused"; readonly code: number; readonly name: string | undefined; readonly detail: string }
  | { readonly _tag: "noToken"; readonly detail: string }

/**
 * Whether two statuses show the same.
 *
 * @category lookups
 * @since 0.1.0
 */
export const equals = (a: Status, b: Status): boolean =>
  a.state === b.state && Object.entries(a).every(([field, value]) => value === Reflect.get(b, field))
