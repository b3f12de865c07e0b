/**
 * What the sessions of a gateway share, and what a gateway asks of each.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { type CloseCode, closeCodes } from "../../protocol/CloseCode.ts"
import type { ConnectionId } from "../../protocol/Identity.ts"
import * as Monotonic from "../../protocol/Monotonic.ts"
import type { Hub, TooManyConnections } from "../../hub/Hub.ts"
import type { CloseReason } from "../../hub/Transport.ts"
import type { AuthenticationError, Authenticator, Principal } from "../authentication/Authenticator.ts"
import type { Strangers } from "../admission/Strangers.ts"

/**
 * Times in milliseconds and limits, as sessions use them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  readonly helloTimeoutMs: number
  readonly heartbeatMs: number
  readonly silenceMs: number
  readonly expiryGraceMs: number
  readonly framesPerSecond: number
  readonly retentionMs: number
}

/**
 * What the sessions of one gateway share.
 *
 * - `run` starts an effect in the gateway's context, at once.
 * - `add` and `remove` keep the set of sessions.
 * - `strangers` bounds those whose device is not known yet.
 * - `closed` counts and logs an end from this side.
 * - `admits` takes a place among the devices of this second, and tells whether
 *   there was one.
 * - `comeBackAfterMs` is a random time, so that devices that are sent away
 *   together do not come back together.
 *
 * @category models
 * @since 0.1.0
 */
export interface Shared {
  readonly limits: Limits
  readonly hub: Hub["Service"]
  readonly authenticator: Authenticator["Service"]
  readonly strangers: Strangers
  readonly clock: Clock.Clock
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly add: (session: Session) => void
  readonly remove: (session: Session) => void
  readonly nextId: () => ConnectionId
  readonly comeBackAfterMs: () => number
  readonly admits: () => boolean
  readonly closed: (farewell: CloseReason) => void
}

/**
 * One conversation with a device.
 *
 * - `tick` is called several times per heartbeat: it sends pings, and ends the
 *   session when a time limit has passed. `now` is monotonic. `forgivenMs` is time that passed while
 *   this process did not run, and is not held against the device.
 * - `close` tells the device why, and ends the session.
 * - `destroy` ends it without a word.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session {
  readonly tick: (now: number, forgivenMs: number) => void
  readonly close: (farewell: CloseReason) => void
  readonly destroy: () => void
}

/**
 * A farewell for a cause that is the device's own doing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const forCause = (code: CloseCode, detail: string = code.meaning): CloseReason => ({ code, detail })

/**
 * The farewell for credentials that were refused or could not be checked.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unauthenticated = (error: AuthenticationError, comeBackAfterMs: number): CloseReason =>
  error._tag === "Unauthenticated"
    ? forCause(closeCodes.unauthenticated, error.message)
    : {
      code: closeCodes.draining,
      detail: "credentials cannot be checked at the moment",
      reconnectAfterMs: comeBackAfterMs
    }

/**
 * The farewell for a limit on connections. Those of the user may all be in use, so
 * that another try makes sense only after a while.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tooMany = ({ message, scope }: TooManyConnections, comeBackAfterMs: number): CloseReason =>
  scope === "user"
    ? { code: closeCodes.tooManyConnections, detail: message, reconnectAfterMs: userFullMs + comeBackAfterMs }
    : { code: closeCodes.draining, detail: message, reconnectAfterMs: comeBackAfterMs }

const userFullMs = 30_000

/**
 * The farewell for devices that come too many at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const busy = (comeBackAfterMs: number): CloseReason => ({
  code: closeCodes.draining,
  detail: "too many devices came at once",
  reconnectAfterMs: comeBackAfterMs
})

/**
 * When a credential that was just verified runs out, and its grace with it, on the monotonic clock: however the wall clock
 * steps from now on, it is good for as long as it was issued for. `Infinity` for one without an end.
 *
 * @category getters
 * @since 0.1.0
 */
export const lapsesAt = ({ clock, limits }: Pick<Shared, "clock" | "limits">, { expiresAt }: Principal): number =>
  expiresAt === undefined
    ? Infinity
    : Monotonic.millisUnsafe(clock) + expiresAt - clock.currentTimeMillisUnsafe() + limits.expiryGraceMs
