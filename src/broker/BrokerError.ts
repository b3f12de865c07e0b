/**
 * Why a broker did not do what it was asked.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { RunId } from "../protocol/Identity.ts"

/**
 * The broker cannot be reached or does not answer. `operation` took
 * `afterMs` milliseconds.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerUnavailable extends Schema.TaggedError<BrokerUnavailable>()("BrokerUnavailable", {
  operation: Schema.String,
  afterMs: Schema.Finite,
  cause: Schema.Defect()
}) {
  override get message() {
    return `The broker did not take "${this.operation}" (after ${this.afterMs} ms)`
  }
}

/**
 * The broker answered, and refused: it is out of memory, or misconfigured.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerRefused extends Schema.TaggedError<BrokerRefused>()("BrokerRefused", {
  operation: Schema.String,
  detail: Schema.String
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
  override get message() {
    return this.reason.message
  }
}
