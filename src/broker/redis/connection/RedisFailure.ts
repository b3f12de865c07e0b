/**
 * What a failed call to Redis means to whoever asked, and whose trouble it is.
 *
 * @since 0.1.0
 */
import { ErrorReply } from "redis"
import { type Blame, BrokerError, BrokerRefused, BrokerUnavailable } from "../../BrokerError.ts"
import * as Reply from "../codec/Reply.ts"
import { ArgumentTooLong } from "./ArgumentLimit.ts"
import * as Why from "./FailureCause.ts"

/**
 * There is no connection, it broke, or (`undecided`) there was no answer in time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unavailable = (operation: string, afterMs: number, cause: unknown, blame: Blame = "broker"): BrokerError =>
  new BrokerError({ reason: new BrokerUnavailable({ operation, afterMs, cause, blame }) })

// A server that cannot serve just now, but may soon.
const passing = /^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|BUSY|MISCONF|UNBLOCKED)\b/

// A server that refuses everybody: no memory, no rights, no such command, no room for clients, the wrong node.
const ofBroker = new RegExp(
  [
    "^(OOM|NOPERM|NOAUTH|WRONGPASS|MOVED|ASK|DENIED)\\b",
    "^ERR (max number of clients|unknown command|Unknown Redis command)",
    "^ERR The user executing the script can't",
    "^ERR ACL failure in script"
  ].join("|")
)

// A key of another type, an id that is refused, a step of a script that failed on what it found, an argument that is too long.
const ofUser = /^(WRONGTYPE|CROSSSLOT|ERR Protocol error)\b|\bstream ID\b|\bspecified in XADD\b|user_script|\bscript:/

/**
 * Whose trouble an error that Redis answered with is. A script's own errors name
 * the script, also those of the server's, so these are looked for first.
 *
 * @category checks
 * @since 0.1.0
 */
export const blameOf = (message: string): Blame => {
  if (passing.test(message) || ofBroker.test(message)) return "broker"
  return ofUser.test(message) ? "user" : "undecided"
}

/**
 * Whether a call failed by what was answered to it, or would have been. Else the
 * connection was lost meanwhile.
 *
 * @category checks
 * @since 0.1.0
 */
export const isAnswer = (cause: unknown): boolean =>
  cause instanceof ErrorReply || cause instanceof Reply.UnexpectedReply || cause instanceof ArgumentTooLong

/**
 * The error that a call of `operation` fails with, after so many milliseconds.
 *
 * - An answer that cannot be read is one user's: a log that holds something else
 *   than this package writes. So is what the server would not take.
 * - A server that cannot serve just now counts as one that cannot be reached.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toBrokerError = (operation: string, afterMs: number, cause: unknown): BrokerError => {
  if (cause instanceof Reply.UnexpectedReply || cause instanceof ArgumentTooLong) {
    return refused(operation, cause.message, "user")
  }
  if (!(cause instanceof ErrorReply)) return unavailable(operation, afterMs, new Error(Why.whyOf(cause), { cause }))
  // The answer itself is not kept: it may repeat arguments, a password among them.
  if (passing.test(cause.message)) return unavailable(operation, afterMs, new Error(Why.whyOf(cause)))
  return refused(operation, Why.whyOf(cause), blameOf(cause.message))
}

/**
 * Redis answered, and did not do what was asked.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refused = (operation: string, detail: string, blame: Blame): BrokerError =>
  new BrokerError({ reason: new BrokerRefused({ operation, detail, blame }) })
