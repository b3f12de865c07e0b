/**
 * Why a command of the command line did not do what it was asked, in one line, with
 * what to do about it.
 *
 * @since 0.2.0
 */
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type { BrokerError } from "../../broker/BrokerError.ts"

/**
 * What a program of the command line ends with:
 *
 * - 0: it is as it should be, or was done;
 * - 1: there is a fault, the answer was no, or nothing was found;
 * - 2: it was called wrongly, or its settings are wrong;
 * - 3: the broker does not answer;
 * - 130: it was interrupted, or nobody reads what it writes any more.
 *
 * @category models
 * @since 0.2.0
 */
export const exitCodes = { no: 1, usage: 2, away: 3 } as const

/**
 * The same for people, as `--help` has it.
 *
 * @category constants
 * @since 0.2.0
 */
export const exitCodesHelp = `EXIT CODES
  0    it is as it should be, or was done
  1    there is a fault, the answer is no, or nothing was found
  2    it was called wrongly, or its settings are wrong
  3    the broker does not answer
  130  it was interrupted, or nobody reads what it writes`

/**
 * A command failed: `message` says why, `remedy` what to do.
 *
 * @category errors
 * @since 0.2.0
 */
export class Failed extends Schema.TaggedError<Failed>()("Failed", {
  exit: Schema.Literals(["no", "usage", "away"]),
  message: Schema.String,
  remedy: Schema.optionalKey(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = exitCodes[this.exit]
}

/**
 * What a failed call to the broker means here.
 *
 * @category conversions
 * @since 0.2.0
 */
export const ofBroker = (error: BrokerError): Failed => {
  const isAway = error.reason._tag === "BrokerUnavailable"
  return new Failed({
    exit: isAway ? "away" : "no",
    message: error.message,
    remedy: "effect-emitter doctor tells what is wrong with the broker"
  })
}
