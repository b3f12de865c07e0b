/**
 * Which brokers the command line knows, and which of them the environment names.
 *
 * A broker more is an entry here and a folder beside `redis`.
 *
 * @since 0.2.0
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as PostgresOptions from "../../broker/postgres/connection/Options.ts"
import * as RedisOptions from "../../broker/redis/connection/Options.ts"
import * as SqliteOptions from "../../broker/sqlite/Options.ts"
import { Failed } from "../output/Failed.ts"
import type { Backend, BackendEntry } from "./Backend.ts"

const redis: BackendEntry = {
  name: "redis",
  prefix: "REDIS",
  schema: RedisOptions.Options,
  read: Effect.flatMap(RedisOptions.read(RedisOptions.config), RedisOptions.decode),
  package: "redis",
  load: () => import("./redis/RedisBackend.ts").then((_) => _.backend)
}

const sqlite: BackendEntry = {
  name: "sqlite",
  prefix: "SQLITE",
  schema: SqliteOptions.Options,
  read: Effect.flatMap(SqliteOptions.read(SqliteOptions.config), SqliteOptions.decode),
  package: "a Node that has node:sqlite",
  load: () => import("./sqlite/SqliteBackend.ts").then((_) => _.backend)
}

const postgres: BackendEntry = {
  name: "postgres",
  prefix: "POSTGRES",
  schema: PostgresOptions.Options,
  read: Effect.flatMap(PostgresOptions.read(PostgresOptions.config), PostgresOptions.decode),
  package: "@effect/sql-pg",
  load: () => import("./postgres/PostgresBackend.ts").then((_) => _.backend)
}

/**
 * All of them.
 *
 * @category constants
 * @since 0.2.0
 */
export const entries: ReadonlyArray<BackendEntry> = [redis, sqlite, postgres]

/**
 * Those of which there is a setting in the environment.
 *
 * @category getters
 * @since 0.2.0
 */
export const configured: Effect.Effect<ReadonlyArray<BackendEntry>> = Effect.gen(function*() {
  const provider = yield* ConfigProvider.ConfigProvider
  const found = yield* Effect.filter(
    entries,
    ({ prefix }) => Effect.map(Effect.orDie(provider.load([prefix])), (node) => node !== undefined)
  )
  return found
})

/**
 * The one that the environment names.
 *
 * @category getters
 * @since 0.2.0
 */
export const current: Effect.Effect<Backend, Failed> = Effect.gen(function*() {
  const [entry, other] = yield* configured
  if (entry === undefined) {
    return yield* new Failed({
      exit: "usage",
      message: "No broker is set",
      remedy: "set REDIS_URL as it is for your processes, such as redis://127.0.0.1:6379, POSTGRES_URL, or SQLITE_FILE"
    })
  }
  if (other !== undefined) {
    return yield* new Failed({
      exit: "usage",
      message: `Several brokers are set: ${entry.prefix}_… and ${other.prefix}_…`,
      remedy: "unset the variables of all but one"
    })
  }
  return yield* load(entry)
})

/**
 * Loads one, unless the package that it needs is not installed.
 *
 * @category getters
 * @since 0.2.0
 */
export const load = (entry: BackendEntry): Effect.Effect<Backend, Failed> =>
  Effect.tryPromise({
    try: entry.load,
    catch: (cause) =>
      new Failed({
        exit: "usage",
        message: `The broker ${entry.name} cannot be loaded: ${
          cause instanceof Error ? cause.message.split("\n")[0] : cause
        }`,
        remedy: `npm install ${entry.package}`
      })
  })
