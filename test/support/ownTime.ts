/**
 * How long something would take on a machine of this process's own, for tests that bound a time.
 *
 * A machine that is shared, or slow, makes each step late. So a timer that should ring all the time tells for how long the
 * process wanted to go on and could not, for want of a processor or because it was computing itself: this time is taken
 * off, and the processor's time that the process used is put back. What is left is what was waited for.
 */
import * as Effect from "effect/Effect"

const everyMs = 25

/** Starts to measure. The returned function stops it, and gives the time in milliseconds. */
export const measureOwnTime = (): () => number => {
  const began = performance.now()
  const usedBefore = process.cpuUsage()
  let heldUpMs = 0
  let last = began
  const look = () => {
    const now = performance.now()
    heldUpMs += Math.max(0, now - last - everyMs)
    last = now
  }
  const timer = setInterval(look, everyMs)
  timer.unref()
  return () => {
    clearInterval(timer)
    look()
    const { system, user } = process.cpuUsage(usedBefore)
    return Math.max(0, last - began - heldUpMs) + (user + system) / 1_000
  }
}

/** An effect's value, and how long it would take on a machine of this process's own, in milliseconds. */
export const ownTimed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [ownMs: number, A], E, R> =>
  Effect.suspend(() => {
    const stop = measureOwnTime()
    return Effect.map(effect, (value) => [stop(), value] as const).pipe(Effect.onError(() => Effect.sync(stop)))
  })
