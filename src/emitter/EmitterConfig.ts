/**
 * The settings of the emitting engine: one schema, read from plain options or
 * from `Config`.
 *
 * A profile sets every related field; explicit fields override it; checks
 * across fields run on the result, so no two settings can disagree unnoticed.
 *
 * | field | lowLatency | balanced (default) | throughput |
 * |---|---|---|---|
 * | `batching.maxDelay` | 5 ms | 20 ms | 100 ms |
 * | `batching.maxSize` (events) | 16 | 64 | 512 |
 * | `batching.maxBytes` | 16 KiB | 64 KiB | 256 KiB |
 * | `batching.capacity` (pending events per user) | 1,024 | 4,096 | 16,384 |
 * | `batching.capacityBytes` (of their text) | 1 MiB | 4 MiB | 16 MiB |
 * | `retry.attempts` / `base` / `cap` | 1 / 1 ms / 5 ms | 3 / 5 ms / 25 ms | 5 / 10 ms / 100 ms |
 * | `breaker.failures` (in a row) | 3 | 5 | 10 |
 * | `breaker.openFor` / `maxOpenFor` | 1 s / 10 s | 5 s / 30 s | 10 s / 60 s |
 * | `closeTimeout` | 2 s | 5 s | 10 s |
 * | `cancelTimeout` | 10 s | 10 s | 10 s |
 *
 * Durations are written as text, such as `"20 millis"` or `"5 seconds"`, or as
 * another `Duration.Input`: a number is one of milliseconds. From `Config` they are
 * read as text.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { checkId } from "../protocol/values/IdRules.ts"
import type { ConfigError } from "../protocol/settings/ConfigError.ts"
import type { Given } from "../protocol/values/Present.ts"
import * as Settings from "../protocol/settings/Settings.ts"
import { millis, Positive, Time, TimeInput } from "../protocol/settings/Settings.ts"
import * as Retry from "./resilience/Retry.ts"

/**
 * What the settings are tuned for.
 *
 * @category models
 * @since 0.1.0
 */
export const Profile = Schema.Literals(["lowLatency", "balanced", "throughput"])

/**
 * One of the profiles.
 *
 * @category models
 * @since 0.1.0
 */
export type Profile = typeof Profile.Type

/**
 * What happens to an event when its user has `batching.capacity` events or
 * `batching.capacityBytes` of text pending: the caller waits, the oldest batched or volatile event is dropped
 * and counted, or the call fails with `Overflow`. Critical events are never
 * dropped.
 *
 * @category models
 * @since 0.1.0
 */
export const Overflow = Schema.Literals(["suspend", "dropOldest", "fail"])

const Batching = Schema.Struct({
  maxDelay: Time,
  maxSize: Positive,
  maxBytes: Positive,
  capacity: Positive,
  capacityBytes: Positive,
  overflow: Overflow
})

const TierSettings = Schema.Struct({ profile: Profile, batching: Batching, maxEventBytes: Positive })

/**
 * The settings of one tier of users: how their events are batched, and how
 * large one may be. Retry, breaker and closing belong to the broker, and are the
 * same for all.
 *
 * @category models
 * @since 0.1.0
 */
export type TierSettings = typeof TierSettings.Type

const Resolved = Schema.Struct({
  profile: Profile,
  batching: Batching,
  retry: Schema.Struct({ attempts: Positive, base: Time, cap: Time }),
  breaker: Schema.Struct({ failures: Positive, openFor: Time, maxOpenFor: Time }),
  closeTimeout: Time,
  cancelTimeout: Time,
  maxEventBytes: Positive,
  lifecycle: Schema.Literals(["enforce", "observe"]),
  spans: Schema.Boolean,
  tiers: Schema.Record(Schema.String, TierSettings)
})

type Resolved = typeof Resolved.Type

type Conflict = (path: ReadonlyArray<string>, issue: string) => void

const batchingConflicts = (
  { batching, profile }: TierSettings,
  at: ReadonlyArray<string>,
  conflict: Conflict
): void => {
  const name = (field: string) => [...at, "batching", field].join(".")
  const path = (field: string) => [...at, "batching", field]
  if (batching.capacity < batching.maxSize) {
    conflict(
      path("capacity"),
      `${name("capacity")} (${batching.capacity}) must not be less than ${name("maxSize")} (${batching.maxSize})`
    )
  }
  if (batching.capacityBytes < batching.maxBytes) {
    conflict(
      path("capacityBytes"),
      `${name("capacityBytes")} (${batching.capacityBytes}) must not be less than ${
        name("maxBytes")
      } (${batching.maxBytes})`
    )
  }
  if (profile === "lowLatency" && Duration.toMillis(batching.maxDelay) > 20) {
    conflict(
      path("maxDelay"),
      `${name("maxDelay")} (${millis(batching.maxDelay)}) must not be over 20 ms with profile lowLatency`
    )
  }
}

// Each conflict names both fields, and stands at the one that is more likely wrong.
const conflicts = (config: Resolved): ReadonlyArray<Schema.FilterIssue> => {
  const { breaker, retry } = config
  const issues: Array<Schema.FilterIssue> = []
  const conflict: Conflict = (path, issue) => issues.push({ path, issue })
  batchingConflicts(config, [], conflict)
  for (const [tier, settings] of Object.entries(config.tiers)) batchingConflicts(settings, ["tiers", tier], conflict)
  if (Duration.isLessThan(retry.cap, retry.base)) {
    conflict(
      ["retry", "cap"],
      `retry.cap (${millis(retry.cap)}) must not be less than retry.base (${millis(retry.base)})`
    )
  }
  if (Duration.isLessThan(breaker.maxOpenFor, breaker.openFor)) {
    conflict(
      ["breaker", "maxOpenFor"],
      `breaker.maxOpenFor (${millis(breaker.maxOpenFor)}) must not be less than breaker.openFor (${
        millis(breaker.openFor)
      })`
    )
  }
  const retryMs = Retry.budgetMs(retry)
  if (retryMs >= Duration.toMillis(breaker.openFor)) {
    conflict(
      ["retry", "attempts"],
      `the retries (retry.attempts, retry.base and retry.cap give up to ${retryMs} ms) must be over before breaker.openFor (${
        millis(breaker.openFor)
      })`
    )
  }
  return issues
}

const BatchingOverrides = Schema.Struct({
  maxDelay: Schema.optionalKey(TimeInput),
  maxSize: Schema.optionalKey(Positive),
  maxBytes: Schema.optionalKey(Positive),
  capacity: Schema.optionalKey(Positive),
  capacityBytes: Schema.optionalKey(Positive),
  overflow: Schema.optionalKey(Overflow)
})

const Overrides = Schema.Struct({
  profile: Schema.optionalKey(Profile),
  batching: Schema.optionalKey(BatchingOverrides),
  retry: Schema.optionalKey(Schema.Struct({
    attempts: Schema.optionalKey(Positive),
    base: Schema.optionalKey(TimeInput),
    cap: Schema.optionalKey(TimeInput)
  })),
  breaker: Schema.optionalKey(Schema.Struct({
    failures: Schema.optionalKey(Positive),
    openFor: Schema.optionalKey(TimeInput),
    maxOpenFor: Schema.optionalKey(TimeInput)
  })),
  closeTimeout: Schema.optionalKey(TimeInput),
  cancelTimeout: Schema.optionalKey(TimeInput),
  maxEventBytes: Schema.optionalKey(Positive),
  lifecycle: Schema.optionalKey(Schema.Literals(["enforce", "observe"])),
  spans: Schema.optionalKey(Schema.Boolean),
  tiers: Schema.optionalKey(
    Schema.Record(
      Schema.String,
      Schema.Struct({
        profile: Schema.optionalKey(Profile),
        batching: Schema.optionalKey(BatchingOverrides),
        maxEventBytes: Schema.optionalKey(Positive)
      })
    ).check(Schema.makeFilter((tiers) =>
      Object.keys(tiers).flatMap((name) => {
        const issue = checkId(name)
        return issue === undefined ? [] : [{ path: [name], issue }]
      })
    ))
  )
})

const kibi = 1024

const profiles: { readonly [P in Profile]: Omit<Resolved, "profile" | "spans" | "tiers"> } = {
  lowLatency: {
    batching: {
      maxDelay: Duration.millis(5),
      maxSize: 16,
      maxBytes: 16 * kibi,
      capacity: 1024,
      capacityBytes: 1024 * kibi,
      overflow: "suspend"
    },
    retry: { attempts: 1, base: Duration.millis(1), cap: Duration.millis(5) },
    breaker: { failures: 3, openFor: Duration.seconds(1), maxOpenFor: Duration.seconds(10) },
    closeTimeout: Duration.seconds(2),
    cancelTimeout: Duration.seconds(10),
    maxEventBytes: 256 * kibi,
    lifecycle: "enforce"
  },
  balanced: {
    batching: {
      maxDelay: Duration.millis(20),
      maxSize: 64,
      maxBytes: 64 * kibi,
      capacity: 4096,
      capacityBytes: 4096 * kibi,
      overflow: "suspend"
    },
    retry: { attempts: 3, base: Duration.millis(5), cap: Duration.millis(25) },
    breaker: { failures: 5, openFor: Duration.seconds(5), maxOpenFor: Duration.seconds(30) },
    closeTimeout: Duration.seconds(5),
    cancelTimeout: Duration.seconds(10),
    maxEventBytes: 256 * kibi,
    lifecycle: "enforce"
  },
  throughput: {
    batching: {
      maxDelay: Duration.millis(100),
      maxSize: 512,
      maxBytes: 256 * kibi,
      capacity: 16_384,
      capacityBytes: 16_384 * kibi,
      overflow: "suspend"
    },
    retry: { attempts: 5, base: Duration.millis(10), cap: Duration.millis(100) },
    breaker: { failures: 10, openFor: Duration.seconds(10), maxOpenFor: Duration.seconds(60) },
    closeTimeout: Duration.seconds(10),
    cancelTimeout: Duration.seconds(10),
    maxEventBytes: 256 * kibi,
    lifecycle: "enforce"
  }
}

const resolve = (overrides: typeof Overrides.Type): Resolved => {
  const profile = overrides.profile ?? "balanced"
  const base = profiles[profile]
  return {
    profile,
    batching: { ...base.batching, ...overrides.batching },
    retry: { ...base.retry, ...overrides.retry },
    breaker: { ...base.breaker, ...overrides.breaker },
    closeTimeout: overrides.closeTimeout ?? base.closeTimeout,
    cancelTimeout: overrides.cancelTimeout ?? base.cancelTimeout,
    maxEventBytes: overrides.maxEventBytes ?? base.maxEventBytes,
    lifecycle: overrides.lifecycle ?? base.lifecycle,
    spans: overrides.spans ?? true,
    tiers: Record.map(overrides.tiers ?? {}, (tier) => resolveTier(tier, overrides, profile))
  }
}

// A tier without a profile of its own goes on from the settings of all users.
const resolveTier = (
  tier: NonNullable<(typeof Overrides.Type)["tiers"]>[string],
  overrides: typeof Overrides.Type,
  profile: Profile
): TierSettings => {
  const base = profiles[tier.profile ?? profile]
  const shared = tier.profile === undefined ? overrides.batching : undefined
  return {
    profile: tier.profile ?? profile,
    batching: { ...base.batching, ...shared, ...tier.batching },
    maxEventBytes: tier.maxEventBytes ?? overrides.maxEventBytes ?? base.maxEventBytes
  }
}

/** What these options are of. */
const about: Settings.About = { of: "EmitterLayer", environment: "EMITTER" }

/**
 * The schema of the settings. Further fields:
 *
 * - `batching.overflow`: see {@link Overflow}, default `suspend`;
 * - `cancelTimeout`: how long a run that its user cancelled has to end by itself.
 *   After it the run ends for its devices, whatever its program still does;
 * - `maxEventBytes`: the largest encoded event, default 256 KiB;
 * - `lifecycle`: `enforce` (default) refuses events that are not legal where
 *   their run stands; `observe` counts them and lets them pass;
 * - `spans`: whether each run and each delivery is a span, true by default. They
 *   are spans only where somebody traces: where the program has a tracer, as
 *   `Otlp` layers give, and tracing is enabled. Deliveries are where the tracer was
 *   provided to the layer. Else they cost nothing;
 * - `tiers`: settings of users whose context names that tier: a `profile`,
 *   fields of `batching`, and `maxEventBytes`. Once there are tiers, a context
 *   that names another one is refused.
 *
 * @category config
 * @since 0.1.0
 */
export const EmitterConfig = Overrides.pipe(
  Schema.decodeTo(
    Schema.toType(Resolved).check(Schema.makeFilter(conflicts)),
    SchemaTransformation.transform({ decode: resolve, encode: (config): typeof Overrides.Type => config })
  )
)

/**
 * The settings, complete.
 *
 * @category config
 * @since 0.1.0
 */
export type EmitterConfig = typeof EmitterConfig.Type

/**
 * The settings as plain options: every field may be left out.
 *
 * @category config
 * @since 0.1.0
 */
export type Options = Given<typeof EmitterConfig.Encoded>

/**
 * Checks plain options, such as a parsed file, and completes them.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { EmitterConfig } from "effect-emitter"
 *
 * const parsed: unknown = JSON.parse(`{ "profile": "throughput", "batching": { "maxSize": 50 } }`)
 * const settings = Effect.runSync(EmitterConfig.decode(parsed))
 * console.assert(settings.batching.maxSize === 50)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const decode: (options: unknown) => Effect.Effect<EmitterConfig, ConfigError> = Settings.decoder(
  EmitterConfig,
  about
)

/**
 * The same settings from `Config`, under the name `EMITTER`: `EMITTER_PROFILE`,
 * `EMITTER_BATCHING_MAX_DELAY`, … when the provider reads environment variables
 * in constant case (`ConfigProvider.constantCase`), as the layer that is built
 * from it does by itself. What is not set has its default.
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<EmitterConfig> = Config.schema(EmitterConfig, about.environment).pipe(
  Config.withDefault(resolve({}))
)

/**
 * Reads the options from `Config`s, one for all of them or one a field, and checks
 * and completes them.
 *
 * ```ts
 * import { Config } from "effect"
 * import { EmitterConfig } from "effect-emitter"
 *
 * const settings = EmitterConfig.read({ profile: Config.Literals(["lowLatency", "balanced"], "EVENTS_PROFILE") })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (options: Config.Wrap<Options>): Effect.Effect<EmitterConfig, ConfigError> =>
  Effect.flatMap(Settings.read(options, about), decode)
