/**
 * What a gateway asks of its authenticator, whatever authenticator that is: an
 * answer in time, a time of issue that a revocation can be held against, and a
 * word to the operator about what was refused and why.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { AuthenticationError, Authenticator, Principal } from "../authentication/Authenticator.ts"
import { AuthenticatorUnavailable, type Reason, Unauthenticated } from "../authentication/AuthenticationError.ts"
import * as OperatorLog from "../OperatorLog.ts"

/**
 * The same authenticator, with `timeout` for each of its answers. What it finds in a
 * request must not have run out: a store may keep sessions for longer than they are good.
 * The claims of tokens are left out unless `claims` are wanted: a connection has no use for them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  authenticator: Authenticator["Service"],
  options: { readonly clock: Clock.Clock; readonly timeout: Duration.Duration; readonly claims: boolean }
): Authenticator["Service"] => {
  const { clock, timeout } = options
  const tell = makeTeller(clock)

  const inTime = <A>(check: () => Effect.Effect<A, AuthenticationError>): Effect.Effect<A, AuthenticationError> =>
    Effect.suspend(check).pipe(
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.fail(new AuthenticatorUnavailable({ what: "the authenticator", cause: late(timeout) }))
      })
    )

  const dated = ({ claims, ...rest }: Principal): Effect.Effect<Principal, Unauthenticated> => {
    // Without a time of issue nothing tells that it is newer than a revocation.
    const { issuedAt = 0 } = rest
    const principal = { ...rest, issuedAt, ...(options.claims && claims !== undefined ? { claims } : {}) }
    const aheadMs = issuedAt - clock.currentTimeMillisUnsafe()
    return aheadMs > maxAheadMs
      ? Effect.fail(new Unauthenticated({ reason: "notYet", detail: `it was issued ${aheadMs} ms ahead` }))
      : Effect.succeed(principal)
  }

  const notExpired = ({ expiresAt = Infinity }: Principal): Effect.Effect<void, Unauthenticated> =>
    expiresAt > clock.currentTimeMillisUnsafe() ? Effect.void : Effect.fail(new Unauthenticated({ reason: "expired" }))

  return {
    verify: (token) => inTime(() => authenticator.verify(token)).pipe(Effect.flatMap(dated), Effect.tapError(tell)),
    recognize: (request) =>
      inTime(() => authenticator.recognize(request)).pipe(
        Effect.flatMap((found) =>
          Option.isNone(found)
            ? Effect.succeedNone
            : Effect.map(Effect.tap(dated(found.value), notExpired), Option.some)
        ),
        Effect.tapError(tell)
      )
  }
}

const late = (timeout: Duration.Duration): string => `no answer within ${Duration.toMillis(timeout)} ms`

/** How far the clocks of those who issue credentials may be ahead. */
const maxAheadMs = 60_000

// What strangers get refused for all day, and what somebody has to mend.
const everyday: ReadonlySet<Reason> = new Set(["missing", "malformed", "expired", "revoked"])

const makeTeller = (clock: Clock.Clock): (error: AuthenticationError) => Effect.Effect<void> => {
  const tell = OperatorLog.make(clock)
  return (error) => {
    if (error._tag !== "Unauthenticated") {
      return tell(error._tag, error.message, (line) => Effect.logError(line, error))
    }
    const detail = error.detail === undefined ? "" : `: ${error.detail}`
    const line = `Credentials were refused: ${error.message}${detail}`
    return everyday.has(error.reason) ? Effect.logDebug(line) : tell(error.reason, line, Effect.logWarning)
  }
}
