/**
 * How far the batches of one user are looked through, for the events that the broker
 * does not take though it takes those of others.
 *
 * A batch is tried as a whole a few times, then half of it, and half of that, until
 * an event is alone. What is taken is not tried again, and the part that is tried
 * next grows. An event that is alone is tried a few times, later each time, and then
 * set aside. Where nothing was taken since the last one that was set aside, one try
 * each is enough: then all that the user emits is refused.
 *
 * Plain state; every step is atomic.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import type * as Cause from "effect/Cause"
import type { BrokerError } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { Lost } from "./LostRuns.ts"

/**
 * Events that are kept elsewhere once their batch leaves the spool: of runs that
 * were ended as lost, or refused for good because of `cause`.
 *
 * @category models
 * @since 0.1.0
 */
export type Aside =
  | { readonly events: ReadonlyArray<Envelope>; readonly lost: Lost }
  | { readonly events: NonEmptyReadonlyArray<Envelope>; readonly cause: Cause.Cause<BrokerError> }

/**
 * How far one user's batches have been looked through.
 *
 * @category models
 * @since 0.1.0
 */
export class Trouble {
  // How many batches are still to be looked through, this one included.
  private batches: number
  // How many events of the batch have their place.
  private handled = 0
  // How many are tried at once: the whole batch, or less.
  private size = whole
  private tries: number
  private isInVain = false
  private collected: Array<Aside> = []

  /** So many batches together were not taken. */
  constructor(batches: number) {
    this.batches = batches
    this.tries = batches === 1 ? 1 : 0
  }

  /** Takes what of the batch is to be kept elsewhere. */
  collect(): ReadonlyArray<Aside> {
    const { collected } = this
    this.collected = []
    return collected
  }

  /** What to try next; empty when the batch is through. */
  part(batch: ReadonlyArray<Envelope>): ReadonlyArray<Envelope> {
    return batch.slice(this.handled, this.handled + this.size)
  }

  isThrough(batch: ReadonlyArray<Envelope>): boolean {
    return this.handled >= batch.length
  }

  /** The part was taken, but for what was set aside of it. */
  taken(part: ReadonlyArray<Envelope>, aside: ReadonlyArray<Aside>): void {
    this.handled += part.length
    this.collected.push(...aside)
    this.isInVain = false
    this.resize(this.size * 2)
  }

  /** The part was not taken. Gives how long to wait before the next try, in milliseconds. */
  failed(part: NonEmptyReadonlyArray<Envelope>, cause: Cause.Cause<BrokerError>): number {
    this.tries++
    if (part.length > 1) {
      // What is smaller is tried once, since it need not be the part that is not taken.
      if (this.size === whole && this.tries < triesOfWhole) return pauseMs(this.tries)
      this.resize(Math.ceil(part.length / 2))
      return 0
    }
    if (this.tries < (this.isInVain ? 1 : triesAlone)) return pauseMs(this.tries)
    this.handled++
    this.collected.push({ events: part, cause })
    this.isInVain = true
    this.resize(1)
    return 0
  }

  /** Goes on to the next batch; whether there is none to look through any more. */
  next(): boolean {
    this.batches--
    this.handled = 0
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
