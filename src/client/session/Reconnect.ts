/**
 * How long a client waits before it connects again: exponential backoff with
 * full jitter, so that the clients of a server that came back do not arrive
 * together.
 *
 * - The wait before attempt n is drawn evenly between 0 and
 *   `min(capMs, baseMs · 2ⁿ)`.
 * - After the loss of a connection that was welcomed, n starts at 0 again, and for
 *   5 s no wait is longer than 500 ms. A network that is gone for moments, however
 *   often, costs no more than that.
 * - n keeps growing, and waits are not kept short, where two connections in a row
 *   ended for a cause that is likely to come again, such as a close code of the
 *   protocol, less than `stableAfterMs` after their welcome.
 * - The server may ask for a minimum wait; the random wait is added to it.
 *
 * @since 0.1.0
 */

/**
 * Options of the wait, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backoff {
  readonly baseMs: number
  readonly capMs: number
  readonly stableAfterMs: number
}

/**
 * 200 ms, doubling up to 20 s; a connection is stable after 10 s.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: Backoff = { baseMs: 200, capMs: 20_000, stableAfterMs: 10_000 }

/**
 * How long after the loss of a connection waits stay short.
 *
 * @category constants
 * @since 0.1.0
 */
export const quickForMs = 5_000

/** The longest of the short waits. */
const quickMs = 500

/**
 * How far the waits have grown. `step` is the number of the next attempt after a
 * loss, from 0. Until the time `quickUntil` no wait is longer than the short ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pace {
  readonly step: number
  readonly quickUntil: number
}

/**
 * The next wait, up to its ceiling, and the pace after it. `random` is in [0, 1).
 *
 * @category waits
 * @since 0.1.0
 */
export const next = (
  { baseMs, capMs }: Backoff,
  { quickUntil, step }: Pace,
  now: number,
  random: number
): readonly [delayMs: number, pace: Pace] => {
  // No more than so often doubled, since 0 ms times infinity is no time.
  const ceilingMs = Math.min(capMs, baseMs * 2 ** Math.min(step, 64))
  const quick = now < quickUntil
  return [
    Math.floor(random * (quick ? Math.min(quickMs, ceilingMs) : ceilingMs)),
    { quickUntil, step: quick && ceilingMs >= quickMs ? step : step + 1 }
  ]
}

/**
 * The next number in [0, 1) and the next seed: mulberry32. A session draws its
 * jitter from one seed, so a run of it can be repeated.
 *
 * @category random
 * @since 0.1.0
 */
export const nextRandom = (seed: number): readonly [value: number, seed: number] => {
  const next = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(next ^ (next >>> 15), next | 1)
  t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
  return [((t ^ (t >>> 14)) >>> 0) / 4_294_967_296, next]
}
