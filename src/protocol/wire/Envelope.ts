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
import type { DeliveryClass, Keep } from "../event/Event.ts"
import type { EventId, RunId, ThreadId } from "../values/Identity.ts"

/**
 * An event on its way.
 *
 * - `id` names it for ever, and is `source` followed by `sequence`.
 * - `source` names the emitter it came from, `sequence` counts that emitter's
 *   events upwards from 1 (numbers may be left out). A broker takes each number
 *   of a source once: that an event was repeated shows from two numbers, so a
 *   log need not remember every id.
 * - `at` is its time, in milliseconds since the Unix epoch.
 * - `keep` says how an own event is kept in the state of its run.
 * - `body` is the JSON text, on one line, of a `WireEvent` without its leading offset:
 *   `"id":"…","type":"…",…,"data":{…}}`. A `keep` follows its type.
 * - `bytes` is the length of `body` in UTF-8.
 * - `data` is the encoded payload, for folding the run's state; a broker need
 *   not keep it. It is what `body` says, and shares nothing with the program that
 *   emitted it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Envelope {
  readonly id: EventId
  readonly source: string
  readonly sequence: number
  readonly type: string
  readonly delivery: DeliveryClass
  readonly at: number
  readonly run: RunId | undefined
  readonly thread: ThreadId | undefined
  readonly confirm: boolean
  readonly keep?: Keep | undefined
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

const keepPattern = /^"id":"[^"]+","type":"[^"]+","keep":"(part|newest)",/

/**
 * How an own event is kept in the state of its run, as its body says.
 *
 * @category conversions
 * @since 0.2.0
 */
export const keepIn = (body: string): Keep | undefined => {
  const [, keep] = keepPattern.exec(body) ?? []
  return keep === "part" || keep === "newest" ? keep : undefined
}
