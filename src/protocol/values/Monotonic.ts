/**
 * Time for waits, ages and durations.
 *
 * `clock.currentTimeMillis` is the wall clock: it is for what people read, and
 * it steps whenever somebody corrects it. How long something took or has to
 * wait is told by the monotonic clock, which only goes forwards. The two have
 * nothing in common: a monotonic time means something only against another one
 * of the same process.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"

/**
 * The monotonic time now, in milliseconds with fractions, since some moment in
 * the past.
 *
 * @category getters
 * @since 0.1.0
 */
export const millisUnsafe = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000

/**
 * Whole milliseconds since `start`, which `millisUnsafe` gave; never less than 0.
 *
 * @category getters
 * @since 0.1.0
 */
export const elapsedUnsafe = (clock: Clock.Clock, start: number): number => Math.round(millisUnsafe(clock) - start)
