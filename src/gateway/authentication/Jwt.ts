/**
 * Checks JSON Web Tokens: their signature, their times, their issuer and
 * audience, and the user they name.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Jose from "jose"
import { UserId } from "../../protocol/values/Identity.ts"
import { AnyTime } from "../../protocol/settings/Settings.ts"
import {
  type AuthenticationError,
  AuthenticatorUnavailable,
  type Reason,
  Unauthenticated
} from "./AuthenticationError.ts"
import type { Principal } from "./Principal.ts"

/**
 * What a token must say.
 *
 * - `issuer` and `audience`: the accepted values, any by default. Set both
 *   wherever the key also signs tokens for other purposes.
 * - `userClaim`: the claim that holds the user's id, `sub`.
 * - `clockTolerance`: how far clocks may differ, `"5 seconds"`.
 * - `requireExpiry`: whether a token without `exp` is refused, true.
 *
 * A token whose `iat` lies before the last revocation of its user's access is not
 * let in, nor is one without `iat`; one of the same second is. The clocks of the
 * issuer and of the broker must agree for that. A token whose `iat` is ahead by
 * more than `clockTolerance` is refused.
 *
 * @category config
 * @since 0.1.0
 */
export interface Options {
  readonly issuer?: string | ReadonlyArray<string> | undefined
  readonly audience?: string | ReadonlyArray<string> | undefined
  readonly userClaim?: string | undefined
  readonly clockTolerance?: Duration.Input | undefined
  readonly requireExpiry?: boolean | undefined
}

const Values = Schema.Union([Schema.NonEmptyString, Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1))])

/**
 * The schema of it, for the options of those who sign in one way or another.
 *
 * @category config
 * @since 0.1.0
 */
export const claims = {
  issuer: Schema.optionalKey(Values),
  audience: Schema.optionalKey(Values),
  userClaim: Schema.NonEmptyString.pipe(Schema.withDecodingDefault(Effect.succeed("sub"))),
  clockTolerance: AnyTime.pipe(Schema.withDecodingDefault(Effect.succeed("5 seconds"))),
  requireExpiry: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(true)))
}

const Claims = Schema.Struct(claims)

/**
 * The same, checked and complete.
 *
 * @category config
 * @since 0.1.0
 */
export type Claims = typeof Claims.Type

/**
 * Finds the key for a token, by the token's header.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyFor = (
  header: Jose.JWTHeaderParameters
) => Effect.Effect<Jose.CryptoKey | Uint8Array, AuthenticationError>

const decodeUser = Schema.decodeUnknownResult(UserId)

/**
 * Makes `Authenticator.verify` for tokens whose signature is one of
 * `algorithms`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const verifier = (
  claims: Claims,
  algorithms: ReadonlyArray<string>,
  keyFor: KeyFor
): (token: Redacted.Redacted<string>) => Effect.Effect<Principal, AuthenticationError> => {
  const options: Jose.JWTVerifyOptions = {
    algorithms: [...algorithms],
    clockTolerance: Duration.toSeconds(claims.clockTolerance),
    requiredClaims: claims.requireExpiry ? ["exp"] : [],
    ...(claims.issuer === undefined ? {} : { issuer: toArray(claims.issuer) }),
    ...(claims.audience === undefined ? {} : { audience: toArray(claims.audience) })
  }

  return Effect.fnUntraced(function*(token) {
    const text = Redacted.value(token)
    const key = yield* keyFor(yield* headerOf(text, algorithms))
    const now = yield* Clock.currentTimeMillis
    const { payload } = yield* Effect.tryPromise({
      try: () => Jose.jwtVerify(text, key, { ...options, currentDate: DateTime.toDateUtc(DateTime.makeUnsafe(now)) }),
      catch: refusal(claims)
    })
    const { exp, iat, [claims.userClaim]: named } = payload
    if (named === undefined) return yield* refused("user", `it has no claim "${claims.userClaim}"`)
    const userId = decodeUser(named)
    if (Result.isFailure(userId)) {
      return yield* refused("user", `claim "${claims.userClaim}": ${oneLine(userId.failure.message)}`)
    }
    if (iat !== undefined && iat * 1000 > now + Duration.toMillis(claims.clockTolerance)) {
      return yield* refused("notYet", `it was issued ${Math.ceil(iat - now / 1000)} s ahead of this server's clock`)
    }
    return {
      userId: userId.success,
      expiresAt: exp === undefined ? undefined : exp * 1000,
      issuedAt: iat === undefined ? undefined : toIssuedAt(iat),
      claims: payload
    }
  })
}

// Whole seconds may stand for any moment in them, and a token that was issued right after a revocation must be taken.
const toIssuedAt = (iat: number): number => Number.isInteger(iat) ? iat * 1000 + 999 : iat * 1000

const headerOf = (
  token: string,
  algorithms: ReadonlyArray<string>
): Effect.Effect<Jose.JWTHeaderParameters, Unauthenticated> =>
  Effect.try({
    try: () => Jose.decodeProtectedHeader(token),
    catch: () => new Unauthenticated({ reason: "malformed" })
  }).pipe(
    Effect.flatMap(({ alg, ...rest }) =>
      alg !== undefined && algorithms.includes(alg)
        ? Effect.succeed({ ...rest, alg })
        : refused("algorithm", `accepted are ${algorithms.join(", ")}`)
    )
  )

const refused = (reason: Reason, detail: string): Effect.Effect<never, Unauthenticated> =>
  Effect.fail(new Unauthenticated({ reason, detail }))

const oneLine = (text: string): string => text.replaceAll(/\s*\n\s*/gu, " ")

// Messages of jose may quote any claim. Of them only issuer and audience are named, of tokens with a good signature.
const refusal = (claims: Claims) => (error: unknown): AuthenticationError => {
  if (error instanceof Jose.errors.JWTExpired) return new Unauthenticated({ reason: "expired" })
  if (error instanceof Jose.errors.JWTClaimValidationFailed) {
    const { claim, payload, reason } = error
    switch (claim) {
      case "nbf":
        return new Unauthenticated({ reason: "notYet" })
      case "exp":
        return reason === "missing"
          ? new Unauthenticated({ reason: "noExpiry", detail: `"requireExpiry: false" would take it` })
          : new Unauthenticated({ reason: "claims", detail: `claim "exp" is no time` })
      case "iss":
        return new Unauthenticated({ reason: "issuer", detail: otherThan(payload.iss, claims.issuer) })
      case "aud":
        return new Unauthenticated({ reason: "audience", detail: otherThan(payload.aud, claims.audience) })
      default:
        return new Unauthenticated({ reason: "claims", detail: `claim "${claim}"` })
    }
  }
  if (error instanceof Jose.errors.JWSInvalid || error instanceof Jose.errors.JWTInvalid) {
    return new Unauthenticated({ reason: "malformed" })
  }
  if (error instanceof Jose.errors.JOSEError || error instanceof TypeError) {
    return new Unauthenticated({ reason: "signature" })
  }
  return new AuthenticatorUnavailable({ what: "the key", cause: error })
}

const otherThan = (shown: unknown, accepted: string | ReadonlyArray<string> = []): string =>
  `it says ${shown === undefined ? "none" : (JSON.stringify(shown) ?? "none").slice(0, 200)}, accepted is ${
    toArray(accepted).map((value) => JSON.stringify(value)).join(" or ")
  }`

const toArray = (values: string | ReadonlyArray<string>): Array<string> =>
  typeof values === "string" ? [values] : [...values]
