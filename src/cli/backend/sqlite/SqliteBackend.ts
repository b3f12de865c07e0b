/**
 * The SQLite broker as the command line needs it. The file belongs to one process:
 * what looks into logs works while the service is stopped.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { DatabaseSync } from "node:sqlite"
import * as Options from "../../../broker/sqlite/Options.ts"
import * as SqliteBroker from "../../../broker/sqlite/SqliteBroker.ts"
import * as Rows from "../../../broker/sqlite/worker/Rows.ts"
import type { ConfigError } from "../../../protocol/settings/ConfigError.ts"
import { UserId } from "../../../protocol/values/Identity.ts"
import { Failed } from "../../output/Failed.ts"
import { type Backend, layerRefused, retentionOf, type Sought, type Taken } from "../Backend.ts"
import * as LogFile from "./LogFile.ts"
import * as SqliteChecks from "./SqliteChecks.ts"

const options = Effect.flatMap(Options.read(Options.config), Options.decode)

const remedy =
  "stop the service first, since one process has the file; effect-emitter doctor tells what is wrong with it"

const onFile = <A>(look: (database: DatabaseSync) => A): Effect.Effect<A, ConfigError | Failed> =>
  Effect.flatMap(options, ({ file }) =>
    Effect.try({
      try: () => LogFile.use(file, look),
      catch: (cause) =>
        new Failed({
          exit: "no",
          message: `The file ${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
          remedy
        })
    }))

const isUser = Schema.is(UserId)

const withRun = "SELECT user.name FROM run JOIN user ON user.id = run.user WHERE run.run = ?"
const withSource = "SELECT user.name FROM source JOIN user ON user.id = source.user WHERE source.name = ?"

const usersWith = (database: DatabaseSync, sought: Sought): ReadonlyArray<UserId> => {
  const rows = "run" in sought
    ? database.prepare(withRun).all(sought.run)
    : database.prepare(withSource).all(sought.source)
  return rows.map((row) => Rows.text(row, "name")).filter(isUser)
}

const usersOf: Backend["usersOf"] = (sought, seen) =>
  onFile((database) => {
    const users = new Set(sought.flatMap((each) => usersWith(database, each)))
    seen(users.size)
    return [...users]
  })

const taken = (user: UserId, source: string, sequence: number): Effect.Effect<Taken, ConfigError | Failed> =>
  onFile((database) => {
    const row = database
      .prepare("SELECT taken FROM source JOIN user ON user.id = source.user WHERE user.name = ? AND source.name = ?")
      .get(user, source)
    if (row === undefined) return "unknown"
    return Rows.ranges(row, "taken").some(([from, to]) => from <= sequence && sequence <= to) ? "taken" : "free"
  })

/**
 * SQLite, with its settings from the environment.
 *
 * @category constructors
 * @since 0.2.0
 */
export const backend: Backend = {
  layer: SqliteBroker.layerConfig().pipe(
    Layer.catchTag("SqliteOpenError", layerRefused)
  ),
  checks: Effect.catch(
    Effect.flatMap(options, ({ file }) => Effect.map(Clock.Clock, (clock) => SqliteChecks.checks(file, clock))),
    // That its settings are wrong is a finding of its own.
    () => Effect.succeed([])
  ),
  usersOf,
  taken,
  retention: Effect.map(options, retentionOf("SQLITE"))
}
