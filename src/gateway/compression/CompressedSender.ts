/**
 * Sends one device's messages through a compressor, in their order.
 *
 * A message that another thread compresses holds up those after it, and what waits
 * counts before it is compressed, since that is what this process holds. What was handed
 * on is the network's to count.
 *
 * @since 0.2.0
 */
import type { Message } from "../../hub/Transport.ts"
import { CompressionContext } from "./CompressionContext.ts"
import { type Compressor, mostAtOnce } from "./Compressor.ts"

/**
 * Takes messages to the network, in order. `compressed` is the message as deflate data
 * that ends in an empty block; without it the message goes out as it is.
 *
 * @category models
 * @since 0.2.0
 */
export type Sink = (message: Message, compressed: Buffer | undefined) => void

/**
 * - `windowBits`: how far the device can look back, as a power of 2;
 * - `contextTakeover`: whether a message may refer to those before it;
 * - `isOneStream`: messages that go out as they are can be referred to as well.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options {
  readonly windowBits: number
  readonly contextTakeover: boolean
  readonly isOneStream: boolean
}

/**
 * Mutable: while nothing waits it is a few fields.
 *
 * @category models
 * @since 0.2.0
 */
export class CompressedSender {
  private readonly compressor: Compressor
  private readonly options: Options
  private readonly sink: Sink
  private readonly context = new CompressionContext()
  // While another thread is at work for this device: the message that it works at, and those after it.
  private waiting: Array<Message> | undefined
  private waitingBytes = 0
  private afterwards: (() => void) | undefined
  private ended = false

  constructor(compressor: Compressor, options: Options, sink: Sink) {
    this.compressor = compressor
    this.options = options
    this.sink = sink
  }

  /** Whether messages wait. */
  get isBusy(): boolean {
    return this.waiting !== undefined
  }

  /** Bytes of messages that wait. */
  get backlog(): number {
    return this.waitingBytes
  }

  /** Sends a message, after those that wait. */
  send(message: Message): void {
    if (this.ended) return
    if (this.waiting === undefined) return this.next(message)
    this.waiting.push(message)
    this.waitingBytes += Buffer.byteLength(message)
  }

  /** Calls `done` once nothing waits any more: now, or later. A later call takes the place of one that waits. */
  whenIdle(done: () => void): void {
    if (this.isBusy) this.afterwards = done
    else done()
  }

  /** Drops what waits, and the context. Nothing is sent any more. */
  end(): void {
    this.ended = true
    this.waiting = undefined
    this.waitingBytes = 0
    this.afterwards = undefined
    this.compressor.forget(this.context)
  }

  private next(message: Message): void {
    const { compressor, context, options: { windowBits } } = this
    const size = Buffer.byteLength(message)
    if (size < compressor.settings.threshold) return this.pass(message)
    const plain = typeof message === "string" ? Buffer.from(message) : message
    if (size <= mostAtOnce) return this.handOrPass(plain, compressor.compress(plain, context, windowBits))
    const goes = compressor.compressLater(plain, context, windowBits, (it, compressed) => this.resume(it, compressed))
    if (!goes) return this.pass(plain)
    this.waiting = []
    this.waitingBytes = size
  }

  private resume(plain: Buffer, compressed: Buffer | undefined): void {
    const { ended, waiting = [] } = this
    if (ended) return
    this.waiting = undefined
    this.waitingBytes = 0
    this.handOrPass(plain, compressed)
    for (const message of waiting) this.send(message)
    if (this.isBusy) return
    const done = this.afterwards
    this.afterwards = undefined
    done?.()
  }

  // What became no smaller goes out as it is, as does what zlib could not compress.
  private handOrPass(plain: Buffer, compressed: Buffer | undefined): void {
    if (compressed === undefined || compressed.length >= plain.length) return this.pass(plain)
    if (this.options.contextTakeover) this.compressor.remember(this.context, plain)
    this.sink(plain, compressed)
  }

  private pass(message: Message): void {
    const { contextTakeover, isOneStream } = this.options
    if (isOneStream && contextTakeover) {
      this.compressor.remember(this.context, typeof message === "string" ? Buffer.from(message) : message)
    }
    this.sink(message, undefined)
  }
}
