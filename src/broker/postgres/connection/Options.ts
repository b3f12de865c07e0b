/**
 * The options of the Postgres broker.
 *
 * @since 0.2.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Given } from "../../../protocol/values/Present.ts"
import type { ConfigError } from "../../../protocol/settings/ConfigError.ts"
import * as Settings from "../../../protocol/settings/Settings.ts"
import { AnyTime, positiveOr } from "../../../protocol/settings/Settings.ts"

const duration = (byDefault: Duration.Input) =>
  AnyTime.pipe(
    Schema.check(Schema.makeFilter((value) =>
      Duration.toMillis(value) > 0 && Duration.isFinite(value) ? undefined : "must be a finite time above zero"
    )),
    Schema.withDecodingDefault(Effect.succeed(byDefault))
  )

// What stands in a URL may be secret, so it is never told what was there instead.
const Url = Schema.String.check(Schema.makeFilter((url) => {
  const parsed = URL.parse(url)
  return parsed !== null && /^postgres(ql)?:$/.test(parsed.protocol)
    ? undefined
    : "must be the URL of a database, such as postgres://user:password@host:5432/database"
}))

/**
 * Options of the Postgres broker, each with its default:
 *
 * - `url` of the database: `postgres://user:password@host:5432/database`, with
 *   `?sslmode=require` for TLS. Special characters of user name and password are
 *   escaped, such as `%25` for `%`;
 * - `listenUrl`, by default the `url`: where the one connection is made that hears of
 *   new events. Where `url` leads to a pooler in transaction mode, this must lead past
 *   it; else events are found by looking, twice a second;
 * - `schema` that the tables are in, `emitter`. Applications that share a database and
 *   are to see nothing of each other take one each;
 * - `migrate`, false: whether the layer makes the schema and brings it up to date. The
 *   user of the `url` needs the right to create it;
 * - `connections` at most, besides the one that listens, 10;
 * - `prepare`, true: whether statements are prepared by name. Poolers in transaction
 *   mode that do not know of them (PgBouncer before 1.21) need false;
 * - `maxEvents` per user, 4096;
 * - `maxBytes` of event text per user, 4 MiB;
 * - `maxAge` of an event since it was appended, 1 hour. A user of whom nothing
 *   is left, and whom nobody reads, is forgotten some time later;
 * - `maxRuns` whose folded state is kept per user, 32;
 * - `deadline` of a call, 1 second: then it fails. An `append` that failed so
 *   may have happened, and may be repeated;
 * - `silence` after which a server that says nothing is taken for gone, 3 seconds;
 * - `poll`, 30 seconds: how often a user's log is looked at without a wake-up,
 *   so that a lost one only delays. Also after how long at most (three times
 *   this) the readers of a process that was killed count no more;
 * - `sweep`, 1 second: how often some users are looked at for events that are past
 *   their age. It is done in one process at a time;
 * - `lease`, 15 seconds: a process that another sees say nothing for so long is
 *   taken for dead, and others end its runs as lost: at most a third of it later. It
 *   must be at least three times the `deadline` and twice the `silence`, or a process
 *   could not be late once;
 * - `revocationMemory`, 1 day: for how long it is remembered that a user's access
 *   was revoked. Credentials should not live longer.
 *
 * @category config
 * @since 0.2.0
 */
export const Options = Schema.Struct({
  url: Url,
  listenUrl: Schema.optionalKey(Url),
  schema: Schema.String.check(Schema.isPattern(/^[a-z_][a-z0-9_]{0,39}$/)).pipe(
    Schema.withDecodingDefault(Effect.succeed("emitter"))
  ),
  migrate: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false))),
  connections: positiveOr(10),
  prepare: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(true))),
  maxEvents: positiveOr(4096),
  maxBytes: positiveOr(4 * 1024 * 1024),
  maxAge: duration("1 hour"),
  maxRuns: positiveOr(32),
  deadline: duration("1 second"),
  silence: duration("3 seconds"),
  poll: duration("30 seconds"),
  sweep: duration("1 second"),
  lease: duration("15 seconds"),
  revocationMemory: duration("1 day")
}).check(Schema.makeFilter(({ deadline, lease, silence }) => {
  const least = Math.max(3 * Duration.toMillis(deadline), 2 * Duration.toMillis(silence))
  return Duration.toMillis(lease) >= least ? undefined : {
    path: ["lease"],
    issue: `lease (${Duration.toMillis(lease)} ms) must be at least ${least} ms, ` +
      "which is three times the deadline and twice the silence"
  }
}))

/**
 * The options as they are once decoded.
 *
 * @category config
 * @since 0.2.0
 */
export type Options = typeof Options.Type

/**
 * The options as they are written.
 *
 * @category config
 * @since 0.2.0
 */
export type Input = Given<typeof Options.Encoded>

/**
 * For how long, in milliseconds, a user of whom no event is left is remembered.
 *
 * @category getters
 * @since 0.2.0
 */
export const ttlMs = ({ maxAge, poll }: Pick<Options, "maxAge" | "poll">): number =>
  Duration.toMillis(maxAge) + 3 * Duration.toMillis(poll)

/**
 * Where a server is, as logs call it: without user and password.
 *
 * @category getters
 * @since 0.2.0
 */
export const placeOf = (url: string): string => {
  const { host, pathname, searchParams } = new URL(url)
  return `${searchParams.get("host") ?? host}${pathname}`
}

const about: Settings.About = {
  of: "PostgresBroker",
  environment: "POSTGRES",
  needed: ["url"],
  secrets: ["url", "listenUrl"]
}

/**
 * Checks options and completes them. A URL may hold a password, and is told nowhere.
 *
 * @category constructors
 * @since 0.2.0
 */
export const decode: (options: unknown) => Effect.Effect<Options, ConfigError> = Settings.decoder(Options, about)

/**
 * The options from the environment: `POSTGRES_URL`, `POSTGRES_SCHEMA`, …
 *
 * @category config
 * @since 0.2.0
 */
export const config: Config.Config<Input> = Config.schema(Options, about.environment)

/**
 * Reads options from `Config`s, as they are written.
 *
 * @category constructors
 * @since 0.2.0
 */
export const read = (options: Config.Wrap<Input>): Effect.Effect<unknown, ConfigError> => Settings.read(options, about)
