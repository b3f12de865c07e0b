/**
 * How long a client waits before it connects again: exponential backoff with
 * full jitter, so that the clients of a server that came back do not arrive
 * together.
 *
 * The wait before attempt n is drawn evenly between 0 and
 * `min(capMs, baseMs · 2ⁿ)`. A server that says goodbye may ask for a longer
 * wait, which comes on top of nothing less than it asked for. Attempts count
 * from 0 again once a connection has lasted `stableAfterMs`.
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
 * The longest wait before this attempt (0 is the first one after a loss).
 *
 * @category waits
 * @since 0.1.0
 */
export const ceilingMs = (backoff: Backoff, attempt: number): number =>
  Math.min(backoff.capMs, backoff.baseMs * 2 ** attempt)

/**
 * The wait before this attempt: at least `atLeastMs`, which the server asked
 * for, and then up to the ceiling. `random` is in [0, 1).
 *
 * @category waits
 * @since 0.1.0
 */
export const delayMs = (backoff: Backoff, attempt: number, random: number, atLeastMs = 0): number =>
  atLeastMs + Math.floor(random * ceilingMs(backoff, attempt))

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
