/**
 * The options of authenticators that check JSON Web Tokens.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import * as Settings from "../../protocol/settings/Settings.ts"
import * as Jwks from "./Jwks.ts"
import * as Jwt from "./Jwt.ts"

/**
 * What tokens have to say, and of what is signed with a shared secret, the
 * secret.
 *
 * @category config
 * @since 0.1.0
 */
export interface JwtOptions extends Jwt.Options {
  readonly secret: Redacted.Redacted<string>
}

/**
 * What tokens have to say, and where the key set is that they are signed with.
 *
 * @category config
 * @since 0.1.0
 */
export interface JwksOptions extends Jwt.Options, Jwks.Options {}

const leastSecretBytes = 32

const Secret = Schema.Redacted(Schema.String).check(
  Schema.makeFilter((secret) => {
    const { length } = new TextEncoder().encode(Redacted.value(secret))
    return length >= leastSecretBytes
      ? undefined
      : `a secret of ${leastSecretBytes} bytes or more is needed, this one has ${length}`
  })
)

/**
 * The schema of options with a shared secret.
 *
 * @category config
 * @since 0.2.0
 */
export const JwtSchema = Schema.Struct({ ...Jwt.claims, secret: Secret })

/**
 * The same, checked and complete.
 *
 * @category config
 * @since 0.1.0
 */
export type CompleteJwtOptions = typeof JwtSchema.Type

// An address may hold what lets one in, so it is not told what was there instead.
const KeySetUrl = Schema.String.check(
  Schema.makeFilter((text) => {
    const protocol = URL.parse(text)?.protocol
    return protocol === "https:" || protocol === "http:" ? undefined : "an http or https URL is needed"
  })
)

/**
 * The schema of options with a key set.
 *
 * @category config
 * @since 0.2.0
 */
export const JwksSchema = Schema.Struct({
  ...Jwt.claims,
  url: KeySetUrl,
  algorithms: Schema.NonEmptyArray(Schema.NonEmptyString).pipe(
    Schema.withDecodingDefault(Effect.succeed(Jwks.algorithms))
  ),
  maxAge: Schema.optionalKey(Settings.AnyTime),
  cooldown: Schema.optionalKey(Settings.AnyTime),
  timeout: Schema.optionalKey(Settings.AnyTime),
  maxBytes: Schema.optionalKey(Settings.Positive)
})

/**
 * The same, checked and complete.
 *
 * @category config
 * @since 0.1.0
 */
export type CompleteJwksOptions = typeof JwksSchema.Type

const aboutJwt: Settings.About = { of: "Authenticator", environment: "JWT", needed: ["secret"], secrets: ["secret"] }

const aboutJwks: Settings.About = { of: "Authenticator", environment: "JWKS", needed: ["url"], secrets: ["url"] }

/**
 * Checks options and completes them. A misspelt issuer or audience, which would
 * accept any, is refused.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decodeJwt: (options: unknown) => Effect.Effect<CompleteJwtOptions, ConfigError> = Settings.decoder(
  JwtSchema,
  aboutJwt
)

/**
 * The same of the options for a key set.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decodeJwks: (options: unknown) => Effect.Effect<CompleteJwksOptions, ConfigError> = Settings.decoder(
  JwksSchema,
  aboutJwks
)

/**
 * The options from the environment: `JWT_SECRET`, …
 *
 * @category config
 * @since 0.1.0
 */
export const jwtConfig: Config.Config<JwtOptions> = Config.schema(JwtSchema, aboutJwt.environment)

/**
 * The options from the environment: `JWKS_URL`, …
 *
 * @category config
 * @since 0.1.0
 */
export const jwksConfig: Config.Config<JwksOptions> = Config.schema(JwksSchema, aboutJwks.environment)

/**
 * Reads options from `Config`s, and checks and completes them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const readJwt = (options: Config.Wrap<JwtOptions>): Effect.Effect<CompleteJwtOptions, ConfigError> =>
  Effect.flatMap(Settings.read(options, aboutJwt), decodeJwt)

/**
 * The same of the options for a key set.
 *
 * @category constructors
 * @since 0.1.0
 */
export const readJwks = (options: Config.Wrap<JwksOptions>): Effect.Effect<CompleteJwksOptions, ConfigError> =>
  Effect.flatMap(Settings.read(options, aboutJwks), decodeJwks)
