/**
 * Checks a token that renews an older one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { BrokerError } from "../../broker/Broker.ts"
import type { Revoked } from "../../hub/Revocation.ts"
import type { AuthenticationError, Principal } from "../authentication/Authenticator.ts"
import type { SessionContext } from "../session/SessionContext.ts"
import * as TokenCheck from "../session/TokenCheck.ts"

/**
 * The credential so far, and the token that is to renew it.
 *
 * - `renewed` is called once the token was verified.
 * - `isAwaited` tells whether frames wait for the end of the renewal.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly known: Principal
  readonly token: string
  readonly renewed: (principal: Principal) => void
  readonly isAwaited: () => boolean
}

/**
 * Renews a credential. A revocation is known to the log: while that is away the new
 * token counts, and the log is asked again until others wait.
 *
 * @category operations
 * @since 0.1.0
 */
export const renew = (
  { authenticator, hub }: SessionContext,
  { isAwaited, known, renewed, token }: Options
): Effect.Effect<void, AuthenticationError | Revoked> =>
  Effect.flatMap(TokenCheck.identify(authenticator, token, known), (principal) => {
    renewed(principal)
    const admitted: Effect.Effect<void, Revoked | BrokerError> = Effect.retry(
      hub.admit(principal.userId, principal.issuedAt),
      {
        while: (error) => error._tag === "BrokerError" && !isAwaited(),
        schedule: Schedule.spaced("1 second")
      }
    )
    return Effect.catchTag(admitted, "BrokerError", () => Effect.void)
  })
