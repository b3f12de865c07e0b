/**
 * Why a gateway ends a session, for each cause: the close code, what the people who
 * read the client's log are told, and when the device may come back.
 *
 * @since 0.1.0
 */
import type { BrokerError } from "../../broker/Broker.ts"
import type { TooManyConnections } from "../../hub/Hub.ts"
import * as Revocation from "../../hub/Revocation.ts"
import type { CloseReason } from "../../hub/Transport.ts"
import { type CloseCode, closeCodes } from "../../protocol/wire/CloseCode.ts"
import { type AuthenticationError, Unauthenticated } from "../authentication/AuthenticationError.ts"
import type { TooManyAtOnce } from "../admission/DeviceRate.ts"
import type { Draining } from "./Sessions.ts"

/**
 * What may keep a device from being served.
 *
 * @category errors
 * @since 0.1.0
 */
export type ServeError =
  | Draining
  | AuthenticationError
  | TooManyAtOnce
  | TooManyConnections
  | Revocation.Revoked
  | BrokerError

/**
 * The reason of a cause that is the device's own doing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = (code: CloseCode, detail: string = code.meaning): CloseReason => ({ code, detail })

/**
 * A device asks for the state of more runs than it may.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tooManySnapshots = (asked: number, most: number): CloseReason =>
  of(closeCodes.badFrame, `"snapshots" in "hello" may be ${most} at most, not ${asked}: ask for fewer runs`)

/**
 * The credential has run out, and its grace with it.
 *
 * @category constants
 * @since 0.1.0
 */
export const expired: CloseReason = of(closeCodes.unauthenticated, new Unauthenticated({ reason: "expired" }).message)

/**
 * The server goes away.
 *
 * @category constructors
 * @since 0.1.0
 */
export const draining = (comeBackAfterMs: number, detail: string = closeCodes.draining.meaning): CloseReason => ({
  code: closeCodes.draining,
  detail,
  reconnectAfterMs: comeBackAfterMs
})

/**
 * The reason for what kept a device from being served. At the limit of its user
 * another try makes sense only after a while: all connections may be in use.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofError = (error: ServeError, comeBackAfterMs: () => number): CloseReason => {
  switch (error._tag) {
    case "Unauthenticated":
      return of(closeCodes.unauthenticated, error.message)
    case "Revoked":
      return Revocation.closeReason
    case "AuthenticatorUnavailable":
      return draining(comeBackAfterMs(), "credentials cannot be checked at the moment")
    case "Draining":
    case "TooManyAtOnce":
      return draining(comeBackAfterMs(), error.message)
    case "TooManyConnections":
      return error.scope === "node" ? draining(comeBackAfterMs(), error.message) : {
        code: closeCodes.tooManyConnections,
        detail: error.message,
        reconnectAfterMs: userFullMs + comeBackAfterMs()
      }
    case "BrokerError":
      return of(closeCodes.brokerUnavailable)
  }
}

const userFullMs = 30_000
