/**
 * One response in gzip, of which each write can be read as soon as it arrives.
 *
 * Its frames are compressed one by one, by the rules of the compressor: what is too small
 * is stored as it is, and without context takeover no frame refers to another.
 *
 * @see https://www.rfc-editor.org/rfc/rfc1952
 * @since 0.2.0
 */
import { crc32 } from "node:zlib"
import type { Message } from "../../hub/Transport.ts"
import { CompressedSender } from "./CompressedSender.ts"
import { type Compressor, mostWindowBits } from "./Compressor.ts"

/**
 * What a response in gzip says of itself.
 *
 * @category constants
 * @since 0.2.0
 */
export const headers = { "content-encoding": "gzip" }

/**
 * What an answer says of itself that depends on whether its client takes gzip. `vary`:
 * on what else it depends.
 *
 * @category getters
 * @since 0.2.0
 */
export const variesWith = (vary: string | undefined): { readonly vary: string } => ({
  vary: vary === undefined ? "Accept-Encoding" : `${vary}, Accept-Encoding`
})

/**
 * Whether a client takes gzip, by its `Accept-Encoding`.
 *
 * @category checks
 * @since 0.2.0
 */
export const isAccepted = (acceptEncoding: string | undefined): boolean => {
  let others = false
  for (const item of (acceptEncoding ?? "").split(",")) {
    const [name = "", ...parameters] = item.toLowerCase().split(";").map((part) => part.trim())
    const isTaken = !parameters.some((parameter) => /^q\s*=\s*0(\.0*)?$/.test(parameter))
    if (name === "gzip" || name === "x-gzip") return isTaken
    if (name === "*") others = isTaken
  }
  return others
}

// No name, no time, and any operating system.
const head = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])

// An empty block that is the last.
const lastBlock = Buffer.from([3, 0])

const mostStored = 0xffff

/**
 * Mutable: it counts what it has written, for the end of the stream. Its head is written
 * with the first message.
 *
 * @category models
 * @since 0.2.0
 */
export class GzipStream {
  private readonly sender: CompressedSender
  private readonly write: (bytes: Buffer) => void
  private checksum = 0
  private size = 0

  /** `write` is called with what is to be written, in order. */
  constructor(compressor: Compressor, write: (bytes: Buffer) => void) {
    this.write = write
    const { contextTakeover } = compressor.settings
    const options = { windowBits: mostWindowBits, contextTakeover, isOneStream: true }
    this.sender = new CompressedSender(compressor, options, (message, compressed) => {
      const plain = typeof message === "string" ? Buffer.from(message) : message
      if (plain.length === 0) return
      const isFirst = this.size === 0
      this.checksum = crc32(plain, this.checksum)
      this.size += plain.length
      const blocks = compressed === undefined ? stored(plain) : [compressed]
      write(Buffer.concat(isFirst ? [head, ...blocks] : blocks))
    })
  }

  /** Whether messages are still being compressed. */
  get isBusy(): boolean {
    return this.sender.isBusy
  }

  /** Bytes of messages that wait to be compressed. */
  get backlog(): number {
    return this.sender.backlog
  }

  /** Writes a message, after those that wait. */
  send(message: Message): void {
    this.sender.send(message)
  }

  /** Calls `done` once nothing waits to be compressed. */
  whenIdle(done: () => void): void {
    this.sender.whenIdle(done)
  }

  /** Ends the stream, after what waits, and calls `done`. */
  finish(done: () => void): void {
    this.whenIdle(() => {
      const trailer = Buffer.alloc(8)
      trailer.writeUInt32LE(this.checksum, 0)
      trailer.writeUInt32LE(this.size % 2 ** 32, 4)
      this.write(Buffer.concat(this.size === 0 ? [head, lastBlock, trailer] : [lastBlock, trailer]))
      this.end()
      done()
    })
  }

  /** Drops what waits. */
  end(): void {
    this.sender.end()
  }
}

// Blocks without compression.
const stored = (plain: Buffer): ReadonlyArray<Buffer> => {
  const blocks: Array<Buffer> = []
  for (let at = 0; at < plain.length; at += mostStored) {
    const part = plain.subarray(at, at + mostStored)
    const length = Buffer.alloc(5)
    length.writeUInt16LE(part.length, 1)
    length.writeUInt16LE(part.length ^ 0xffff, 3)
    blocks.push(length, part)
  }
  return blocks
}
