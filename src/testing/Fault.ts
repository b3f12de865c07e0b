/**
 * What a broker or a channel under test does to a call.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Monotonic from "../protocol/values/Monotonic.ts"

/**
 * What a broker or a channel does with a call.
 *
 * - `ok`: it takes what it is given.
 * - `fail`: it cannot be reached, and takes nothing; `refuse`: it answers that
 *   it will not take this now; `reject`: that it will never take it.
 * - `die`: it dies of a defect, and takes nothing.
 * - `loseAnswer`: it takes what it is given, and fails all the same, as when the
 *   connection breaks before the answer.
 * - `interrupt`: it takes what it is given, and ends interrupted.
 * - `hang`: it takes nothing, and never answers.
 *
 * @category models
 * @since 0.1.0
 */
export type FaultKind = "ok" | "fail" | "refuse" | "reject" | "die" | "loseAnswer" | "interrupt" | "hang"

/**
 * What happens to a call: at once, or `after` so much time.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = FaultKind | { readonly after: Duration.Input; readonly do: FaultKind }

/**
 * Decides about each call: one fault for all, or by the call.
 *
 * @category models
 * @since 0.1.0
 */
export type Decide<Call> = Fault | ((call: Call) => Fault)

/**
 * What is to happen to this call.
 *
 * @category operations
 * @since 0.1.0
 */
export const decide = <Call>(decide: Decide<Call>, call: Call): Fault =>
  typeof decide === "function" ? decide(call) : decide

/**
 * A fault that changes with time, beginning now: each part lasts for its
 * `during`, and what comes after the last is `ok`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fault, TestBroker } from "effect-emitter/testing"
 *
 * // Works for a second, is away for ten, is slow for five, and works from then on.
 * const outage = Effect.gen(function*() {
 *   const broker = yield* TestBroker.TestBroker
 *   yield* broker.behave(yield* Fault.schedule([
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
  parts: ReadonlyArray<{ readonly during: Duration.Input; readonly behave: Fault }>
): Effect.Effect<() => Fault> =>
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
 * A fault that changes with each call: the first does the first, and so on;
 * what comes after the last is `ok`.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Broker, EmitterLayer } from "effect-emitter"
 * import { Fault, TestBroker } from "effect-emitter/testing"
 *
 * // The broker refuses twice, and then works.
 * const trouble = Effect.flatMap(TestBroker.TestBroker, ({ behave }) => behave(Fault.sequence("fail", "fail")))
 *
 * const layer = EmitterLayer().pipe(Layer.provideMerge(TestBroker.layer(Broker.layerMemory())))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const sequence = (...faults: ReadonlyArray<Fault>): () => Fault => {
  let calls = 0
  return () => faults[calls++] ?? "ok"
}

/**
 * What `act` needs to know: how to take, and how to fail.
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
 * Does to a call what the fault says.
 *
 * @category operations
 * @since 0.1.0
 */
export const act = <A, E>(fault: Fault, actor: Actor<A, E>): Effect.Effect<A, E> => {
  if (typeof fault === "object") {
    return Effect.andThen(Effect.sleep(fault.after), Effect.suspend(() => act(fault.do, actor)))
  }
  switch (fault) {
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
