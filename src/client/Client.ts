/**
 * The client for Effect programs: a user's events as a stream.
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Client } from "effect-emitter/client"
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* Client.make({ url: "wss://example.org/events", token: "…" })
 *   yield* client.events.pipe(
 *     Stream.runForEach((event) =>
 *       event.type === "text_delta" ? Effect.log(event.payload.delta) : Effect.void
 *     )
 *   )
 * }).pipe(Effect.scoped)
 * ```
 *
 * One client keeps one connection, however many subscribers it has. It connects
 * when it is made, and disconnects when its scope closes. All promises of
 * `DeviceSession` hold; time goes through `Clock`, jitter through `Random`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as SubscriptionRef from "effect/SubscriptionRef"
import * as AgentEvents from "../protocol/event/AgentEvents.ts"
import type * as Event from "../protocol/event/Event.ts"
import type { Position } from "../protocol/values/Position.ts"
import { type Overrides, withDefaults } from "../protocol/values/Present.ts"
import type { Refused } from "./driver/Driver.ts"
import * as Limits from "./driver/Limits.ts"
import * as Driver from "./driver/Driver.ts"
import type { Fetch, SocketConstructor } from "./transport/Platform.ts"
import { ambient, socketUrl } from "./transport/Platform.ts"
import type { RunCommandEffects } from "./driver/RunCommandEffects.ts"
import type { Run, RunHandle, Runs } from "./driver/RunStore.ts"
import type { PositionStorage } from "./driver/PositionStorage.ts"
import type { Received } from "../protocol/event/ReceivedEvent.ts"
import type { Item } from "./session/Received.ts"
import type { Backoff } from "./session/Reconnect.ts"
import { defaults } from "./session/SessionState.ts"
import type { Status } from "./session/Status.ts"
import type { Overflow, SubscriberOverflow } from "./driver/Subscribers.ts"
import type { TokenSource } from "./driver/TokenSource.ts"
import { both, type Transports, usable } from "./transport/Transports.ts"

export { Refused } from "./driver/Driver.ts"
export type { AskOptions, RunCommandEffects } from "./driver/RunCommandEffects.ts"
export type { Known, Meta, Received, Unknown } from "../protocol/event/ReceivedEvent.ts"
export type { Item } from "./session/Received.ts"
export { type Overflow, SubscriberOverflow } from "./driver/Subscribers.ts"
export type { Token, TokenSource } from "./driver/TokenSource.ts"

/**
 * A client of events of these definitions.
 *
 * - `events`: every event from the subscription on, once and in order; the first
 *   subscription also gets what came before it. An event is acknowledged, and its
 *   position saved, once every subscriber has asked for more. The stream ends
 *   when the client is closed, fails with `Refused` when the server wants it no
 *   more, and with `SubscriberOverflow` if its overflow is `fail` and it does
 *   not keep up. A program that needs no events drains them all the same.
 * - `items`: the same with gaps, snapshots and lost runs in their places.
 * - `status`: how the connection stands.
 * - `runs`: the state of each run, folded from snapshots and events, as a store that
 *   pages subscribe to; `run`: one of them by its id, also to stop it, to answer it or
 *   to send it a command of the program's own. `runChanges` gives all of them
 *   now and after each change, and skips what a slow reader has no time for. It ends when
 *   the client stops: `status` says why.
 * - `position`: up to where events were handled.
 * - `accepts`: what the server takes beyond the first version of the protocol, such as
 *   `command`, by the last welcome. It is empty until a welcome has come.
 * - `renew`: asks for a new token and sends it, without a new connection.
 * - `reconnect`: connects again now. It brings a retry forward, as far as the server
 *   allows, and renews a connection that looks alive; no event is lost or repeated.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client<out D extends Event.AnyDefinition> {
  readonly events: Stream.Stream<Received<D>, Refused | SubscriberOverflow>
  readonly items: Stream.Stream<Item<D>, Refused | SubscriberOverflow>
  readonly status: SubscriptionRef.SubscriptionRef<Status>
  readonly runs: Runs
  readonly run: (id: string) => RunHandle & RunCommandEffects
  readonly runChanges: Stream.Stream<ReadonlyArray<Run>>
  readonly position: Effect.Effect<Option.Option<Position>>
  readonly accepts: Effect.Effect<ReadonlyArray<string>>
  readonly renew: Effect.Effect<void>
  readonly reconnect: Effect.Effect<void>
}

/**
 * Options of a client. `make` takes a `catalog` besides.
 *
 * - `url`: where the gateway is: `ws:`, `wss:`, `http:`, `https:`, or a path of
 *   the page's own server.
 * - `token`: who the user is. An effect is run when a token is needed, again when
 *   the server does not take it, and before it expires if the answer says when;
 *   it gives `undefined` when there is no token any more. What it fails with is
 *   logged, and it is tried again. Without `token` the server must know the user
 *   by other means.
 * - `threads`: only events of these threads (64 at most), and of none.
 * - `start`: where to begin when `storage` has no position: `head` (default),
 *   `earliest`, or a position.
 * - `storage`: where the position is kept, see `PositionStorage`.
 * - `client`: the program's name and version, for the server's logs.
 * - `transports`: how to connect, the preferred way first; by default
 *   `["websocket", "sse"]`: server-sent events where no WebSocket gets through,
 *   see `Fallback`. A gateway of another origin must allow the page's requests
 *   for that (CORS, with the headers `authorization` and `last-event-id`).
 * - `backoff`: waits between attempts, see `Reconnect`.
 * - `connectTimeout` (10 seconds): how long one attempt may take.
 * - `capacity` (4,096): how many items may wait for one subscriber before
 *   `overflow` sets in. With `pause` (default) the client lets its connection go
 *   until half of them are taken, and resumes: nothing is lost, but all
 *   subscribers wait for the slowest. With `fail` that subscriber's stream fails
 *   with `SubscriberOverflow` once it has given what waits, and the others go on.
 * - `maxRuns` (64): how many runs are kept in `runs`.
 * - `recentRuns`: how many runs that have ended `runs` begins with, the newest of them,
 *   besides those that are active; none by default. A server may give 100 at most.
 * - `webSocket` and `fetch`: to use in place of the built-in ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E = never, R = never> {
  readonly url: string | URL
  readonly token?: TokenSource<E, R> | undefined
  readonly threads?: ReadonlyArray<string> | undefined
  readonly start?: Position | "head" | "earliest" | undefined
  readonly storage?: PositionStorage | undefined
  readonly client?: string | undefined
  readonly transports?: Transports | undefined
  readonly backoff?: Overrides<Backoff> | undefined
  readonly connectTimeout?: Duration.Input | undefined
  readonly capacity?: number | undefined
  readonly overflow?: Overflow | undefined
  readonly maxRuns?: number | undefined
  readonly recentRuns?: number | undefined
  readonly webSocket?: SocketConstructor | undefined
  readonly fetch?: Fetch | undefined
}

const connectBy = Effect.fnUntraced(
  function*<D extends Event.AnyDefinition, E, R>(catalog: Event.Catalog<D>, options: Options<E, R>) {
    const url = socketUrl(options.url)
    if (url === undefined) return yield* new InvalidUrl({ url: String(options.url) })
    const { fetch, WebSocket } = ambient()
    const webApis = { WebSocket: options.webSocket ?? WebSocket, fetch: options.fetch ?? fetch }
    const wanted = options.transports ?? both
    const transports = usable(wanted, webApis)
    if (transports === undefined) return yield* new NoTransport({ wanted })

    const limit = Limits.wrong(options)
    if (limit !== undefined) return yield* new InvalidLimit(limit)

    const driver = yield* Driver.make(catalog, {
      url,
      webApis,
      token: options.token,
      storage: options.storage,
      capacity: options.capacity ?? Limits.capacity,
      overflow: options.overflow ?? "pause",
      maxRuns: options.maxRuns ?? Limits.maxRuns,
      session: {
        ...defaults,
        hasToken: options.token !== undefined,
        threads: options.threads,
        recentRuns: options.recentRuns,
        client: options.client,
        transports,
        start: options.start ?? "head",
        backoff: withDefaults(defaults.backoff, options.backoff),
        connectTimeoutMs: Duration.toMillis(options.connectTimeout ?? defaults.connectTimeoutMs)
      }
    })
    const client: Client<D> = {
      ...driver,
      events: Stream.filterMap(
        driver.items,
        (item) => item._tag === "Event" ? Result.succeed(item.event) : Result.fail(item)
      )
    }
    return client
  }
)

/**
 * Makes a client of the events of a catalog, the built-in ones where none is
 * given, and connects it.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make<D extends Event.AnyDefinition, E = never, R = never>(
  options: Options<E, R> & { readonly catalog: Event.Catalog<D> }
): Effect.Effect<Client<D>, InvalidUrl | InvalidLimit | NoTransport, R | Scope.Scope>
export function make<E = never, R = never>(
  options: Options<E, R> & { readonly catalog?: undefined }
): Effect.Effect<Client<AgentEvents.BuiltIn>, InvalidUrl | InvalidLimit | NoTransport, R | Scope.Scope>
export function make<D extends Event.AnyDefinition, E, R>(
  options: Options<E, R> & { readonly catalog?: Event.Catalog<D> | undefined }
): Effect.Effect<Client<D> | Client<AgentEvents.BuiltIn>, InvalidUrl | InvalidLimit | NoTransport, R | Scope.Scope> {
  const { catalog } = options
  return catalog === undefined ? connectBy(AgentEvents.catalog, options) : connectBy(catalog, options)
}

/**
 * The class of a program's own client: a service, and the layer that provides it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<Self, Id extends string, D extends Event.AnyDefinition>
  extends Context.ServiceClass<Self, Id, Client<D>>
{
  readonly layer: <E = never, R = never>(
    options: Options<E, R>
  ) => Layer.Layer<Self, InvalidUrl | InvalidLimit | NoTransport, Exclude<R, Scope.Scope>>
}

/**
 * Makes the class of a client of a catalog's events.
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Client } from "effect-emitter/client"
 * import { Event } from "effect-emitter/events"
 *
 * const Placed = Event.make("order_placed", { payload: { total: Schema.Finite } })
 *
 * class Orders extends Client.Service<Orders>()("app/Orders", { catalog: Event.catalog(Placed) }) {}
 *
 * const program = Effect.gen(function*() {
 *   const orders = yield* Orders
 *   yield* Stream.runForEach(orders.events, (event) => Effect.log(event.type, event.payload))
 * }).pipe(Effect.provide(Orders.layer({ url: "wss://example.org/events", token: "…" })))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>() =>
<const Id extends string, D extends Event.AnyDefinition>(
  id: Id,
  { catalog }: { readonly catalog: Event.Catalog<D> }
): ServiceClass<Self, Id, D> => {
  const service = Context.Service<Self, Client<D>>()(id)
  return Object.assign(service, {
    layer: <E, R>(options: Options<E, R>) => Layer.effect(service, connectBy(catalog, options))
  })
}

/**
 * `url` is no address that a WebSocket can connect to.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidUrl extends Schema.TaggedError<InvalidUrl>()("InvalidUrl", { url: Schema.String }) {
  override get message() {
    return `"${
      this.url.replace(/\/\/.*@/u, "//…@")
    }" is not an address to connect to: ws(s) or http(s), without user and #`
  }
}

/**
 * None of the `wanted` transports can be used here: Node has WebSocket since version 22.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoTransport extends Schema.TaggedError<NoTransport>()("NoTransport", {
  wanted: Schema.Array(Schema.String)
}) {
  override get message() {
    return `None of the transports [${this.wanted.join(", ")}] is here: Node 22 and browsers have websocket and sse`
  }
}

/**
 * `capacity`, `maxRuns` or `recentRuns` is no whole number from `least` up.
 *
 * @category errors
 * @since 0.2.0
 */
export class InvalidLimit extends Schema.TaggedError<InvalidLimit>()("InvalidLimit", {
  option: Schema.String,
  least: Schema.Natural
}) {
  override get message() {
    return `"${this.option}" must be a whole number from ${this.least} up`
  }
}
