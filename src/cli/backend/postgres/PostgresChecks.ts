/**
 * Looks for what is wrong with a Postgres database: version, role, rights, schema,
 * settings, connections, tables, clock, latency, and whether it tells of events.
 *
 * @since 0.2.0
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { toConnection } from "../../../broker/postgres/connection/Connections.ts"
import * as Failure from "../../../broker/postgres/connection/Failure.ts"
import { type Options, placeOf } from "../../../broker/postgres/connection/Options.ts"
import { version } from "../../../broker/postgres/schema/Migrations.ts"
import { SchemaMismatch } from "../../../broker/postgres/schema/SchemaError.ts"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as Names from "../../../protocol/values/Names.ts"
import { fault, type Finding, note, ok, warning } from "../../output/Finding.ts"
import { ofClock, ofLatency } from "../ServerFindings.ts"
import * as Facts from "./Facts.ts"

type Facts = Facts.Facts

const least = 15

const ofVersion = ({ version: found, versionName }: Facts): Finding =>
  found >= least * 10_000
    ? ok("version", `Postgres ${versionName}`)
    : fault("version", `it is Postgres ${versionName}`, `upgrade it to Postgres ${least} or later`)

const ofRole = ({ isReadOnly, isStandby, role }: Facts): Finding => {
  if (isStandby) {
    return fault("role", "it is a standby, which takes no writes", "write the address of the primary into POSTGRES_URL")
  }
  return isReadOnly
    ? fault(
      "role",
      "its transactions are read-only",
      `ALTER ROLE ${role} SET default_transaction_read_only = off; see that it is not set for the database either`
    )
    : ok("role", "it is a primary")
}

const ofEncoding = ({ encoding }: Facts): ReadonlyArray<Finding> =>
  encoding === "UTF8" ? [] : [
    fault(
      "encoding",
      `the database has the encoding ${encoding}, which cannot hold every text`,
      "create a database with ENCODING 'UTF8' TEMPLATE template0, and write its name into POSTGRES_URL"
    )
  ]

const ofRights = ({ functions, hasSchema, lacks, mayUse, role }: Facts, schema: string): ReadonlyArray<Finding> => {
  if (!hasSchema) return []
  const grants = [
    ...(mayUse ? [] : [`GRANT USAGE ON SCHEMA ${schema} TO ${role}`]),
    ...(lacks === 0 ? [] : [`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${role}`])
  ]
  if (grants.length === 0) return [ok("rights", "its user may do what is needed")]
  const what = mayUse ? `may not run ${lacks} of its ${functions} functions` : "may not use the schema"
  return [fault("rights", `its user ${what}`, `as whoever made the schema: ${grants.join("; ")}`)]
}

/** What a greeting told: the version of the schema, or that another cluster is greeted now. */
export type Greeting = { readonly found: number } | "another" | "refused"

const ofSchema = (greeting: Greeting, facts: Facts, { schema, url }: Options): ReadonlyArray<Finding> => {
  const mismatch = (found: number) => {
    const { message, remedy } = new SchemaMismatch({ server: placeOf(url), schema, found, expected: version })
    return [fault("schema", message.slice(0, message.indexOf(remedy)).trim(), remedy)]
  }
  if (!facts.hasSchema || facts.functions === 0) return mismatch(0)
  if (greeting === "refused") return []
  if (greeting === "another") {
    return [
      note("schema", `"${schema}" comes from another cluster, such as by a dump: logs go on under new epochs, once`)
    ]
  }
  return greeting.found === version ? [ok("schema", `"${schema}" has version ${version}`)] : mismatch(greeting.found)
}

const ofDurability = ({ fsync, fullPageWrites, synchronousCommit }: Facts): ReadonlyArray<Finding> => {
  const off = [...(fsync ? [] : ["fsync"]), ...(fullPageWrites ? [] : ["full_page_writes"])]
  if (off.length > 0) {
    return [
      fault(
        "durability",
        `${off.join(" and ")} ${
          off.length > 1 ? "are" : "is"
        } off: after the loss of power events are gone that it said it had, or all of them`,
        `set ${off.map((name) => `${name} = on`).join(" and ")} in postgresql.conf, and reload`
      )
    ]
  }
  return [
    synchronousCommit === "off"
      ? note("durability", "synchronous_commit is off: appends switch it on, each for itself")
      : ok("durability", "what it commits is on its disk")
  ]
}

const ofTables = ({ autovacuum, dead, held }: Facts, schema: string): ReadonlyArray<Finding> => {
  if (!autovacuum) {
    return [
      fault(
        "tables",
        "autovacuum is off (autovacuum, track_counts): the room of old events is never used again",
        "set both on in postgresql.conf, and reload"
      )
    ]
  }
  return dead > manyDead && dead > held
    ? [
      warning(
        "tables",
        `${dead} rows are dead, beside ${held} that are held: autovacuum does not keep up`,
        `look for long transactions and old replication slots (pg_stat_activity, pg_replication_slots), and at ` +
          `pg_stat_user_tables of ${schema}; VACUUM tidies them now`
      )
    ]
    : [ok("tables", `${held} rows, and ${dead} that wait to be tidied`)]
}

const manyDead = 100_000

const ofConnections = (facts: Facts, { connections }: Options): Finding => {
  const needed = connections + 1
  const { connections: most, databaseConnections, role, roleConnections, used } = facts
  const limits = [
    { most, of: "the server", remedy: `raise max_connections, or lower POSTGRES_CONNECTIONS (${connections})` },
    {
      most: databaseConnections,
      of: "the database",
      remedy: "ALTER DATABASE … CONNECTION LIMIT -1, or lower POSTGRES_CONNECTIONS"
    },
    {
      most: roleConnections,
      of: "its user",
      remedy: `ALTER ROLE ${role} CONNECTION LIMIT -1, or lower POSTGRES_CONNECTIONS`
    }
  ].filter((limit) => limit.most >= 0)
  const low = limits.find((limit) => limit.most < needed)
  if (low !== undefined) {
    return fault("connections", `${low.of} may have ${low.most}, and a process takes ${needed}`, low.remedy)
  }
  const free = most - used
  return free < needed
    ? warning(
      "connections",
      `${used} of ${most} are in use, and a process takes ${needed}`,
      "raise max_connections, lower POSTGRES_CONNECTIONS, or put PgBouncer before it"
    )
    : ok("connections", `${used} of ${most} are in use, and a process takes ${needed}`)
}

const ofTimeouts = (
  { idleSessionMs, lockMs, role, statementMs }: Facts,
  { deadline }: Options
): ReadonlyArray<Finding> => {
  const limit = Duration.toMillis(deadline)
  const setting = (name: string, ms: number, what: string) =>
    warning("timeouts", `${name} is ${ms} ms: ${what}`, `ALTER ROLE ${role} SET ${name} = 0`)
  const found = [
    ...(idleSessionMs === 0 ? [] : [
      setting(
        "idle_session_timeout",
        idleSessionMs,
        "it ends the connection that listens, and events come late meanwhile"
      )
    ]),
    ...(statementMs === 0 || statementMs >= limit ? [] : [
      setting("statement_timeout", statementMs, `calls end before their deadline of ${limit} ms`)
    ]),
    ...(lockMs === 0 || lockMs >= limit ? [] : [
      setting("lock_timeout", lockMs, "appends of a user that come at once fail, where they should wait for each other")
    ])
  ]
  return found.length > 0 ? found : [ok("timeouts", "none ends what is needed")]
}

/** What was measured beside the facts: the median of some calls, and how far the server's clock is ahead. */
export interface Measured {
  readonly latencyMs: number
  readonly skewMs: number
}

/**
 * What there is to say of what a server told.
 *
 * @category operations
 * @since 0.2.0
 */
export const judge = (
  facts: Facts,
  greeting: Greeting,
  { latencyMs, skewMs }: Measured,
  options: Options
): ReadonlyArray<Finding> => [
  ofVersion(facts),
  ofRole(facts),
  ...ofEncoding(facts),
  ...ofSchema(greeting, facts, options),
  ...ofRights(facts, options.schema),
  ...ofDurability(facts),
  ofConnections(facts, options),
  ...ofTimeouts(facts, options),
  ...ofTables(facts, options.schema),
  ofClock(skewMs),
  ofLatency(latencyMs, {
    deadline: options.deadline,
    prefix: "POSTGRES",
    lookFor: "slow queries and a slow disk"
  })
]

const pings = 9

const decodeGreeting = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.TupleWithRest(Schema.Tuple([Schema.Int]), [Schema.Unknown]))
)

const readOnly = "25006"

/**
 * All checks over connections of their own, which end with the scope. What is called
 * is rolled back.
 *
 * @category operations
 * @since 0.2.0
 */
export const checks = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<ReadonlyArray<Finding>, SqlError, Scope.Scope> {
  const clock = yield* Clock.Clock
  const { schema } = options
  const connection = yield* PgConnection.make({ ...toConnection(options, options.url), prepare: false })
  const ask = (sql: string, ...params: ReadonlyArray<string>) =>
    Effect.map(connection.queryValues(sql, params, false), (rows) => String(rows[0]?.[0]))
  const seen: Array<number> = []
  for (let ping = 0; ping < pings; ping++) {
    const startedAt = Monotonic.millisUnsafe(clock)
    yield* ask("select 1")
    seen.push(Monotonic.millisUnsafe(clock) - startedAt)
  }
  const latencyMs = seen.toSorted((a, b) => a - b)[pings >> 1] ?? 0
  const facts = Facts.read(yield* ask(Facts.sql, schema))
  const skewMs = facts.clockMs + latencyMs / 2 - clock.currentTimeMillisUnsafe()
  // A greeting may note that the cluster is another: only the service should.
  const greeting = yield* ask("begin read only").pipe(
    Effect.andThen(ask(`select ${schema}.greet('{}')::text`)),
    Effect.map((answer): Greeting => ({ found: decodeGreeting(answer)[0] })),
    Effect.catch((error) => Effect.succeed<Greeting>(Failure.codeOf(error) === readOnly ? "another" : "refused")),
    Effect.ensuring(Effect.ignore(ask("rollback")))
  )
  const hears = yield* hearing(options, (channel) => ask("select pg_notify($1::text, '')::text", channel))
  return [...judge(facts, greeting, { latencyMs, skewMs }, options), hears]
})

/** Whether what is told is heard, as the broker listens. */
const hearing = (
  options: Options,
  tell: (channel: string) => Effect.Effect<unknown, SqlError>
): Effect.Effect<Finding> =>
  Effect.gen(function*() {
    const channel = `effect-emitter-doctor-${yield* Names.next}`
    // Closed after the connection: before it, it would ask a server that may never answer to be heard no more.
    const heard = yield* Scope.make()
    yield* Effect.addFinalizer((exit) => Scope.close(heard, exit))
    const connection = yield* PgConnection.make(toConnection(options, options.listenUrl ?? options.url))
    const queue = yield* Scope.provide(connection.listen(channel), heard)
    yield* tell(channel)
    return yield* Queue.take(queue)
  }).pipe(
    Effect.scoped,
    Effect.timeoutOption(options.silence),
    Effect.match({
      onFailure: (error) => warning("listening", `it cannot be listened to: ${Failure.whyOf(error)}`, listenRemedy),
      onSuccess: ({ _tag }) =>
        _tag === "Some"
          ? ok("listening", "what is told is heard")
          : warning("listening", "what is told is not heard: a pooler before it carries no LISTEN", listenRemedy)
    })
  )

const listenRemedy =
  "write a URL that leads past the pooler into POSTGRES_LISTEN_URL; without it events come up to half a second late"
