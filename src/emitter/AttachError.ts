/**
 * Why no emitter was attached to a run.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ErrorReason } from "../protocol/event/AgentEvents.ts"
import { RunId } from "../protocol/values/Identity.ts"

/**
 * The user's log knows nothing of the run, or nothing any more: it has not begun, is
 * another user's, or was forgotten.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunUnknown extends Schema.TaggedError<RunUnknown>()("RunUnknown", { run: RunId }) {
  override get message() {
    return `The user's log knows of no run ${this.run}: begin it, with an agent_started that has a key`
  }
}

/**
 * The run has ended. `outcome` is `completed`, or the reason of its `agent_error`.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunEnded extends Schema.TaggedError<RunEnded>()("RunEnded", {
  run: RunId,
  outcome: Schema.Union([Schema.Literal("completed"), ErrorReason])
}) {
  override get message() {
    return `Run ${this.run} has ended: ${this.outcome}`
  }
}

/**
 * Somebody else works on the run: an emitter of this process that is open, or
 * another process, which was seen to live.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunHeld extends Schema.TaggedError<RunHeld>()("RunHeld", {
  run: RunId,
  by: Schema.Literals(["thisProcess", "anotherProcess"])
}) {
  override get message() {
    return this.by === "thisProcess"
      ? `Run ${this.run} is held by an emitter of this process: close that one first`
      : `Run ${this.run} is held by another process, which lives`
  }
}

/**
 * Why an `attach` failed. The run is as it was.
 *
 * @category errors
 * @since 0.1.0
 */
export class AttachError extends Schema.TaggedError<AttachError>()("AttachError", {
  reason: Schema.Union([RunUnknown, RunEnded, RunHeld])
}) {
  override get message() {
    return this.reason.message
  }
}

/**
 * One of the reasons of an {@link AttachError}, told apart by `_tag`.
 *
 * @category errors
 * @since 0.1.0
 */
export type AttachErrorReason = AttachError["reason"]
