/**
 * Tells when a server that failed calls takes them again.
 *
 * A server may answer and yet take no writes: its disk is full, it became a standby, it
 * is too slow. Whoever was refused would try again after ever longer times, and so be
 * late when it is well. So it is checked for them, a few times a second.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { Broker } from "../../Broker.ts"

/**
 * - `raise`: a call failed for the server's sake. Listeners are told `down`, unless they
 *   know.
 * - `lift`: the server can be used again. Listeners are told `up`, unless they know; what
 *   was in doubt is checked all the same, and told again if calls failed meanwhile.
 * - `watch` calls its listener until the scope closes.
 *
 * @category models
 * @since 0.2.0
 */
export interface Doubt {
  readonly raise: () => void
  readonly lift: () => void
  readonly watch: NonNullable<Broker["Service"]["watch"]>
}

/**
 * Checks, until the scope closes, while there is doubt: `check` tells whether a call that
 * writes was answered in time, `pause` is the wait before each.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  check: Effect.Effect<boolean>,
  pause: Effect.Effect<void>
): Effect.fn.Return<Doubt, never, Scope.Scope> {
  const listeners = new Set<(signal: "down" | "up") => void>()
  const isRaised = Latch.makeUnsafe(false)
  // Nothing was told yet: so the first time that it can be used is told as well.
  let told: "down" | "up" = "down"

  const tell = (signal: "down" | "up"): void => {
    if (told === signal) return
    told = signal
    for (const listener of listeners) listener(signal)
  }

  yield* isRaised.await.pipe(
    Effect.andThen(pause),
    Effect.andThen(check),
    Effect.map((isWell) => {
      if (!isWell) return
      isRaised.closeUnsafe()
      tell("up")
    }),
    Effect.catchCause((cause) => Effect.logError("Checking a Postgres in doubt failed, and goes on", cause)),
    Effect.forever,
    Effect.forkScoped
  )

  return {
    raise: () => {
      isRaised.openUnsafe()
      tell("down")
    },
    lift: () => tell("up"),
    watch: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => void listeners.add(listener)),
        () => Effect.sync(() => void listeners.delete(listener))
      )
  }
})
