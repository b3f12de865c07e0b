/**
 * Texts of entries as bytes, one behind the other, outside of the engine's heap.
 *
 * A log keeps thousands of events for an hour. As strings, each is several
 * objects that the collector of garbage must copy and look at again and again,
 * and every device's frame would translate them into UTF-8 anew. So a text that
 * a reader has asked for moves to a page, once for all readers.
 *
 * @since 0.1.0
 */
import * as Envelope from "../../protocol/wire/Envelope.ts"
import { pageAfter } from "../TextPage.ts"

const maxBytes = 64 * 1024
// What the text of an entry has beyond its body: the leading offset, and a comma behind it.
const overhead = 32

/**
 * A page of texts. It is written from its beginning to its end, once.
 *
 * @category models
 * @since 0.1.0
 */
export class Page {
  readonly bytes: Buffer
  /** The highest offset of an entry whose text stands here. */
  last = 0
  private used = 0

  private constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** The page that has room for a body of so many bytes: the given one, or a new one, of up to 64 KiB. */
  static withRoom(bytes: number, page: Page | undefined): Page {
    const wanted = bytes + overhead
    if (page !== undefined && page.bytes.length - page.used >= wanted) return page
    return new Page(pageAfter(page?.bytes, wanted, maxBytes))
  }

  /** Adds the text of the entry with this offset, and a comma; returns where it ends. */
  write(offset: number, body: string, bytes: number): number {
    // Where every character is one byte they are all ASCII, and copied as they are.
    const encoding = bytes === body.length ? "latin1" : "utf8"
    if (offset > this.last) this.last = offset
    this.used += this.bytes.write(`${Envelope.toJson(offset, body)},`, this.used, encoding)
    return this.used
  }

  /** Where the next text will begin. */
  get end(): number {
    return this.used
  }
}
