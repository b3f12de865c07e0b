/**
 * Tells who a device belongs to.
 *
 * A device shows a token (in the `Authorization` header, in its `hello`, or in
 * a `token` frame that renews an older one), or its request speaks for itself,
 * by a session cookie for example. Nothing is sent to a device before one of
 * them was accepted.
 *
 * ```ts
 * import { Clock, Effect, Option, Redacted } from "effect"
 * import { Identity } from "effect-emitter"
 * import { Authenticator } from "effect-emitter/gateway"
 *
 * const tokens = Authenticator.layerJwt({
 *   secret: Redacted.make("a secret of at least 32 characters"),
 *   issuer: "https://login.example.com",
 *   audience: "events"
 * })
 *
 * // Takes a session's cookie as well. A store that knows of revocations gives the present time.
 * const sessions = new Map([["s3ss10n", Identity.UserId.make("ada")]])
 * const withCookies = Authenticator.withRequest(({ cookies }) =>
 *   Effect.map(Clock.currentTimeMillis, (issuedAt) =>
 *     Option.map(
 *       Option.fromUndefinedOr(sessions.get(cookies["session"] ?? "")),
 *       (userId) => ({ userId, expiresAt: undefined, issuedAt })
 *     )
 *   )
 * )
 *
 * const authenticator = withCookies(tokens)
 * ```
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import * as Options from "./AuthenticatorOptions.ts"
import type { JwksOptions, JwtOptions } from "./AuthenticatorOptions.ts"
import * as Jwks from "./Jwks.ts"
import * as Jwt from "./Jwt.ts"
import { type AuthenticationError, Unauthenticated } from "./AuthenticationError.ts"
import type { Principal } from "./Principal.ts"

export {
  /**
   * Why no principal was found: credentials were refused, or could not be checked.
   *
   * @category errors
   * @since 0.1.0
   */
  type AuthenticationError,
  /**
   * Credentials could not be checked at the moment; later they may be accepted.
   *
   * @category errors
   * @since 0.1.0
   */
  AuthenticatorUnavailable,
  /**
   * Why credentials were refused.
   *
   * @category models
   * @since 0.1.0
   */
  type Reason,
  /**
   * Credentials were refused: the same ones would be refused again.
   *
   * @category errors
   * @since 0.1.0
   */
  Unauthenticated
} from "./AuthenticationError.ts"
export {
  /**
   * Who a device belongs to, and until when that is known.
   *
   * @category models
   * @since 0.1.0
   */
  type Principal
} from "./Principal.ts"

/**
 * Checks credentials.
 *
 * - `verify` checks a token.
 * - `recognize` looks for credentials in the request itself, such as a session
 *   cookie. `None` leaves the device to show a token. A request that carries
 *   cookies may come from any page, so it is asked only after the origin was
 *   checked.
 *
 * @category services
 * @since 0.1.0
 */
export class Authenticator extends Context.Service<Authenticator, {
  readonly verify: (token: Redacted.Redacted<string>) => Effect.Effect<Principal, AuthenticationError>
  readonly recognize: (
    request: HttpServerRequest
  ) => Effect.Effect<Option.Option<Principal>, AuthenticationError>
}>()("effect-emitter/Authenticator") {}

export type {
  /**
   * What tokens have to say, and where the key set is that they are signed with.
   *
   * @category config
   * @since 0.1.0
   */
  JwksOptions,
  /**
   * What tokens have to say, and the secret that they are signed with.
   *
   * @category config
   * @since 0.1.0
   */
  JwtOptions
} from "./AuthenticatorOptions.ts"

const nobody = Effect.succeed(Option.none<Principal>())

/**
 * Accepts JSON Web Tokens signed with a shared secret. It needs at least as
 * many bytes as the algorithm's hash (32 for `HS256`), as RFC 7518 asks.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerJwt = (options: JwtOptions): Layer.Layer<Authenticator, ConfigError> =>
  layerOfJwt(Options.decodeJwt(options))

/**
 * The same, with options from `Config`, one for all of them or one a field. Without
 * any they are read from the environment: `JWT_SECRET`, `JWT_ISSUER`,
 * `JWT_AUDIENCE`, …
 *
 * ```ts
 * import { Config } from "effect"
 * import { Authenticator } from "effect-emitter/gateway"
 *
 * const fromEnvironment = Authenticator.layerJwtConfig()
 * const named = Authenticator.layerJwtConfig({
 *   secret: Config.Redacted("SIGNING_KEY"),
 *   issuer: Config.succeed("https://login.example.com")
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerJwtConfig = (
  options: Config.Wrap<JwtOptions> = Options.jwtConfig
): Layer.Layer<Authenticator, ConfigError> => layerOfJwt(Options.readJwt(options))

const layerOfJwt = (
  options: Effect.Effect<Options.CompleteJwtOptions, ConfigError>
): Layer.Layer<Authenticator, ConfigError> =>
  Layer.effect(
    Authenticator,
    Effect.map(options, ({ secret, ...claims }) => {
      const key = new TextEncoder().encode(Redacted.value(secret))
      return { verify: Jwt.verifier(claims, ["HS256"], () => Effect.succeed(key)), recognize: () => nobody }
    })
  )

/**
 * Accepts JSON Web Tokens signed with a key of a published key set, as identity
 * providers offer them. Keys are fetched when they are first needed, and kept;
 * they are fetched anew in the background once they are older than `maxAge` (10
 * minutes by default), and for a token that names a key that is not among them.
 * Such a token is told to come back later within `cooldown` (30 seconds) of the
 * last fetch. Should the provider be away, known keys go on to be used. A key set
 * has `maxBytes` at most (1 MiB), and is fetched without following a redirect.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Authenticator } from "effect-emitter/gateway"
 * import { FetchHttpClient } from "effect/http"
 *
 * const tokens = Authenticator.layerJwks({
 *   url: "https://login.example.com/.well-known/jwks.json",
 *   issuer: "https://login.example.com",
 *   audience: "events"
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerJwks = (
  options: JwksOptions
): Layer.Layer<Authenticator, ConfigError, HttpClient.HttpClient> => layerOfJwks(Options.decodeJwks(options))

/**
 * The same, with options from `Config`, one for all of them or one a field. Without
 * any they are read from the environment: `JWKS_URL`, `JWKS_ISSUER`,
 * `JWKS_AUDIENCE`, …
 *
 * ```ts
 * import { Config } from "effect"
 * import { Authenticator } from "effect-emitter/gateway"
 *
 * const fromEnvironment = Authenticator.layerJwksConfig()
 * const named = Authenticator.layerJwksConfig({
 *   url: Config.String("LOGIN_KEYS"),
 *   audience: Config.succeed("events")
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerJwksConfig = (
  options: Config.Wrap<JwksOptions> = Options.jwksConfig
): Layer.Layer<Authenticator, ConfigError, HttpClient.HttpClient> => layerOfJwks(Options.readJwks(options))

const layerOfJwks = (
  options: Effect.Effect<Options.CompleteJwksOptions, ConfigError>
): Layer.Layer<Authenticator, ConfigError, HttpClient.HttpClient> =>
  Layer.effect(
    Authenticator,
    Effect.flatMap(options, (all) =>
      Effect.map(Jwks.make(all), (keys) => ({
        verify: Jwt.verifier(all, all.algorithms, keys),
        recognize: () => nobody
      })))
  )

/**
 * Adds a look at the request itself to an authenticator: `lookUp` finds the
 * principal of a session cookie, for example.
 *
 * @category layers
 * @since 0.1.0
 */
export const withRequest = (
  lookUp: Authenticator["Service"]["recognize"]
): <E, R>(self: Layer.Layer<Authenticator, E, R>) => Layer.Layer<Authenticator, E, R> =>
(self) =>
  Layer.effect(Authenticator, Effect.map(Authenticator, ({ verify }) => ({ verify, recognize: lookUp }))).pipe(
    Layer.provide(self)
  )

/**
 * Accepts requests by `lookUp` alone, and no token.
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { Identity } from "effect-emitter"
 * import { Authenticator } from "effect-emitter/gateway"
 *
 * const sessions = new Map([["s3ss10n", { userId: Identity.UserId.make("ada"), expiresAt: undefined }]])
 * const cookies = Authenticator.layerRequest(({ cookies }) =>
 *   Effect.succeed(Option.fromUndefinedOr(sessions.get(cookies["session"] ?? "")))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRequest = (lookUp: Authenticator["Service"]["recognize"]): Layer.Layer<Authenticator> =>
  Layer.succeed(Authenticator, {
    verify: () => Effect.fail(new Unauthenticated({ reason: "noTokens" })),
    recognize: lookUp
  })
