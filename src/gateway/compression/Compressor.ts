/**
 * Compresses frames, for all devices of a gateway.
 *
 * A frame becomes raw deflate data (RFC 1951) that ends at a byte, in an empty block. It
 * can be read by itself, or, with a context, after what its device was sent before. So
 * it fits into a message of WebSocket and into a stream of gzip alike, and devices at
 * the same place share one.
 *
 * - **prompt**: a small frame is compressed at once, a large one by another thread, so
 *   that no turn of the event loop works for long;
 * - **bounded**: frames that wait for a thread, and contexts, take no more than
 *   `memory`. Where there is no room the contexts that were not used for longest are
 *   forgotten, and a frame that needs more goes out as it is. zlib takes a quarter of a
 *   mebibyte more for each of two frames at a time;
 * - **without a rest**: nothing is kept for a device but its context.
 *
 * @see https://www.rfc-editor.org/rfc/rfc1951
 * @since 0.2.0
 */
import { constants, deflateRaw, deflateRawSync, type ZlibOptions } from "node:zlib"
import { type CompressionContext, contextBytes } from "./CompressionContext.ts"
import type { Counts } from "./Counts.ts"

/**
 * - `threshold`: frames of fewer bytes go out as they are;
 * - `level`: how hard zlib tries, from 1 to 9;
 * - `contextTakeover`: whether a frame may refer to those before it;
 * - `memory`: the most bytes for frames that wait and for contexts.
 *
 * @category models
 * @since 0.2.0
 */
export interface Settings {
  readonly threshold: number
  readonly level: number
  readonly contextTakeover: boolean
  readonly memory: number
}

/**
 * Frames of more bytes are compressed by another thread. So much takes a tenth of a
 * millisecond.
 *
 * @category constants
 * @since 0.2.0
 */
export const mostAtOnce = 8 * 1024

/**
 * How many frames other threads work at. Node has four threads for files, names and
 * signatures too.
 *
 * @category constants
 * @since 0.2.0
 */
export const parallel = 2

/**
 * Is given a frame, and what became of it; nothing where zlib failed.
 *
 * @category models
 * @since 0.2.0
 */
export type Done = (plain: Buffer, compressed: Buffer | undefined) => void

interface Job {
  readonly plain: Buffer
  readonly history: Buffer | undefined
  readonly windowBits: number
  // The devices that wait for it.
  readonly done: Array<Done>
}

const toError = (cause: unknown): Error => cause instanceof Error ? cause : new Error(String(cause))

const isSame = (one: Buffer | undefined, other: Buffer | undefined): boolean =>
  one === other || (one !== undefined && other !== undefined && one.equals(other))

/**
 * Mutable: it counts each frame, by plain calls.
 *
 * @category models
 * @since 0.2.0
 */
export class Compressor {
  readonly settings: Settings
  private readonly failed: (error: Error) => void
  // The one that was not used for longest is first.
  private readonly contexts = new Set<CompressionContext>()
  private readonly waiting: Array<Job> = []
  private working = 0
  // The last frame that another thread was given, until it is done.
  private newest: Job | undefined
  private waitingBytes = 0
  private frames = 0
  private before = 0
  private after = 0
  private passed = 0
  // The last frame that was compressed at once, and what it was compressed with.
  private last: { readonly plain: Buffer; readonly windowBits: number; readonly result: Buffer } | undefined
  private readonly lastHistory = Buffer.allocUnsafeSlow(contextBytes)
  private lastHistoryLength = 0

  /** `failed` is called when zlib fails. The frame then goes out as it is. */
  constructor(settings: Settings, failed: (error: Error) => void) {
    this.settings = settings
    this.failed = failed
  }

  /** What was done so far. */
  get counts(): Counts {
    const { after, before, frames, memory, passed } = this
    return { frames, before, after, passed, memory }
  }

  /** Bytes of frames that wait and of contexts. */
  get memory(): number {
    return this.waitingBytes + this.contexts.size * contextBytes
  }

  /**
   * Compresses a frame of at most `mostAtOnce` bytes; gives nothing where zlib failed. References reach back 2 to the power of
   * `windowBits` bytes, at most.
   */
  compress(plain: Buffer, { history }: CompressionContext, windowBits: number): Buffer | undefined {
    const { last } = this
    const known = last !== undefined && last.windowBits === windowBits && last.plain.equals(plain)
        && isSame(history, this.historyOfLast)
      ? last.result
      : undefined
    const result = known ?? this.deflate(plain, history, windowBits)
    if (result === undefined) {
      this.passed++
      return undefined
    }
    if (known === undefined) {
      this.last = { plain, windowBits, result }
      this.lastHistoryLength = history?.copy(this.lastHistory) ?? 0
    }
    this.count(plain, result)
    return result
  }

  /**
   * Compresses a frame of any size by another thread. `done` is called later, without the frame if zlib failed. `false`:
   * there is no room, and `done` is not called.
   */
  compressLater(plain: Buffer, { history }: CompressionContext, windowBits: number, done: Done): boolean {
    const { newest } = this
    if (newest?.windowBits === windowBits && newest.plain.equals(plain) && isSame(history, newest.history)) {
      newest.done.push(done)
      return true
    }
    if (!this.makeRoom(plain.length)) {
      this.passed++
      return false
    }
    this.waitingBytes += plain.length
    const job: Job = { plain, history, windowBits, done: [done] }
    this.newest = job
    this.waiting.push(job)
    this.work()
    return true
  }

  /** Notes that a device was sent this, so that its next frame may refer to it. */
  remember(context: CompressionContext, sent: Buffer): void {
    if (!this.contexts.delete(context) && !this.makeRoom(contextBytes)) return
    this.contexts.add(context)
    context.append(sent)
  }

  /** Lets go of a context. */
  forget(context: CompressionContext): void {
    this.contexts.delete(context)
    context.forget()
  }

  // Whether there is room, once as many contexts as it takes are forgotten. What else waits stays.
  private makeRoom(bytes: number): boolean {
    const { memory } = this.settings
    if (this.waitingBytes + bytes > memory) return false
    for (const oldest of this.contexts) {
      if (this.memory + bytes <= memory) break
      this.forget(oldest)
    }
    return true
  }

  private get historyOfLast(): Buffer | undefined {
    return this.lastHistoryLength === 0 ? undefined : this.lastHistory.subarray(0, this.lastHistoryLength)
  }

  private work(): void {
    while (this.working < parallel) {
      const job = this.waiting.shift()
      if (job === undefined) return
      this.working++
      const { history, plain, windowBits } = job
      try {
        deflateRaw(
          plain,
          this.optionsFor(plain, history, windowBits),
          (error, result) => this.finish(job, error ?? undefined, result)
        )
      } catch (error) {
        // Whoever gave the frame does not know yet that it waits.
        queueMicrotask(() => this.finish(job, toError(error), undefined))
      }
    }
  }

  private finish(job: Job, error: Error | undefined, result: Buffer | undefined): void {
    const { done: all, plain } = job
    const compressed = error === undefined ? result : undefined
    this.working--
    this.waitingBytes -= plain.length
    if (this.newest === job) this.newest = undefined
    this.work()
    if (error !== undefined) this.failed(error)
    for (const done of all) {
      if (compressed === undefined) this.passed++
      else this.count(plain, compressed)
      done(plain, compressed)
    }
  }

  // zlib may have no memory for the frame.
  private deflate(plain: Buffer, history: Buffer | undefined, windowBits: number): Buffer | undefined {
    try {
      return deflateRawSync(plain, this.optionsFor(plain, history, windowBits))
    } catch (error) {
      this.failed(toError(error))
      return undefined
    }
  }

  private count(plain: Buffer, result: Buffer): void {
    this.frames++
    this.before += plain.length
    this.after += result.length
  }

  // What zlib takes grows with the window, so it is as large as the frame needs.
  private optionsFor(plain: Buffer, history: Buffer | undefined, most: number): ZlibOptions {
    const needed = Math.ceil(Math.log2(plain.length + (history?.length ?? 0) + lookAhead))
    const windowBits = Math.min(most, Math.max(leastWindowBits, needed))
    return {
      level: this.settings.level,
      windowBits,
      memLevel: Math.min(8, Math.max(3, windowBits - 7)),
      finishFlush: constants.Z_SYNC_FLUSH,
      chunkSize: Math.max(256, plain.length >> 1),
      ...(history === undefined ? {} : { dictionary: history })
    }
  }
}

// zlib does not refer to the first bytes of its window.
const lookAhead = 262

/**
 * The smallest window that zlib can be held to, as a power of 2.
 *
 * @category constants
 * @since 0.2.0
 */
export const leastWindowBits = 9

/**
 * The largest window of deflate, as a power of 2.
 *
 * @category constants
 * @since 0.2.0
 */
export const mostWindowBits = 15
