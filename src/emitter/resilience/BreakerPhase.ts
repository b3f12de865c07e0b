/**
 * All that a circuit breaker knows, and the steps from one phase to the next.
 *
 * Plain data and pure functions: `CircuitBreaker` holds the phase, and has the
 * clocks and the schedule. Times are in milliseconds; `now` is of the monotonic
 * clock, `at` of the wall clock.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"

/**
 * What a breaker is doing.
 *
 * - `Closed`: calls go through; the last `failures` of them failed.
 * - `Open`: calls are refused until about `until`, in milliseconds since the
 *   Unix epoch. It is the `openings`th opening without a success in between.
 * - `HalfOpen`: a probe is under way, other calls are refused.
 *
 * @category models
 * @since 0.1.0
 */
export type State =
  | { readonly _tag: "Closed"; readonly failures: number }
  | { readonly _tag: "Open"; readonly until: number; readonly openings: number }
  | { readonly _tag: "HalfOpen" }

/**
 * A change from one kind of state to another, with its time in milliseconds
 * since the Unix epoch. `event` tells it from others between the same states:
 * a probe that was interrupted is `released` and opens nothing anew.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transition {
  readonly breaker: string
  readonly event: "opened" | "probing" | "released" | "closed"
  readonly from: State
  readonly to: State
  readonly at: number
}

/**
 * Leave to make one call. It must be given back once, with `settleUnsafe` or
 * `releaseUnsafe`; one that is lost blocks the breaker if it is a `probe`, and
 * does no harm otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  readonly probe: boolean
}

/**
 * What a breaker does with a call: it goes through, it is the probe, or it is
 * refused.
 *
 * @category models
 * @since 0.1.0
 */
export type Admission = "closed" | "probe" | "refuse"

/**
 * The phase of a breaker. Where calls are admitted, `permit` is what they are
 * given.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase = Closed | Open | HalfOpen

/**
 * Calls go through; the last `failures` of them failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Closed {
  readonly _tag: "Closed"
  readonly failures: number
  readonly permit: Permit
}

/**
 * A probe may start at `probeAt`, on the monotonic clock. `step` gives the next
 * open time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Open {
  readonly _tag: "Open"
  readonly until: number
  readonly probeAt: number
  readonly openings: number
  readonly step: OpenTimes
}

/**
 * A probe is under way. `step` gives the open time should it fail.
 *
 * @category models
 * @since 0.1.0
 */
export interface HalfOpen {
  readonly _tag: "HalfOpen"
  readonly permit: Permit
  readonly openings: number
  readonly step: OpenTimes
}

/**
 * The steps of the schedule of open times.
 *
 * @category models
 * @since 0.1.0
 */
export type OpenTimes = Effect.Success<ReturnType<typeof Schedule.toStep<unknown, unknown, never, never>>>

/**
 * The phase after a step. `event` names the transition, if the kind of phase
 * changed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  readonly event: Transition["event"] | undefined
  readonly to: Phase
}

/**
 * A closed breaker after so many failures in a row. Its permit is a new one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const closed = (failures: number): Closed => ({ _tag: "Closed", failures, permit: { probe: false } })

/**
 * What a breaker in this phase does with a call now.
 *
 * @category conversions
 * @since 0.1.0
 */
export const admissionIn = (phase: Phase, now: number): Admission => {
  if (phase._tag === "Closed") return "closed"
  return phase._tag === "HalfOpen" || now < phase.probeAt ? "refuse" : "probe"
}

/**
 * An open breaker lets its probe through.
 *
 * @category transitions
 * @since 0.1.0
 */
export const probing = (phase: Phase, permit: Permit): Change =>
  phase._tag === "Open"
    ? { event: "probing", to: { _tag: "HalfOpen", permit, openings: phase.openings, step: phase.step } }
    : { event: undefined, to: phase }

/**
 * A call with this permit has succeeded or failed. One that was admitted in
 * another phase changes nothing. `fail` gives the step after a failure.
 *
 * @category transitions
 * @since 0.1.0
 */
export const settled = (
  phase: Phase,
  permit: Permit,
  success: boolean,
  fail: (phase: Closed | HalfOpen) => Change
): Change => {
  if (phase._tag === "Open" || phase.permit !== permit) return { event: undefined, to: phase }
  if (!success) return fail(phase)
  return phase._tag === "HalfOpen"
    ? { event: "closed", to: closed(0) }
    : { event: undefined, to: { ...phase, failures: 0 } }
}

/**
 * The probe with this permit was interrupted: the next call may be one at once.
 *
 * @category transitions
 * @since 0.1.0
 */
export const released = (phase: Phase, permit: Permit, now: number, at: number): Change => {
  if (phase._tag !== "HalfOpen" || phase.permit !== permit) return { event: undefined, to: phase }
  const { openings, step } = phase
  return { event: "released", to: { _tag: "Open", until: at, probeAt: now, openings, step } }
}

/**
 * There is reason to probe at once.
 *
 * @category transitions
 * @since 0.1.0
 */
export const hurried = (phase: Phase, now: number): Change => ({
  event: undefined,
  to: phase._tag === "Open" ? { ...phase, probeAt: Math.min(phase.probeAt, now) } : phase
})

/**
 * What is told of a phase.
 *
 * @category conversions
 * @since 0.1.0
 */
export const stateOf = (phase: Phase): State => {
  switch (phase._tag) {
    case "Closed":
      return { _tag: "Closed", failures: phase.failures }
    case "Open":
      return { _tag: "Open", until: phase.until, openings: phase.openings }
    case "HalfOpen":
      return { _tag: "HalfOpen" }
  }
}
