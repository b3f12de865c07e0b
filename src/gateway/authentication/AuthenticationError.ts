/**
 * Why a device was not let in. Neither error holds a token, or any part of one.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const details = {
  missing: "no token was shown",
  noTokens: "tokens are not accepted here",
  malformed: "the token is malformed",
  algorithm: "the token's algorithm is not accepted",
  key: "the token's key is not known",
  signature: "the token's signature is not accepted",
  expired: "the token has expired",
  noExpiry: "the token does not say when it expires",
  notYet: "the token is not valid yet",
  issuer: "the token's issuer is not accepted",
  audience: "the token's audience is not accepted",
  claims: "a claim of the token is not accepted",
  user: "the token names no valid user",
  otherUser: "the token belongs to another user",
  revoked: "the user's access was revoked"
} as const

/**
 * Why credentials were refused.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Literals([
  "missing",
  "noTokens",
  "malformed",
  "algorithm",
  "key",
  "signature",
  "expired",
  "noExpiry",
  "notYet",
  "issuer",
  "audience",
  "claims",
  "user",
  "otherUser",
  "revoked"
])

/**
 * Why credentials were refused.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * Credentials were refused: showing the same ones again would not help. `message`
 * is for the device; `detail` tells the operator more, and is sent to nobody.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()("Unauthenticated", {
  reason: Reason,
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return details[this.reason]
  }
}

/**
 * Credentials could not be checked at the moment, because `what` cannot be
 * reached, for that `cause`; later they may be accepted. The message is for the
 * operator; a device is told no more than that it may come back.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticatorUnavailable
  extends Schema.TaggedError<AuthenticatorUnavailable>()("AuthenticatorUnavailable", {
    what: Schema.String,
    cause: Schema.Defect()
  })
{
  override get message() {
    const { cause, what } = this
    const why = cause instanceof Error ? cause.message : typeof cause === "string" ? cause : undefined
    return `Credentials cannot be checked at the moment: ${what} gives no answer that can be used${
      why === undefined ? "" : `: ${why}`
    }`
  }
}

/**
 * Why no principal was found.
 *
 * @category errors
 * @since 0.1.0
 */
export type AuthenticationError = Unauthenticated | AuthenticatorUnavailable
