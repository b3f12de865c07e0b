/**
 * Sends users' lists, each in order and one of a user at a time.
 *
 * - A critical event goes out in its caller's turn, behind all that its user
 *   has pending. Others wait for the batcher, or until their list reaches
 *   `batching.maxSize` or `batching.maxBytes`.
 * - One list per user is in flight at a time. What was accepted meanwhile goes
 *   out in the next.
 * - Each list is delivered by a fiber of the layer, so interrupting a caller
 *   does not withdraw an accepted event.
 * - Closing ends the runs that are still active, and delivers what is pending
 *   within `closeTimeout`. What is left then is kept by the delivery, and counted.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Broker } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { DeliveryPipeline } from "../delivery/Delivery.ts"
import { type Divided, type Outcome, outcomeOf } from "../delivery/Outcome.ts"
import type { EmitterConfig, TierSettings } from "../EmitterConfig.ts"
import { DispatchCounters } from "../observe/Counters.ts"
import type { Turns } from "../user/Turns.ts"
import * as Batchers from "./Batchers.ts"
import * as InFlight from "./InFlight.ts"
import type { Outbox } from "./Outbox.ts"
import type { Pending } from "./Pending.ts"

/**
 * - `readers` counts the devices that would see a user's volatile events.
 * - `outboxes` has the turn and the list of each user.
 * - `observeWait` is told how long a list waited from its oldest emit to the end
 *   of its delivery, in milliseconds, if that was not within one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly config: Pick<EmitterConfig, "batching" | "tiers" | "closeTimeout">
  readonly readers: Broker["Service"]["readers"]
  readonly delivery: Pick<DeliveryPipeline, "deliver" | "deliverUnsafe" | "keep">
  readonly outboxes: Turns<Outbox>
  readonly observeWait: (ms: number) => void
}

/**
 * Its scope closes it: see `close`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Dispatcher, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  // What is made before the finalizer that closes the dispatcher ends after it.
  const inFlight = yield* InFlight.make
  const batchers = yield* Batchers.make(options.config)
  const dispatcher = new Dispatcher(options, clock, inFlight, batchers)
  options.outboxes.onLeave((outbox) => dispatcher.goOn(outbox))
  yield* batchers.run((outbox) => dispatcher.sendMarked(outbox))
  yield* Effect.addFinalizer(() => dispatcher.close)
  return dispatcher
})

/**
 * It is a mutable class, since each emit goes through it.
 *
 * @category models
 * @since 0.1.0
 */
export class Dispatcher {
  readonly counters = new DispatchCounters()
  private readonly readers: Options["readers"]
  private readonly delivery: Options["delivery"]
  private readonly outboxes: Turns<Outbox>
  private readonly reportWait: (ms: number) => void
  private readonly closeTimeout: Duration.Duration
  private readonly clock: Clock.Clock
  private readonly inFlight: InFlight.InFlight
  private readonly batchers: Batchers.Batchers
  private closed = false
  // Closing took too long: nothing is sent any more, what is left is kept.
  private abandoned = false
  // Whoever closes, and waits until everything is delivered.
  private closing: (() => void) | undefined = undefined

  constructor(options: Options, clock: Clock.Clock, inFlight: InFlight.InFlight, batchers: Batchers.Batchers) {
    this.readers = options.readers
    this.delivery = options.delivery
    this.outboxes = options.outboxes
    this.reportWait = options.observeWait
    this.closeTimeout = options.config.closeTimeout
    this.clock = clock
    this.inFlight = inFlight
    this.batchers = batchers
  }

  /** Whether it accepts nothing any more. */
  get isClosed(): boolean {
    return this.closed
  }

  /** How many events are pending. */
  get pending(): number {
    let pending = 0
    for (const outbox of this.outboxes.values()) pending += outbox.size
    return pending
  }

  /** The user's outbox, made if needed, and held until `release`. */
  hold(user: UserId, settings: TierSettings): Outbox {
    const outbox = this.outboxes.of(user)
    outbox.settings = settings
    outbox.emitters++
    this.counters.emitters++
    return outbox
  }

  /** An emitter of the outbox has closed. It waits until what is pending is delivered, `closeTimeout` at most. */
  release(outbox: Outbox): Effect.Effect<void> {
    return Effect.suspend(() => {
      outbox.emitters--
      this.counters.emitters--
      if (this.abandoned || outbox.emitters > 0 && outbox.size === 0) return Effect.void
      if (outbox.size === 0 && !outbox.inFlight) {
        this.outboxes.retire(outbox)
        return Effect.void
      }
      return Effect.asVoid(Effect.timeoutOption(this.drained(outbox), this.closeTimeout))
    })
  }

  /** Sends this event at once, behind what is pending. Gives what `flush` gives. */
  sendNow(outbox: Outbox, event: Pending): Outcome | Divided | undefined {
    if (outbox.inFlight || outbox.size > 0) {
      outbox.push(event)
      outbox.pendingSince ??= Monotonic.millisUnsafe(this.clock)
      return outbox.isParted ? this.flushTo(outbox, event) : this.flush(outbox)
    }
    outbox.enter()
    return this.send(outbox, [event], undefined)
  }

  // Sends a list of several batches. Gives what became of the event, where that is known at once.
  private flushTo(outbox: Outbox, event: Pending): Outcome | undefined {
    let known: Outcome | undefined
    const { onReceipt } = event
    event.onReceipt = (outcome) => {
      known = outcome
      onReceipt?.(outcome)
    }
    this.flush(outbox)
    return known
  }

  /** Something that may wait was put on the list. */
  pendingChanged(outbox: Outbox): void {
    outbox.pendingSince ??= Monotonic.millisUnsafe(this.clock)
    if (isFull(outbox)) this.flush(outbox)
    else this.mark(outbox)
  }

  /**
   * Sends the list now, unless one is in flight: then it follows that one. Gives
   * what became of the list where that is known at once.
   */
  flush(outbox: Outbox): Outcome | Divided | undefined {
    if (outbox.inFlight || outbox.size === 0) return undefined
    const { hasVolatile, pendingSince } = outbox
    const batch = outbox.take()
    outbox.pendingSince = undefined
    outbox.enter()
    return hasVolatile
      ? this.inFlight.run(
        this.withoutUnseen(outbox.user, batch),
        (exit) => this.send(outbox, Exit.isSuccess(exit) ? exit.value : batch, pendingSince)
      )
      : this.send(outbox, batch, pendingSince)
  }

  /** The batch window of the outbox is over. */
  sendMarked(outbox: Outbox): void {
    outbox.marked = false
    this.flush(outbox)
  }

  /** The turn of the outbox was given back, and who waited for it was woken. Its list follows, and what goes makes room. */
  goOn(outbox: Outbox): void {
    if (outbox.size > 0) {
      if (!this.closed && !outbox.isUrgent && !isFull(outbox)) this.mark(outbox)
      else if (!this.abandoned) this.flush(outbox)
    }
    if (outbox.isWaitedForRoom) this.letIn(outbox)
    if (this.closing !== undefined) this.closing()
  }

  /**
   * Delivers one event once more, in its user's turn. As with lists, interrupting
   * the caller does not stop it, and closing waits for it.
   */
  deliverAgain(user: UserId, envelope: Envelope): Effect.Effect<Outcome | Divided> {
    return Effect.callback((resume) => {
      this.inFlight.run(this.outboxes.exclusive(user, this.delivery.deliver(user, [envelope])), (exit) => {
        resume(Exit.isSuccess(exit) ? exit : Effect.succeed(interrupted))
        if (this.closing !== undefined) this.closing()
      })
    })
  }

  /** Cancels all runs, accepts nothing more, and delivers what is pending, within `closeTimeout`. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    if (this.closed) return Effect.void
    for (const outbox of this.outboxes.values()) outbox.runs.cancel()
    this.closed = true
    // Who waits for room is refused now: whoever has the turn may keep it for longer than closing takes.
    for (const outbox of Array.from(this.outboxes.values())) this.letIn(outbox)
    return Effect.timeoutOption(this.allDelivered, this.closeTimeout).pipe(
      // What is in flight is older than what is left, so it must be kept first.
      Effect.andThen(Effect.suspend(() => {
        this.abandoned = true
        return this.inFlight.interrupt
      })),
      Effect.andThen(
        Effect.suspend(() =>
          Effect.forEach(this.outboxes.values(), (outbox) => this.keepLeft(outbox), { discard: true })
        )
      )
    )
  })

  // What could not be delivered in time goes where it can be kept.
  private keepLeft(outbox: Outbox): Effect.Effect<void> {
    const left = outbox.takeAll()
    if (!isReadonlyArrayNonEmpty(left)) return Effect.void
    return Effect.map(this.delivery.keep(outbox.user, left), (outcome) => this.settle(left, outcome))
  }

  private readonly allDelivered = Effect.callback<void>((resume) => {
    for (const outbox of this.outboxes.values()) this.flush(outbox)
    this.closing = () => {
      // What waits behind somebody who delivers on their own is still to go.
      if (!this.inFlight.isNone() || this.pending > 0) return
      this.closing = undefined
      resume(Effect.void)
    }
    this.closing()
  })

  private drained(outbox: Outbox): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.flush(outbox)
      return outbox.inFlight ? Effect.andThen(outbox.left, this.drained(outbox)) : Effect.void
    })
  }

  private mark(outbox: Outbox): void {
    if (outbox.marked || outbox.inFlight) return
    outbox.marked = true
    this.batchers.mark(outbox)
  }

  // Each runs until it has its place, or waits again.
  private letIn(outbox: Outbox): void {
    while (outbox.isWaitedForRoom) {
      if (!this.closed && !outbox.hasRoom) return
      outbox.waitingForRoom.shift()?.()
    }
  }

  private withoutUnseen(user: UserId, batch: ReadonlyArray<Pending>): Effect.Effect<ReadonlyArray<Pending>> {
    return this.readers(user).pipe(
      Effect.map((readers) => {
        if (readers > 0) return batch
        const kept = batch.filter((event) => event.delivery !== "volatile")
        this.counters.nobodyConnected += batch.length - kept.length
        return kept
      }),
      // A broker that cannot tell who is there may still take the events.
      Effect.catch(() => Effect.succeed(batch))
    )
  }

  // What goes out within its own call has not waited.
  private send(
    outbox: Outbox,
    batch: ReadonlyArray<Pending>,
    since: number | undefined
  ): Outcome | Divided | undefined {
    if (!isReadonlyArrayNonEmpty(batch)) {
      this.outboxes.leave(outbox)
      return undefined
    }
    const outcome = this.deliverAtOnce(outbox.user, batch)
    if (outcome !== undefined) {
      if (since !== undefined) this.observeWait(since)
      return this.sent(outbox, batch, outcome)
    }
    const from = since ?? Monotonic.millisUnsafe(this.clock)
    return this.inFlight.run(
      this.delivery.deliver(outbox.user, batch),
      (exit) => {
        this.observeWait(from)
        return this.sent(outbox, batch, Exit.isSuccess(exit) ? exit.value : interrupted)
      },
      // A delivery that is interrupted ends in the outcome that is so: its batch may be in the spool.
      { uninterruptible: true }
    )
  }

  private deliverAtOnce(user: UserId, batch: NonEmptyReadonlyArray<Pending>): Outcome | Divided | undefined {
    try {
      return this.delivery.deliverUnsafe?.(user, batch)
    } catch {
      // A broker that throws here must not keep its user's turn for ever. `deliver` meets the defect again, and keeps it.
      return undefined
    }
  }

  private observeWait(since: number): void {
    const ms = Monotonic.millisUnsafe(this.clock) - since
    this.counters.waitedMs += ms
    this.reportWait(ms)
  }

  private sent(outbox: Outbox, batch: ReadonlyArray<Pending>, outcome: Outcome | Divided): Outcome | Divided {
    this.settle(batch, outcome)
    this.outboxes.leave(outbox)
    return outcome
  }

  // Counts the list and its events by where they ended, and tells who waits for one of them: the last comes first.
  private settle(batch: ReadonlyArray<Pending>, outcome: Outcome | Divided): void {
    if (outcome !== interrupted) {
      this.counters.batches++
      if (outcome._tag === "Divided") { for (const one of outcome.outcomes) this.count(one, 1) }
      else this.count(outcome, batch.length)
    }
    for (let index = batch.length - 1; index >= 0; index--) {
      const onReceipt = batch[index]?.onReceipt
      if (onReceipt !== undefined) onReceipt(outcomeOf(outcome, batch.length, index))
    }
  }

  private count(outcome: Outcome, events: number): void {
    switch (outcome._tag) {
      case "Appended":
        this.counters.appended += events
        return
      case "HandedOver":
        this.counters.handedOver += events
        return
      case "DeadLettered":
        this.counters.deadLettered += events
    }
  }
}

const isFull = ({ bytes, settings: { batching }, size }: Outbox): boolean =>
  size >= batching.maxSize || bytes >= batching.maxBytes

// Closing took too long. The delivery has kept the batch, and counted it, before it ended.
const interrupted: Outcome = { _tag: "DeadLettered", reason: "interrupted" }
