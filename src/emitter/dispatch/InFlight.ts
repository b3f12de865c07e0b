/**
 * The deliveries that are under way.
 *
 * Each runs on a fiber of the layer, so that interrupting a caller does not stop
 * it. Where its effect ends at once, the result is there within the call, and no
 * fiber outlives it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

/**
 * - `run` starts a delivery. `then` gets its exit, and what `then` gives is given
 *   back if that was within the call. With `uninterruptible` only what the delivery
 *   lets be interrupted is, and its own outcome is the exit.
 * - `isNone`: nothing is under way.
 * - `interrupt` interrupts all that is under way, and waits for its end.
 *
 * @category models
 * @since 0.1.0
 */
export interface InFlight {
  readonly run: <A, B>(
    delivery: Effect.Effect<A>,
    then: (exit: Exit.Exit<A>) => B,
    options?: Effect.RunOptions
  ) => B | undefined
  readonly isNone: () => boolean
  readonly interrupt: Effect.Effect<void>
}

/**
 * Starts with nothing under way. The end of the scope interrupts what is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<InFlight, never, Scope.Scope> = Effect.gen(function*() {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  let active = 0

  const run: InFlight["run"] = (delivery, then, options) => {
    const fiber = runFork(delivery, options)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return then(exit)
    active++
    Fiber.runIn(fiber, scope)
    fiber.addObserver((late) => {
      active--
      then(late)
    })
    return undefined
  }

  return { run, isNone: () => active === 0, interrupt: Scope.close(scope, Exit.void) }
})
