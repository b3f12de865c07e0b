/**
 * Tells who a device belongs to.
 *
 * A device shows a token (in the `Authorization` header, in its `hello`, or in
 * a `token` frame that renews an older one), or its request speaks for itself,
 * by a session cookie for example. Nothing is sent to a device before one of
 * them was accepted.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { UserId } from "../../protocol/Identity.ts"
import * as Jwks from "./Jwks.ts"
import * as Jwt from "./Jwt.ts"
import { AuthenticatorUnavailable, Unauthenticated } from "./Unauthenticated.ts"

export {
  /**
   * Credentials could not be checked.
   *
   * @category errors
   * @since 0.1.0
   */
  AuthenticatorUnavailable,
  /**
   * Credentials were refused.
   *
   * @category errors
   * @since 0.1.0
   */
  Unauthenticated
} from "./Unauthenticated.ts"

/**
 * Who a device belongs to, and until when that is known: `expiresAt` is in
 * milliseconds since the Unix epoch, and a connection ends soon after it unless
 * its credential was renewed. `issuedAt`, the same for when the credential was
 * issued, keeps out those from before the user's access was revoked. Credentials
 * without it count as older than any revocation: an authenticator that asks a
 * store which knows of revocations itself gives the present time. A time that lies
 * more than a minute ahead is refused.
 *
 * @category models
 * @since 0.1.0
 */
export interface Principal {
  readonly userId: UserId
  readonly expiresAt: number | undefined
  readonly issuedAt?: number | undefined
}

/**
 * Why no principal was found.
 *
 * @category errors
 * @since 0.1.0
 */
export type AuthenticationError = Unauthenticated | AuthenticatorUnavailable

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

const nobody = Effect.succeed(Option.none<Principal>())

/**
 * Accepts JSON Web Tokens signed with a shared secret. It needs at least as
 * many bytes as the algorithm's hash (32 for `HS256`), as RFC 7518 asks.
 *
 * @category layers
 * @since 0.1.0
 */
export const jwt = (
  options: Jwt.Options & { readonly secret: Redacted.Redacted<string> }
): Layer.Layer<Authenticator, AuthenticatorConfigError> =>
  Layer.effect(
    Authenticator,
    Effect.gen(function*() {
      const claims = yield* decodeOptions(options)
      const secret = new TextEncoder().encode(Redacted.value(options.secret))
      if (secret.length < leastSecretBytes) {
        return yield* new AuthenticatorConfigError({
          detail: `the secret must have ${leastSecretBytes} bytes or more, it has ${secret.length}`
        })
      }
      return { verify: Jwt.verifier(claims, ["HS256"], () => Effect.succeed(secret)), recognize: () => nobody }
    })
  )

const leastSecretBytes = 32

/**
 * Accepts JSON Web Tokens signed with a key of a published key set, as identity
 * providers offer them. Keys are fetched when they are first needed, and kept;
 * they are fetched anew in the background once they are older than `maxAge` (10
 * minutes by default), and for a token that names a key that is not among them.
 * Such a token is told to come back later within `cooldown` (30 seconds) of the
 * last fetch. Should the provider be away, known keys go on to be used. A key set
 * has `maxBytes` at most (1 MiB), and is fetched without following a redirect.
 *
 * @category layers
 * @since 0.1.0
 */
export const jwks = (
  options: Jwt.Options & Jwks.Options
): Layer.Layer<Authenticator, AuthenticatorConfigError, HttpClient.HttpClient> =>
  Layer.effect(
    Authenticator,
    Effect.gen(function*() {
      const claims = yield* decodeOptions(options)
      const keys = yield* Jwks.make(options)
      return { verify: Jwt.verifier(claims, options.algorithms ?? Jwks.algorithms, keys), recognize: () => nobody }
    })
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
 * @category layers
 * @since 0.1.0
 */
export const request = (lookUp: Authenticator["Service"]["recognize"]): Layer.Layer<Authenticator> =>
  Layer.succeed(Authenticator, {
    verify: () => Effect.fail(new Unauthenticated({ reason: "noTokens" })),
    recognize: lookUp
  })

/**
 * An authenticator's options cannot be used. Nothing secret is part of it.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticatorConfigError
  extends Schema.TaggedError<AuthenticatorConfigError>()("AuthenticatorConfigError", { detail: Schema.String })
{
  override get message() {
    return `The authenticator's options cannot be used: ${this.detail}`
  }
}

const decodeOptions = (options: Jwt.Options): Effect.Effect<Jwt.Claims, AuthenticatorConfigError> =>
  Effect.mapError(
    Jwt.decodeOptions(options),
    (error) => new AuthenticatorConfigError({ detail: error.message.replaceAll("\n", " ") })
  )
