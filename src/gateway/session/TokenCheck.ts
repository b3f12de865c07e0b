/**
 * Checks the token of a device that may be known already: it has to be of the same user.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { type AuthenticationError, Unauthenticated } from "../authentication/AuthenticationError.ts"
import type { Authenticator, Principal } from "../authentication/Authenticator.ts"

/**
 * Who the token belongs to. Without a token it is who is `known`.
 *
 * @category operations
 * @since 0.1.0
 */
export const identify = (
  authenticator: Authenticator["Service"],
  token: string | undefined,
  known: Principal | undefined
): Effect.Effect<Principal, AuthenticationError> => {
  if (token === undefined) {
    return known === undefined ? Effect.fail(new Unauthenticated({ reason: "missing" })) : Effect.succeed(known)
  }
  return Effect.flatMap(
    Effect.suspend(() => authenticator.verify(Redacted.make(token))),
    (principal) =>
      known === undefined || known.userId === principal.userId
        ? Effect.succeed(principal)
        : Effect.fail(new Unauthenticated({ reason: "otherUser" }))
  )
}
