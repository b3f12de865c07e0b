/**
 * What `connect` takes and gives.
 *
 * @since 0.1.0
 */
import type { BuiltIn } from "../../protocol/event/AgentEvents.ts"
import type * as Event from "../../protocol/event/Event.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { Overrides } from "../../protocol/values/Present.ts"
import type { Platform } from "../transport/Platform.ts"
import type { RunCommands } from "./RunCommands.ts"
import type { RunHandle, Runs } from "./RunStore.ts"
import type { PositionStorage } from "./PositionStorage.ts"
import type { Backoff } from "../session/Reconnect.ts"
import type { Gap, Snapshot, TokenAnswer } from "../session/SessionIO.ts"
import type { Status, StatusStore } from "../session/Status.ts"
import type { Transports } from "../transport/Transports.ts"
import type { TypedEvent } from "./TypedEvent.ts"

/**
 * Options of `connect`.
 *
 * - `url`: where the gateway is: `ws:`, `wss:`, `http:`, `https:`, or a path of
 *   the page's own server.
 * - `token`: who the user is; a function is asked when it is needed, again when
 *   the server does not take the token, and before it expires if the answer says
 *   when. It answers `undefined` when there is no token any more. Without
 *   `token` the server must know the user by other means.
 * - `catalog`: the events that the program knows; by default the built-in ones.
 *   `type` tells what `payload` is; what is of another catalog, or of a later version,
 *   is `$unknown`. A page that gives a catalog loads its schemas.
 * - `onEvent`: called once per event, in order. The event is acknowledged, and
 *   its position saved, when the call has returned.
 * - `onGap`, `onSnapshot`: what cannot come any more, and what stands for it.
 * - `onLost`: the server knows nothing of this open run any more.
 * - `onError`: what a callback, the token function, the storage or a socket threw,
 *   or what the promise of a callback was rejected with. The client goes on, and no
 *   event is lost. Without `onError`, and when `onError` itself throws, it is thrown
 *   as an uncaught error.
 * - `threads`: only events of these threads (64 at most), and of none.
 * - `start`: where to begin when `storage` has no position: `head` (default),
 *   `earliest`, or a position.
 * - `storage`: where the position is kept, see `PositionStorage`.
 * - `client`: the program's name and version, for the server's logs.
 * - `transports`: how to connect, the preferred way first; by default
 *   `["websocket", "sse"]`: server-sent events where no WebSocket gets through,
 *   see `Fallback`. A gateway of another origin must allow the page's requests
 *   for that (CORS, with the headers `authorization` and `last-event-id`).
 * - `backoff`: waits between attempts, see `Reconnect`; `connectTimeoutMs`
 *   (10 s) is how long one attempt may take.
 * - `capacity` (4,096): how many events may wait for a loop over `events`. Then the
 *   connection is let go until half of them are taken, and resumes: nothing is lost.
 * - `maxRuns` (64): how many runs are kept in `runs`.
 * - `recentRuns`: how many runs that have ended `runs` begins with, the newest of them,
 *   besides those that are active; none by default. A server may give 100 at most.
 * - `shared`: names the user, and lets all tabs of this browser that name the same one
 *   for this address share one connection; see `SharedTab`. Off unless it is given.
 *   **Two users never share**, so it must name the user and not the page. Each tab has
 *   its own connection where the browser has no Web Locks or no `BroadcastChannel`:
 *   Web Locks need a secure page. What tabs share by is loaded when it is asked for.
 * - `signal`: closes the connection when it aborts.
 * - `platform`: clock, timers, randomness, WebSocket and `fetch`, for tests; there
 *   is none of what is `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectOptions<D extends Event.AnyDefinition = BuiltIn> {
  readonly url: string | URL
  readonly token?: string | (() => Token | Promise<Token>) | undefined
  readonly catalog?: Event.Catalog<D> | undefined
  readonly onEvent?: ((event: TypedEvent<D>) => void) | undefined
  readonly onStatus?: ((status: Status) => void) | undefined
  readonly onGap?: ((gap: Gap) => void) | undefined
  readonly onSnapshot?: ((snapshot: Snapshot) => void) | undefined
  readonly onLost?: ((run: string) => void) | undefined
  readonly onError?: ((error: unknown) => void) | undefined
  readonly threads?: ReadonlyArray<string> | undefined
  readonly start?: Position | "head" | "earliest" | undefined
  readonly storage?: PositionStorage | undefined
  readonly client?: string | undefined
  readonly transports?: Transports | undefined
  readonly backoff?: Overrides<Backoff> | undefined
  readonly connectTimeoutMs?: number | undefined
  readonly capacity?: number | undefined
  readonly maxRuns?: number | undefined
  readonly recentRuns?: number | undefined
  readonly shared?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly platform?: Partial<Platform> | undefined
}

/**
 * A token, a token with its end (milliseconds since the Unix epoch), or none.
 *
 * @category models
 * @since 0.1.0
 */
export type Token = string | TokenAnswer | undefined

/**
 * A connection that keeps itself up.
 *
 * - `status`: how it stands, as a store that pages subscribe to. `position`: up to
 *   where events were handled.
 * - `accepts`: what the server takes beyond the first version of the protocol, such as
 *   `command`, by the last welcome. It is empty until a welcome has come. The status
 *   changes whenever this does.
 * - `events`: every event from the loop's beginning on, once and in order:
 *   `for await (const event of connection.events)`. A loop that begins in the turn
 *   of `connect` misses none. An event is acknowledged, and its position saved, once
 *   every loop has asked for more. What a loop that is left, also by what it throws,
 *   had not taken waits for the next one, which begins there; where none has begun
 *   when more comes, it counts as handled. Loops end when the connection stops:
 *   `status` says why. What `close` finds untaken is not acknowledged.
 * - `runs`: the state of each run, folded from snapshots and events before any of
 *   their handlers is called; subscribers are told once for each frame, when its
 *   events were handled. `run`: one of them by its id, also to stop it, to answer it or to
 *   send it a command of the program's own.
 * - `renew`: asks for a new token and sends it, without a new connection.
 * - `reconnect`: connects again now. It brings a retry forward, as far as the server
 *   allows, and renews a connection that looks alive; no event is lost or repeated.
 *   When a page is shown again or its network is back, it brings a retry forward by itself.
 * - `close`: ends it for good. It calls `onStatus` with `stopped` once, and nothing
 *   after that; what a handler's promise is rejected with later is uncaught.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection<out D extends Event.AnyDefinition = BuiltIn> {
  readonly events: AsyncIterable<TypedEvent<D>>
  readonly status: StatusStore
  readonly position: () => Position | undefined
  readonly accepts: () => ReadonlyArray<string>
  readonly runs: Runs
  readonly run: (id: string) => RunHandle & RunCommands
  readonly renew: () => void
  readonly reconnect: () => void
  readonly close: () => void
}
