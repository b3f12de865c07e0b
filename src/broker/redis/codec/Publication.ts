/**
 * Reads the events that come with a publication: the same text of headers and bodies
 * as in a block, as bytes.
 *
 * The text of each event is copied once, with its offset before it and a comma behind
 * it, as frames want it (see `Written`). So it is decoded for nobody who does not ask
 * for it, and nothing keeps the piece of the socket's stream that it came in.
 *
 * @since 0.2.0
 */
import type { DeliveryClass } from "../../../protocol/event/Event.ts"
import type { RunId, ThreadId } from "../../../protocol/values/Identity.ts"
import * as Envelope from "../../../protocol/wire/Envelope.ts"
import type { Entry, Written } from "../../Broker.ts"
import { bodyBefore, pageAfter } from "../../TextPage.ts"
import * as RedisBlock from "./Block.ts"
import * as Reply from "./Reply.ts"

/**
 * The events of a publication, and the page that their texts stand on.
 *
 * @category models
 * @since 0.2.0
 */
export interface Published {
  readonly entries: ReadonlyArray<Entry>
  readonly page: Page
}

class PublishedEntry implements Entry, Written {
  readonly offset: number
  readonly type: string
  readonly delivery: DeliveryClass
  readonly at: number
  readonly run: RunId | undefined
  readonly thread: ThreadId | undefined
  readonly confirm: boolean
  readonly bytes: number
  readonly page: Buffer
  readonly start: number
  readonly end: number

  constructor(offset: number, about: RedisBlock.About, page: Buffer, start: number, end: number) {
    this.offset = offset
    this.type = about.type
    this.delivery = about.delivery
    this.at = about.at
    this.run = about.run
    this.thread = about.thread
    this.confirm = about.confirm
    this.bytes = about.bytes
    this.page = page
    this.start = start
    this.end = end
  }

  get body(): string {
    return bodyBefore(this.page, this.end, this.bytes)
  }

  get written(): Written {
    return this
  }
}

/**
 * The byte that ends a line.
 *
 * @category constants
 * @since 0.2.0
 */
export const lineBreak = 0x0a

const comma = 0x2c

/**
 * Where texts of events are written, one behind the other, up to `used`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Page {
  readonly bytes: Buffer
  used: number
}

const maxPage = 16 * 1024

const pageFor = (size: number, page: Page | undefined): Page =>
  page !== undefined && page.bytes.length - page.used >= size
    ? page
    : { bytes: pageAfter(page?.bytes, size, maxPage), used: 0 }

/**
 * Reads the events `first` to `last`, and writes them to the page if it has room for
 * them, else to a new one. It throws where they are no such text.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toPublished = (text: Buffer, first: number, last: number, latest?: Page): Published => {
  // A header and its line break are longer than an offset and a comma, which come in their place.
  const page = pageFor(text.length + 1, latest)
  const { bytes } = page
  const entries: Array<Entry> = []
  let from = 0
  let to = page.used
  for (let offset = first; offset <= last; offset++) {
    const bodyFrom = text.indexOf(lineBreak, from) + 1
    const about = RedisBlock.toAbout(text.toString("utf8", from, bodyFrom - 1))
    const bodyTo = bodyFrom + about.bytes
    if (bodyTo !== text.length && text[bodyTo] !== lineBreak) throw new Reply.UnexpectedReply("a whole event", text)
    const start = to
    to += bytes.write(Envelope.toJson(offset, ""), to, "latin1")
    to += text.copy(bytes, to, bodyFrom, bodyTo)
    bytes[to++] = comma
    entries.push(new PublishedEntry(offset, about, bytes, start, to))
    from = bodyTo + 1
  }
  if (from <= text.length) throw new Reply.UnexpectedReply("so many events", text)
  page.used = to
  return { entries, page }
}
