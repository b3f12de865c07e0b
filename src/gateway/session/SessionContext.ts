/**
 * What the sessions of a gateway share.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { BrokerError } from "../../broker/Broker.ts"
import type { Connection } from "../../hub/connection/Connection.ts"
import type { Opening, Request } from "../../hub/connection/ConnectRequest.ts"
import type { Hub, TooManyConnections } from "../../hub/Hub.ts"
import type { Revoked } from "../../hub/Revocation.ts"
import type { CloseReason } from "../../hub/Transport.ts"
import type { ConnectionId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import { TooManyAtOnce } from "../admission/DeviceRate.ts"
import type { Strangers } from "../admission/Strangers.ts"
import type { Commands } from "../command/Commands.ts"
import type { Compressor } from "../compression/Compressor.ts"
import type { Authenticator, Principal } from "../authentication/Authenticator.ts"
import type { OperatorLog } from "../OperatorLog.ts"
import type { Session } from "./Session.ts"

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
  readonly maxSnapshots: number
  readonly maxFrameBytesIn: number
  readonly retentionMs: number
}

/**
 * What the sessions of one gateway share.
 *
 * - `compressor` is there where what is sent may be compressed.
 * - `run` starts an effect in the gateway's context, at once.
 * - `add` and `remove` keep the set of sessions.
 * - `commands` decides about what devices ask of runs.
 * - `strangers` bounds those whose device is not known yet.
 * - `closed` counts and logs an end from this side.
 * - `tell` tells the operator what devices come back with.
 * - `admits` takes a place among the devices of this second, and tells whether
 *   there was one.
 * - `comeBackAfterMs` is a random time, so that devices that are sent away
 *   together do not come back together.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionContext {
  readonly limits: Limits
  readonly hub: Hub["Service"]
  readonly authenticator: Authenticator["Service"]
  readonly commands: Commands
  readonly strangers: Strangers
  readonly clock: Clock.Clock
  readonly compressor: Compressor | undefined
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly add: (session: Session) => void
  readonly remove: (session: Session) => void
  readonly nextId: () => ConnectionId
  readonly comeBackAfterMs: () => number
  readonly admits: () => boolean
  readonly closed: (reason: CloseReason) => void
  readonly tell: OperatorLog
}

/**
 * Opens the connection of a device that is known. Here it is decided whether there is
 * a place for it: in this second, on this node, and among those of its user.
 *
 * @category operations
 * @since 0.1.0
 */
export const open = (
  { admits, hub }: SessionContext,
  request: Request,
  greeting: (opening: Opening) => string
): Effect.Effect<Connection, TooManyAtOnce | TooManyConnections | Revoked | BrokerError> =>
  Effect.suspend((): ReturnType<typeof open> =>
    admits() ? hub.open(request, greeting) : Effect.fail(new TooManyAtOnce())
  )

/**
 * What a welcome says besides where the connection starts.
 *
 * @category getters
 * @since 0.2.0
 */
export const offers = ({ commands, limits: { heartbeatMs, retentionMs } }: SessionContext) => ({
  heartbeatMs,
  retentionMs,
  ...(commands.areTaken ? { accepts: ["command"] } : {})
})

/**
 * When a credential that was just verified runs out, and its grace with it, on the monotonic clock: however the wall clock
 * steps from now on, it is good for as long as it was issued for. `Infinity` for one without an end.
 *
 * @category getters
 * @since 0.1.0
 */
export const lapsesAt = (
  { clock, limits }: Pick<SessionContext, "clock" | "limits">,
  { expiresAt }: Principal
): number =>
  expiresAt === undefined
    ? Infinity
    : Monotonic.millisUnsafe(clock) + expiresAt - clock.currentTimeMillisUnsafe() + limits.expiryGraceMs
