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
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import type { DeadLetters, Reason, Trigger } from "../fallback/DeadLetters.ts"
import type { DeadLetterStore } from "../fallback/DeadLetterStore.ts"
import type { FallbackChannel } from "../fallback/FallbackChannel.ts"
import { NamedCounter } from "../observe/Counters.ts"
import type { OperatorAlert } from "../observe/Alerts.ts"
import { type Stats, viewOfDelivery } from "../observe/Stats.ts"
import * as Appender from "./Appender.ts"
import * as BrokerBreakers from "../resilience/BrokerBreakers.ts"
import * as CircuitBreaker from "../resilience/CircuitBreaker.ts"
import * as DeadLetterWriter from "./DeadLetterWriter.ts"
import * as FallbackRoutes from "./FallbackRoutes.ts"
import * as LostRuns from "./LostRuns.ts"
import { type Divided, lostRun, type Outcome, outcomesOf } from "./Outcome.ts"
import { replayer } from "./Replay.ts"
import * as Retry from "../resilience/Retry.ts"
import type { IsOwn } from "./Orphans.ts"
import * as SpoolDrainer from "./SpoolDrainer.ts"
import { halves } from "./Trouble.ts"
import * as Verdict from "./Verdict.ts"

export type { Divided, Outcome } from "./Outcome.ts"

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
 * the dead letters, before it ends; nothing of it is lost then either. What takes
 * time in it can be interrupted also where it is run as uninterruptible: then it
 * ends in the outcome that is so.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delivery {
  readonly deliver: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Outcome | Divided>
  readonly deliverUnsafe?: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Outcome | undefined
}

/**
 * A delivery together with what can be seen and done from outside.
 *
 * - `keep` puts a batch into the spool, or else among the dead letters, without
 *   trying anything else: for what cannot be delivered in time any more.
 * - `isLate` tells whether events of a user wait in the spool.
 * - `breakers` are those of the broker, `channelBreakers` those of the fallback
 *   channels, in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeliveryPipeline extends Delivery {
  readonly isLate: (user: UserId) => boolean
  readonly keep: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Outcome | Divided>
  readonly breakers: NonEmptyReadonlyArray<CircuitBreaker.CircuitBreaker>
  readonly channelBreakers: ReadonlyArray<CircuitBreaker.CircuitBreaker>
  readonly deadLetters: DeadLetters["Service"]
  readonly stats: Effect.Effect<Stats["delivery"]>
}

/**
 * - `name` tells this engine from others that deliver to the same broker.
 * - `isOwn` tells whether an event is of this engine; what a spool holds of others
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
  readonly isOwn: IsOwn
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
  const { alert, broker, channels, deadLetters: store, exclusive, onRunsLost } = options
  const clock = yield* Clock.Clock
  const names = [...BrokerBreakers.namesOf(broker.domains), ...channels.map(({ name }) => name)]
  const mistake = mistakeIn(names, channels)
  if (mistake !== undefined) return yield* Effect.die(new TypeError(mistake))
  const breakerOpenings = NamedCounter.of(names)
  const onTransition = ({ breaker, event }: CircuitBreaker.Transition): void => {
    if (event !== "opened") return
    breakerOpenings.add(breaker)
    alert?.breakerOpened(breaker)
  }
  const breakers = yield* BrokerBreakers.make(broker.domains, options.breaker, onTransition)
  const judge = Verdict.make(broker.canary, (user) => breakers.of(user).name)
  const routes = yield* Effect.forEach(channels, (channel) =>
    Effect.map(
      CircuitBreaker.make(channel.name, options.channelBreaker ?? defaultChannelBreaker, onTransition),
      (breaker): FallbackRoutes.Route => ({ channel, breaker })
    ))
  const spool = channels.find((channel) => channel.spool !== undefined)?.spool
  // Those of an earlier process are here before anything is drained.
  const deadLetters = DeadLetterWriter.make({ store, durable: spool?.letters, alert, clock })

  // Nothing of runs that were ended as lost can be delivered any more, and whoever runs them has to know.
  const loseRuns = (user: UserId, late: ReadonlyArray<Envelope>, lost: LostRuns.Lost, durably: boolean): void => {
    if (isReadonlyArrayNonEmpty(late)) {
      deadLetters.write(user, late, "runLost", [{ outlet: "broker", cause: Cause.fail(lost.error) }], durably)
    }
    onRunsLost(user, lost.runs)
  }

  const drainer = spool === undefined ? undefined : yield* SpoolDrainer.make({
    name: options.name,
    store: spool,
    breakers,
    broker,
    judge,
    isOwn: options.isOwn,
    setAside: (user, late, lost) => loseRuns(user, late, lost, true),
    exclusive,
    deadLetter: (user, batch, cause) =>
      void deadLetters.write(user, batch, triggerOfUser(cause), [{ outlet: "broker", cause }], true)
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

  const appender = Appender.make({ broker, breakers, judge, retry: options.retry })
  const fallback = FallbackRoutes.make({
    routes,
    deadLetter: deadLetters.write,
    onSpooled: (user) => drainer?.wake(user)
  })

  const attempt = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Effect.Effect<Outcome | Divided> =>
    spool?.holds(user) === true
      ? fallback.take(user, batch, "spoolFirst", "behindSpool", noReasons)
      : Effect.flatMap(appender.append(user, batch), (answer): Effect.Effect<Outcome | Divided> => {
        if (answer instanceof LostRuns.Lost) return withoutLost(user, batch, answer)
        if (answer instanceof Verdict.OfUser) return troubled(user, batch, answer.cause)
        if (!(answer instanceof Appender.NotTaken)) return Exit.succeed(answer)
        const order = answer.trigger === "interrupted" ? "spoolOnly" : "all"
        return fallback.take(user, batch, order, answer.trigger, answer.reasons)
      })

  // What is not of these runs goes on, behind nothing: it is still this batch's turn.
  const withoutLost = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    lost: LostRuns.Lost
  ): Effect.Effect<Outcome | Divided> => {
    const { late, rest } = lost.divide(batch)
    loseRuns(user, late, lost, false)
    if (!isReadonlyArrayNonEmpty(rest)) return Exit.succeed(lostRun)
    return Effect.map(attempt(user, rest), (ofRest): Divided => {
      const others = outcomesOf(ofRest, rest.length).values()
      return {
        _tag: "Divided",
        outcomes: batch.map((event) => lost.has(event) ? lostRun : others.next().value ?? lostRun)
      }
    })
  }

  // The broker takes others' events, and not these: a spool gives it time, else each event is asked for alone.
  const troubled = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    cause: Cause.Cause<BrokerError>
  ): Effect.Effect<Outcome | Divided> =>
    fallback.spool === undefined
      ? halved(user, batch, cause, [])
      : Effect.flatMap(
        fallback.spool(user, batch),
        (answer): Effect.Effect<Outcome | Divided> =>
          "_tag" in answer ? Exit.succeed(answer) : halved(user, batch, cause, [answer])
      )

  const halved = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    cause: Cause.Cause<BrokerError>,
    besides: ReadonlyArray<Reason>
  ): Effect.Effect<Outcome | Divided> => {
    const both = halves(batch)
    if (both === undefined) {
      return fallback.take(user, batch, "beyondSpool", triggerOfUser(cause), () => [
        { outlet: "broker", cause },
        ...besides
      ])
    }
    const [first, second] = both
    return Effect.flatMap(attempt(user, first), (before) =>
      Effect.map(attempt(user, second), (after): Divided => ({
        _tag: "Divided",
        outcomes: [...outcomesOf(before, first.length), ...outcomesOf(after, second.length)]
      })))
  }

  const deliver: Delivery["deliver"] = (user, batch) =>
    Effect.uninterruptible(Effect.suspend(() => attempt(user, batch)))

  const { appendUnsafe } = appender
  return {
    deliver,
    ...(appendUnsafe === undefined ? {} : {
      deliverUnsafe: (user, batch) => spool?.holds(user) === true ? undefined : appendUnsafe(user, batch)
    }),
    keep: (user, batch) => Effect.uninterruptible(fallback.take(user, batch, "spoolOnly", "interrupted", noReasons)),
    isLate: (user) => spool?.holds(user) === true,
    breakers: breakers.all,
    channelBreakers: routes.map(({ breaker }) => breaker),
    deadLetters: replayer({ store, deliver, exclusive }),
    stats: Effect.sync(() =>
      viewOfDelivery({
        append: appender.counters,
        drain: drainer?.counters,
        channels: fallback.counters,
        deadLettered: deadLetters.counter,
        breakerOpenings
      }, { spool: spool?.depth(), deadLetters: store.size })
    )
  }
})

const defaultChannelBreaker: CircuitBreaker.Options = { failures: 3, openFor: { first: "1 second", cap: "30 seconds" } }

const noReasons = (): ReadonlyArray<Reason> => []

const triggerOfUser = (cause: Cause.Cause<BrokerError>): Trigger => Cause.hasDies(cause) ? "defect" : "refused"

const mistakeIn = (names: ReadonlyArray<string>, channels: ReadonlyArray<FallbackChannel>): string | undefined => {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return `Two ways out have the name "${twice}"`
  const spools = channels.filter(({ spool }) => spool !== undefined)
  if (isReadonlyArrayNonEmpty(spools) && spools.length > 1) {
    return `The channels ${spools.map(({ name }) => `"${name}"`).join(" and ")} both spool: order needs a single spool`
  }
  return undefined
}
