/**
 * Finds out who a request is from as the gateway does of its devices: by the origin,
 * the credentials, and whether the user's access was revoked since.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { Hub } from "../../hub/Hub.ts"
import type { Strangers } from "../admission/Strangers.ts"
import { Unauthenticated } from "../authentication/AuthenticationError.ts"
import type { Authenticator, Principal } from "../authentication/Authenticator.ts"
import * as Identification from "../authentication/Identification.ts"
import { type IdentifyError, OriginRefused } from "../authentication/IdentifyError.ts"
import * as OriginPolicy from "../authentication/OriginPolicy.ts"
import type { Origins } from "../GatewayConfig.ts"
import type { OperatorLog } from "../OperatorLog.ts"

/**
 * Makes a look-up of the user who sent a request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ authenticator, clock, hub, origins, strangers, tell }: {
  readonly authenticator: Authenticator["Service"]
  readonly clock: Clock.Clock
  readonly hub: Hub["Service"]
  readonly origins: Origins
  readonly strangers: Strangers
  readonly tell: OperatorLog
}): (request: HttpServerRequest) => Effect.Effect<Principal, IdentifyError> => {
  const find = Identification.make({ authenticator, strangers })

  return Effect.fnUntraced(function*(request) {
    if (!OriginPolicy.isAllowed(origins, request.headers)) {
      return yield* new OriginRefused({ detail: OriginPolicy.refusalOf(origins, request.headers).detail })
    }
    const principal = yield* find(request)
    if (principal === undefined) return yield* new Unauthenticated({ reason: "missing" })
    const { expiresAt, issuedAt, userId } = principal
    // A store of sessions may find one that has run out; a connection of it would end at once.
    if (expiresAt !== undefined && expiresAt <= clock.currentTimeMillisUnsafe()) {
      return yield* new Unauthenticated({ reason: "expired" })
    }
    yield* hub.admit(userId, issuedAt).pipe(
      Effect.catchTag("Revoked", () => Effect.fail(new Unauthenticated({ reason: "revoked" }))),
      Effect.tapErrorTag(
        "BrokerError",
        (error) => tell("sign-in", "A request could not be signed in", (line) => Effect.logError(line, error))
      )
    )
    return principal
  })
}
