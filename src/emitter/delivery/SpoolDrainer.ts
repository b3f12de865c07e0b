/**
 * Gives what a spool holds back to the broker, each user's events in order.
 *
 * It waits until something is spooled and the broker's circuit breaker lets a
 * call through, the probe included. Where a broker has several breakers, each
 * has its own lanes of users, so that one that stays open holds up no others. A
 * user is drained while nothing else of this user is being delivered, so events
 * that come meanwhile stay behind. A batch leaves the spool only when the broker
 * has it, or has refused it for good.
 *
 * A user whose next batch is not taken, though others' are, is in trouble, and
 * costs no other user anything: it settles no breaker, has a lane of its own, and
 * waits between its tries while others are drained. After a few tries its batch is
 * halved until the event is alone that the broker does not take. That becomes a
 * dead letter, and what stands behind it goes on.
 *
 * When the broker was away and takes events again, it is told of each user who
 * still has something in the spool: their events are late.
 *
 * What an earlier process left belongs to runs that nobody runs any more: those
 * that are active when their user has nothing left in the spool end as lost.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Broker } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { DrainCounters } from "../observe/Counters.ts"
import type { BrokerBreakers } from "../resilience/BrokerBreakers.ts"
import type { CircuitBreaker } from "../resilience/CircuitBreaker.ts"
import * as DrainLanes from "./DrainLanes.ts"
import * as LateAnnouncer from "./LateAnnouncer.ts"
import * as UserDrain from "./UserDrain.ts"

/**
 * What a drainer works with, besides what one user's drain needs. `name` tells this
 * engine from others that may hold events of a user; `exclusive` runs an effect as
 * the user's only delivery.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends UserDrain.Options {
  readonly name: string
  readonly breakers: BrokerBreakers
  readonly broker: Pick<Broker["Service"], "append" | "endLost" | "late">
  readonly exclusive: <A, E>(user: UserId, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

/**
 * - `wake`: something of this user was spooled.
 * - `hurry`: what waits for this breaker has reason to try at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpoolDrainer {
  readonly counters: DrainCounters
  readonly wake: (user: UserId) => void
  readonly hurry: (breaker: CircuitBreaker) => void
}

/**
 * Starts draining, with what the store holds already. It ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<SpoolDrainer, never, Scope.Scope> {
  const { breakers, broker, exclusive, store } = options
  const users = UserDrain.make(options)
  const late = yield* LateAnnouncer.make(options.name, broker.late)

  const serve = (breaker: CircuitBreaker, user: UserId): Effect.Effect<UserDrain.RestMs> =>
    Effect.catch(
      exclusive(user, users.drain(breaker, user)),
      (failure) =>
        Effect.as(Effect.logError(`The spool of user ${user} cannot be drained`, failure), spoolFailureRestMs)
    )

  const lanes = new Map<CircuitBreaker, DrainLanes.DrainLanes>()
  for (const breaker of breakers.all) {
    const { isDone, isInTrouble } = users
    const serveBehind = (user: UserId) => serve(breaker, user)
    lanes.set(
      breaker,
      yield* DrainLanes.make({ breaker, serve: serveBehind, isInTrouble, isDone, onDone: late.drained })
    )
    // In the order in which they wait; who was drained meanwhile is not late.
    const announce = Effect.suspend(() =>
      late.announce(
        store.users(Number.POSITIVE_INFINITY).filter((user) => breakers.of(user) === breaker),
        store.holds
      )
    )
    yield* breaker.transitions.pipe(
      Stream.runForEach(({ event }) => event === "closed" ? announce : Effect.void),
      Effect.tapDefect((defect) => Effect.logError("Telling of late users died and starts again", defect)),
      Effect.sandbox,
      Effect.retry(Schedule.spaced("1 second")),
      Effect.forkScoped
    )
  }

  const wake = (user: UserId): void => lanes.get(breakers.of(user))?.enter(user)
  for (const user of store.users(Number.POSITIVE_INFINITY)) wake(user)
  return { counters: users.counters, wake, hurry: (breaker) => lanes.get(breaker)?.hurry() }
})

const spoolFailureRestMs = 1_000
