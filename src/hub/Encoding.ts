/**
 * How what a connection says becomes text.
 *
 * Bodies of events are stored as text already, so an `events` frame is built by
 * joining strings, without looking inside them.
 *
 * @since 0.1.0
 */
import type { Entry } from "../broker/Broker.ts"
import * as Envelope from "../protocol/Envelope.ts"
import * as Frame from "../protocol/Frame.ts"

/**
 * Writes messages for one kind of transport.
 *
 * - `events` writes entries of one epoch, in order. `upTo` tells a device with a
 *   thread filter that all offsets up to it were sent or filtered out.
 * - `frame` writes any other frame.
 *
 * @category models
 * @since 0.1.0
 */
export interface Encoding {
  readonly events: (epoch: string, entries: ReadonlyArray<Entry>, upTo: number | undefined) => string
  readonly frame: (frame: Exclude<Frame.ServerFrame, typeof Frame.Events.Type>) => string
}

/**
 * Bytes that an event takes in a frame beyond its body: the offset and a comma.
 *
 * @category constants
 * @since 0.1.0
 */
export const overheadBytes = 32

/**
 * Bytes that an `events` frame takes beyond its events, at most.
 *
 * @category constants
 * @since 0.1.0
 */
export const envelopeBytes = 112

/**
 * The JSON frames of the wire protocol.
 *
 * @category encodings
 * @since 0.1.0
 */
export const frames: Encoding = {
  events: (epoch, entries, upTo) => {
    let text = upTo === undefined
      ? `{"type":"events","epoch":"${epoch}","events":[`
      : `{"type":"events","epoch":"${epoch}","upTo":${upTo},"events":[`
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index]
      if (entry === undefined) continue
      if (index > 0) text += ","
      text += Envelope.toJson(entry.offset, entry.body)
    }
    return text + "]}"
  },
  frame: Frame.encode
}
