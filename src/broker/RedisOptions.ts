/**
 * The options of the Redis broker.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { positiveOr } from "../protocol/Settings.ts"

const duration = (byDefault: string) =>
  Schema.DurationFromString.pipe(
    Schema.check(Schema.makeFilter((value) =>
      Duration.toMillis(value) > 0 && Duration.isFinite(value) ? undefined : "must be a finite time above zero"
    )),
    Schema.withDecodingDefault(Effect.succeed(byDefault))
  )

/**
 * Options of the Redis broker, each with its default:
 *
 * - `url` of the server, `redis://…` or `rediss://…`; it has none. A user name
 *   and a password may be part of it;
 * - `prefix` of all keys and channels, `emitter`;
 * - `maxEvents` per user, 4096;
 * - `maxBytes` of event text per user, 4 MiB;
 * - `maxAge` of an event since it was appended, 1 hour. A user of whom nothing
 *   is left, and whom nobody reads, is forgotten three polls later;
 * - `maxRuns` whose folded state is kept per user, 32;
 * - `deadline` of a call, 1 second: then it fails. An `append` that failed so
 *   may have happened, and may be repeated;
 * - `silence` after which a server that says nothing is taken for gone and
 *   connected to anew, 3 seconds;
 * - `poll`, 30 seconds: how often a user's log is looked at without a wake-up,
 *   so that a lost one only delays. Also after how long at most (three times
 *   this) the readers of a process that was killed count no more;
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
  url: Schema.String.check(Schema.isPattern(/^rediss?:\/\/\S+$/u)),
  prefix: Schema.String.check(Schema.isPattern(/^[^\s{}]{1,64}$/u)).pipe(
    Schema.withDecodingDefault(Effect.succeed("emitter"))
  ),
  maxEvents: positiveOr(4096),
  maxBytes: positiveOr(4 * 1024 * 1024),
  maxAge: duration("1 hour"),
  maxRuns: positiveOr(32),
  deadline: duration("1 second"),
  silence: duration("3 seconds"),
  poll: duration("30 seconds"),
  trustRestarts: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false)))
})

/**
 * @category config
 * @since 0.1.0
 */
export type Options = typeof Options.Type
