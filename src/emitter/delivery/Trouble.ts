/**
 * How far the batches of one user are looked through, for the events that the broker
 * does not take though it takes those of others.
 *
 * A batch is tried as a whole a few times, then half of it, and half of that, until
 * an event is alone. What is taken leaves the batch, and the part that is tried
 * next grows. An event that is alone is tried a few times, later each time, and then
 * set aside, by which it leaves the batch too. Where nothing was taken since the last
 * one that was set aside, one try each is enough: then all that the user emits is
 * refused.
 *
 * Plain state; every step is atomic.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import type { Envelope } from "../../protocol/wire/Envelope.ts"

/**
 * How far one user's batches have been looked through.
 *
 * @category models
 * @since 0.1.0
 */
export class Trouble {
  // How many batches are still to be looked through, this one included.
  private batches: number
  // How many events are tried at once: the whole batch, or less.
  private size = whole
  private tries: number
  private isInVain = false

  /** So many batches together were not taken. */
  constructor(batches: number) {
    this.batches = batches
    this.tries = batches === 1 ? 1 : 0
  }

  /** What to try next of what is left of the batch. */
  part(batch: NonEmptyReadonlyArray<Envelope>): NonEmptyReadonlyArray<Envelope> {
    const [first, ...others] = batch
    return [first, ...others.slice(0, this.size - 1)]
  }

  /** The part was taken. */
  taken(): void {
    this.isInVain = false
    this.resize(this.size * 2)
  }

  /**
   * The part was not taken. Gives how long to wait before the next try, in
   * milliseconds; nothing where the part is one event that is to be set aside.
   */
  failed(part: NonEmptyReadonlyArray<Envelope>): number | undefined {
    this.tries++
    if (part.length > 1) {
      // What is smaller is tried once, since it need not be the part that is not taken.
      if (this.size === whole && this.tries < triesOfWhole) return pauseMs(this.tries)
      this.resize(Math.ceil(part.length / 2))
      return 0
    }
    if (this.tries < (this.isInVain ? 1 : triesAlone)) return pauseMs(this.tries)
    this.isInVain = true
    this.resize(1)
    return undefined
  }

  /** Goes on to the next batch; whether there is none to look through any more. */
  next(): boolean {
    this.batches--
    this.tries = 0
    return this.batches <= 0 && !this.isInVain
  }

  private resize(size: number): void {
    this.size = size
    this.tries = 0
  }
}

/**
 * The events of a batch in two halves, the first not the larger; `undefined` when
 * there is only one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const halves = (
  batch: NonEmptyReadonlyArray<Envelope>
): readonly [NonEmptyReadonlyArray<Envelope>, NonEmptyReadonlyArray<Envelope>] | undefined => {
  const [first, second] = [batch.slice(0, batch.length >> 1), batch.slice(batch.length >> 1)]
  return isReadonlyArrayNonEmpty(first) && isReadonlyArrayNonEmpty(second) ? [first, second] : undefined
}

const whole = Number.POSITIVE_INFINITY
const triesOfWhole = 3
const triesAlone = 5

const pauseMs = (tries: number): number => 50 * 2 ** tries
