/**
 * The options of the SQLite broker.
 *
 * @since 0.2.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Given } from "../../protocol/values/Present.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import * as Settings from "../../protocol/settings/Settings.ts"
import { positiveOr, TimeInput } from "../../protocol/settings/Settings.ts"

/**
 * Options of the SQLite broker, each with its default:
 *
 * - `file`: its path. The directory must exist, on a disk of this machine. It has to be
 *   given;
 * - `synchronous`, `normal`: what was appended survives the death of the process, and
 *   the last moments before the machine itself dies may be lost: then logs go on under
 *   new epochs. With `full` each commit waits for the disk, and nothing is lost;
 * - `maxEvents` per user, 4096;
 * - `maxBytes` of event text per user, 4 MiB;
 * - `maxAge` of an event, 1 hour, counted from when it was appended;
 * - `maxRuns` whose folded state is kept per user, 32;
 * - `maxTotalBytes` of the file, 4 GiB: past it the oldest events of all go. The log of
 *   writes beside it (`-wal`) takes a few MiB more, and as much as one group of appends;
 * - `deadline` of a call, 5 seconds: then it fails. An `append` that failed so may have
 *   happened, and may be repeated;
 * - `lockTimeout`, 10 seconds: how long to wait for another process to let go of the
 *   file, as when a service is replaced;
 * - `revocationMemory`, 1 day: for how long it is remembered that a user's access was
 *   revoked. Credentials should not live longer.
 *
 * @category config
 * @since 0.2.0
 */
export const Options = Schema.Struct({
  file: Schema.String.check(
    Schema.makeFilter((file) =>
      file !== "" && !file.includes("\0") && !file.startsWith(":") && !file.startsWith("file:")
        ? undefined
        : "must be the path of a file"
    )
  ),
  synchronous: Schema.Literals(["normal", "full"]).pipe(Schema.withDecodingDefault(Effect.succeed("normal" as const))),
  maxEvents: positiveOr(4096),
  maxBytes: positiveOr(4 * 1024 * 1024),
  maxAge: TimeInput.pipe(Schema.withDecodingDefault(Effect.succeed("1 hour"))),
  maxRuns: positiveOr(32),
  maxTotalBytes: positiveOr(4 * 1024 * 1024 * 1024),
  deadline: TimeInput.pipe(Schema.withDecodingDefault(Effect.succeed("5 seconds"))),
  lockTimeout: TimeInput.pipe(Schema.withDecodingDefault(Effect.succeed("10 seconds"))),
  revocationMemory: TimeInput.pipe(Schema.withDecodingDefault(Effect.succeed("1 day")))
}).check(
  Schema.makeFilter((options) =>
    options.maxTotalBytes >= options.maxBytes ? undefined : {
      path: ["maxTotalBytes"],
      issue: `maxTotalBytes (${options.maxTotalBytes}) must not be less than maxBytes (${options.maxBytes})`
    }
  )
)

/**
 * What `SqliteBroker.layer` takes: see the schema of the same name.
 *
 * @category config
 * @since 0.2.0
 */
export type Options = Given<typeof Options.Encoded>

const about: Settings.About = { of: "SqliteBroker", environment: "SQLITE", needed: ["file"] }

/**
 * Checks plain options and completes them.
 *
 * @category constructors
 * @since 0.2.0
 */
export const decode: (options: unknown) => Effect.Effect<typeof Options.Type, ConfigError> = Settings.decoder(
  Options,
  about
)

/**
 * The options from the environment: `SQLITE_FILE`, `SQLITE_MAX_AGE`, …
 *
 * @category config
 * @since 0.2.0
 */
export const config: Config.Config<Options> = Config.schema(Options, about.environment)

/**
 * Reads the options from `Config`s, as they are written.
 *
 * @category constructors
 * @since 0.2.0
 */
export const read = (options: Config.Wrap<Options>): Effect.Effect<unknown, ConfigError> =>
  Settings.read(options, about)
