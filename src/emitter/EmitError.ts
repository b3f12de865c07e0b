/**
 * Why an event was not accepted, or not confirmed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { IllegalEvent } from "../protocol/run/RunState.ts"

/**
 * The payload does not fit its schema; `problem` names each path and value.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>()("InvalidPayload", {
  event: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `The payload of ${this.event} is not valid: ${this.problem}`
  }
}

/**
 * The encoded event has `bytes` bytes, and `limit` are allowed
 * (`maxEventBytes`).
 *
 * @category errors
 * @since 0.1.0
 */
export class EventTooLarge extends Schema.TaggedError<EventTooLarge>()("EventTooLarge", {
  event: Schema.String,
  bytes: Schema.Int,
  limit: Schema.Int
}) {
  override get message() {
    return `${this.event} has ${this.bytes} bytes, ${this.limit} are allowed (maxEventBytes)`
  }
}

/**
 * The user has `pending` events pending, as many as allowed, and
 * `batching.overflow` is `fail`.
 *
 * @category errors
 * @since 0.1.0
 */
export class Overflow extends Schema.TaggedError<Overflow>()("Overflow", {
  pending: Schema.Int,
  limit: Schema.Int
}) {
  override get message() {
    return `${this.pending} events are pending, ${this.limit} are allowed (batching.capacity)`
  }
}

/**
 * An event of scope `run` came from an emitter that has no run, in a fiber that is
 * in none of its runs.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoRun extends Schema.TaggedError<NoRun>()("NoRun", { event: Schema.String }) {
  override get message() {
    return `${this.event} belongs to a run, and there is none here: emit it within Emitter.run, ` +
      "from this emitter or the one that the run gives, or give the emitter's context a runId"
  }
}

/**
 * The emitter's scope, or that of its layer, has closed.
 *
 * @category errors
 * @since 0.1.0
 */
export class EmitterClosed extends Schema.TaggedError<EmitterClosed>()("EmitterClosed", {}) {
  override get message() {
    return "The emitter is closed"
  }
}

/**
 * No device acknowledged the event in time. `progress` tells how far it got:
 * it did not reach the log (`notAppended`), no device was connected
 * (`notConnected`), or none acknowledged it (`notAcknowledged`).
 *
 * @category errors
 * @since 0.1.0
 */
export class NotConfirmed extends Schema.TaggedError<NotConfirmed>()("NotConfirmed", {
  event: Schema.String,
  progress: Schema.Literals(["notAppended", "notConnected", "notAcknowledged"]),
  attempts: Schema.Int,
  withinMs: Schema.Finite
}) {
  override get message() {
    return `No device confirmed ${this.event} (${this.attempts} × ${this.withinMs} ms): ${this.progress}`
  }
}

export {
  /**
   * The event is not legal where its run stands: `state` says where that is,
   * `problem` which rule it breaks.
   *
   * @category errors
   * @since 0.1.0
   */
  IllegalEvent
} from "../protocol/run/RunState.ts"

/**
 * Why an `emit` failed. Nothing was accepted, except with `NotConfirmed`: then
 * the event is on its way, and a device may still get it.
 *
 * @category errors
 * @since 0.1.0
 */
export class EmitError extends Schema.TaggedError<EmitError>()("EmitError", {
  reason: Schema.Union([InvalidPayload, EventTooLarge, IllegalEvent, NoRun, Overflow, EmitterClosed, NotConfirmed])
}) {
  override get message() {
    return this.reason.message
  }
}

/**
 * One of the reasons of an {@link EmitError}, told apart by `_tag`.
 *
 * @category errors
 * @since 0.1.0
 */
export type EmitErrorReason = EmitError["reason"]
