/**
 * The options of the Redis broker.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Given } from "../../../protocol/values/Present.ts"
import type { ConfigError } from "../../../protocol/settings/ConfigError.ts"
import * as Settings from "../../../protocol/settings/Settings.ts"
import { AnyTime, positiveOr } from "../../../protocol/settings/Settings.ts"
import * as Address from "./Address.ts"

const duration = (byDefault: Duration.Input) =>
  AnyTime.pipe(
    Schema.check(Schema.makeFilter((value) =>
      Duration.toMillis(value) > 0 && Duration.isFinite(value) ? undefined : "must be a finite time above zero"
    )),
    Schema.withDecodingDefault(Effect.succeed(byDefault))
  )

// What stands in a URL may be secret, so it is never told what was there instead.
const Url = Schema.String.check(Schema.makeFilter(Address.problemOf))

/**
 * One of several servers over which users are spread:
 *
 * - `url`, as that of the broker;
 * - `name`, its identity, and what metrics and errors call it. By default its
 *   address and database without user and password, such as `10.0.0.1:6379/0`:
 *   give a name if the address may change, since users follow the name;
 * - `weight`, its share of the users against the others', 1. Between 0.1 and 100.
 *
 * @category config
 * @since 0.1.0
 */
export const Shard = Schema.Struct({
  url: Url,
  name: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[^\s{}@\p{C}]{1,128}$/u))),
  weight: Schema.Finite.check(Schema.isBetween({ minimum: 0.1, maximum: 100 })).pipe(
    Schema.withDecodingDefault(Effect.succeed(1))
  )
})

/**
 * Options of the Redis broker, each with its default:
 *
 * - `url` of the server: `redis://user:password@host:6379/0`, `rediss://…` for
 *   TLS, or `unix://user:password@/path/to/socket?db=0`. All but the host or path
 *   may be left out; the number is the database's. Special characters of user
 *   name and password are escaped, such as `%25` for `%`;
 * - `urls` instead of `url` if users are spread over several servers by
 *   consistent hashing: URLs, or a `Shard` each where names or weights are
 *   wanted. All processes must have the same, in any order. One of the two must
 *   be given, not both;
 * - `prefix` of all keys and channels, `emitter`;
 * - `maxEvents` per user, 4096;
 * - `maxBytes` of event text per user, 4 MiB;
 * - `maxAge` of an event since it was appended, 1 hour. A user of whom nothing
 *   is left, and whom nobody reads, is forgotten three polls later. Of these three
 *   bounds a sixteenth more may be kept for a while; readers are given none of it;
 * - `maxRuns` whose folded state is kept per user, 32;
 * - `deadline` of a call, 1 second: then it fails. An `append` that failed so
 *   may have happened, and may be repeated;
 * - `silence` after which a server that says nothing is taken for gone and
 *   connected to anew, 3 seconds;
 * - `poll`, 30 seconds: how often a user's log is looked at without a wake-up,
 *   so that a lost one only delays. Also after how long at most (three times
 *   this) the readers of a process that was killed count no more;
 * - `lease`, 15 seconds: a process that another sees say nothing for so long is
 *   taken for dead, and others end its runs as lost: at most a third of it later. It must be at least three times the
 *   `deadline` and twice the `silence`, or a process could not be late once;
 * - `revocationMemory`, 1 day: for how long it is remembered that a user's access
 *   was revoked. Credentials should not live longer;
 * - `trustRestarts`, false: a server that restarted, or another that took over,
 *   may have lost its last events, so each log goes on under a new epoch and
 *   devices get a gap. With `true` logs stay in their epoch: only for a server
 *   that writes every event to disk before it answers (`appendfsync always`),
 *   without failover to replicas.
 *
 * @category config
 * @since 0.1.0
 */
export const Options = Schema.Struct({
  url: Schema.optionalKey(Url),
  urls: Schema.optionalKey(Schema.NonEmptyArray(Schema.Union([Url, Shard]))),
  prefix: Schema.String.check(Schema.isPattern(/^[^\s{}\p{C}]{1,64}$/u)).pipe(
    Schema.withDecodingDefault(Effect.succeed("emitter"))
  ),
  maxEvents: positiveOr(4096),
  maxBytes: positiveOr(4 * 1024 * 1024),
  maxAge: duration("1 hour"),
  maxRuns: positiveOr(32),
  deadline: duration("1 second"),
  silence: duration("3 seconds"),
  poll: duration("30 seconds"),
  lease: duration("15 seconds"),
  revocationMemory: duration("1 day"),
  trustRestarts: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false)))
}).check(Schema.makeFilter(({ url, urls }) => {
  if ((url === undefined) === (urls === undefined)) {
    return `either url or urls must be given: url for one server, urls for several`
  }
  const names = (urls ?? []).map((shard) => nameOf(shard))
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index)
  if (twice === -1) return undefined
  return {
    path: ["urls", twice],
    issue: `two of the servers are called ${names[twice]}: users need to tell them apart`
  }
})).check(Schema.makeFilter(({ deadline, lease, silence }) => {
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
 * @since 0.1.0
 */
export type Options = typeof Options.Type

/**
 * The options as they are written, with either `url` or `urls`.
 *
 * @category config
 * @since 0.1.0
 */
export type Input =
  & Omit<Given<typeof Options.Encoded>, "url" | "urls">
  & (
    | { readonly url: string; readonly urls?: undefined }
    | { readonly url?: undefined; readonly urls: NonNullable<Given<typeof Options.Encoded>["urls"]> }
  )

/**
 * What there is to know of one server.
 *
 * @category config
 * @since 0.1.0
 */
export interface ServerOptions extends Omit<Options, "url" | "urls"> {
  readonly url: string
  readonly name: string
  readonly weight: number
  readonly database: number
}

const urlOf = (shard: string | typeof Shard.Type): string => typeof shard === "string" ? shard : shard.url

// The address is what a server is known by; how one gets in is not part of it.
const nameOf = (shard: string | typeof Shard.Type): string => {
  if (typeof shard !== "string" && shard.name !== undefined) return shard.name
  const { database, place } = Address.of(urlOf(shard))
  return `${place}/${database}`
}

/**
 * The options of each server, one or several.
 *
 * @category conversions
 * @since 0.1.0
 */
export const serversOf = ({ url, urls, ...shared }: Options): NonEmptyReadonlyArray<ServerOptions> => {
  const servers = [...(url === undefined ? [] : [url]), ...(urls ?? [])].map((shard): ServerOptions => ({
    ...shared,
    url: urlOf(shard),
    database: Address.of(urlOf(shard)).database,
    name: nameOf(shard),
    weight: typeof shard === "string" ? 1 : shard.weight
  }))
  if (isReadonlyArrayNonEmpty(servers)) return servers
  throw new TypeError("either url or urls must be given")
}

const about: Settings.About = { of: "RedisBroker", environment: "REDIS", secrets: ["url", "urls"] }

/**
 * Checks options and completes them. A URL may hold a password, and is told nowhere.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decode: (options: unknown) => Effect.Effect<Options, ConfigError> = Settings.decoder(Options, about)

/**
 * The options from the environment: `REDIS_URL`, `REDIS_PREFIX`, …
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<Given<typeof Options.Encoded>> = Config.schema(Options, about.environment).pipe(
  Config.withDefault({})
)

/**
 * Reads options from `Config`s, as they are written.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (options: Config.Wrap<Given<typeof Options.Encoded>>): Effect.Effect<unknown, ConfigError> =>
  Settings.read(options, about)
