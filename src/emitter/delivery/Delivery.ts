/**
 * Takes a user's batch to where it can be kept: the broker, else a fallback
 * channel, else the dead letters.
 *
 * The broker stands behind a retry and a circuit breaker, one for each of its
 * domains. When it fails, or the breaker refuses, the fallback channels are asked
 * in order; what none of them takes becomes dead letters. While older events of a
 * user wait in a spool, newer ones of this user queue behind them and do not try
 * the broker.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Broker, BrokerError } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/Envelope.ts"
import type { RunId, UserId } from "../../protocol/Identity.ts"
import type { Position } from "../../protocol/Position.ts"
import * as BrokerBreakers from "./BrokerBreakers.ts"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import type { DeadLetters, DeadLetterStore, Reason, Trigger } from "../fallback/DeadLetters.ts"
import { count, DeliveryCounters, type DeliveryStats } from "../observe/DeliveryStats.ts"
import { ChannelError, type FallbackChannel } from "../fallback/FallbackChannel.ts"
import * as LostRuns from "./LostRuns.ts"
import type { OperatorAlert } from "../observe/OperatorAlert.ts"
import { lateEvents, type Outcome, type Place, placesOf } from "./Outcome.ts"
import { replayer } from "./Replay.ts"
import * as Retry from "./Retry.ts"
import * as SpoolDrainer from "./SpoolDrainer.ts"
import { halves } from "./Trouble.ts"
import * as Verdict from "./Verdict.ts"

export type { Outcome, Place } from "./Outcome.ts"

/**
 * Delivers batches.
 *
 * It keeps P12, neighbours: what fails for one user, or what one user does, costs no
 * other user an event or more than a bounded delay. A failure of one user's append
 * that is not the broker's settles no breaker. It is tried a bounded number of times;
 * then its batch is halved until the event is alone that the broker does not take,
 * which becomes a dead letter (`refused`, or `defect`). The user's other events are
 * appended in order, before and behind it.
 *
 * `deliver` never fails and never loses: each batch ends in exactly one outcome.
 * It is called for one batch of a user at a time, in order. It ends within its
 * caller's turn when the broker's append does.
 *
 * `deliverUnsafe` delivers within the call, where the broker can do that and
 * nothing stands in the way; else it does nothing and gives `undefined`.
 *
 * A delivery that is interrupted puts its batch into the spool, or else among
 * the dead letters, before it ends; nothing of it is lost then either.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delivery {
  readonly deliver: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Outcome>
  readonly deliverUnsafe?: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Outcome | undefined
}

/**
 * A delivery together with what can be seen and done from outside.
 *
 * - `keep` puts a batch into the spool, or else among the dead letters, without
 *   trying anything else: for what cannot be delivered in time any more.
 * - `breakers` are those of the broker, `channelBreakers` those of the fallback
 *   channels, in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeliveryPipeline extends Delivery {
  readonly keep: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Outcome>
  readonly breakers: NonEmptyReadonlyArray<CircuitBreaker.CircuitBreaker>
  readonly channelBreakers: ReadonlyArray<CircuitBreaker.CircuitBreaker>
  readonly deadLetters: DeadLetters["Service"]
  readonly stats: Effect.Effect<DeliveryStats>
}

/**
 * - `name` tells this engine from others that deliver to the same broker.
 * - `isOwn` tells whether a source is of this engine; what a spool holds of others
 *   was left by a process that is gone.
 * - `onRunsLost` is told of runs that the broker has ended as lost, though this
 *   engine runs them.
 * - `exclusive` runs an effect as the user's only delivery: it waits for the one
 *   in flight, and new events of the user wait for it.
 * - `channels` are asked in this order; at most one of them has a spool, and no
 *   two have one name, nor that of a breaker of the broker.
 * - `channelBreaker` is for each channel; by default 3 failures open it for
 *   1 second, up to 30 seconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name: string
  readonly broker: Pick<
    Broker["Service"],
    "append" | "appendUnsafe" | "canary" | "domains" | "endLost" | "late" | "watch"
  >
  readonly isOwn: (source: string) => boolean
  readonly onRunsLost: (user: UserId, runs: ReadonlySet<RunId>) => void
  readonly retry: Retry.Options
  readonly breaker: CircuitBreaker.Options
  readonly channels: ReadonlyArray<FallbackChannel>
  readonly channelBreaker?: CircuitBreaker.Options
  readonly deadLetters: DeadLetterStore
  readonly exclusive: <A, E>(user: UserId, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly alert?: OperatorAlert
}

/**
 * Makes a delivery. If a channel has a spool, a fiber of the scope drains it,
 * beginning with what an earlier process left there.
 *
 * Two spools, or two channels of one name, are a mistake in the program, and
 * die as a `TypeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<DeliveryPipeline, never, Scope.Scope> {
  const { alert, broker, channels, deadLetters, exclusive, isOwn, onRunsLost, retry } = options
  const clock = yield* Clock.Clock
  const names = [...BrokerBreakers.namesOf(broker.domains), ...channels.map(({ name }) => name)]
  const mistake = mistakeIn(names, channels)
  if (mistake !== undefined) return yield* Effect.die(new TypeError(mistake))
  const counters = new DeliveryCounters(names, channels.map(({ name }) => name))
  const onTransition = ({ breaker, event }: CircuitBreaker.Transition): void => {
    if (event !== "opened") return
    count(counters.breakerOpenings, breaker)
    alert?.breakerOpened(breaker)
  }
  const breakers = yield* BrokerBreakers.make(broker.domains, options.breaker, onTransition)
  const judge = Verdict.make(broker.canary, (user) => breakers.of(user).name)
  const outlets = yield* Effect.forEach(channels, (channel) =>
    Effect.map(
      CircuitBreaker.make(channel.name, options.channelBreaker ?? defaultChannelBreaker, onTransition),
      (breaker): Outlet => ({ channel, breaker })
    ))
  const spool = outlets.find(({ channel }) => channel.spool !== undefined)
  const held = spool?.channel.spool
  const others = outlets.filter((outlet) => outlet !== spool)
  const spoolFirst = spool === undefined ? outlets : [spool, ...others]

  const appended = (journey: Journey, position: Position): Exit.Exit<Outcome> => {
    counters.appendedBatches++
    counters.appendedEvents += journey.batch.length
    journey.ended = true
    return Exit.succeed({ _tag: "Appended", position })
  }

  const deadLetter = (
    journey: Journey,
    trigger: Trigger,
    reasons: ReadonlyArray<Reason>,
    wasDurable = false
  ): Place => {
    deadLetters.add(journey.user, journey.batch, trigger, reasons, clock.currentTimeMillisUnsafe(), wasDurable)
    counters.deadLettered[trigger] += journey.batch.length
    alert?.deadLettered(trigger, journey.batch.length)
    journey.ended = true
    return { _tag: "DeadLettered", reason: trigger }
  }

  const setAside = (
    user: UserId,
    late: ReadonlyArray<Envelope>,
    { error, runs }: LostRuns.Lost,
    wasDurable = false
  ): void => {
    if (isReadonlyArrayNonEmpty(late)) {
      const reason = { outlet: "broker", cause: Cause.fail(error) }
      deadLetter({ user, batch: late, ended: false }, "runLost", [reason], wasDurable)
    }
    onRunsLost(user, runs)
  }

  // Those of an earlier process are here before anything is drained.
  if (held?.letters !== undefined) {
    deadLetters.attach(held.letters)
    held.letters.onFound(({ length }) => {
      counters.deadLettered.damaged += length
      alert?.deadLettered("damaged", length)
    })
  }

  const drainer = held === undefined ? undefined : yield* SpoolDrainer.make({
    name: options.name,
    store: held,
    breakers,
    broker,
    judge,
    isOwn,
    setAside: (user, late, lost) => setAside(user, late, lost, true),
    exclusive,
    counters,
    giveUp: (user, batch, cause) =>
      void deadLetter({ user, batch, ended: false }, triggerOfUser(cause), [{ outlet: "broker", cause }], true)
  })

  // Whoever waits for a breaker need not wait for its time once the broker says that it is back.
  if (broker.watch !== undefined) {
    yield* broker.watch((news, domain) => {
      if (news === "down") return
      for (const breaker of breakers.within(domain)) {
        breaker.probeUnsafe()
        drainer?.hurry(breaker)
      }
    })
  }

  const handOver = Effect.fnUntraced(function*(
    { breaker, channel }: Outlet,
    journey: Journey,
    restore: Restore
  ): Effect.fn.Return<Exit.Exit<void, ChannelError | CircuitBreaker.BreakerOpen>> {
    const attempt = Effect.suspend(() => channel.deliver(journey.user, journey.batch))
    // Spooling is short, and is what saves the batch when its delivery is interrupted.
    const guarded = breaker.run(channel.spool === undefined ? restore(attempt) : attempt, tellsOfHealth)
    const exit = yield* Effect.exit(guarded)
    if (Exit.isSuccess(exit)) {
      journey.ended = true
      count(counters.handedOver, channel.name, journey.batch.length)
      if (channel.spool !== undefined) drainer?.wake(journey.user)
    } else {
      count(counters.channelFailures, channel.name)
    }
    return exit
  })

  const fallBack = (
    journey: Journey,
    trigger: Trigger,
    broker: () => ReadonlyArray<Reason>,
    order: ReadonlyArray<Outlet>
  ): Effect.Effect<Outcome> =>
    Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore): Effect.fn.Return<Outcome> {
      const failures: Array<Reason> = []
      for (const outlet of order) {
        const exit = yield* handOver(outlet, journey, restore)
        if (Exit.isSuccess(exit)) return { _tag: "HandedOver", channel: outlet.channel.name }
        failures.push({ outlet: outlet.channel.name, cause: exit.cause })
      }
      return deadLetter(journey, trigger, [...broker(), ...failures])
    }))

  const failed = (journey: Journey, cause: Cause.Cause<BrokerError | CircuitBreaker.BreakerOpen>) =>
    fallBack(journey, triggerOf(cause), () => [{ outlet: "broker", cause }], outlets)

  // The broker takes others' events, and not these: a spool gives it time, else each event is asked for alone.
  const troubled = (journey: Journey, cause: Cause.Cause<BrokerError>): Effect.Effect<Outcome> =>
    spool === undefined
      ? parted(journey, cause, [])
      : Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(handOver(spool, journey, restore), (exit): Effect.Effect<Outcome> =>
          Exit.isSuccess(exit)
            ? Effect.succeed({ _tag: "HandedOver", channel: spool.channel.name })
            : restore(parted(journey, cause, [{ outlet: spool.channel.name, cause: exit.cause }])))
      )

  const parted = (
    journey: Journey,
    cause: Cause.Cause<BrokerError>,
    besides: ReadonlyArray<Reason>
  ): Effect.Effect<Outcome> => {
    const both = halves(journey.batch)
    if (both === undefined) {
      return fallBack(journey, triggerOfUser(cause), () => [{ outlet: "broker", cause }, ...besides], others)
    }
    const [first, second] = both
    journey.batch = second
    return Effect.flatMap(
      kept({ user: journey.user, batch: first, ended: false }),
      (before) =>
        Effect.map(travel(journey), (after): Outcome => ({
          _tag: "Divided",
          places: [...placesOf(before, first.length), ...placesOf(after, second.length)]
        }))
    )
  }

  const refused = (journey: Journey, breaker: CircuitBreaker.CircuitBreaker): Effect.Effect<Outcome> =>
    fallBack(journey, "breakerOpen", () => {
      const retryAfterMs = breaker.retryAfterMsUnsafe()
      const error = new CircuitBreaker.BreakerOpen({ breaker: breaker.name, retryAfterMs })
      return [{ outlet: "broker", cause: Cause.fail(error) }]
    }, outlets)

  // A broker that throws instead of failing must not break the promise that a delivery never fails.
  const append = ({ batch, user }: Journey): Effect.Effect<Position, BrokerError> => {
    try {
      return broker.append(user, batch)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  const onRetry = (): void => {
    counters.appendFailures++
    counters.retries++
  }

  // The way of nearly every batch: no generator, no fiber, and nothing made but what the outcome needs.
  const direct = (
    journey: Journey,
    breaker: CircuitBreaker.CircuitBreaker,
    permit: CircuitBreaker.Permit
  ): Effect.Effect<Outcome> =>
    Effect.matchCauseEffect(append(journey), {
      onSuccess: (position): Effect.Effect<Outcome> => {
        breaker.settleUnsafe(permit, true)
        return appended(journey, position)
      },
      onFailure: (cause) => {
        const lost = LostRuns.find(cause, journey.batch)
        if (lost === undefined) return retried(journey, breaker, permit, cause)
        breaker.settleUnsafe(permit, true)
        return divided(journey, lost)
      }
    })

  // An append that tells of lost runs as of any other answer.
  const answered = (journey: Journey) => Effect.suspend(() => LostRuns.asAnswer(append(journey), journey.batch))

  const arrived = (journey: Journey, answer: Position | LostRuns.Lost | Verdict.OfUser): Effect.Effect<Outcome> => {
    if (answer instanceof LostRuns.Lost) return divided(journey, answer)
    if (!(answer instanceof Verdict.OfUser)) return appended(journey, answer)
    counters.appendFailures++
    return troubled(journey, answer.cause)
  }

  // What is not of these runs goes on, behind nothing: it is still this batch's turn.
  const divided = (journey: Journey, lost: LostRuns.Lost): Effect.Effect<Outcome> => {
    const { batch } = journey
    const { late, rest } = lost.divide(batch)
    setAside(journey.user, late, lost)
    if (!isReadonlyArrayNonEmpty(rest)) {
      journey.ended = true
      return Effect.succeed(lateEvents)
    }
    journey.batch = rest
    return Effect.map(travel(journey), (outcome): Outcome => {
      const places = placesOf(outcome, rest.length).values()
      return {
        _tag: "Divided",
        places: batch.map((event) => lost.has(event) ? lateEvents : places.next().value ?? lateEvents)
      }
    })
  }

  const retried = (
    journey: Journey,
    breaker: CircuitBreaker.CircuitBreaker,
    permit: CircuitBreaker.Permit,
    cause: Cause.Cause<BrokerError>
  ): Effect.Effect<Outcome> =>
    Effect.matchCauseEffect(
      judge(journey.user, Retry.afterFailure(answered(journey), retry, cause, onRetry, Verdict.isForGood)),
      {
        onSuccess: (answer): Effect.Effect<Outcome> => {
          if (answer instanceof Verdict.OfUser) breaker.releaseUnsafe(permit)
          else breaker.settleUnsafe(permit, true)
          return arrived(journey, answer)
        },
        onFailure: (cause) => {
          counters.appendFailures++
          breaker.settleUnsafe(permit, false)
          return failed(journey, cause)
        }
      }
    )

  const probe = (journey: Journey, breaker: CircuitBreaker.CircuitBreaker): Effect.Effect<Outcome> =>
    Effect.matchCauseEffect(
      breaker.run(
        judge(journey.user, Retry.run(answered(journey), retry, onRetry, Verdict.isForGood)),
        Verdict.tellsOfBroker
      ),
      {
        onSuccess: (answer): Effect.Effect<Outcome> => arrived(journey, answer),
        onFailure: (cause) => {
          if (!cause.reasons.some(isRefusal)) counters.appendFailures++
          return failed(journey, cause)
        }
      }
    )

  const travel = (journey: Journey): Effect.Effect<Outcome> => {
    if (held?.holds(journey.user) === true) return fallBack(journey, "behindSpool", () => [], spoolFirst)
    const breaker = breakers.of(journey.user)
    switch (breaker.outlookUnsafe()) {
      case "closed": {
        const permit = breaker.admitUnsafe()
        return permit === undefined ? refused(journey, breaker) : direct(journey, breaker, permit)
      }
      case "probe":
        return probe(journey, breaker)
      case "refuse":
        return refused(journey, breaker)
    }
  }

  const keepJourney = (journey: Journey, broker: () => ReadonlyArray<Reason>): Effect.Effect<Outcome> =>
    fallBack(journey, "interrupted", broker, spool === undefined ? [] : [spool])

  // Being the outermost step, it is there before anything can interrupt, and costs a success next to nothing.
  const kept = (journey: Journey): Effect.Effect<Outcome> =>
    Effect.onExitPrimitive(
      Effect.suspend(() => travel(journey)),
      (exit) =>
        Exit.isSuccess(exit) || journey.ended
          ? undefined
          : Effect.asVoid(keepJourney(journey, () => [{ outlet: "broker", cause: exit.cause }]))
    )

  const deliver: Delivery["deliver"] = (user, batch) => kept({ user, batch, ended: false })

  const { appendUnsafe } = broker
  const deliverUnsafe = appendUnsafe === undefined ? undefined : (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>
  ): Outcome | undefined => {
    if (held?.holds(user) === true) return undefined
    const breaker = breakers.of(user)
    if (breaker.outlookUnsafe() !== "closed") return undefined
    const permit = breaker.admitUnsafe()
    if (permit === undefined) return undefined
    const position = appendUnsafe(user, batch)
    if (position === undefined) {
      breaker.releaseUnsafe(permit)
      return undefined
    }
    breaker.settleUnsafe(permit, true)
    counters.appendedBatches++
    counters.appendedEvents += batch.length
    return { _tag: "Appended", position }
  }

  return {
    deliver,
    ...(deliverUnsafe === undefined ? {} : { deliverUnsafe }),
    keep: (user, batch) => Effect.suspend(() => keepJourney({ user, batch, ended: false }, () => [])),
    breakers: breakers.all,
    channelBreakers: outlets.map((outlet) => outlet.breaker),
    deadLetters: replayer({ store: deadLetters, deliver, exclusive }),
    stats: Effect.sync(() => counters.snapshot(held?.depth(), deadLetters.size))
  }
})

interface Outlet {
  readonly channel: FallbackChannel
  readonly breaker: CircuitBreaker.CircuitBreaker
}

// One batch on its way. Once it ended nobody else may keep it, whatever happens to its fiber.
interface Journey {
  readonly user: UserId
  batch: NonEmptyReadonlyArray<Envelope>
  ended: boolean
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const defaultChannelBreaker: CircuitBreaker.Options = { failures: 3, openFor: { first: "1 second", cap: "30 seconds" } }

const isRefusal = (reason: Cause.Reason<unknown>): boolean =>
  Cause.isFailReason(reason) && reason.error instanceof CircuitBreaker.BreakerOpen

const triggerOf = (cause: Cause.Cause<BrokerError | CircuitBreaker.BreakerOpen>): Trigger =>
  cause.reasons.some(isRefusal) ? "breakerOpen" : "brokerFailed"

const triggerOfUser = (cause: Cause.Cause<BrokerError>): Trigger => Cause.hasDies(cause) ? "defect" : "refused"

// A spool that is full works as it should: only its limit was reached.
const tellsOfHealth = (exit: Exit.Exit<void, ChannelError>): boolean =>
  Exit.isSuccess(exit) ||
  !exit.cause.reasons.every((reason) => Cause.isFailReason(reason) && reason.error.reason._tag === "SpoolFull")

const mistakeIn = (names: ReadonlyArray<string>, channels: ReadonlyArray<FallbackChannel>): string | undefined => {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return `Two ways out have the name "${twice}"`
  const spools = channels.filter(({ spool }) => spool !== undefined)
  if (isReadonlyArrayNonEmpty(spools) && spools.length > 1) {
    return `The channels ${spools.map(({ name }) => `"${name}"`).join(" and ")} both spool: order needs a single spool`
  }
  return undefined
}
