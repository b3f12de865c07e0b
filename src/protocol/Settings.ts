/**
 * What the settings of every part are made of: positive numbers, times written
 * as text, and the list of all that is wrong with them.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

/**
 * A whole number above zero.
 *
 * @category models
 * @since 0.1.0
 */
export const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * The same, with what it is where nothing is said.
 *
 * @category models
 * @since 0.1.0
 */
export const positiveOr = (byDefault: number) => Positive.pipe(Schema.withDecodingDefault(Effect.succeed(byDefault)))

/**
 * A finite time above zero.
 *
 * @category models
 * @since 0.1.0
 */
export const Time = Schema.Duration.check(
  Schema.makeFilter((duration: Duration.Duration) =>
    Duration.isFinite(duration) && Duration.toMillis(duration) > 0
      ? undefined
      : "a finite duration above zero is needed"
  )
)

/**
 * Any time as it is written: text such as `"20 millis"`, milliseconds, or what
 * else is a `Duration.Input`. From `Config` it is read as text, with its unit.
 *
 * @category models
 * @since 0.1.0
 */
export const AnyTime = Schema.declare(
  (input): input is Duration.Input => Option.isSome(Duration.fromInput(input as Duration.Input)),
  {
    expected: "a duration such as \"20 millis\" or \"5 seconds\"",
    toCodecStringTree: () =>
      Schema.link<Duration.Input>()(
        Schema.DurationFromString,
        SchemaTransformation.transform({
          decode: (duration): Duration.Input => duration,
          encode: (input) => Duration.fromInputUnsafe(input)
        })
      )
  }
).pipe(Schema.decodeTo(
  Schema.Duration,
  SchemaTransformation.transform({
    decode: (input) => Duration.fromInputUnsafe(input),
    encode: (duration): Duration.Input => duration
  })
))

/**
 * The same, finite and above zero.
 *
 * @category models
 * @since 0.1.0
 */
export const TimeInput = AnyTime.pipe(Schema.decodeTo(Time))

/**
 * A time as it stands in messages.
 *
 * @category conversions
 * @since 0.1.0
 */
export const millis = (duration: Duration.Duration): string => `${Duration.toMillis(duration)} ms`

/**
 * One problem: the path of the field, as it is written in code, and what is
 * wrong with its value.
 *
 * @category models
 * @since 0.1.0
 */
export const Issue = Schema.Struct({ path: Schema.String, message: Schema.String })

/**
 * One problem with a setting.
 *
 * @category models
 * @since 0.1.0
 */
export type Issue = typeof Issue.Type

/**
 * Lists every problem, refuses keys that do not exist, and names the values: for
 * settings that hold no secret.
 *
 * @category options
 * @since 0.1.0
 */
export const parseOptions = { errors: "all", onExcessProperty: "error", reportInput: true } as const

const toStandard = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * The problems that a schema found.
 *
 * @category conversions
 * @since 0.1.0
 */
export const issuesOf = (error: Schema.SchemaError): ReadonlyArray<Issue> =>
  toStandard(error.issue).issues.map((issue) => ({
    path: (issue.path ?? []).map((segment) => String(typeof segment === "object" ? segment.key : segment)).join("."),
    message: issue.message
  }))

/**
 * The problems as text, one line each.
 *
 * @category conversions
 * @since 0.1.0
 */
export const describe = (issues: ReadonlyArray<Issue>): string =>
  issues.map(({ message, path }) => `  ${path === "" ? "" : `${path}: `}${message}`).join("\n")

/**
 * Reads settings from the provider in use, and what that does not have by its
 * name in constant case: `maxDelay` is then found as `MAX_DELAY`, as
 * environment variables are named.
 *
 * @category config
 * @since 0.1.0
 */
export const fromProvider = <A>(config: Config.Config<A>): Effect.Effect<A, Config.ConfigError> =>
  Effect.flatMap(
    ConfigProvider.ConfigProvider,
    (provider) => config.parse(ConfigProvider.orElse(provider, ConfigProvider.constantCase(provider)))
  )
