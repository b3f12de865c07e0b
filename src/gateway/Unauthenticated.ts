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
  signature: "the token's signature or key is not accepted",
  expired: "the token has expired",
  notYet: "the token is not valid yet",
  claims: "the token's issuer, audience or another claim is not accepted",
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
  "signature",
  "expired",
  "notYet",
  "claims",
  "user",
  "otherUser",
  "revoked"
])

/**
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * Credentials were refused: showing the same ones again would not help.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()("Unauthenticated", { reason: Reason }) {
  override get message(): string {
    return details[this.reason]
  }
}

/**
 * Credentials could not be checked at the moment, because `what` cannot be
 * reached; later they may be accepted.
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
    return `Credentials cannot be checked at the moment: ${this.what} cannot be reached`
  }
}
