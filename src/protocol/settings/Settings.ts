/**
 * What the options of every part are made of: positive numbers, times written
 * as text, and how they are read, from code or from `Config`, with the list of all
 * that is wrong with them.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as String from "effect/String"
import { ConfigError, type Issue, type Part } from "./ConfigError.ts"
import { present } from "../values/Present.ts"

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
 * Of which part options are, the names of those that have no default (`needed`) and
 * of those that may hold a secret, so that their values are told nowhere, and the
 * name before all of them in the environment.
 *
 * @category models
 * @since 0.1.0
 */
export interface About {
  readonly of: Part
  readonly needed?: ReadonlyArray<string>
  readonly secrets?: ReadonlyArray<string>
  readonly environment: string
}

/**
 * Makes what checks options and completes them. Every problem is listed, also a key
 * that does not exist; a field that is `undefined` counts as absent.
 *
 * @category options
 * @since 0.1.0
 */
export const decoder = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  { of, secrets = [] }: About
): (options: unknown) => Effect.Effect<S["Type"], ConfigError> => {
  const decode = Schema.decodeUnknownEffect(schema, {
    errors: "all",
    onExcessProperty: "error",
    reportInput: secrets.length === 0
  })
  return (options) => {
    const given = present(options)
    return Effect.mapError(
      decode(given),
      ({ issue }) => new ConfigError({ of, issues: toStandard(issue).issues.map(toIssue(given, secrets)) })
    )
  }
}

/**
 * Reads options from `Config`s, whole or field by field, by the provider in use. A
 * variable that does not have is looked for by its name in constant case: `maxDelay`
 * is then found as `MAX_DELAY`, as environment variables are named.
 *
 * @category config
 * @since 0.1.0
 */
export const read = <A>(wrapped: Config.Wrap<A>, about: About): Effect.Effect<unknown, ConfigError> =>
  Effect.gen(function*() {
    const provider = yield* ConfigProvider.ConfigProvider
    const issues: Array<Issue> = []
    const options = yield* readFields(
      wrapped,
      { about, issues, provider: ConfigProvider.orElse(provider, ConfigProvider.constantCase(provider)) },
      []
    )
    return issues.length === 0 ? options : yield* new ConfigError({ of: about.of, issues })
  })

interface Reading {
  readonly about: About
  readonly provider: ConfigProvider.ConfigProvider
  readonly issues: Array<Issue>
}

// Goes on after a problem, so that all are found.
const readFields = (wrapped: unknown, reading: Reading, path: ReadonlyArray<string>): Effect.Effect<unknown> => {
  const { about, issues, provider } = reading
  if (wrapped === undefined) return Effect.undefined
  if (Config.isConfig(wrapped)) {
    return Effect.catch(wrapped.parse(provider), (error) => {
      issues.push(...configIssues(error, about, path))
      return Effect.undefined
    })
  }
  if (isPlain(wrapped)) {
    const fields = Object.entries(wrapped)
    return Effect.map(
      Effect.forEach(fields, ([name, field]) => readFields(field, reading, [...path, name])),
      (values) => Object.fromEntries(fields.map(([name], index) => [name, values[index]]))
    )
  }
  issues.push({
    path: path.join("."),
    message: "a Config is needed here, not a plain value",
    remedy: "write Config.succeed(…) around the value, or give all options to the layer that takes them plain"
  })
  return Effect.undefined
}

const isPlain = (value: unknown): value is object => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const configIssues = (
  { cause }: Config.ConfigError,
  { environment, needed = [] }: About,
  field: ReadonlyArray<string>
): ReadonlyArray<Issue> => {
  if (!(cause instanceof Schema.SchemaError)) {
    return [{ path: field.join("."), message: cause.message, remedy: "make what Config reads from readable" }]
  }
  return toStandard(cause.issue).issues.flatMap((issue) => {
    const read = segmentsOf(issue)
    const path = field.length > 0 ? field : read[0] === environment ? read.slice(1) : read
    // Nothing is set at all: then it is those without a default that have to be.
    if (path.length === 0 && needed.length > 0) {
      return needed.map((name) => ({ path: name, message: missing, remedy: remedyBy([...read, name]) }))
    }
    return [{ path: path.join("."), message: messageOf(issue), remedy: remedyBy(read) }]
  })
}

const remedyBy = (read: ReadonlyArray<string>): string =>
  `set ${read.map((segment) => String.configCase(segment)).join("_")} to what is needed`

interface Found {
  readonly message: string
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
}

const toStandard = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => {
    if (issue._tag === "MissingKey") return missing
    if (issue._tag !== "UnexpectedKey") return SchemaIssue.defaultLeafHook(issue)
    const names = SchemaAST.isObjects(issue.ast)
      ? issue.ast.propertySignatures.map(({ name }) => globalThis.String(name))
      : []
    return `${unknownOption}${names.join(", ")}`
  }
})

const missing = "it is missing, and has no default"
const unknownOption = "there is no such option: there are "

const toIssue = (given: unknown, secrets: ReadonlyArray<string>) => (found: Found): Issue => {
  const path = segmentsOf(found)
  const [first = ""] = path
  const isSecret = secrets.includes(first)
  const value = isSecret || path.length === 0 ? undefined : shown(at(given, path))
  return {
    path: path.join("."),
    message: messageOf(found),
    ...(value === undefined ? {} : { value }),
    remedy: remedyOf(found, isSecret || path.length === 0)
  }
}

const remedyOf = ({ message }: Found, isNeeded: boolean): string => {
  if (message === missing) return "give it"
  if (message.startsWith(unknownOption)) return "correct its name, or leave it out"
  return isNeeded ? "correct it" : "correct it, or leave it out to have the default"
}

const messageOf = ({ message }: Found): string => message.replaceAll(/\s*\n\s*/gu, " ")

const segmentsOf = ({ path = [] }: Found): ReadonlyArray<string> =>
  path.map((segment) => globalThis.String(typeof segment === "object" ? segment.key : segment))

const at = (value: unknown, path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>(
    (inside, segment) =>
      typeof inside === "object" && inside !== null
        ? Object.getOwnPropertyDescriptor(inside, segment)?.value
        : undefined,
    value
  )

const shown = (value: unknown): string | undefined => {
  if (value === undefined) return undefined
  try {
    return JSON.stringify(value)?.slice(0, 200)
  } catch {
    return undefined
  }
}
