/**
 * Waits that grow: each is twice as long as the one before, up to a bound, less a
 * random part.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

/**
 * - `first` is the first wait, `cap` bounds those that follow.
 * - `jitter` is the greatest part of a wait that is left out at random, from 0 to 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly first: Duration.Input
  readonly cap: Duration.Input
  readonly jitter: number
}

/**
 * A schedule of such waits, without end. Its steps are synchronous.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ cap, first, jitter }: Options) =>
  Schedule.min([Schedule.exponential(first), Schedule.spaced(cap)]).pipe(
    Schedule.modifyDelay(({ duration }) =>
      Effect.map(Random.next, (random) => Duration.times(duration, 1 - jitter * random))
    )
  )
