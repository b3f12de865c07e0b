/**
 * The end of what one device was sent compressed. The next frame may refer to it, and
 * takes a fraction of the room then.
 *
 * It stands for the window of a zlib stream: given as a dictionary it has the same
 * effect, and takes one kibibyte instead of a quarter of a mebibyte. It may be forgotten
 * at any time, since a sender need not refer to what it sent.
 *
 * @since 0.2.0
 */

/**
 * How much of what was sent is remembered. Events of a run repeat their ids and names,
 * so that the last few hold most of what the next repeats.
 *
 * @category constants
 * @since 0.2.0
 */
export const contextBytes = 1024

/**
 * Mutable: it changes with each frame, and takes no room until the first.
 *
 * @category models
 * @since 0.2.0
 */
export class CompressionContext {
  private bytes: Buffer | undefined
  private length = 0

  /** What may be referred to; `undefined` where that is nothing. */
  get history(): Buffer | undefined {
    return this.bytes?.subarray(contextBytes - this.length)
  }

  /** The device was sent this. */
  append(sent: Buffer): void {
    this.bytes ??= Buffer.allocUnsafeSlow(contextBytes)
    if (sent.length < contextBytes) this.bytes.copyWithin(0, sent.length)
    const kept = Math.min(sent.length, contextBytes)
    sent.copy(this.bytes, contextBytes - kept, sent.length - kept)
    this.length = Math.min(contextBytes, this.length + kept)
  }

  /** Nothing that was sent is referred to any more. */
  forget(): void {
    this.bytes = undefined
    this.length = 0
  }
}
