/**
 * Why a broker did not do what it was asked.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RunId } from "../protocol/values/Identity.ts"

/**
 * Whose trouble a failure is, so that one user's costs no other user anything:
 *
 * - `user`: of this user's log or of what was asked; other users' calls succeed;
 * - `broker`: of the broker; other users' calls fail as well;
 * - `undecided`: it may be either, which only another user's call tells.
 *
 * @category models
 * @since 0.1.0
 */
export const Blame = Schema.Literals(["user", "broker", "undecided"])

/**
 * One of these.
 *
 * @category models
 * @since 0.1.0
 */
export type Blame = typeof Blame.Type

const blameOr = (byDefault: Blame) =>
  Blame.pipe(
    Schema.withConstructorDefault(Effect.succeed(byDefault)),
    Schema.withDecodingDefaultKey(Effect.succeed(byDefault))
  )

/**
 * The broker cannot be reached or does not answer; `cause` says why, and what to
 * do where that is known. `operation` took
 * `afterMs` milliseconds. It is the broker's trouble unless `blame` says
 * otherwise: a call that had no answer in time is `undecided`.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerUnavailable extends Schema.TaggedError<BrokerUnavailable>()("BrokerUnavailable", {
  operation: Schema.String,
  afterMs: Schema.Finite,
  cause: Schema.Defect(),
  blame: blameOr("broker")
}) {
  override get message() {
    const why = this.cause instanceof Error && this.cause.message !== "" ? `: ${this.cause.message}` : ""
    return `The broker did not take "${this.operation}" (after ${this.afterMs} ms)${why}`
  }
}

/**
 * The broker answered, and refused: it is out of memory or misconfigured, or it
 * cannot take this very thing. Whose trouble that is, is `undecided` unless
 * `blame` says otherwise.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerRefused extends Schema.TaggedError<BrokerRefused>()("BrokerRefused", {
  operation: Schema.String,
  detail: Schema.String,
  blame: blameOr("undecided")
}) {
  override get message() {
    return `The broker refused "${this.operation}": ${this.detail}`
  }
}

/**
 * The broker works, and took nothing of the batch: `runs`, which it has new
 * events of, were ended as lost, since the lease of their process ran out. What
 * is not theirs may be appended.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunLost extends Schema.TaggedError<RunLost>()("RunLost", {
  runs: Schema.NonEmptyArray(RunId)
}) {
  /** The broker works: it is the user's. */
  get blame(): Blame {
    return "user"
  }
  override get message() {
    return `These runs were ended as lost, and take no more events: ${this.runs.join(", ")}`
  }
}

/**
 * Why a broker did not do what it was asked.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerError extends Schema.TaggedError<BrokerError>()("BrokerError", {
  reason: Schema.Union([BrokerUnavailable, BrokerRefused, RunLost])
}) {
  /** Whose trouble it is. */
  get blame(): Blame {
    return this.reason.blame
  }
  override get message() {
    return this.reason.message
  }
}

/**
 * One of the reasons of a {@link BrokerError}, told apart by `_tag`.
 *
 * @category errors
 * @since 0.1.0
 */
export type BrokerErrorReason = BrokerError["reason"]
