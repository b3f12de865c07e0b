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
 *   Layer.provide(Authenticator.layerJwt({ secret: Redacted.make("a secret of at least 32 characters"), issuer: "my-app" })),
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
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import { HttpServer } from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Broker, type BrokerError } from "../broker/Broker.ts"
import * as Hub from "../hub/Hub.ts"
import type * as Command from "../protocol/command/Command.ts"
import type { ConfigError } from "../protocol/settings/ConfigError.ts"
import { ConnectionId, type UserId } from "../protocol/values/Identity.ts"
import * as Monotonic from "../protocol/values/Monotonic.ts"
import * as Names from "../protocol/values/Names.ts"
import { Admission, makeAddresses } from "./admission/Admission.ts"
import { DeviceRate } from "./admission/DeviceRate.ts"
import * as LastAnswers from "./admission/LastAnswers.ts"
import { Rates } from "./admission/Rates.ts"
import * as RefusedUpgrades from "./admission/RefusedUpgrades.ts"
import { Servers } from "./admission/Servers.ts"
import type { StrangerKind } from "./admission/StrangerKind.ts"
import { Strangers } from "./admission/Strangers.ts"
import { CommandPolicy } from "./command/CommandPolicy.ts"
import * as Commands from "./command/Commands.ts"
import { Authenticator, type Principal } from "./authentication/Authenticator.ts"
import type { IdentifyError } from "./authentication/IdentifyError.ts"
import * as OriginPolicy from "./authentication/OriginPolicy.ts"
import { Compressor } from "./compression/Compressor.ts"
import { noCounts } from "./compression/Counts.ts"
import type { Encode } from "./compression/EncodedTexts.ts"
import { encodeBy } from "./compression/TextStream.ts"
import * as GatewayConfig from "./GatewayConfig.ts"
import * as Metrics from "./Metrics.ts"
import * as OperatorLog from "./OperatorLog.ts"
import * as Routes from "./Routes.ts"
import * as Credentials from "./session/Credentials.ts"
import * as Identify from "./session/Identify.ts"
import type { Session } from "./session/Session.ts"
import type { SessionContext } from "./session/SessionContext.ts"
import { Sessions } from "./session/Sessions.ts"
import * as Shutdown from "./session/Shutdown.ts"
import type { Stats } from "./Stats.ts"
import * as DeviceSocket from "./websocket/DeviceSocket.ts"

export {
  /**
   * Why a request was refused.
   *
   * @category errors
   * @since 0.1.0
   */
  type IdentifyError,
  /**
   * The page that sent a request is none of the gateway's origins.
   *
   * @category errors
   * @since 0.1.0
   */
  OriginRefused
} from "./authentication/IdentifyError.ts"
export type { StrangerKind } from "./admission/StrangerKind.ts"
export type { Counts as CompressionCounts } from "./compression/Counts.ts"
export type { Encode as EncodeTexts, Encoded as EncodedTexts } from "./compression/EncodedTexts.ts"
export type { Fate } from "./command/Commands.ts"
export type { LimitScope } from "../hub/Stats.ts"
export type { Stats } from "./Stats.ts"

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
 * - `identify` finds out who a request is from as it does of a device's: by its origin,
 *   then a token in its `Authorization` header or what the authenticator recognizes,
 *   such as a cookie; credentials from before the user's access was revoked are
 *   refused. `effect-emitter/http` makes middleware of it.
 * - `cors` are the headers that let the page that sent a request read its answer, and
 *   `preflight` is the answer to its `OPTIONS`, both by the gateway's `origins`.
 * - `command` decides about a command of a user as if a device of theirs had sent it, by
 *   the same limits and the same policy.
 * - `encode` makes the body and the headers of an answer that streams texts, in gzip where
 *   its client takes that, by the settings and within the memory of this gateway's
 *   `compression`. It is `undefined` where that is not enabled.
 * - `goodbye` waits until the gateway says goodbye to its devices, and not at all once it has. Whoever waits
 *   counts as one of its sessions: a response of the program's own that lasts ends with them.
 * - `isDraining` tells whether new devices are refused, since the gateway drains or closes.
 * - `drain` leaves runs alone, refuses new devices, sends what is there to send, says goodbye to all others, and waits until
 *   they have gone, though no longer than `drainTimeout`.
 *
 * - `stats` is one view of all that was counted.
 *
 * @category services
 * @since 0.1.0
 */
export class Gateway extends Context.Service<Gateway, {
  readonly revoke: (user: UserId) => Effect.Effect<number, BrokerError>
  readonly identify: (request: HttpServerRequest) => Effect.Effect<Principal, IdentifyError>
  readonly cors: (request: HttpServerRequest) => Readonly<Record<string, string>>
  readonly preflight: (request: HttpServerRequest) => Effect.Effect<HttpServerResponse>
  readonly command: (
    principal: Principal,
    command: Command.Request
  ) => Effect.Effect<Command.Outcome, Commands.Undecided>
  readonly encode: Encode | undefined
  readonly goodbye: Effect.Effect<void>
  readonly isDraining: Effect.Effect<boolean>
  readonly drain: Effect.Effect<void>
  readonly stats: Effect.Effect<Stats>
}>()("effect-emitter/Gateway") {}

const make = Effect.fnUntraced(function*(
  config: GatewayConfig.GatewayConfig
): Effect.fn.Return<
  {
    readonly gateway: Gateway["Service"]
    readonly routes: Routes.Routes
    readonly watch: RefusedUpgrades.Middleware
  },
  never,
  Authenticator | Broker | Scope.Scope
> {
  const broker = yield* Broker
  const authenticator = yield* Authenticator
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const effects = yield* Effect.context<never>()
  const spreadMs = Duration.toMillis(config.reconnectSpread)
  const comeBackAfterMs = () => Math.floor(random.nextDoubleUnsafe() * spreadMs)

  const now = () => Monotonic.millisUnsafe(clock)
  const strangers = new Strangers(strangerLimits(config), now)
  const tell = OperatorLog.make(clock)
  const server = Option.getOrUndefined(yield* Effect.serviceOption(HttpServer))
  const servers = new Servers(strangers, now, server?.address)
  yield* Effect.addFinalizer(() => Effect.sync(() => servers.close()))
  const sessions = new Sessions(Duration.toMillis(config.drainTimeout), strangers, servers)
  const rate = new DeviceRate(config.connections.perSecond, clock)
  const hub = yield* Hub.make(hubOptions(config))

  const policy = Option.getOrUndefined(yield* Effect.serviceOption(CommandPolicy))
  const goodbye = Effect.callback<void>((resume) => {
    const leave = () => sessions.remove(session)
    const end = () => {
      leave()
      resume(Effect.void)
    }
    const session: Session = { tick: () => {}, close: end, destroy: end }
    sessions.add(session)
    return Effect.sync(leave)
  })
  const commands = yield* Commands.make({ commands: broker.commands, clock, limits: config.commands, goodbye, policy })

  const nextId = makeConnectionIds(config.name, yield* Names.next)
  const run: SessionContext["run"] = Effect.runForkWith(effects)
  const compressor = config.compression.enabled
    ? new Compressor(
      config.compression,
      (error) => void run(Effect.logError("A frame could not be compressed, and went out as it is", error))
    )
    : undefined
  const context: SessionContext = {
    limits: sessionLimits(config, broker.retentionMs),
    hub,
    authenticator: Credentials.make(authenticator, {
      clock,
      timeout: config.helloTimeout,
      claims: policy !== undefined
    }),
    commands,
    compressor,
    strangers,
    clock,
    run,
    add: (session) => sessions.add(session),
    remove: (session) => sessions.remove(session),
    closed: (reason) => {
      sessions.count(reason)
      const { code, detail } = reason
      run(Effect.annotateLogs(Effect.logDebug("A device was sent away"), { code: code.code, name: code.name, detail }))
    },
    nextId,
    tell,
    comeBackAfterMs,
    admits: () => rate.take()
  }

  const identify = Identify.make({
    authenticator: Credentials.make(authenticator, { clock, timeout: config.helloTimeout, claims: true }),
    clock,
    hub,
    origins: config.origins,
    strangers,
    tell
  })

  const { close, drain } = yield* Shutdown.make({
    broker,
    hub,
    sessions,
    drainTimeout: config.drainTimeout,
    comeBackAfterMs
  })
  yield* sessions.watch(clock, tickMs(config)).pipe(Effect.forkScoped)
  yield* sessions.closeWithServers(close).pipe(Effect.forkScoped)
  yield* Effect.addFinalizer(() => close)

  const { addressHeader: header, requestsPerAddress: perSecond } = config
  let refusedByAddress = 0
  const routes = Routes.make({
    admission: Option.getOrElse(
      yield* Effect.serviceOption(Admission),
      () => makeAddresses({ clock, perSecond, ...(header === undefined ? {} : { header }) })
    ),
    context,
    notAdmitted: () => {
      refusedByAddress++
    },
    origins: config.origins,
    posted: {
      hub,
      commands,
      comeBackAfterMs,
      goodbye,
      rates: new Rates<UserId>(config.framesPerSecond),
      maxBytes: config.maxFrameBytesIn,
      timeout: config.helloTimeout
    },
    servers,
    sessions,
    sockets: DeviceSocket.makeServer({
      maxBytes: config.maxFrameBytesIn,
      closeTimeoutMs,
      compresses: compressor !== undefined
    })
  })

  const stats: Effect.Effect<Stats> = Effect.map(hub.stats, (seen) => ({
    ...seen,
    refused: { ...seen.refused, rate: rate.refusedCount, address: refusedByAddress },
    sessions: sessions.size,
    closed: sessions.closed,
    draining: sessions.isDraining,
    strangers: countsOf((kind) => strangers[kind].size),
    cut: countsOf((kind) => strangers[kind].cutCount),
    commands: commands.fates(),
    openCommands: commands.open(),
    compression: compressor?.counts ?? noCounts
  }))
  const publish = Effect.map(stats, Metrics.makePublisher(effects))
  yield* Effect.forkScoped(Effect.repeat(publish, Schedule.spaced("5 seconds")))
  const cors = ({ headers }: HttpServerRequest) =>
    OriginPolicy.isAllowed(config.origins, headers)
      ? OriginPolicy.corsHeaders(config.origins, headers["origin"])
      : OriginPolicy.refusalHeaders(headers["origin"])
  const command: Gateway["Service"]["command"] = (principal, request) =>
    Effect.suspend(() =>
      commands.isTooOften({ principal })
        ? Effect.succeed(commands.refuse("tooMany", { message: "commands came too fast" }))
        : commands.decided({ principal }, request)
    )
  const gateway: Gateway["Service"] = {
    stats,
    drain,
    identify,
    command,
    goodbye,
    isDraining: Effect.sync(() => sessions.isDraining),
    cors,
    preflight: routes.options,
    revoke: hub.revoke,
    encode: compressor === undefined ? undefined : encodeBy(compressor)
  }
  Metrics.publishBy(gateway, publish)

  return {
    gateway,
    routes,
    watch: RefusedUpgrades.watch(servers, strangers)
  }
})

/** How often sessions are looked at. */
const tickMs = ({ heartbeat, helloTimeout }: GatewayConfig.GatewayConfig): number =>
  Math.max(10, Math.min(1_000, Duration.toMillis(heartbeat) / 20, Duration.toMillis(helloTimeout) / 10))

const sessionLimits = (config: GatewayConfig.GatewayConfig, retentionMs: number): SessionContext["limits"] => {
  const heartbeatMs = Duration.toMillis(config.heartbeat)
  return {
    helloTimeoutMs: Duration.toMillis(config.helloTimeout),
    heartbeatMs,
    // A silent device must have been noticed when one and a half heartbeats are over, so the last tick counts.
    silenceMs: heartbeatMs * 1.5 - tickMs(config),
    expiryGraceMs: Duration.toMillis(config.expiryGrace),
    framesPerSecond: config.framesPerSecond,
    maxSnapshots: config.maxSnapshots,
    maxFrameBytesIn: config.maxFrameBytesIn,
    retentionMs
  }
}

const strangerLimits = ({ silentTimeout, strangers }: GatewayConfig.GatewayConfig) => ({
  silent: { count: strangers.silent, ms: Duration.toMillis(silentTimeout) },
  // Each has a deadline of its own.
  unauthenticated: { count: strangers.unauthenticated, ms: Infinity },
  refused: { count: strangers.refused, ms: refusedMs }
})

const hubOptions = (
  { backlog, connections, degradedTimeout, maxFrameBytesOut, slow }: GatewayConfig.GatewayConfig
): Hub.Options => ({
  perUser: connections.perUser,
  perNode: connections.perNode,
  maxFrameBytes: maxFrameBytesOut,
  slow: { volatile: toLimit(slow.volatile), batched: toLimit(slow.batched), close: toLimit(slow.close) },
  backlog,
  degradedMs: Duration.toMillis(degradedTimeout)
})

const toLimit = ({ after, bytes }: { readonly bytes: number; readonly after: Duration.Duration }) => ({
  bytes,
  ms: Duration.toMillis(after)
})

// Unique in the world: `life` is a name of this gateway's life alone.
const makeConnectionIds = (name: string | undefined, life: string): () => ConnectionId => {
  const prefix = name === undefined ? "" : `${name}.`
  let ids = 0
  return () => ConnectionId.make(`${prefix}${life}-${(ids++).toString(36)}`)
}

const countsOf = (count: (kind: StrangerKind) => number): Readonly<Record<StrangerKind, number>> => ({
  silent: count("silent"),
  unauthenticated: count("unauthenticated"),
  refused: count("refused")
})

/** How long a refused device may take to read why, before its socket is cut. */
const refusedMs = 500

/** How long a device may take to answer a close. */
const closeTimeoutMs = 2_000

const layerWith = (
  config: Effect.Effect<GatewayConfig.GatewayConfig, ConfigError>
): Layer.Layer<Gateway, ConfigError, HttpRouter.HttpRouter | Authenticator | Broker> =>
  Layer.effect(
    Gateway,
    Effect.gen(function*() {
      const settings = yield* config
      const { gateway, routes, watch } = yield* make(settings)
      const router = yield* HttpRouter.HttpRouter
      yield* router.addGlobalMiddleware(watch)
      yield* router.addGlobalMiddleware(LastAnswers.close)
      const path = startsWithSlash(settings.path)
      yield* router.add("GET", path, routes.get)
      yield* router.add("POST", path, routes.post)
      yield* router.add("OPTIONS", path, routes.options)
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
): Layer.Layer<Gateway, ConfigError, HttpRouter.HttpRouter | Authenticator | Broker> =>
  layerWith(GatewayConfig.decode(options))

/**
 * The same, with options from `Config`, one for all of them or one a field. Without
 * any they are read from the environment: `GATEWAY_PATH`, `GATEWAY_HEARTBEAT`, …
 *
 * ```ts
 * import { Config } from "effect"
 * import { Gateway } from "effect-emitter/gateway"
 *
 * const fromEnvironment = Gateway.layerConfig()
 * const named = Gateway.layerConfig({ name: Config.String("POD_NAME") })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<GatewayConfig.Options> = GatewayConfig.config
): Layer.Layer<Gateway, ConfigError, HttpRouter.HttpRouter | Authenticator | Broker> =>
  layerWith(GatewayConfig.read(options))
