/**
 * Tries again after a failure, a few times and a little later each time.
 *
 * It bridges the moment in which a connection is renewed; what lasts longer is
 * the business of the circuit breaker. The waits are exponential with full
 * jitter: before the `n`th retry a random time between 0 and
 * `min(cap, base × 2^(n-1))` passes.
 *
 * A first try that succeeds pays nothing. Defects and interruptions are not
 * retried, since trying again cures neither; an interruption ends the waiting
 * at once.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Backoff from "./Backoff.ts"

/**
 * How often and how soon to try again.
 *
 * - `attempts` counts the retries: with 3, an effect runs 4 times at most.
 * - `base` bounds the wait before the first retry; each further one may take
 *   twice as long as the one before, up to `cap`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly attempts: number
  readonly base: Duration.Input
  readonly cap: Duration.Input
}

/**
 * The most milliseconds that all waits of one `run` can take together, without
 * the time the effect itself takes.
 *
 * @category conversions
 * @since 0.1.0
 */
export const budgetMs = (options: Options): number => {
  let budget = 0
  for (let retry = 1; retry <= options.attempts; retry++) budget += longestWaitMs(options, retry)
  return budget
}

/**
 * Runs an effect, and again after each typed failure while attempts are left.
 * It ends as the last try ended. `onRetry` is called before each retry, and must
 * not throw. A failure that `isForGood` is not followed by another try.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: Options,
  onRetry?: () => void,
  isForGood?: (cause: Cause.Cause<E>) => boolean
): Effect.Effect<A, E, R> =>
  Effect.catchCause(effect, (cause) => afterFailure(effect, options, cause, onRetry, isForGood))

/**
 * What `run` does after its first try failed with `cause`, for callers that made
 * this try themselves.
 *
 * @category combinators
 * @since 0.1.0
 */
export const afterFailure = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: Options,
  cause: Cause.Cause<E>,
  onRetry?: () => void,
  isForGood?: (cause: Cause.Cause<E>) => boolean
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let isFirst = true
    // The try that the caller made, and then those that follow it.
    const nextTry = Effect.suspend(() => {
      if (isFirst) {
        isFirst = false
        return Effect.failCause(cause)
      }
      onRetry?.()
      return effect
    })
    return Effect.sandbox(nextTry).pipe(
      Effect.retry({
        schedule: Backoff.make({ first: options.base, cap: options.cap, jitter: 1 }),
        times: options.attempts,
        while: (last) => isRetryable(last) && isForGood?.(last) !== true
      }),
      Effect.catch(Effect.failCause)
    )
  })

const isRetryable = <E>(cause: Cause.Cause<E>): boolean => cause.reasons.every(Cause.isFailReason)

const longestWaitMs = (options: Options, retry: number): number =>
  Math.min(
    Duration.toMillis(Duration.fromInputUnsafe(options.cap)),
    Duration.toMillis(Duration.fromInputUnsafe(options.base)) * 2 ** (retry - 1)
  )
