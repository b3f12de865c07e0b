/**
 * What a run or a tool call that failed tells its user's devices.
 *
 * By default no text of the program: what a typed error says is written for
 * developers and often quotes what it worked with, such as the URL of a database
 * with its password. A program that has messages for its users says so, for all
 * of it by {@link DescribeFailure}, or with `describe` for one run or tool.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Option from "effect/Option"

/**
 * Writes what devices are told of a failure, for every run and tool call of the
 * program that has no `describe` of its own. Where it gives `undefined`, and by
 * default, they are told only that the run or the tool failed. The first 1,000
 * characters are sent.
 *
 * ```ts
 * import { Cause, Data, Effect, Option } from "effect"
 * import { Emitter } from "effect-emitter"
 *
 * class QuotaExceeded extends Data.TaggedError("QuotaExceeded")<{ readonly message: string }> {}
 *
 * const program = Effect.fail(new QuotaExceeded({ message: "Try again tomorrow" })).pipe(
 *   Emitter.run({ agentName: "researcher" }),
 *   Effect.provideService(Emitter.DescribeFailure, (cause) => {
 *     const error = Option.getOrUndefined(Cause.findErrorOption(cause))
 *     return error instanceof QuotaExceeded ? error.message : undefined
 *   })
 * )
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const DescribeFailure = Context.Reference<(cause: Cause.Cause<unknown>) => string | undefined>(
  "effect-emitter/DescribeFailure",
  { defaultValue: () => () => undefined }
)

/**
 * The message of the typed error in a cause: a `describe` for programs whose
 * errors are all written for their users, and hold no secret.
 *
 * @category conversions
 * @since 0.1.0
 */
export const errorMessage = (cause: Cause.Cause<unknown>): string | undefined => {
  const failure = Cause.findErrorOption(cause)
  if (Option.isNone(failure)) return undefined
  const error = failure.value
  return error instanceof Error ? error.message : typeof error === "string" ? error : undefined
}

/**
 * Why a run ended, as its cause tells. The reason is `timeout` only where the cause is
 * a `TimeoutError` of the run itself, and nothing else.
 *
 * @category conversions
 * @since 0.1.0
 */
export const reasonOf = (cause: Cause.Cause<unknown>): "cancelled" | "timeout" | "failed" => {
  if (Cause.hasInterruptsOnly(cause)) return "cancelled"
  return cause.reasons.every((reason) => Cause.isInterruptReason(reason) || isOwnTimeout(reason)) ? "timeout" : "failed"
}

const isOwnTimeout = (reason: Cause.Reason<unknown>): boolean =>
  Cause.isFailReason(reason) && Cause.isTimeoutError(reason.error) && !within.has(reason.error)

// The timeouts that ended tool calls and nested runs, not the run around them.
const within = new WeakSet<Cause.TimeoutError>()

/**
 * Notes that something within a run failed: should the run fail with the same
 * timeout, then it was not the run's own time that was over.
 *
 * @category operations
 * @since 0.1.0
 */
export const noteWithin = (cause: Cause.Cause<unknown>): void => {
  for (const reason of cause.reasons) {
    if (Cause.isFailReason(reason) && Cause.isTimeoutError(reason.error)) within.add(reason.error)
  }
}

/**
 * What is shown where nothing of the program may be.
 *
 * @category conversions
 * @since 0.1.0
 */
export const plainMessage = (what: "run" | "tool", cause: Cause.Cause<unknown>): string => {
  if (Cause.hasInterruptsOnly(cause)) return `The ${what} was cancelled`
  if (Cause.hasDies(cause)) return "An internal error occurred"
  return reasonOf(cause) === "timeout" ? `The ${what} took too long` : `The ${what} failed`
}

/**
 * The message as it is sent: not longer than helps on a small screen.
 *
 * @category conversions
 * @since 0.1.0
 */
export const shortened = (message: string): string => message.slice(0, maxMessage).toWellFormed()

const maxMessage = 1000
