/**
 * Holds dead letters: bounded, in memory, and beside that where a spool keeps them
 * durably.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import { type DeadLetter, type Reason, type Selection, type Size, Trigger } from "./DeadLetters.ts"
import { type DurableLetters, plain, type StoredLetter } from "./SpoolStore.ts"

/**
 * Bounds of the store: 10,000 events (`maxEvents`) and 16 MiB of their text
 * (`maxBytes`) by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  readonly maxEvents?: number | undefined
  readonly maxBytes?: number | undefined
}

/**
 * The letters themselves: plain synchronous state, every step atomic.
 *
 * @category models
 * @since 0.1.0
 */
export class DeadLetterStore {
  private readonly maxEvents: number
  private readonly maxBytes: number
  // In the order of their sequence numbers.
  private readonly letters = new Map<number, DeadLetter>()
  private readonly holdings = new Map<UserId, Holding>()
  private sequence = 0
  private bytes = 0
  private dropped = 0
  private durable: DurableLetters | undefined

  constructor(limits: Limits = {}) {
    this.maxEvents = limits.maxEvents ?? 10_000
    this.maxBytes = limits.maxBytes ?? 16 * 1024 * 1024
  }

  get size(): Size {
    return { events: this.letters.size, bytes: this.bytes, dropped: this.dropped }
  }

  /** Takes over what is kept durably, and keeps there what is added as durable from now on. */
  attach(durable: DurableLetters): void {
    this.durable = durable
    this.keep(durable.load().map(letterOf))
    durable.onFound((letters) => this.keep(letters.map(letterOf)))
  }

  /** With `durably` they are kept beyond this process too, where there is such a place. */
  add(
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    trigger: Trigger,
    reasons: ReadonlyArray<Reason>,
    at: number,
    durably = false
  ): void {
    const letters = batch.map((envelope) => ({ user, event: plain(envelope), trigger, reasons, at }))
    if (durably) this.durable?.put(letters.map(storedOf))
    this.keep(letters)
  }

  private keep(letters: ReadonlyArray<Omit<DeadLetter, "sequence">>): void {
    for (const letter of letters) {
      this.letters.set(++this.sequence, { sequence: this.sequence, ...letter })
      this.bytes += letter.event.bytes
      const { bytes, events } = this.holdings.get(letter.user) ?? nothing
      this.holdings.set(letter.user, { events: events + 1, bytes: bytes + letter.event.bytes })
    }
    const dropped: Array<DeadLetter> = []
    for (const letter of this.letters.values()) {
      if (this.letters.size <= this.maxEvents && this.bytes <= this.maxBytes) break
      if (!this.isOverShare(letter.user)) continue
      this.forget(letter)
      this.dropped++
      dropped.push(letter)
    }
    this.erase(dropped)
  }

  // While a bound is passed, somebody holds more than an even share of it. Dropping letters brings nobody else over
  // the share, so one pass is enough.
  private isOverShare(user: UserId): boolean {
    const { bytes, events } = this.holdings.get(user) ?? nothing
    const users = this.holdings.size
    return this.letters.size > this.maxEvents && events * users > this.maxEvents ||
      this.bytes > this.maxBytes && bytes * users > this.maxBytes
  }

  list(selection: Selection = {}): ReadonlyArray<DeadLetter> {
    const { upTo = Infinity, user } = selection
    const found: Array<DeadLetter> = []
    for (const letter of this.letters.values()) {
      if (letter.sequence > upTo) break
      if (user === undefined || letter.user === user) found.push(letter)
    }
    return found
  }

  /**
   * Takes those of the letters out that are still there. They stay where they are
   * kept durably until they are erased, so that none is nowhere.
   */
  take(letters: ReadonlyArray<DeadLetter>): ReadonlyArray<DeadLetter> {
    return letters.filter((letter) => this.forget(letter))
  }

  /** Erases letters that were taken out, where they are kept durably. */
  erase(letters: ReadonlyArray<DeadLetter>): void {
    if (letters.length > 0) this.durable?.remove(letters)
  }

  private forget(letter: DeadLetter): boolean {
    if (!this.letters.delete(letter.sequence)) return false
    this.bytes -= letter.event.bytes
    const { bytes, events } = this.holdings.get(letter.user) ?? nothing
    if (events > 1) this.holdings.set(letter.user, { events: events - 1, bytes: bytes - letter.event.bytes })
    else this.holdings.delete(letter.user)
    return true
  }
}

interface Holding {
  readonly events: number
  readonly bytes: number
}

const nothing: Holding = { events: 0, bytes: 0 }

const storedOf = ({ reasons, ...letter }: Omit<DeadLetter, "sequence">): StoredLetter => ({
  ...letter,
  reasons: reasons.map(({ cause, outlet }) => ({ outlet, why: String(Cause.squash(cause)) }))
})

// What was failed with is kept as text: an earlier process's errors cannot be made anew.
const letterOf = ({ reasons, trigger, ...letter }: StoredLetter): Omit<DeadLetter, "sequence"> => ({
  ...letter,
  trigger: isTrigger(trigger) ? trigger : "defect",
  reasons: reasons.map(({ outlet, why }) => ({ outlet, cause: Cause.die(new Error(why)) }))
})

const isTrigger = Schema.is(Trigger)
