/**
 * Puts troubles of delivery together into alerts, and sends them.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Trigger } from "../fallback/DeadLetters.ts"

/**
 * What happened since the last alert: openings by the name of the breaker
 * (`broker`, or that of a channel), and dead letters, in events, by trigger.
 * `since` is the time of the first, in milliseconds since the Unix epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Alert {
  readonly since: number
  readonly breakerOpenings: Readonly<Record<string, number>>
  readonly deadLetters: Readonly<Partial<Record<Trigger, number>>>
}

/**
 * - `notify` tells the operator. What it fails with is logged, and costs the
 *   alert.
 * - `atMostEvery` is the least time between two alerts, default 1 minute.
 * - `timeout` ends a `notify` that hangs, default 30 seconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E, R = never> {
  readonly notify: (alert: Alert) => Effect.Effect<void, E, R>
  readonly atMostEvery?: Duration.Input | undefined
  readonly timeout?: Duration.Input | undefined
}

/**
 * Where trouble is reported. Both calls return at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface OperatorAlert {
  readonly breakerOpened: (breaker: string) => void
  readonly deadLettered: (trigger: Trigger, events: number) => void
}

/**
 * Where the emitting engine reports trouble; nowhere by default.
 *
 * @category services
 * @since 0.1.0
 */
export const Current = Context.Reference<OperatorAlert | undefined>("effect-emitter/OperatorAlert", {
  defaultValue: () => undefined
})

interface Trouble {
  readonly since: number
  readonly breakerOpenings: Record<string, number>
  readonly deadLetters: Partial<Record<Trigger, number>>
}

/**
 * Alerts are sent by one fiber of the scope; when the scope closes, what was
 * not told yet is told, within `timeout`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*<E, R = never>(
  options: Options<E, R>
): Effect.fn.Return<OperatorAlert, never, R | Scope.Scope> {
  const context = yield* Effect.context<R>()
  const clock = yield* Clock.Clock
  const atMostEvery = Duration.fromInputUnsafe(options.atMostEvery ?? "1 minute")
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "30 seconds")
  const latch = Latch.makeUnsafe()
  let trouble: Trouble | undefined

  const note = (change: (trouble: Trouble) => void): void => {
    trouble ??= { since: clock.currentTimeMillisUnsafe(), breakerOpenings: {}, deadLetters: {} }
    change(trouble)
    latch.openUnsafe()
  }

  const tell = Effect.suspend(() => {
    const alert = trouble
    if (alert === undefined) return Effect.void
    trouble = undefined
    latch.closeUnsafe()
    return Effect.suspend(() => options.notify(alert)).pipe(
      Effect.provideContext(context),
      Effect.timeout(timeout),
      Effect.catchCause((cause) => Effect.logError("An alert to the operator was lost", alert, cause))
    )
  })

  yield* Effect.addFinalizer(() => tell)
  yield* latch.await.pipe(
    Effect.andThen(tell),
    Effect.repeat(Schedule.spaced(atMostEvery)),
    Effect.forkScoped
  )

  return {
    breakerOpened: (breaker) =>
      note(({ breakerOpenings }) => breakerOpenings[breaker] = (breakerOpenings[breaker] ?? 0) + 1),
    deadLettered: (trigger, events) =>
      note(({ deadLetters }) => deadLetters[trigger] = (deadLetters[trigger] ?? 0) + events)
  }
})
