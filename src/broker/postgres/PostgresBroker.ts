/**
 * A broker that keeps the logs in Postgres, for many processes.
 *
 * Emitters and gateways in any number of processes share one database (Postgres 15 or
 * later), beside the application's own tables, in a schema of its own. It gives every
 * promise of `Broker`; what a standby that took over may have lost is named by a gap.
 *
 * - An append is one call of a function: it happens whole or not at all, and is repeated
 *   without harm, also by another process.
 * - While the server is away every call fails within its deadline, and the layer is
 *   built all the same; the connections come back by themselves.
 * - When a process dies, another ends its runs as lost, within its lease.
 * - The schema is made by `migrationSql`, or by the layer where it is told to `migrate`.
 *
 * It needs the package `@effect/sql-pg`.
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import { EmitterLayer } from "effect-emitter"
 * import { PostgresBroker } from "effect-emitter/postgres"
 *
 * const broker = PostgresBroker.layerConfig({ url: Config.String("DATABASE_URL"), migrate: Config.succeed(true) })
 *
 * const emitters = EmitterLayer().pipe(Layer.provide(broker))
 * ```
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import * as Names from "../../protocol/values/Names.ts"
import { Broker } from "../Broker.ts"
import * as CommandSender from "../commands/CommandSender.ts"
import * as CommandTaker from "../commands/CommandTaker.ts"
import { Inbox } from "../commands/Inbox.ts"
import * as Receivers from "../commands/Receivers.ts"
import * as LeaseMetrics from "../leases/LeaseMetrics.ts"
import * as Leases from "../leases/Leases.ts"
import * as RunClaims from "../leases/RunClaims.ts"
import * as CommandCaller from "./commands/CommandCaller.ts"
import * as Database from "./connection/Database.ts"
import { config, decode, type Input, type Options, placeOf, read } from "./connection/Options.ts"
import * as PostgresLeases from "./leases/Leases.ts"
import * as Appender from "./operations/Appender.ts"
import * as ClaimStore from "./operations/ClaimStore.ts"
import * as Folder from "./operations/Folder.ts"
import * as Logs from "./operations/Logs.ts"
import * as RunKeeper from "./operations/RunKeeper.ts"
import * as RunTaker from "./operations/RunTaker.ts"
import * as SliceReader from "./operations/SliceReader.ts"
import * as UserSignals from "./operations/UserSignals.ts"
import * as PostgresMetrics from "./Metrics.ts"
import { migrations } from "./schema/Migrations.ts"
import type { SchemaMismatch } from "./schema/SchemaError.ts"
import * as Notifier from "./subscriptions/Notifier.ts"
import { Postbox } from "./subscriptions/Postbox.ts"
import * as Subscriptions from "./subscriptions/Subscriptions.ts"

export { type Input, Options } from "./connection/Options.ts"
export { SchemaMismatch } from "./schema/SchemaError.ts"

/**
 * Makes the broker.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { PostgresBroker } from "effect-emitter/postgres"
 *
 * const broker = Schema.decodeEffect(PostgresBroker.Options)({ url: "postgres://127.0.0.1/app" }).pipe(Effect.flatMap(PostgresBroker.make))
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Broker["Service"], SchemaMismatch, Scope.Scope> {
  const node = yield* Names.next
  const clock = yield* Clock.Clock
  const metrics = yield* PostgresMetrics.make(placeOf(options.url))
  const database = yield* Database.make(options, metrics)
  const inbox = new Inbox(node)
  const postbox = new Postbox(inbox)
  const notifier = yield* Notifier.make(node, database, postbox)
  const subscriptions = yield* Subscriptions.make({ options, node, database, postbox, notifier, metrics })
  const logs = Logs.make(options, node, database)
  const folder = yield* Folder.make(options, database, logs)
  const appender = Appender.make({ options, node, clock, database, logs, notifier, folder })
  const store = PostgresLeases.make({
    database,
    inbox,
    endRuns: (user, lease) =>
      Effect.andThen(
        database.call("bequeath", "bequeath", { user, lease }),
        appender.endRuns(user, (_, holder) => holder === lease)
      )
  })
  const leases = yield* Leases.make({
    name: node,
    lease: options.lease,
    store,
    notes: yield* LeaseMetrics.make(placeOf(options.url))
  })
  const claims = yield* RunClaims.make({
    node,
    leases,
    countOf: store.countOf,
    store: ClaimStore.make(database)
  })
  const keeper = yield* RunKeeper.make({ options, database, logs, leases, appender, claims, notifier })
  yield* leases.whenLost(keeper.lookAtAll)
  const reader = SliceReader.make(logs)
  const { snapshot } = reader
  const caller = CommandCaller.make(node, database, logs, notifier)
  const receivers = yield* Receivers.make
  yield* CommandTaker.make({ caller, connection: database, inbox, leases, receivers })
  const send = yield* CommandSender.make(caller, inbox)

  return {
    ...reader,
    ...subscriptions,
    ...RunTaker.make({ node, lease: options.lease, database, leases, snapshot, keeper }),
    ...UserSignals.make(options, node, database, notifier),
    append: (user, batch) =>
      batch.some(({ run }) => run !== undefined)
        ? keeper.append(user, batch)
        : Effect.map(appender.append(user, batch, "-"), ({ position }) => position),
    endLost: (user, runs) => appender.endRuns(user, (run) => runs.includes(run)),
    claim: claims.claim,
    commands: { send, receive: receivers.add },
    watch: database.watchCalls,
    watchLost: keeper.watchLost,
    retentionMs: Duration.toMillis(options.maxAge)
  }
})

/**
 * A broker in Postgres. For its options and their defaults see `Options`; a wrong
 * or unknown option fails the layer with every problem listed. A server that
 * cannot be reached does not; one that has not the schema does, unless the layer is
 * told to `migrate`.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { EmitterLayer } from "effect-emitter"
 * import { PostgresBroker } from "effect-emitter/postgres"
 *
 * const emitters = EmitterLayer().pipe(Layer.provide(PostgresBroker.layer({ url: "postgres://127.0.0.1/app", migrate: true })))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options: Input): Layer.Layer<Broker, ConfigError | SchemaMismatch> =>
  Layer.effect(Broker, Effect.flatMap(decode(options), make))

/**
 * The same, with options from `Config`, one for all of them or one a field. Without
 * any they are read from the environment: `POSTGRES_URL`, `POSTGRES_SCHEMA`, …
 *
 * @category layers
 * @since 0.2.0
 */
export const layerConfig = (
  options: Config.Wrap<Input> = config
): Layer.Layer<Broker, ConfigError | SchemaMismatch> =>
  Layer.effect(Broker, Effect.flatMap(Effect.flatMap(read(options), decode), make))

/**
 * What makes the schema, as one transaction of SQL, for a database that has none: to be
 * run by whoever may, such as with `psql`. The processes' own user then needs nothing
 * but to use the schema and to run its functions:
 *
 * ```sql
 * grant usage on schema emitter to app;
 * grant execute on all functions in schema emitter to app;
 * ```
 *
 * @category migrations
 * @since 0.2.0
 */
export const migrationSql = (schema = "emitter"): string =>
  `begin;\n${migrations(schema).map(({ sql }) => sql).join("\n")}\ncommit;\n`
