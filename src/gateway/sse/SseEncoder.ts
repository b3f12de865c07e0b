/**
 * The frames of the wire protocol as server-sent events, with LF line ends.
 *
 * JSON texts hold no line breaks, so each is one `data` line. Texts of events that are
 * stored as bytes are copied, without looking inside them.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 * @since 0.2.0
 */
import { type FrameEncoder, overheadBytes } from "../../hub/connection/FrameEncoder.ts"
import * as Envelope from "../../protocol/wire/Envelope.ts"
import * as Frame from "../../protocol/wire/Frame.ts"
import * as Position from "../../protocol/values/Position.ts"

// What stands around the epoch, the type and the text of an event, and around an epoch alone.
const aroundEvent = "id: :9007199254740991\nevent: \ndata: \n\n".length
const aroundPosition = "id: :9007199254740991\n\n".length

// A name may be of any characters.
const bytesPerCharacter = 3

const lineBreak = 0x0a

/**
 * Each event has its position as its id, and its type as its name. All other frames
 * have names that begin with `frame:`. What a thread filter left out moves the id alone.
 *
 * @category encoders
 * @since 0.1.0
 */
export const encoder: FrameEncoder = {
  events: (epoch, entries, upTo) => {
    let size = aroundPosition + epoch.length
    for (const { bytes, type } of entries) {
      size += aroundEvent + epoch.length + bytesPerCharacter * type.length + bytes + overheadBytes
    }
    const events = Buffer.allocUnsafe(size)
    let at = 0
    for (const entry of entries) {
      const { offset, type, written } = entry
      const head = `id: ${epoch}:${offset}\nevent: ${type}\ndata: `
      if (written === undefined) {
        at += events.write(`${head}${Envelope.toJson(offset, entry.body)}`, at, "utf8")
      } else {
        at += events.write(head, at, "utf8")
        // Without the comma behind it.
        const text = written.page.subarray(written.start, written.end - 1)
        events.set(text, at)
        at += text.length
      }
      events[at++] = lineBreak
      events[at++] = lineBreak
    }
    if (upTo !== undefined && entries.at(-1)?.offset !== upTo) {
      at += events.write(`id: ${epoch}:${upTo}\n\n`, at, "latin1")
    }
    return events.subarray(0, at)
  },
  frame: (frame) => {
    const id = frame.type === "gap" ? `id: ${Position.toText({ epoch: frame.epoch, offset: frame.to })}\n` : ""
    return `${id}event: frame:${frame.type}\ndata: ${Frame.encode(frame)}\n\n`
  }
}
