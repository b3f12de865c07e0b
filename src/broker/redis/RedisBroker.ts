/**
 * A broker that keeps the logs in Redis, for many processes.
 *
 * Emitters and gateways in any number of processes share one Redis (7 or later,
 * or Valkey). It gives every promise of `Broker`; what a server that restarted
 * or another that took over may have lost is named by a gap (see
 * `Options.trustRestarts`).
 *
 * - An append is one script: it is repeated without harm, also by another
 *   process.
 * - While Redis is away every call fails within its deadline, and the layer is
 *   built all the same; the connection comes back by itself.
 * - When a process dies, another ends its runs as lost, within its lease.
 * - The state of runs is folded by the processes that append, and saved beside
 *   the log.
 * - With `urls` users are spread over several servers; one that is down costs its
 *   own users their broker, and no others (see `ShardedBroker`).
 *
 * It needs the package `redis`.
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import { EmitterLayer } from "effect-emitter"
 * import { RedisBroker } from "effect-emitter/redis"
 *
 * const broker = RedisBroker.layerConfig({ url: Config.String("REDIS_URL") })
 *
 * const emitters = EmitterLayer().pipe(Layer.provide(broker))
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import * as Names from "../../protocol/values/Names.ts"
import type { Given } from "../../protocol/values/Present.ts"
import { Broker } from "../Broker.ts"
import * as Receivers from "../commands/Receivers.ts"
import * as Leases from "../leases/Leases.ts"
import * as RunClaims from "../leases/RunClaims.ts"
import * as ShardedBroker from "../ShardedBroker.ts"
import * as RedisKeys from "./codec/Keys.ts"
import * as Layout from "./codec/Layout.ts"
import * as CommandCaller from "./commands/CommandCaller.ts"
import * as CommandSender from "../commands/CommandSender.ts"
import * as CommandTaker from "../commands/CommandTaker.ts"
import { Inbox } from "../commands/Inbox.ts"
import type { Client } from "./connection/Client.ts"
import * as RedisConnection from "./connection/Connection.ts"
import { config, decode, type Input, type Options, read, type ServerOptions, serversOf } from "./connection/Options.ts"
import { refused, toBrokerError } from "./connection/RedisFailure.ts"
import * as RedisLeaseMetrics from "../leases/LeaseMetrics.ts"
import * as RedisLeases from "./leases/Leases.ts"
import * as RedisMetrics from "./Metrics.ts"
import * as Appender from "./operations/Appender.ts"
import * as Checkpointer from "./operations/Checkpointer.ts"
import * as ClaimStore from "./operations/ClaimStore.ts"
import * as LogCaller from "./operations/LogCaller.ts"
import * as RunFields from "./operations/RunFields.ts"
import * as RunKeeper from "./operations/RunKeeper.ts"
import * as RunTaker from "./operations/RunTaker.ts"
import * as SliceReader from "./operations/SliceReader.ts"
import * as UserSignals from "./operations/UserSignals.ts"
import * as RedisSubscriptions from "./subscriptions/Subscriptions.ts"

export { LayoutMismatch } from "./codec/Layout.ts"
export { type Input, Options, Shard } from "./connection/Options.ts"

// Connects to a server. One whose keys another version wrote is not used, and seen from the start it is an error.
const connectTo = Effect.fnUntraced(
  function*(options: ServerOptions, node: string, inbox: Inbox, metrics: RedisMetrics.RedisMetrics) {
    const { prefix } = options
    const other: { layout: Layout.LayoutMismatch | undefined } = { layout: undefined }
    const checkLayout = (client: Client) =>
      Effect.tryPromise({
        try: () => Layout.read(client, prefix, RedisLeases.keepMs(RedisKeys.ttlMs(options))),
        catch: (cause) => toBrokerError("connect", 0, cause)
      }).pipe(Effect.flatMap((found) => {
        const isSame = found === RedisKeys.layout
        const mismatch = new Layout.LayoutMismatch({ server: options.name, prefix, found, expected: RedisKeys.layout })
        other.layout = isSame ? undefined : mismatch
        return isSame ? Effect.void : Effect.fail(refused("connect", mismatch.message, "broker"))
      }))
    const connection = yield* RedisConnection.make({
      name: prefix,
      server: options.name,
      kind: "commands",
      metrics,
      url: options.url,
      deadline: options.deadline,
      silence: options.silence,
      onLive: ({ client }) => checkLayout(client)
    })
    const subscriptions = yield* RedisSubscriptions.make(options, node, connection, inbox, metrics)
    // A server that is up is used at once; one that is down is not waited for.
    yield* Effect.andThen(connection.tried, subscriptions.tried).pipe(Effect.timeoutOption(options.silence))
    if (other.layout !== undefined) return yield* other.layout
    return { connection, subscriptions }
  }
)

const makeOverOne = Effect.fnUntraced(function*(
  options: ServerOptions
): Effect.fn.Return<Broker["Service"], Layout.LayoutMismatch, Scope.Scope> {
  const { maxRuns, prefix } = options
  const node = yield* Names.next
  const clock = yield* Clock.Clock
  const metrics = yield* RedisMetrics.make(options.name)
  const inbox = new Inbox(node)
  const { connection, subscriptions } = yield* connectTo(options, node, inbox, metrics)
  const logs = LogCaller.make(options, node, connection, metrics)
  const checkpoints = yield* Checkpointer.make({ connection, logs, maxRuns, metrics })
  const script = yield* Appender.AppendScript
  const appender = Appender.make({ options, node, clock, connection, logs, checkpoints, script, metrics })
  const fields = RunFields.make(prefix, connection)
  const store = RedisLeases.make({
    prefix,
    ttlMs: RedisKeys.ttlMs(options),
    connection,
    inbox,
    endRuns: (user, lease, countOf) =>
      Effect.andThen(fields.bequeath(user, lease, countOf), appender.endRuns(user, (_, holder) => holder === lease))
  })
  const leases = yield* Leases.make({
    name: node,
    lease: options.lease,
    store,
    notes: yield* RedisLeaseMetrics.make(options.name)
  })
  const ttlMs = RedisKeys.ttlMs(options)
  const claims = yield* RunClaims.make({
    node,
    leases,
    countOf: store.countOf,
    store: ClaimStore.make({ prefix, ttlMs, connection }),
    renewEvery: Duration.millis(ttlMs / 3)
  })
  const keeper = yield* RunKeeper.make({ options, connection, logs, leases, appender, claims })
  yield* leases.whenLost(keeper.lookAtAll)
  const reader = SliceReader.make({ maxRuns, clock, logs, subscriptions, metrics })
  const { snapshot } = reader
  const { acknowledged, subscribe } = subscriptions
  const caller = CommandCaller.make(options, node, connection, logs)
  const receivers = yield* Receivers.make
  yield* CommandTaker.make({ caller, connection, inbox, leases, receivers })
  const send = yield* CommandSender.make(caller, inbox)

  return {
    ...reader,
    ...RunTaker.make({ node, lease: options.lease, fields, leases, store, snapshot, keeper }),
    ...UserSignals.make(options, node, connection, logs),
    append: (user, batch) =>
      batch.some(({ run }) => run !== undefined)
        ? keeper.append(user, batch)
        : Effect.map(appender.append(user, batch, "-"), ({ position }) => position),
    endLost: (user, runs) => appender.endRuns(user, (run) => runs.includes(run)),
    subscribe,
    acknowledged,
    claim: claims.claim,
    commands: { send, receive: receivers.add },
    watch: connection.watch,
    watchLost: keeper.watchLost,
    retentionMs: Duration.toMillis(options.maxAge)
  }
})

/**
 * Makes the broker, over one server or, with `urls`, over several.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { RedisBroker } from "effect-emitter/redis"
 *
 * const broker = Schema.decodeEffect(RedisBroker.Options)({ url: "redis://127.0.0.1" }).pipe(Effect.flatMap(RedisBroker.make))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Broker["Service"], Layout.LayoutMismatch, Scope.Scope> => {
  const [first, ...others] = serversOf(options)
  const makeShard = (server: ServerOptions) =>
    Effect.map(makeOverOne(server), (broker) => ({ name: server.name, weight: server.weight, broker }))
  // One that is down is waited for a while, so they are waited for together.
  return Effect.zipWith(
    makeShard(first),
    Effect.forEach(others, makeShard, { concurrency: "unbounded" }),
    (first, others) => ShardedBroker.make([first, ...others]),
    { concurrent: true }
  )
}

/**
 * A broker in Redis. For its options and their defaults see `Options`; a wrong
 * or unknown option fails the layer with every problem listed. A server that
 * cannot be reached does not; one whose keys another version wrote does.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { EmitterLayer } from "effect-emitter"
 * import { RedisBroker } from "effect-emitter/redis"
 *
 * const emitters = EmitterLayer().pipe(Layer.provide(RedisBroker.layer({ url: "redis://127.0.0.1", maxAge: "2 hours" })))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Input): Layer.Layer<Broker, ConfigError | Layout.LayoutMismatch> =>
  Layer.effect(Broker, Effect.flatMap(decode(options), make))

/**
 * The same, with options from `Config`, one for all of them or one a field. Without
 * any they are read from the environment: `REDIS_URL`, `REDIS_PREFIX`, …
 *
 * ```ts
 * import { Config } from "effect"
 * import { RedisBroker } from "effect-emitter/redis"
 *
 * const fromEnvironment = RedisBroker.layerConfig()
 * const named = RedisBroker.layerConfig({ url: Config.String("EVENTS_REDIS"), prefix: Config.succeed("events") })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Given<typeof Options.Encoded>> = config
): Layer.Layer<Broker, ConfigError | Layout.LayoutMismatch> =>
  Layer.effect(Broker, Effect.flatMap(Effect.flatMap(read(options), decode), make))
