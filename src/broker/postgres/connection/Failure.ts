/**
 * What a failed call to Postgres means to whoever asked, and whose trouble it is.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Blame, BrokerError, BrokerRefused, BrokerUnavailable } from "../../BrokerError.ts"

/**
 * There is no connection, it broke, or (`undecided`) there was no answer in time.
 *
 * @category constructors
 * @since 0.2.0
 */
export const unavailable = (operation: string, afterMs: number, cause: unknown, blame: Blame = "broker"): BrokerError =>
  new BrokerError({ reason: new BrokerUnavailable({ operation, afterMs: Math.round(afterMs), cause, blame }) })

/**
 * Postgres answered, and did not do what was asked.
 *
 * @category constructors
 * @since 0.2.0
 */
export const refused = (operation: string, detail: string, blame: Blame): BrokerError =>
  new BrokerError({ reason: new BrokerRefused({ operation, detail, blame }) })

// No class of SQLSTATE begins with E, as the codes of the operating system do: EPIPE is five letters, too.
const sqlState = /^(?!E)[0-9A-Z]{5}$/

/**
 * The SQLSTATE that Postgres answered with; nothing where the call failed otherwise.
 *
 * @category getters
 * @since 0.2.0
 */
export const codeOf = ({ reason }: SqlError): string | undefined => {
  const { cause } = reason
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" &&
      sqlState.test(cause.code)
    ? cause.code
    : undefined
}

// A server that cannot serve just now, but may soon: no connection, no resources, an operator's hand, a standby.
const passing = /^(08|53|57|25006|58)/

// A server that refuses everybody: who we are, what we may do, what there is.
const ofBroker = /^(28|3D|3F|42|0A|55000)/

// Values, constraints, limits, and what our own functions raise.
const ofUser = /^(22|23|54|P0)/

/**
 * Whose trouble an error is that Postgres answered with this SQLSTATE.
 *
 * @category checks
 * @since 0.2.0
 */
export const blameOf = (code: string): Blame => {
  if (passing.test(code) || ofBroker.test(code)) return "broker"
  return ofUser.test(code) ? "user" : "undecided"
}

const messageOf = ({ reason }: SqlError): string => {
  const { cause } = reason
  const text = cause instanceof Error && cause.message !== "" ? cause.message : reason.message ?? "no reason was given"
  return text.slice(0, 500)
}

/**
 * Why a call failed, in a line.
 *
 * @category getters
 * @since 0.2.0
 */
export const whyOf = (error: SqlError): string => {
  const code = codeOf(error)
  return code === undefined ? messageOf(error) : `${messageOf(error)} (SQLSTATE ${code})`
}

/**
 * The error that a call of `operation` fails with, after so many milliseconds. A
 * server that cannot serve just now counts as one that cannot be reached.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toBrokerError = (operation: string, afterMs: number, error: SqlError): BrokerError => {
  const code = codeOf(error)
  // The answer itself is not kept: it may repeat what was asked.
  if (code === undefined || passing.test(code)) return unavailable(operation, afterMs, new Error(whyOf(error)))
  return refused(operation, whyOf(error), blameOf(code))
}

/**
 * Whether the call failed with the connection, or for want of one.
 *
 * @category checks
 * @since 0.2.0
 */
export const isLoss = (error: SqlError): boolean => {
  const code = codeOf(error)
  return code === undefined || passing.test(code)
}

/**
 * Reads an answer; what cannot be read is refused, and the user's trouble.
 *
 * @category conversions
 * @since 0.2.0
 */
export const read = <A>(operation: string, decode: () => A): Effect.Effect<A, BrokerError> =>
  Effect.try({
    try: decode,
    catch: (cause) => refused(operation, cause instanceof Error ? cause.message : String(cause), "user")
  })
