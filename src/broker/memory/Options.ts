/**
 * Options of the broker in memory, `Broker.layerMemory`.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Given } from "../../protocol/values/Present.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import * as Settings from "../../protocol/settings/Settings.ts"
import { AnyTime, positiveOr } from "../../protocol/settings/Settings.ts"

/**
 * Options of the memory broker, each with its default:
 *
 * - `maxEvents` per user, 4096;
 * - `maxBytes` of event text per user, 4 MiB;
 * - `maxAge` of an event, 1 hour, counted from when it was appended;
 * - `maxRuns` whose folded state is kept per user, 32;
 * - `maxTotalBytes` of all that is held of all users, 512 MiB: texts, the pages
 *   they stand on, folded runs, and what each log and event takes besides. It is
 *   an estimate, within a quarter of what V8 takes;
 * - `revocationMemory`: for how long it is remembered that a user's access was
 *   revoked, 1 day. Credentials should not live longer.
 *
 * @category config
 * @since 0.1.0
 */
export const Options = Schema.Struct({
  maxEvents: positiveOr(4096),
  maxBytes: positiveOr(4 * 1024 * 1024),
  maxAge: AnyTime.pipe(Schema.withDecodingDefault(Effect.succeed("1 hour"))),
  maxRuns: positiveOr(32),
  maxTotalBytes: positiveOr(512 * 1024 * 1024),
  revocationMemory: AnyTime.pipe(Schema.withDecodingDefault(Effect.succeed("1 day")))
}).check(
  Schema.makeFilter((options) =>
    options.maxTotalBytes >= options.maxBytes ? undefined : {
      path: ["maxTotalBytes"],
      issue: `maxTotalBytes (${options.maxTotalBytes}) must not be less than maxBytes (${options.maxBytes})`
    }
  )
)

/**
 * What `Broker.layerMemory` takes, each field with a default: see the schema of
 * the same name.
 *
 * @category config
 * @since 0.1.0
 */
export type Options = Given<typeof Options.Encoded>

const about: Settings.About = { of: "MemoryBroker", environment: "BROKER" }

/**
 * Checks plain options and completes them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decode: (options: unknown) => Effect.Effect<typeof Options.Type, ConfigError> = Settings.decoder(
  Options,
  about
)

/**
 * The options from the environment: `BROKER_MAX_AGE`, …
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<Options> = Config.schema(Options, about.environment).pipe(Config.withDefault({}))

/**
 * Reads the options from `Config`s, and checks and completes them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (options: Config.Wrap<Options>): Effect.Effect<typeof Options.Type, ConfigError> =>
  Effect.flatMap(Settings.read(options, about), decode)
