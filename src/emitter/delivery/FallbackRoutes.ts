/**
 * The ways out past the broker: the fallback channels, each behind a circuit
 * breaker of its own, and the dead letters at the end.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Reason, Trigger } from "../fallback/DeadLetters.ts"
import type { ChannelError, FallbackChannel } from "../fallback/FallbackChannel.ts"
import { ChannelCounters } from "../observe/Counters.ts"
import type { CircuitBreaker } from "../resilience/CircuitBreaker.ts"
import type { DeadLetterWriter } from "./DeadLetterWriter.ts"
import type { HandedOver, Outcome } from "./Outcome.ts"

/**
 * A channel, and the breaker that it stands behind.
 *
 * @category models
 * @since 0.1.0
 */
export interface Route {
  readonly channel: FallbackChannel
  readonly breaker: CircuitBreaker
}

/**
 * Which routes are asked, and in which order:
 *
 * - `all`: as they are listed;
 * - `spoolFirst`: the spool, then the others;
 * - `spoolOnly`: the spool alone;
 * - `beyondSpool`: all but the spool.
 *
 * @category models
 * @since 0.1.0
 */
export type Order = "all" | "spoolFirst" | "spoolOnly" | "beyondSpool"

/**
 * - `take` asks the routes in an order. What none of them takes becomes dead
 *   letters, because of `trigger`, and for the reasons given and those of the
 *   routes. It always ends in an outcome.
 * - `spool` asks the spool alone, and gives why it did not take the batch;
 *   `undefined` where there is no spool.
 *
 * Both must be run where nothing can interrupt them; a channel that is no spool
 * can be interrupted all the same, and has then not taken the batch.
 *
 * @category models
 * @since 0.1.0
 */
export interface FallbackRoutes {
  readonly counters: ChannelCounters
  readonly take: (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    order: Order,
    trigger: Trigger,
    reasons: () => ReadonlyArray<Reason>
  ) => Effect.Effect<Outcome>
  readonly spool:
    | ((user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<HandedOver | Reason>)
    | undefined
}

/**
 * `onSpooled` is told of a user of whom something was spooled.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly routes: ReadonlyArray<Route>
  readonly deadLetter: DeadLetterWriter["write"]
  readonly onSpooled: (user: UserId) => void
}): FallbackRoutes => {
  const { deadLetter, onSpooled, routes } = options
  const counters = new ChannelCounters(routes.map(({ channel }) => channel.name))
  const spool = routes.find(({ channel }) => channel.spool !== undefined)
  const spools = spool === undefined ? [] : [spool]
  const others = routes.filter((route) => route !== spool)
  const orders: Readonly<Record<Order, ReadonlyArray<Route>>> = {
    all: routes,
    spoolFirst: [...spools, ...others],
    spoolOnly: spools,
    beyondSpool: others
  }

  const ask = Effect.fnUntraced(function*(
    { breaker, channel }: Route,
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>
  ): Effect.fn.Return<HandedOver | Reason> {
    const call = Effect.suspend(() => channel.deliver(user, batch))
    // Spooling is short, and is what saves the batch when its delivery is interrupted.
    const guarded = breaker.run(channel.spool === undefined ? Effect.interruptible(call) : call, tellsOfHealth)
    const exit = yield* Effect.exit(guarded)
    if (Exit.isFailure(exit)) {
      counters.failures.add(channel.name)
      return { outlet: channel.name, cause: exit.cause }
    }
    counters.handedOver.add(channel.name, batch.length)
    if (channel.spool !== undefined) onSpooled(user)
    return { _tag: "HandedOver", channel: channel.name }
  })

  return {
    counters,
    take: Effect.fnUntraced(function*(user, batch, order, trigger, reasons): Effect.fn.Return<Outcome> {
      const failures: Array<Reason> = []
      for (const route of orders[order]) {
        const answer = yield* ask(route, user, batch)
        if ("_tag" in answer) return answer
        failures.push(answer)
      }
      return deadLetter(user, batch, trigger, [...reasons(), ...failures])
    }),
    spool: spool === undefined ? undefined : (user, batch) => ask(spool, user, batch)
  }
}

// A spool that is full works as it should: only its limit was reached.
const tellsOfHealth = (exit: Exit.Exit<void, ChannelError>): boolean =>
  Exit.isSuccess(exit) ||
  !exit.cause.reasons.every((reason) => reason._tag === "Fail" && reason.error.reason._tag === "SpoolFull")
