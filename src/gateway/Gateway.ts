/**
 * The HTTP and WebSocket face: devices connect here, say who they are, and get
 * their user's events.
 *
 * `layer` adds one path to any `HttpRouter` application. It runs on Node's HTTP
 * server (`@effect/platform-node`).
 *
 * ```ts
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Layer, Redacted } from "effect"
 * import { Broker } from "effect-emitter"
 * import { Authenticator, Gateway } from "effect-emitter/gateway"
 * import { HttpRouter } from "effect/http"
 * import { createServer } from "node:http"
 *
 * const server = HttpRouter.serve(Gateway.layer({ path: "/events" })).pipe(
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 })),
 *   Layer.provide(Authenticator.jwt({ secret: Redacted.make("a secret of at least 32 characters"), issuer: "my-app" })),
 *   Layer.provide(Broker.layerMemory())
 * )
 * ```
 *
 * The HTTP server is provided first, so that it is built last: what comes to a server
 * that listens while its broker is still being reached is never answered.
 *
 * Closing the layer, or the HTTP server under it, ends the runs of the emitters over
 * the same broker, delivers that to all devices and says goodbye to them, gives them
 * `drainTimeout` to hang up, and then cuts the rest.
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServer } from "effect/http/HttpServer"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { IncomingMessage, ServerResponse } from "node:http"
import { Broker, type BrokerError } from "../broker/Broker.ts"
import * as Endings from "../broker/Endings.ts"
import * as Hub from "../hub/Hub.ts"
import type * as SlowConsumer from "../hub/capacity/SlowConsumer.ts"
import { closeCodes } from "../protocol/CloseCode.ts"
import { ConnectionId, type UserId } from "../protocol/Identity.ts"
import * as Monotonic from "../protocol/Monotonic.ts"
import * as Names from "../protocol/Names.ts"
import * as Settings from "../protocol/Settings.ts"
import * as Acknowledgements from "./sse/Acknowledgements.ts"
import { Admission, type Admitted, makeAddresses } from "./admission/Admission.ts"
import { Authenticator, type Principal } from "./authentication/Authenticator.ts"
import * as Credentials from "./session/Credentials.ts"
import * as DeviceSocket from "./websocket/DeviceSocket.ts"
import * as SseStream from "./sse/SseStream.ts"
import * as SseRequest from "./sse/SseRequest.ts"
import * as GatewayConfig from "./GatewayConfig.ts"
import * as Identification from "./authentication/Identification.ts"
import * as OriginPolicy from "./authentication/OriginPolicy.ts"
import { Rates } from "./admission/Rates.ts"
import * as Refusal from "./Refusal.ts"
import * as Metrics from "./Metrics.ts"
import { type Shared, tooMany } from "./session/Session.ts"
import { Sessions } from "./session/Sessions.ts"
import type { Stats } from "./Stats.ts"
import { Servers } from "./admission/Servers.ts"
import type { StrangerKind } from "./admission/StrangerKind.ts"
import { Strangers } from "./admission/Strangers.ts"
import { TokenBucket } from "./admission/TokenBucket.ts"
import { Unauthenticated } from "./authentication/AuthenticationError.ts"
import { WebSocketSession } from "./websocket/WebSocketSession.ts"

/**
 * A running gateway.
 *
 * - `revoke` ends all connections of a user, on all nodes, with 4401, and returns
 *   how many there were on this one. Here they end at once; elsewhere when the
 *   broker's word arrives, and if that is lost, with the next look at the user's
 *   log (the Redis broker's `poll`) or `degradedTimeout` later. It fails if the
 *   broker is away: then it should be repeated. Credentials that were issued
 *   before are refused from then on where the authenticator can tell (see
 *   `Principal`); connections with later ones stay.
 * - `drain` leaves runs alone, refuses new devices, sends what is there to send, says goodbye to all others, and waits until
 *   they have gone, though no longer than `drainTimeout`.
 *
 * @category services
 * @since 0.1.0
 */
export class Gateway extends Context.Service<Gateway, {
  readonly revoke: (user: UserId) => Effect.Effect<number, BrokerError>
  readonly drain: Effect.Effect<void>
  readonly stats: Effect.Effect<Stats>
  readonly publish: Effect.Effect<void>
}>()("effect-emitter/Gateway") {}

const make = Effect.fnUntraced(function*(
  config: GatewayConfig.GatewayConfig
): Effect.fn.Return<
  {
    readonly gateway: Gateway["Service"]
    readonly handle: Handler
    readonly acknowledge: Handler
    readonly preflight: Handler
    readonly watch: Middleware
  },
  never,
  Authenticator | Broker | Scope.Scope
> {
  const broker = yield* Broker
  const { retentionMs } = broker
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const heartbeatMs = Duration.toMillis(config.heartbeat)
  const spreadMs = Duration.toMillis(config.reconnectSpread)
  const tickMs = Math.max(10, Math.min(1_000, heartbeatMs / 20, Duration.toMillis(config.helloTimeout) / 10))
  const comeBackAfterMs = () => Math.floor(random.nextDoubleUnsafe() * spreadMs)
  const context = yield* Effect.context<never>()
  const run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E> = Effect.runForkWith(context)
  const strangers = new Strangers({
    silent: { count: config.strangers.silent, ms: Duration.toMillis(config.silentTimeout) },
    // Each has a deadline of its own.
    unauthenticated: { count: config.strangers.unauthenticated, ms: Infinity },
    refused: { count: config.strangers.refused, ms: refusedMs }
  }, () => Monotonic.millisUnsafe(clock))
  const server = Option.getOrUndefined(yield* Effect.serviceOption(HttpServer))
  const servers = new Servers(strangers, server?.address)
  yield* Effect.addFinalizer(() => Effect.sync(() => servers.close()))
  const sessions = new Sessions(Duration.toMillis(config.drainTimeout), strangers, servers)
  const named = config.name === undefined ? "" : `${config.name}.`
  const life = yield* Names.next
  const authenticator = Credentials.make(yield* Authenticator, { clock, timeout: config.helloTimeout })
  const { addressHeader: header, requestsPerAddress } = config
  const admission = Option.getOrElse(
    yield* Effect.serviceOption(Admission),
    () => makeAddresses({ clock, perSecond: requestsPerAddress, ...(header === undefined ? {} : { header }) })
  )
  const devices = new TokenBucket(config.connections.perSecond, Monotonic.millisUnsafe(clock))
  let ids = 0
  let refusedByRate = 0
  let refusedByAddress = 0

  const hub = yield* Hub.make({
    ...config.connections,
    maxFrameBytes: config.maxFrameBytesOut,
    slow: {
      volatile: toLimit(config.slow.volatile),
      batched: toLimit(config.slow.batched),
      close: toLimit(config.slow.close)
    },
    backlog: config.backlog,
    degradedMs: Duration.toMillis(config.degradedTimeout)
  })
  const acknowledgements = {
    hub,
    rates: new Rates<UserId>(config.framesPerSecond),
    maxBytes: config.maxFrameBytesIn,
    timeout: config.helloTimeout
  }
  const sockets = DeviceSocket.makeServer({ maxBytes: config.maxFrameBytesIn, closeTimeoutMs })
  const shared: Shared = {
    limits: {
      helloTimeoutMs: Duration.toMillis(config.helloTimeout),
      heartbeatMs,
      // A silent device must have been noticed when one and a half heartbeats are over, so the last tick counts.
      silenceMs: heartbeatMs * 1.5 - tickMs,
      expiryGraceMs: Duration.toMillis(config.expiryGrace),
      framesPerSecond: config.framesPerSecond,
      retentionMs
    },
    hub,
    authenticator,
    strangers,
    clock,
    run,
    add: (session) => sessions.add(session),
    remove: (session) => sessions.remove(session),
    closed: (farewell) => {
      sessions.count(farewell)
      const { code, detail } = farewell
      run(Effect.annotateLogs(Effect.logDebug("A device was sent away"), { code: code.code, name: code.name, detail }))
    },
    nextId: () => ConnectionId.make(`${named}${life}-${(ids++).toString(36)}`),
    comeBackAfterMs,
    admits: () => {
      if (devices.take(Monotonic.millisUnsafe(clock))) return true
      refusedByRate++
      return false
    }
  }

  const goodbye = () => ({
    code: closeCodes.draining,
    detail: closeCodes.draining.meaning,
    reconnectAfterMs: comeBackAfterMs()
  })
  const drain = sessions.drain(settle(hub, config.drainTimeout), goodbye)
  // Devices hear how their runs end before they are sent away.
  const endRuns = Effect.timeoutOption(Endings.endAll(broker), config.drainTimeout)
  const close = yield* Effect.cached(
    sessions.drain(Effect.andThen(endRuns, settle(hub, config.drainTimeout)), goodbye)
  )

  yield* sessions.watch(clock, tickMs).pipe(Effect.forkScoped)
  yield* sessions.closeWithServers(close).pipe(Effect.forkScoped)
  yield* Effect.addFinalizer(() => close)

  const upgrade = (request: HttpServerRequest, principal: Principal | undefined, { known }: Admitted) =>
    DeviceSocket.accept(sockets, servers, request, (socket) => new WebSocketSession(shared, socket, principal, known))
      .pipe(
        Effect.as(Refusal.switching),
        Effect.catchTag(
          "HandshakeRefused",
          ({ detail, isVersion }) => Effect.succeed(isVersion ? Refusal.otherVersion : Refusal.badRequest(detail))
        ),
        Effect.catchTag("HttpServerError", () => Effect.succeed(Refusal.upgradeRequired))
      )

  const logUnserved = (error: BrokerError) => Effect.logError("A device could not be served", error)
  const brokerUnavailable = () => Refusal.unavailable("brokerUnavailable", comeBackAfterMs())

  const stream = (request: HttpServerRequest, principal: Principal) =>
    Effect.flatMap(
      SseRequest.read(request),
      (asked) =>
        request.method === "HEAD"
          ? Effect.as(hub.admit(principal.userId, principal.issuedAt), streamHead)
          : Effect.as(
            SseStream.serve(shared, request, { principal, headers: corsOf(request), ...asked }),
            Refusal.switching
          )
    ).pipe(
      Effect.catchTag("SchemaError", (error) => Effect.succeed(Refusal.badRequest(error.message))),
      Effect.catchTag("TooManyConnections", (error) =>
        Effect.sync(() =>
          error.scope === "user"
            ? Refusal.ofFarewell(tooMany(error, comeBackAfterMs()), comeBackAfterMs())
            : Refusal.unavailable("full", comeBackAfterMs())
        )),
      Effect.catchTag("Revoked", refuseRevoked),
      Effect.catchTag(
        "SentAway",
        ({ farewell }) => Effect.sync(() => Refusal.ofFarewell(farewell, comeBackAfterMs()))
      ),
      Effect.catchTag("BrokerError", (error) => Effect.as(logUnserved(error), brokerUnavailable()))
    )

  const serve = (
    request: HttpServerRequest,
    principal: Principal | undefined,
    admitted: Admitted
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, Unauthenticated> => {
    if (request.headers["upgrade"] !== undefined) return upgrade(request, principal, admitted)
    if (!SseRequest.isMeant(request)) return Effect.succeed(Refusal.upgradeRequired)
    if (principal === undefined) return Effect.fail(new Unauthenticated({ reason: "missing" }))
    admitted.known()
    return shared.admits()
      ? stream(request, principal)
      : Effect.sync(() => Refusal.unavailable("busy", comeBackAfterMs()))
  }

  const identified = Identification.make({ authenticator, comeBackAfterMs, strangers })

  const corsOf = ({ headers }: HttpServerRequest) => OriginPolicy.corsHeaders(config.origins, headers["origin"])

  // Looks at a request: where its page may not, or its address sent too many, nobody asks who it is from.
  const admitted = (
    request: HttpServerRequest,
    then: (admitted: Admitted) => Effect.Effect<HttpServerResponse.HttpServerResponse>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
    if (!OriginPolicy.isAllowed(config.origins, request.headers)) {
      closeAfterwards(request)
      return Effect.succeed(Refusal.originRefused)
    }
    return admission.admit(request).pipe(
      Effect.flatMap(then),
      Effect.catchTag("NotAdmitted", ({ retryAfterMs }) =>
        Effect.sync(() => {
          refusedByAddress++
          closeAfterwards(request)
          return Refusal.tooManyRequests(retryAfterMs)
        })),
      Effect.map(HttpServerResponse.setHeaders(corsOf(request)))
    )
  }

  const handle: Handler = (request) =>
    Effect.suspend((): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
      if (sessions.isDraining) return Effect.succeed(Refusal.unavailable("draining", comeBackAfterMs()))
      if (sessions.size - strangers.unauthenticated.size >= config.connections.perNode) {
        return Effect.succeed(Refusal.unavailable("full", comeBackAfterMs()))
      }
      return admitted(request, (sender) => identified(request, (principal) => serve(request, principal, sender)))
    })

  const acknowledge: Handler = (request) =>
    Effect.suspend(() =>
      admitted(request, (sender) =>
        identified(request, (principal) => {
          if (principal === undefined) return Effect.fail(new Unauthenticated({ reason: "missing" }))
          sender.known()
          return Acknowledgements.answer(acknowledgements, request, principal, Monotonic.millisUnsafe(clock)).pipe(
            Effect.catchTag("Revoked", refuseRevoked),
            Effect.catchTag("BrokerError", (error) => Effect.as(logUnserved(error), brokerUnavailable()))
          )
        }))
    )

  const preflight: Handler = (request) =>
    Effect.sync(() =>
      OriginPolicy.isAllowed(config.origins, request.headers)
        ? HttpServerResponse.empty({ status: 204, headers: { ...OriginPolicy.preflightHeaders, ...corsOf(request) } })
        : Refusal.originRefused
    )

  const stats: Effect.Effect<Stats> = Effect.map(hub.stats, (seen) => ({
    ...seen,
    refused: { ...seen.refused, rate: refusedByRate, address: refusedByAddress },
    sessions: sessions.size,
    closed: sessions.closed,
    draining: sessions.isDraining,
    strangers: countsOf((kind) => strangers[kind].size),
    cut: countsOf((kind) => strangers[kind].cutCount)
  }))
  const publish = Effect.map(stats, Metrics.makePublisher(context))
  yield* Effect.forkScoped(Effect.repeat(publish, Schedule.spaced("5 seconds")))

  // Every request of the server passes here, those that find no route included.
  const watch: Middleware = (app) =>
    Effect.flatMap(HttpServerRequest, (request) => {
      const incoming = NodeHttpServerRequest.toIncomingMessage(request)
      if (!(incoming instanceof IncomingMessage)) return app
      servers.watch(incoming)
      if (!isUpgrade(incoming)) return app
      return Effect.onExit(app, () =>
        Effect.sync(() => {
          if (!wasUpgraded(request)) strangers.refuse(incoming.socket)
        }))
    })

  return {
    handle,
    acknowledge,
    preflight,
    watch,
    gateway: {
      publish,
      stats,
      drain,
      revoke: hub.revoke
    }
  }
})

type Handler = (request: HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse>
type Middleware = <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest>

const refuseRevoked = () => Effect.succeed(Refusal.unauthenticated(new Unauthenticated({ reason: "revoked" }).message))

const streamHead = HttpServerResponse.empty({ status: 200, headers: SseStream.headers })

// A request that nobody looks at leaves no socket behind, to ask again from or to hold.
const closeAfterwards = (request: HttpServerRequest): void => {
  const response = NodeHttpServerRequest.toServerResponse(request)
  if (response instanceof ServerResponse) response.shouldKeepAlive = false
}

// What Node's parser found, and its types leave out.
const isUpgrade = (incoming: IncomingMessage): boolean => "upgrade" in incoming && incoming.upgrade === true

// The response to an upgrade ends at once, without a socket, if the socket was taken over.
const wasUpgraded = (request: HttpServerRequest): boolean => {
  const response = NodeHttpServerRequest.toServerResponse(request)
  return response instanceof ServerResponse && response.writableEnded && response.socket === null
}

const countsOf = (count: (kind: StrangerKind) => number): Readonly<Record<StrangerKind, number>> => ({
  silent: count("silent"),
  unauthenticated: count("unauthenticated"),
  refused: count("refused")
})

/** How long a refused device may take to read why, before its socket is cut. */
const refusedMs = 500

const toLimit = (limit: { readonly bytes: number; readonly after: Duration.Duration }): SlowConsumer.Limit => ({
  bytes: limit.bytes,
  ms: Duration.toMillis(limit.after)
})

// What was appended just before the end still goes out, unless a device is too slow for that.
const settle = (hub: Hub.Hub["Service"], drainTimeout: Duration.Duration): Effect.Effect<void> =>
  Effect.andThen(Effect.yieldNow, hub.settled).pipe(
    Effect.repeat({ until: (settled) => settled, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOption(Duration.min(Duration.millis(500), Duration.times(drainTimeout, 0.25))),
    Effect.asVoid
  )

/** How long a device may take to answer a close. */
const closeTimeoutMs = 2_000

const layerWith = <E>(
  config: Effect.Effect<GatewayConfig.GatewayConfig, E>
): Layer.Layer<Gateway, E, HttpRouter.HttpRouter | Authenticator | Broker> =>
  Layer.effect(
    Gateway,
    Effect.gen(function*() {
      const settings = yield* config
      const { acknowledge, gateway, handle, preflight, watch } = yield* make(settings)
      const router = yield* HttpRouter.HttpRouter
      yield* router.addGlobalMiddleware(watch)
      const path = startsWithSlash(settings.path)
      yield* router.add("GET", path, handle)
      yield* router.add("POST", path, acknowledge)
      yield* router.add("OPTIONS", path, preflight)
      return gateway
    })
  )

const startsWithSlash = Schema.decodeUnknownSync(Schema.TemplateLiteral(["/", Schema.String]))

/**
 * Serves devices at `path`. See {@link GatewayConfig.GatewayConfig} for the
 * options; all have defaults. Unknown and conflicting ones fail the layer, with
 * every problem listed.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: GatewayConfig.Options = {}
): Layer.Layer<Gateway, GatewayConfig.GatewayConfigError, HttpRouter.HttpRouter | Authenticator | Broker> =>
  layerWith(GatewayConfig.decode(options))

/**
 * The same, with the options of `Config` under the name `GATEWAY`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = layerWith(Settings.fromProvider(GatewayConfig.config))
