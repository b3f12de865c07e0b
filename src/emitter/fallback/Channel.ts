/**
 * What a fallback channel is, why one does not take a batch, and which ones the
 * engine that is being built has.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import { SpoolFailure, SpoolFull, type SpoolStore } from "./SpoolStore.ts"

/**
 * A fallback channel.
 *
 * - `name` tells it from others in outcomes, errors and statistics.
 * - `deliver` takes the whole batch, or fails and takes nothing. It is called
 *   for one batch of a user at a time, in order, and may be interrupted. It
 *   must end: a channel that waits for ever keeps its user waiting.
 * - `spool` is there on a channel that only holds events until the broker takes
 *   them. While it holds something of a user, newer events of this user queue
 *   behind. At most one channel of a delivery has one.
 *
 * @category models
 * @since 0.1.0
 */
export interface FallbackChannel {
  readonly name: string
  readonly deliver: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<void, ChannelError>
  readonly spool?: SpoolStore
}

/**
 * The channels in the order in which they are asked. `undefined` stands for a spool
 * in memory.
 *
 * @category services
 * @since 0.1.0
 */
export const Channels = Context.Reference<ReadonlyArray<FallbackChannel> | undefined>(
  "effect-emitter/FallbackChannels",
  { defaultValue: () => undefined }
)

/**
 * The channel cannot be reached, or what it calls failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChannelUnavailable extends Schema.TaggedError<ChannelUnavailable>()("ChannelUnavailable", {
  cause: Schema.Defect()
}) {
  override get message() {
    return `it is not available: ${String(this.cause)}`
  }
}

/**
 * The other side answered, and refused for good: the same batch will be refused
 * again. `status` is that of the HTTP response, where there is one.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChannelRefused extends Schema.TaggedError<ChannelRefused>()("ChannelRefused", {
  detail: Schema.String,
  status: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    return `it refused: ${this.detail}`
  }
}

/**
 * The channel did not end within its deadline of `withinMs` milliseconds. What
 * it calls may have taken the batch all the same.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChannelTimeout extends Schema.TaggedError<ChannelTimeout>()("ChannelTimeout", {
  withinMs: Schema.Finite
}) {
  override get message() {
    return `it did not answer within ${this.withinMs} ms`
  }
}

/**
 * Why a channel did not take a batch.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChannelError extends Schema.TaggedError<ChannelError>()("ChannelError", {
  channel: Schema.String,
  reason: Schema.Union([ChannelUnavailable, ChannelRefused, ChannelTimeout, SpoolFull, SpoolFailure])
}) {
  override get message() {
    return `The fallback channel "${this.channel}" did not take the events: ${this.reason.message}`
  }
}

/**
 * One of the reasons of a {@link ChannelError}, told apart by `_tag`.
 *
 * @category errors
 * @since 0.1.0
 */
export type ChannelErrorReason = ChannelError["reason"]
