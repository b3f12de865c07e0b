/**
 * An event with its id, time and context, as it travels through a broker.
 *
 * An envelope is written to JSON once, when its event is emitted. The broker
 * adds the one thing that was not known then, the offset, by putting it before
 * the rest (`Envelope.toJson`): the same text then serves every device.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import type { DeliveryClass } from "./Event.ts"
import type { EventId, RunId, ThreadId } from "./Identity.ts"

/**
 * An event on its way.
 *
 * - `id` names it for ever; a broker takes each id once.
 * - `at` is its time, in milliseconds since the Unix epoch.
 * - `body` is the JSON text of a `WireEvent` without its leading offset:
 *   `"id":"…","type":"…",…,"data":{…}}`.
 * - `bytes` is the length of `body` in UTF-8.
 * - `data` is the encoded payload, for folding the run's state; a broker need
 *   not keep it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Envelope {
  readonly id: EventId
  readonly type: string
  readonly delivery: DeliveryClass
  readonly at: number
  readonly run: RunId | undefined
  readonly thread: ThreadId | undefined
  readonly confirm: boolean
  readonly body: string
  readonly bytes: number
  readonly data: Schema.JsonObject
}

/**
 * The JSON text of the `WireEvent` that the envelope becomes at this offset.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toJson = (offset: number, body: string): string => `{"offset":${offset},${body}`
