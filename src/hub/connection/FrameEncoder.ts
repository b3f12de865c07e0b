/**
 * Writes frames as text.
 *
 * Bodies of events are stored as text already, most of them as bytes, so an
 * `events` frame is built by copying, without looking inside them.
 *
 * @since 0.1.0
 */
import type { Entry } from "../../broker/Broker.ts"
import * as Envelope from "../../protocol/wire/Envelope.ts"
import * as Frame from "../../protocol/wire/Frame.ts"

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
export interface FrameEncoder {
  readonly events: (epoch: string, entries: ReadonlyArray<Entry>, upTo: number | undefined) => Buffer
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

const tail = "]}"

/**
 * The JSON frames of the wire protocol.
 *
 * @category encoders
 * @since 0.1.0
 */
export const frames: FrameEncoder = {
  events: (epoch, entries, upTo) => {
    const head = upTo === undefined
      ? `{"type":"events","epoch":"${epoch}","events":[`
      : `{"type":"events","epoch":"${epoch}","upTo":${upTo},"events":[`
    let size = head.length + tail.length
    for (const { bytes } of entries) size += bytes + overheadBytes
    const frame = Buffer.allocUnsafe(size)
    let at = frame.write(head, "latin1")
    // Texts that stand one behind the other are copied together.
    let page: Uint8Array | undefined
    let from = 0
    let to = 0
    const copy = (bytes: Uint8Array) => {
      frame.set(bytes.subarray(from, to), at)
      at += to - from
    }
    for (const entry of entries) {
      const { written } = entry
      if (written !== undefined && written.page === page && written.start === to) {
        to = written.end
        continue
      }
      if (page !== undefined) copy(page)
      page = written?.page
      if (written === undefined) {
        at += frame.write(`${Envelope.toJson(entry.offset, entry.body)},`, at, "utf8")
      } else {
        from = written.start
        to = written.end
      }
    }
    if (page !== undefined) copy(page)
    // The comma behind the last.
    if (entries.length > 0) at--
    return frame.subarray(0, at + frame.write(tail, at, "latin1"))
  },
  frame: Frame.encode
}
