/**
 * Why a model's response, or an agent over several of them, did not come to its end.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

/**
 * The provider reported an error within its response: `error` is what it reported. It
 * may quote what the program sent, so it does not stand in the message.
 *
 * @category errors
 * @since 0.2.0
 */
export class ProviderFailed extends Schema.TaggedError<ProviderFailed>()("ProviderFailed", {
  error: Schema.Unknown
}) {
  override get message() {
    return "The model's provider reported an error within its response"
  }
}

/**
 * The response ended without its `finish` part: it was cut off on its way.
 *
 * @category errors
 * @since 0.2.0
 */
export class ResponseTruncated extends Schema.TaggedError<ResponseTruncated>()("ResponseTruncated", {}) {
  override get message() {
    return "The model's response was cut off: it ended without a finish part"
  }
}

/**
 * A response that looks complete to a stream and is not. All of its parts were passed on.
 *
 * @category errors
 * @since 0.2.0
 */
export class ResponseError extends Schema.TaggedError<ResponseError>()("ResponseError", {
  reason: Schema.Union([ProviderFailed, ResponseTruncated])
}) {
  override get message() {
    return this.reason.message
  }
}

/**
 * The model still called tools after as many steps as an agent may take. The tools of
 * the last step did not run.
 *
 * @category errors
 * @since 0.2.0
 */
export class StepLimitReached extends Schema.TaggedError<StepLimitReached>()("StepLimitReached", {
  maxSteps: Schema.Int
}) {
  override get message() {
    return `The model had no answer after ${this.maxSteps} steps (maxSteps)`
  }
}
