/**
 * Who is drained next, of the users who wait for one circuit breaker.
 *
 * There are two lanes: for users who are well, and for those in trouble, who so
 * keep nobody waiting. In each the user who has waited longest is served first, and
 * a few are served at a time. A user is in one lane, or is served, or rests.
 *
 * Nobody is served while the breaker refuses calls. Its probe is left to the users
 * who are well, where there are any: a failure of others tells little of the broker.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { CircuitBreaker } from "../resilience/CircuitBreaker.ts"
import type { RestMs } from "./UserDrain.ts"

/**
 * - `serve` drains a user for one turn, and tells how long the user rests. It must
 *   not fail; a defect costs the user a rest.
 * - `isInTrouble` says which lane a user belongs to.
 * - `isDone` is asked after each turn. Who is not done comes again, `onDone` is run
 *   for who is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly breaker: CircuitBreaker
  readonly serve: (user: UserId) => Effect.Effect<RestMs>
  readonly isInTrouble: (user: UserId) => boolean
  readonly isDone: (user: UserId) => boolean
  readonly onDone: (user: UserId) => Effect.Effect<void>
}

/**
 * - `enter` puts a user into a lane, who is not in one, served or resting.
 * - `hurry`: whoever waits or rests has reason to be tried at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface DrainLanes {
  readonly enter: (user: UserId) => void
  readonly hurry: () => void
}

type Lane = Queue.Queue<UserId>

/**
 * Starts serving. It ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<DrainLanes, never, Scope.Scope> {
  const { breaker, isDone, isInTrouble, onDone, serve } = options
  const scope = yield* Effect.scope
  const well: Lane = yield* Queue.unbounded<UserId>()
  const troubled: Lane = yield* Queue.unbounded<UserId>()
  // Those in a lane, served or resting.
  const known = new Set<UserId>()
  // Opened for a moment when there is reason not to wait any longer.
  const hurried = Latch.makeUnsafe()

  const enter = (user: UserId): void => {
    if (known.has(user)) return
    known.add(user)
    Queue.offerUnsafe(isInTrouble(user) ? troubled : well, user)
  }

  const pause = (ms: number): Effect.Effect<unknown> => Effect.timeoutOption(hurried.await, ms)

  const isServed = (lane: Lane): boolean => {
    const admission = breaker.admissionUnsafe()
    return admission === "closed" || admission === "probe" && (lane === well || Queue.sizeUnsafe(well) === 0)
  }

  const admitted = (lane: Lane): Effect.Effect<void> =>
    Effect.suspend(() =>
      isServed(lane)
        ? Effect.void
        : Effect.andThen(pause(Math.max(breaker.retryAfterMsUnsafe(), probePauseMs)), admitted(lane))
    )

  // Who still has something to drain stands last.
  const release = (user: UserId): Effect.Effect<void> =>
    Effect.suspend(() => {
      known.delete(user)
      if (isDone(user)) return onDone(user)
      enter(user)
      return Effect.void
    })

  const rest = (user: UserId, ms: RestMs): Effect.Effect<unknown> =>
    Effect.forkIn(Effect.ensuring(pause(ms), release(user)), scope)

  const turnOf = (user: UserId): Effect.Effect<unknown> =>
    Effect.suspend(() => serve(user)).pipe(
      // Whatever a turn ends in, the user stays in the lane, and its fiber goes on.
      Effect.catchCause((cause) =>
        Effect.as(Effect.logError(`Draining the spool of user ${user} died, and is tried again`, cause), defectRestMs)
      ),
      Effect.flatMap((ms) => ms > 0 ? rest(user, ms) : release(user))
    )

  // Who is served is decided when somebody may be, since whoever rested meanwhile stands behind those who waited.
  const work = (lane: Lane): Effect.Effect<unknown, never, Scope.Scope> =>
    Queue.peek(lane).pipe(
      Effect.andThen(admitted(lane)),
      Effect.andThen(Queue.poll(lane)),
      Effect.flatMap((user) => Option.isNone(user) ? Effect.void : turnOf(user.value)),
      Effect.forever,
      Effect.forkScoped
    )

  yield* Effect.replicateEffect(work(well), usersAtOnce, { discard: true })
  yield* Effect.replicateEffect(work(troubled), troubledAtOnce, { discard: true })
  return {
    enter,
    hurry: () => {
      hurried.openUnsafe()
      hurried.closeUnsafe()
    }
  }
})

const usersAtOnce = 8
const troubledAtOnce = 2
// The least time between two looks at the breaker, as while another's probe is under way.
const probePauseMs = 20
const defectRestMs = 1_000
