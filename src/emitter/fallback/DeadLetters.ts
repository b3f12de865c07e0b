/**
 * Keeps the events that no way out took, with the reasons, until somebody
 * replays or clears them.
 *
 * The store is in memory and bounded by count and bytes. When it is full the
 * oldest letter of a user who holds more than an even share makes room for the
 * newest, and is counted as dropped: one user's letters cost no other user's, who
 * hold less. Letters of
 * what a spool in a file held are in that file too, until they are delivered,
 * cleared or dropped: the death of the process loses none.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Broker, DeadLetters, EmitterLayer } from "effect-emitter"
 *
 * const program = Effect.gen(function*() {
 *   const deadLetters = yield* DeadLetters
 *   for (const { event, trigger, user } of yield* deadLetters.list()) {
 *     yield* Effect.logWarning(`${event.id} of ${user} was not delivered: ${trigger}`)
 *   }
 *   return yield* deadLetters.replay()
 * }).pipe(Effect.provide(EmitterLayer().pipe(Layer.provide(Broker.layerMemory()))))
 * ```
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { BrokerError } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/Envelope.ts"
import type { UserId } from "../../protocol/Identity.ts"
import type { BreakerOpen } from "../resilience/CircuitBreaker.ts"
import type { ChannelError } from "./FallbackChannel.ts"
import { type DurableLetters, plain, type StoredLetter } from "./SpoolStore.ts"

/**
 * Why one way out did not take an event. `outlet` is `broker`, or the name of a
 * fallback channel; `cause` is all that it failed with, defects included.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reason {
  readonly outlet: string
  readonly cause: Cause.Cause<BrokerError | BreakerOpen | ChannelError>
}

/**
 * Why an event did not reach the broker, the first way out:
 *
 * - `brokerFailed`: the broker failed, and all retries too;
 * - `breakerOpen`: the breaker refused the call;
 * - `behindSpool`: older events of the user wait in the spool, and it took no
 *   more;
 * - `runLost`: its run was ended as lost meanwhile, since the lease of this
 *   process ran out;
 * - `refused`: the broker takes others' events, and does not take this one,
 *   however often it is asked and whatever stands beside it;
 * - `defect`: the same, and each append dies;
 * - `interrupted`: the delivery was interrupted, as when its layer closes;
 * - `damaged`: the spool's file gave it back otherwise than it was written. The
 *   letter's event has type `damaged`, and the text as it was read as its data;
 *   it is not replayed.
 *
 * @category models
 * @since 0.1.0
 */
export const Trigger = Schema.Literals([
  "brokerFailed",
  "breakerOpen",
  "behindSpool",
  "runLost",
  "refused",
  "defect",
  "interrupted",
  "damaged"
])

/**
 * @category models
 * @since 0.1.0
 */
export type Trigger = typeof Trigger.Type

/**
 * An event that no way out took. `sequence` numbers the letters of one process;
 * `at` is when it became one, in milliseconds since the Unix epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter {
  readonly sequence: number
  readonly user: UserId
  readonly event: Envelope
  readonly trigger: Trigger
  readonly reasons: ReadonlyArray<Reason>
  readonly at: number
}

/**
 * Which letters are meant: those of one user, and those up to a sequence
 * number. Without fields all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Selection {
  readonly user?: UserId | undefined
  readonly upTo?: number | undefined
}

/**
 * What became of replayed letters, in events.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replayed {
  readonly appended: number
  readonly handedOver: number
  readonly deadLettered: number
}

/**
 * What the store holds, and how many letters it dropped to stay within its
 * bounds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Size {
  readonly events: number
  readonly bytes: number
  readonly dropped: number
}

/**
 * The dead letters of an emitting engine.
 *
 * - `list` gives letters, oldest first.
 * - `replay` delivers letters again, each user's in order and behind what is
 *   being delivered now. Letters that fail again become new letters; those whose
 *   event was damaged stay.
 * - `clear` forgets letters, and tells how many.
 *
 * @category services
 * @since 0.1.0
 */
export class DeadLetters extends Context.Service<DeadLetters, {
  readonly list: (selection?: Selection) => Effect.Effect<ReadonlyArray<DeadLetter>>
  readonly replay: (selection?: Selection) => Effect.Effect<Replayed>
  readonly clear: (selection?: Selection) => Effect.Effect<number>
  readonly size: Effect.Effect<Size>
}>()("effect-emitter/DeadLetters") {}

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
