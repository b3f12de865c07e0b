/**
 * The moving part behind every emitter of a layer: accepts events into users'
 * outboxes, and sees that each list goes out in order.
 *
 * - A critical event goes out in its caller's turn, behind all that its user
 *   has pending. Others wait for the batcher, or until their list reaches
 *   `batching.maxSize` or `batching.maxBytes`.
 * - One list per user is in flight at a time. What was accepted meanwhile goes
 *   out in the next.
 * - Each list is delivered by a fiber of the layer, so interrupting a caller
 *   does not withdraw an accepted event. Where the broker answers at once, that
 *   fiber ends before `emit` returns and costs no switch.
 * - Closing stops accepting, ends the runs that are still active, and delivers
 *   what is pending within `closeTimeout`; what is left then is counted.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Broker } from "../broker/Broker.ts"
import type { Envelope } from "../protocol/Envelope.ts"
import type { AnyDefinition } from "../protocol/Event.ts"
import type { UserId } from "../protocol/Identity.ts"
import * as Monotonic from "../protocol/Monotonic.ts"
import type { DeliveryPipeline } from "./delivery/Delivery.ts"
import type { EmitterConfig, TierSettings } from "./EmitterConfig.ts"
import * as Batchers from "./dispatch/Batchers.ts"
import type { Kind } from "./accept/Binding.ts"
import { Middle } from "./accept/EventEncoder.ts"
import type { Outbox, Pending, Settlement } from "./dispatch/Outbox.ts"
import { countOutcome, interrupted, receiptOf } from "./Settling.ts"
import { type BreakerState, Counters, type Stats } from "./observe/Stats.ts"
import type { Turns } from "./user/Turns.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Engine {
  /** How the names of all its events' sources begin, unlike those of any other engine. */
  readonly name: string
  readonly config: EmitterConfig
  readonly clock: Clock.Clock
  readonly broker: Broker["Service"]
  readonly delivery: DeliveryPipeline
  readonly counters: Counters
  /** The user's outbox, made if needed, and held until `release`. */
  readonly hold: (user: UserId, settings: TierSettings) => Outbox
  readonly release: (outbox: Outbox) => Effect.Effect<void>
  /**
   * Sends the list now, unless one is in flight: then it follows that one. Gives
   * what became of the list where that is known at once.
   */
  readonly flush: (outbox: Outbox) => Settlement | undefined
  /** Sends this event at once, behind what is pending; gives what `flush` gives. */
  readonly sendNow: (outbox: Outbox, event: Pending) => Settlement | undefined
  /** Something that may wait was put on the list. */
  readonly pendingChanged: (outbox: Outbox) => void
  /**
   * Delivers one event once more, in its user's turn. As with lists, interrupting
   * the caller does not stop it, and closing waits for it.
   */
  readonly deliverAgain: (user: UserId, envelope: Envelope) => Effect.Effect<Settlement>
  readonly middle: Middle
  /** What is known of each definition that was emitted. */
  readonly kinds: WeakMap<AnyDefinition, Kind>
  readonly isClosed: () => boolean
  readonly close: Effect.Effect<void>
  readonly stats: Effect.Effect<Stats>
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly name: string
  readonly config: EmitterConfig
  readonly broker: Broker["Service"]
  readonly delivery: DeliveryPipeline
  readonly outboxes: Turns<Outbox>
  /** Is told how long a list waited from its oldest emit to the end of its delivery, if that was not within one call. */
  readonly observeWait: (ms: number) => void
}): Effect.fn.Return<Engine, never, Scope.Scope> {
  const { broker, config, delivery, outboxes } = options
  const clock = yield* Clock.Clock
  // Made before the finalizer that closes the engine, so that it ends after it.
  const deliveries = yield* Scope.fork(yield* Effect.scope)
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const counters = new Counters()
  const startedAt = Monotonic.millisUnsafe(clock)
  let closed = false
  // Closing took too long: nothing is sent any more, what is left is kept.
  let abandoned = false
  let active = 0
  let idle: (() => void) | undefined

  const withoutUnseen = (user: UserId, batch: ReadonlyArray<Pending>): Effect.Effect<ReadonlyArray<Pending>> =>
    broker.readers(user).pipe(
      Effect.map((readers) => {
        if (readers > 0) return batch
        const kept = batch.filter((event) => event.delivery !== "volatile")
        counters.dropped.nobodyConnected += batch.length - kept.length
        return kept
      }),
      // A broker that cannot tell who is there may still take the events.
      Effect.catch(() => Effect.succeed(batch))
    )

  // Where the answer is there at once, nothing waits and no fiber outlives the call.
  const run = <A, B>(effect: Effect.Effect<A>, then: (exit: Exit.Exit<A>) => B): B | undefined => {
    const fiber = runFork(effect)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return then(exit)
    active++
    Fiber.runIn(fiber, deliveries)
    fiber.addObserver((late) => {
      active--
      then(late)
    })
    return undefined
  }

  const settle = (outbox: Outbox, batch: ReadonlyArray<Pending>, settlement: Settlement): Settlement => {
    countOutcome(counters, settlement, batch)
    for (let index = batch.length - 1; index >= 0; index--) {
      const onReceipt = batch[index]?.onReceipt
      if (onReceipt !== undefined) onReceipt(receiptOf(settlement, batch.length, index))
    }
    outbox.leave()
    return settlement
  }

  const isFull = ({ bytes, settings: { batching }, size }: Outbox): boolean =>
    size >= batching.maxSize || bytes >= batching.maxBytes

  // Who waits for the turn comes first: one of them may take it, and the list then follows. What goes makes room.
  const goOn = (outbox: Outbox): void => {
    if (outbox.size > 0) {
      if (!closed && !outbox.isUrgent && !isFull(outbox)) mark(outbox)
      else if (!abandoned) flush(outbox)
    }
    if (outbox.isWaitedForRoom) letIn(outbox)
    if (outbox.size === 0) outboxes.retire(outbox)
    if (active === 0 && idle !== undefined) idle()
  }

  // Each runs until it has its place, or waits again.
  const letIn = (outbox: Outbox): void => {
    while (outbox.isWaitedForRoom) {
      if (!closed && !outbox.hasRoom) return
      outbox.waitingForRoom.shift()?.()
    }
  }

  const flush = (outbox: Outbox): Settlement | undefined => {
    if (outbox.inFlight || outbox.size === 0) return undefined
    const { hasVolatile, pendingSince } = outbox
    const batch = outbox.take()
    outbox.pendingSince = undefined
    outbox.enter()
    return hasVolatile
      ? run(
        withoutUnseen(outbox.user, batch),
        (exit) => send(outbox, Exit.isSuccess(exit) ? exit.value : batch, pendingSince)
      )
      : send(outbox, batch, pendingSince)
  }

  const sendNow = (outbox: Outbox, event: Pending): Settlement | undefined => {
    if (outbox.inFlight || outbox.size > 0) {
      outbox.push(event)
      outbox.pendingSince ??= Monotonic.millisUnsafe(clock)
      return flush(outbox)
    }
    outbox.enter()
    return send(outbox, [event], undefined)
  }

  // What goes out within its own call has not waited.
  const send = (outbox: Outbox, batch: ReadonlyArray<Pending>, since: number | undefined): Settlement | undefined => {
    if (!isReadonlyArrayNonEmpty(batch)) {
      outbox.leave()
      return undefined
    }
    const outcome = deliverAtOnce(outbox.user, batch)
    if (outcome !== undefined) {
      if (since !== undefined) observeWait(since)
      return settle(outbox, batch, outcome)
    }
    const from = since ?? Monotonic.millisUnsafe(clock)
    return run(
      delivery.deliver(outbox.user, batch),
      (exit) => {
        observeWait(from)
        return settle(outbox, batch, Exit.isSuccess(exit) ? exit.value : interrupted)
      }
    )
  }

  const observeWait = (since: number): void => {
    const ms = Monotonic.millisUnsafe(clock) - since
    counters.waitedMs += ms
    options.observeWait(ms)
  }

  const deliverAtOnce = (user: UserId, batch: NonEmptyReadonlyArray<Pending>): Settlement | undefined => {
    try {
      return delivery.deliverUnsafe?.(user, batch)
    } catch {
      // A broker that throws here must not keep its user's turn for ever. `deliver` meets the defect again, and keeps it.
      return undefined
    }
  }

  // Made before the finalizer that closes the engine, so that it ends after it.
  const toBatcher = yield* Batchers.make(config, (outbox) => {
    outbox.marked = false
    flush(outbox)
  })

  const mark = (outbox: Outbox): void => {
    if (outbox.marked || outbox.inFlight) return
    outbox.marked = true
    toBatcher(outbox)
  }

  const hold = (user: UserId, settings: TierSettings): Outbox => {
    const outbox = outboxes.of(user)
    outbox.onFree = goOn
    outbox.settings = settings
    outbox.emitters++
    counters.emitters++
    return outbox
  }

  const drained = (outbox: Outbox): Effect.Effect<void> =>
    Effect.suspend(() => {
      flush(outbox)
      return outbox.inFlight ? Effect.andThen(outbox.left, drained(outbox)) : Effect.void
    })

  const closeTimeout = config.closeTimeout

  const release = (outbox: Outbox): Effect.Effect<void> =>
    Effect.suspend(() => {
      outbox.emitters--
      counters.emitters--
      if (abandoned || outbox.emitters > 0 && outbox.size === 0) return Effect.void
      if (outbox.size === 0 && !outbox.inFlight) {
        outboxes.retire(outbox)
        return Effect.void
      }
      return Effect.asVoid(Effect.timeoutOption(drained(outbox), closeTimeout))
    })

  const deliverAgain: Engine["deliverAgain"] = (user, envelope) =>
    Effect.callback((resume) => {
      run(outboxes.exclusive(user, delivery.deliver(user, [envelope])), (exit) => {
        resume(Exit.isSuccess(exit) ? exit : Effect.succeed(interrupted))
        if (active === 0 && idle !== undefined) idle()
      })
    })

  const allDelivered = Effect.callback<void>((resume) => {
    for (const outbox of outboxes.values()) flush(outbox)
    const check = () => {
      // What waits behind somebody who delivers on their own is still to go.
      if (active > 0 || pendingEvents() > 0) return
      idle = undefined
      resume(Effect.void)
    }
    idle = check
    check()
  })

  const close = Effect.suspend(() => {
    if (closed) return Effect.void
    for (const outbox of outboxes.values()) outbox.cancelRuns()
    closed = true
    return Effect.timeoutOption(allDelivered, closeTimeout).pipe(
      // What is in flight is older than what is left, so it must be kept first.
      Effect.andThen(Effect.suspend(() => {
        abandoned = true
        return Scope.close(deliveries, Exit.void)
      })),
      Effect.andThen(Effect.suspend(() => Effect.forEach(outboxes.values(), keepLeft, { discard: true })))
    )
  })

  // What could not be delivered in time goes where it can be kept.
  const keepLeft = (outbox: Outbox): Effect.Effect<void> => {
    const left = outbox.take()
    if (!isReadonlyArrayNonEmpty(left)) return Effect.void
    return Effect.map(delivery.keep(outbox.user, left), (outcome) => {
      countOutcome(counters, outcome, left)
      for (let index = 0; index < left.length; index++) left[index]?.onReceipt?.(receiptOf(outcome, left.length, index))
    })
  }

  const pendingEvents = (): number => {
    let pending = 0
    for (const outbox of outboxes.values()) pending += outbox.size
    return pending
  }

  const stats = Effect.zipWith(
    delivery.stats,
    statesOf(delivery.breakers),
    (delivered, breakers): Stats =>
      counters.snapshot({
        delivery: delivered,
        breakers,
        users: outboxes.size,
        pending: pendingEvents(),
        uptimeMs: Monotonic.elapsedUnsafe(clock, startedAt)
      })
  )

  const engine: Engine = {
    name: options.name,
    config,
    clock,
    broker,
    delivery,
    counters,
    hold,
    release,
    flush,
    sendNow,
    pendingChanged: (outbox) => {
      outbox.pendingSince ??= Monotonic.millisUnsafe(clock)
      if (isFull(outbox)) flush(outbox)
      else mark(outbox)
    },
    deliverAgain,
    middle: new Middle(),
    kinds: new WeakMap(),
    isClosed: () => closed,
    close,
    stats
  }
  yield* Effect.addFinalizer(() => close)
  return engine
})

const breakerStates = { Closed: "closed", Open: "open", HalfOpen: "halfOpen" } as const

const statesOf = (breakers: DeliveryPipeline["breakers"]): Effect.Effect<Readonly<Record<string, BreakerState>>> =>
  Effect.map(
    Effect.forEach(breakers, ({ name, state }) => Effect.map(state, ({ _tag }) => [name, breakerStates[_tag]])),
    (states) => Object.fromEntries(states)
  )
