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
import * as Monotonic from "../../protocol/Monotonic.ts"
import type { AuthenticationError, Authenticator, Principal } from "../authentication/Authenticator.ts"
import { AuthenticatorUnavailable, type Reason, Unauthenticated } from "../authentication/AuthenticationError.ts"

/**
 * The same authenticator, with `timeout` for each of its answers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  authenticator: Authenticator["Service"],
  options: { readonly clock: Clock.Clock; readonly timeout: Duration.Duration }
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

  const dated = (principal: Principal): Effect.Effect<Principal, Unauthenticated> => {
    const { issuedAt } = principal
    // Nothing tells that it is newer than a revocation.
    if (issuedAt === undefined) return Effect.succeed({ ...principal, issuedAt: 0 })
    const aheadMs = issuedAt - clock.currentTimeMillisUnsafe()
    return aheadMs > maxAheadMs
      ? Effect.fail(new Unauthenticated({ reason: "notYet", detail: `it was issued ${aheadMs} ms ahead` }))
      : Effect.succeed(principal)
  }

  return {
    verify: (token) => inTime(() => authenticator.verify(token)).pipe(Effect.flatMap(dated), Effect.tapError(tell)),
    recognize: (request) =>
      inTime(() => authenticator.recognize(request)).pipe(
        Effect.flatMap((found) =>
          Option.isNone(found) ? Effect.succeedNone : Effect.map(dated(found.value), Option.some)
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

// Devices come back, so each kind of trouble is told once a minute, with how often it came.
const makeTeller = (clock: Clock.Clock): (error: AuthenticationError) => Effect.Effect<void> => {
  const told = new Map<string, { at: number; since: number }>()
  return (error) =>
    Effect.suspend(() => {
      const isRefusal = error._tag === "Unauthenticated"
      if (isRefusal && everyday.has(error.reason)) {
        return Effect.logDebug(`Credentials were refused: ${error.message}`)
      }
      const kind = isRefusal ? error.reason : error._tag
      const now = Monotonic.millisUnsafe(clock)
      const last = told.get(kind)
      if (last !== undefined && now - last.at < tellEveryMs) {
        last.since++
        return Effect.void
      }
      told.set(kind, { at: now, since: 0 })
      const more = last === undefined || last.since === 0 ? "" : ` (and ${last.since} more like it since the last word)`
      if (!isRefusal) return Effect.logError(`${error.message}${more}`, error)
      const detail = error.detail === undefined ? "" : `: ${error.detail}`
      return Effect.logWarning(`Credentials were refused: ${error.message}${detail}${more}`)
    })
}

const tellEveryMs = 60_000
