/**
 * What a broker or a channel under test does to a call.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Monotonic from "../protocol/Monotonic.ts"

/**
 * - `ok`: it takes what it is given.
 * - `fail`: it cannot be reached, and takes nothing; `refuse`: it answers that
 *   it will not take it.
 * - `die`: it dies of a defect, and takes nothing.
 * - `loseAnswer`: it takes what it is given, and fails all the same, as when the
 *   connection breaks before the answer.
 * - `interrupt`: it takes what it is given, and ends interrupted.
 * - `hang`: it takes nothing, and never answers.
 *
 * @category models
 * @since 0.1.0
 */
export type Deed = "ok" | "fail" | "refuse" | "reject" | "die" | "loseAnswer" | "interrupt" | "hang"

/**
 * A deed, done at once, or `after` so much time.
 *
 * @category models
 * @since 0.1.0
 */
export type Behaviour = Deed | { readonly after: Duration.Input; readonly do: Deed }

/**
 * Decides about each call: one behaviour for all, or by the call.
 *
 * @category models
 * @since 0.1.0
 */
export type Decide<Call> = Behaviour | ((call: Call) => Behaviour)

/**
 * @category operations
 * @since 0.1.0
 */
export const decide = <Call>(decide: Decide<Call>, call: Call): Behaviour =>
  typeof decide === "function" ? decide(call) : decide

/**
 * A behaviour that changes with time, beginning now: each part lasts for its
 * `during`, and what comes after the last is `ok`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Behaviour, TestBroker } from "effect-emitter/testing"
 *
 * // Works for a second, is away for ten, is slow for five, and works from then on.
 * const outage = Effect.gen(function*() {
 *   const broker = yield* TestBroker.TestBroker
 *   yield* broker.behave(yield* Behaviour.schedule([
 *     { during: "1 second", behave: "ok" },
 *     { during: "10 seconds", behave: "fail" },
 *     { during: "5 seconds", behave: { after: "300 millis", do: "ok" } }
 *   ]))
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const schedule = (
  parts: ReadonlyArray<{ readonly during: Duration.Input; readonly behave: Behaviour }>
): Effect.Effect<() => Behaviour> =>
  Effect.map(Clock.Clock, (clock) => {
    let end = Monotonic.millisUnsafe(clock)
    const ends = parts.map(({ behave, during }) => {
      end += Duration.toMillis(Duration.fromInputUnsafe(during))
      return { behave, end }
    })
    return () => {
      const now = Monotonic.millisUnsafe(clock)
      return ends.find((part) => now < part.end)?.behave ?? "ok"
    }
  })

/**
 * A behaviour that changes with each call: the first does the first, and so on;
 * what comes after the last is `ok`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sequence = (...behaviours: ReadonlyArray<Behaviour>): () => Behaviour => {
  let calls = 0
  return () => behaviours[calls++] ?? "ok"
}

/**
 * What acting on a behaviour needs to know: how to take, and how to fail.
 *
 * @category models
 * @since 0.1.0
 */
export interface Actor<out A, out E> {
  readonly name: string
  readonly take: Effect.Effect<A, E>
  readonly unavailable: Effect.Effect<never, E>
  readonly refused: Effect.Effect<never, E>
  readonly rejected: Effect.Effect<never, E>
}

/**
 * Does what a behaviour says.
 *
 * @category operations
 * @since 0.1.0
 */
export const act = <A, E>(behaviour: Behaviour, actor: Actor<A, E>): Effect.Effect<A, E> => {
  if (typeof behaviour === "object") {
    return Effect.andThen(Effect.sleep(behaviour.after), Effect.suspend(() => act(behaviour.do, actor)))
  }
  switch (behaviour) {
    case "ok":
      return actor.take
    case "loseAnswer":
      return Effect.andThen(actor.take, actor.unavailable)
    case "interrupt":
      return Effect.andThen(actor.take, Effect.interrupt)
    case "fail":
      return actor.unavailable
    case "refuse":
      return actor.refused
    case "reject":
      return actor.rejected
    case "die":
      return Effect.die(new Error(`${actor.name} dies as it was told to`))
    case "hang":
      return Effect.never
  }
}
