/**
 * What a failed step means to whoever asked, and whose trouble it is.
 *
 * @since 0.2.0
 */
import { BrokerError, BrokerRefused, BrokerUnavailable } from "../BrokerError.ts"
import type { Failure } from "./Messages.ts"

// What SQLite's codes mean to an operator.
const meanings = new Map([
  [7, "there is no memory left"],
  [8, "the file is read-only: see its rights, and whether its disk was remounted"],
  [10, "the disk cannot be read or written: see the log of the system"],
  [11, "the file is damaged: it was set aside, and a new one begun"],
  [13, "the disk is full: make room on it"],
  [14, "the file cannot be opened any more"],
  [26, "the file is damaged: it was set aside, and a new one begun"]
])

/**
 * There was no answer: the thread has ended, or takes longer than the `deadline`
 * (then it is `undecided` what became of the step).
 *
 * @category constructors
 * @since 0.2.0
 */
export const unavailable = (
  operation: string,
  afterMs: number,
  why: string,
  blame: "broker" | "undecided" = "broker"
): BrokerError =>
  new BrokerError({
    reason: new BrokerUnavailable({ operation, afterMs: Math.round(afterMs), cause: new Error(why), blame })
  })

/**
 * The error that a step fails with. What SQLite says concerns all users, what
 * the thread itself says concerns this one.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toBrokerError = (operation: string, afterMs: number, file: string, failure: Failure): BrokerError => {
  const { code, message } = failure
  if (code === undefined) {
    return new BrokerError({
      reason: new BrokerRefused({ operation, detail: `${message} (${file})`, blame: "user" })
    })
  }
  const meaning = meanings.get(code)
  const why = `${file}: ${message}${meaning === undefined ? "" : `: ${meaning}`}`
  return unavailable(operation, afterMs, why)
}
