/**
 * The Postgres broker as the command line needs it.
 *
 * @since 0.2.0
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as PostgresBroker from "../../../broker/postgres/PostgresBroker.ts"
import { toConnection } from "../../../broker/postgres/connection/Connections.ts"
import * as Failure from "../../../broker/postgres/connection/Failure.ts"
import * as Options from "../../../broker/postgres/connection/Options.ts"
import type { ConfigError } from "../../../protocol/settings/ConfigError.ts"
import { UserId } from "../../../protocol/values/Identity.ts"
import { Failed, ofBroker } from "../../output/Failed.ts"
import { fault, type Finding, ok } from "../../output/Finding.ts"
import { type Backend, layerRefused, retentionOf, type Sought, type Taken } from "../Backend.ts"
import * as PostgresChecks from "./PostgresChecks.ts"

const options = Effect.flatMap(Options.read(Options.config), Options.decode)

// A driver that waits for a server which says nothing is not waited for.
const within = <A>(
  effect: Effect.Effect<A, SqlError>,
  duration: Duration.Duration
): Effect.Effect<A | "late", SqlError> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Effect.timeoutOrElse(Fiber.join(fiber), {
      duration,
      orElse: () => Effect.as(Effect.sync(() => fiber.interruptUnsafe()), "late" as const)
    }))

const saidNothing = (limit: Duration.Duration): string => `it said nothing for ${Duration.toMillis(limit)} ms`

const limitOf = ({ silence }: Options.Options): Duration.Duration => Duration.times(silence, 4)

const remedyOf = (error: SqlError): string => {
  switch (Failure.codeOf(error)) {
    case "3D000":
      return "create the database, or correct its name in POSTGRES_URL"
    case "28000":
    case "28P01":
      return "correct user and password in POSTGRES_URL, or let the user in (pg_hba.conf)"
    case "53300":
      return "raise max_connections, lower POSTGRES_CONNECTIONS, or put PgBouncer before it"
    case "57P03":
      return "wait until it has started; its log tells how far it is"
    default:
      return remedy
  }
}

const remedy = "start it, or correct POSTGRES_URL: address, user and password, database, TLS (?sslmode=require)"

const checksOf = (all: Options.Options): Effect.Effect<ReadonlyArray<Finding>> =>
  within(Effect.scoped(PostgresChecks.checks(all)), limitOf(all)).pipe(
    Effect.map((found) =>
      found === "late"
        ? [fault("connection", `it cannot be used: ${saidNothing(limitOf(all))}`, remedy)]
        : [ok("connection", "it answers"), ...found]
    ),
    Effect.catch((error) =>
      Effect.succeed([fault("connection", `it cannot be used: ${Failure.whyOf(error)}`, remedyOf(error))])
    ),
    Effect.map((findings) =>
      findings.map((finding) => ({
        ...finding,
        check: `postgres ${finding.check}`,
        message: `${Options.placeOf(all.url)}: ${finding.message}`
      }))
    )
  )

const mayNot = "42501"

const ask = (
  sql: (schema: string) => string,
  ...params: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, ConfigError | Failed> =>
  Effect.flatMap(options, (all) => {
    const asked = Effect.flatMap(
      PgConnection.make({ ...toConnection(all, all.url), prepare: false }),
      (connection) => connection.queryValues(sql(all.schema), params, false)
    )
    return within(Effect.scoped(asked), limitOf(all)).pipe(
      Effect.mapError((error) =>
        Failure.codeOf(error) === mayNot
          ? new Failed({
            exit: "usage",
            message: "The Postgres user may not read the tables of the broker",
            remedy: "give POSTGRES_URL as whoever made the schema, for this call alone"
          })
          : ofBroker(Failure.toBrokerError("look", 0, error))
      ),
      Effect.flatMap((rows) =>
        rows === "late"
          ? Effect.fail(
            new Failed({
              exit: "away",
              message: `Postgres at ${Options.placeOf(all.url)}: ${saidNothing(limitOf(all))}`
            })
          )
          : Effect.succeed(rows)
      )
    )
  })

const isUser = Schema.is(UserId)

const withRun = (schema: string) =>
  `select u.name from ${schema}.standings x join ${schema}.users u on u.id = x.log where x.run = $1::text`
const withSource = (schema: string) =>
  `select u.name from ${schema}.entries x join ${schema}.users u on u.id = x.log where x.source = $1::text
   union select u.name from ${schema}.spent x join ${schema}.users u on u.id = x.log where x.source = $1::text`

const usersOf: Backend["usersOf"] = (sought: ReadonlyArray<Sought>, seen) =>
  Effect.map(
    Effect.forEach(sought, (each) => "run" in each ? ask(withRun, each.run) : ask(withSource, each.source)),
    (found) => {
      const users = new Set(found.flat().map(([name]) => String(name)).filter(isUser))
      seen(users.size)
      return [...users]
    }
  )

const takenSql = (schema: string) =>
  `with log as (select id from ${schema}.users where name = $1::text)
   select case
     when exists (select from ${schema}.entries x, log where x.log = log.id and x.source = $2::text and x.seq = $3::text::bigint)
       or exists (select from ${schema}.spent x, log where x.log = log.id and x.source = $2::text and x.numbers @> $3::text::bigint)
       then 'taken'
     when exists (select from ${schema}.entries x, log where x.log = log.id and x.source = $2::text)
       or exists (select from ${schema}.spent x, log where x.log = log.id and x.source = $2::text)
       then 'free'
     else 'unknown'
   end`

const isTaken = Schema.is(Schema.Literals(["taken", "free", "unknown"]))

const taken = (user: UserId, source: string, sequence: number): Effect.Effect<Taken, ConfigError | Failed> =>
  Effect.map(ask(takenSql, user, source, String(sequence)), (rows) => {
    const found = rows[0]?.[0]
    return isTaken(found) ? found : "unknown"
  })

/**
 * Postgres, with its settings from the environment.
 *
 * @category constructors
 * @since 0.2.0
 */
export const backend: Backend = {
  layer: PostgresBroker.layerConfig().pipe(
    Layer.catchTag("SchemaMismatch", layerRefused)
  ),
  checks: options.pipe(
    Effect.flatMap(checksOf),
    // That its settings are wrong is a finding of its own.
    Effect.catch(() => Effect.succeed([]))
  ),
  usersOf,
  taken,
  retention: Effect.map(options, retentionOf("POSTGRES"))
}
