/**
 * Stops calling what keeps failing, and finds out when it works again.
 *
 * A breaker is closed while calls succeed. After `failures` of them in a row
 * have failed it opens, and refuses calls at once for a time that a schedule
 * gives. Then one call, the probe, is let through: if it succeeds the breaker
 * closes and the schedule starts anew, if it fails the breaker opens for longer.
 *
 * What it promises:
 *
 * - one probe at a time; a probe that is interrupted leaves its place to the
 *   next call;
 * - a call settles only the state it was admitted in: one that began while the
 *   breaker was closed can neither end a later probe nor count later on;
 * - an interrupted call counts neither as a success nor as a failure, a defect
 *   counts as a failure;
 * - open times follow the monotonic clock, so correcting the wall clock neither
 *   prolongs nor shortens them;
 * - all of its state is one value in a `Ref`; every change is one synchronous step
 *   of it, and the closed path allocates nothing.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as MutableRef from "effect/MutableRef"
import * as PubSub from "effect/PubSub"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import * as Backoff from "./Backoff.ts"
import {
  type Admission,
  admissionIn,
  type Change,
  type Closed,
  closed,
  type HalfOpen,
  hurried,
  type OpenTimes,
  type Permit,
  type Phase,
  probing,
  released,
  settled,
  type State,
  stateOf,
  type Transition
} from "./BreakerPhase.ts"

export type { Admission, Permit, State, Transition } from "./BreakerPhase.ts"

/**
 * When a breaker opens, and for how long.
 *
 * - `failures` in a row open it; at least 1.
 * - `openFor.first` is the first open time. Each opening without a success in
 *   between doubles it, up to `openFor.cap`. Of the time so found between 80 %
 *   and 100 % are taken at random, so that many processes do not probe together.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly failures: number
  readonly openFor: {
    readonly first: Duration.Input
    readonly cap: Duration.Input
  }
}

/**
 * A circuit breaker.
 *
 * - `run` makes a call through the breaker, or fails with `BreakerOpen` at once.
 *   An outcome for which `counts` returns false says nothing about the health of
 *   what is guarded, and settles nothing; by default every one counts.
 * - `state` is the state now, `transitions` every change from now on. A consumer
 *   that lags by more than 64 changes loses the oldest.
 * - `admitUnsafe`, `settleUnsafe` and `releaseUnsafe` are what `run` is made of,
 *   for callers to whom every allocation counts: ask for a permit, and give it
 *   back with the call's outcome, or without one when the call was interrupted.
 *   A probe must be asked for where no interruption can lose its permit.
 *   `admitClosedUnsafe` gives no probe.
 * - `admissionUnsafe` tells what `admitUnsafe` would do now: give a permit of the
 *   closed breaker, give that of the probe, or refuse.
 * - `probeUnsafe` says that there is reason to probe at once, if it is open.
 * - `retryAfterMsUnsafe` is how long calls will be refused yet, as far as known:
 *   0 when closed, when a probe may start, and while one is under way.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker {
  readonly name: string
  readonly run: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    counts?: (exit: Exit.Exit<A, E>) => boolean
  ) => Effect.Effect<A, E | BreakerOpen, R>
  readonly state: Effect.Effect<State>
  readonly transitions: Stream.Stream<Transition>
  readonly admitUnsafe: () => Permit | undefined
  readonly admitClosedUnsafe: () => Permit | undefined
  readonly settleUnsafe: (permit: Permit, success: boolean) => void
  readonly releaseUnsafe: (permit: Permit) => void
  readonly admissionUnsafe: () => Admission
  readonly probeUnsafe: () => void
  readonly retryAfterMsUnsafe: () => number
}

/**
 * Makes a closed breaker. `name` tells in errors and transitions what it guards.
 * `onTransition` is called within each transition, before anything else can
 * happen, and must return at once and not throw.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  name: string,
  options: Options,
  onTransition?: (transition: Transition) => void
): Effect.fn.Return<CircuitBreaker> {
  const clock = yield* Clock.Clock
  const runSync = Effect.runSyncWith(yield* Effect.context<never>())
  const schedule = Backoff.make({ ...options.openFor, jitter })
  const changes = yield* PubSub.sliding<Transition>(64)
  const phaseRef = Ref.makeUnsafe<Phase>(closed(0))

  const nowMs = () => Monotonic.millisUnsafe(clock)

  // One step of the breaker: the synchronous twin of `Ref.modify`, since nothing may come between.
  const modify = (step: (phase: Phase) => Change): void => {
    const from = Ref.getUnsafe(phaseRef)
    const { event, to } = step(from)
    MutableRef.set(phaseRef.ref, to)
    if (event === undefined) return
    const at = clock.currentTimeMillisUnsafe()
    const transition: Transition = { breaker: name, event, from: stateOf(from), to: stateOf(to), at }
    onTransition?.(transition)
    // A sliding hub never makes its publisher wait, so this ends at once. `publishUnsafe` would drop the newest, not the oldest.
    runSync(PubSub.publish(changes, transition))
  }

  // The schedule is built of synchronous steps, so opening is one step too.
  const opened = (openings: number, step: OpenTimes): Change => {
    const at = clock.currentTimeMillisUnsafe()
    const [, openTime] = runSync(Effect.orDie(step(at, undefined)))
    const ms = Duration.toMillis(openTime)
    return {
      event: "opened",
      to: { _tag: "Open", until: at + ms, probeAt: nowMs() + ms, openings: openings + 1, step }
    }
  }

  const failed = (phase: Closed | HalfOpen): Change => {
    if (phase._tag === "HalfOpen") return opened(phase.openings, phase.step)
    const failures = phase.failures + 1
    return failures >= options.failures
      ? opened(0, runSync(Schedule.toStep(schedule)))
      : { event: undefined, to: { ...phase, failures } }
  }

  const admissionUnsafe = (): Admission => admissionIn(Ref.getUnsafe(phaseRef), nowMs())

  const admitClosedUnsafe = (): Permit | undefined => {
    const phase = Ref.getUnsafe(phaseRef)
    return phase._tag === "Closed" ? phase.permit : undefined
  }

  const probe = (): Permit => {
    const permit: Permit = { probe: true }
    modify((phase) => probing(phase, permit))
    return permit
  }

  // What a call of a closed breaker passes closes over none of its variables: that would cost an object each time.
  const admitUnsafe = (): Permit | undefined =>
    admitClosedUnsafe() ?? (admissionUnsafe() === "probe" ? probe() : undefined)

  const settle = (permit: Permit, success: boolean): void => modify((phase) => settled(phase, permit, success, failed))

  const settleUnsafe = (permit: Permit, success: boolean): void => {
    const phase = Ref.getUnsafe(phaseRef)
    if (success && phase._tag === "Closed" && phase.failures === 0) return
    settle(permit, success)
  }

  const releaseUnsafe = (permit: Permit): void => {
    if (permit.probe) modify((phase) => released(phase, permit, nowMs(), clock.currentTimeMillisUnsafe()))
  }

  const retryAfterMsUnsafe = (): number => {
    const phase = Ref.getUnsafe(phaseRef)
    return phase._tag === "Open" ? Math.max(0, phase.probeAt - nowMs()) : 0
  }

  const run = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    counts?: (exit: Exit.Exit<A, E>) => boolean
  ): Effect.Effect<A, E | BreakerOpen, R> =>
    Effect.uninterruptibleMask((restore): Effect.Effect<A, E | BreakerOpen, R> => {
      const permit = admitUnsafe()
      if (permit === undefined) {
        return Effect.fail(new BreakerOpen({ breaker: name, retryAfterMs: retryAfterMsUnsafe() }))
      }
      return Effect.onExitPrimitive(restore(effect), (exit) => {
        if (isInterrupted(exit) || counts?.(exit) === false) releaseUnsafe(permit)
        else settleUnsafe(permit, Exit.isSuccess(exit))
        return undefined
      })
    })

  return {
    name,
    run,
    state: Effect.map(Ref.get(phaseRef), stateOf),
    transitions: Stream.fromPubSub(changes),
    admitUnsafe,
    admitClosedUnsafe,
    settleUnsafe,
    releaseUnsafe,
    admissionUnsafe,
    probeUnsafe: () => modify((phase) => hurried(phase, nowMs())),
    retryAfterMsUnsafe
  }
})

/**
 * The breaker called `breaker` refuses calls for about `retryAfterMs`
 * milliseconds yet; 0 says that a probe is under way.
 *
 * @category errors
 * @since 0.1.0
 */
export class BreakerOpen extends Schema.TaggedError<BreakerOpen>()("BreakerOpen", {
  breaker: Schema.String,
  retryAfterMs: Schema.Finite
}) {
  override get message() {
    return this.retryAfterMs > 0
      ? `The circuit breaker of "${this.breaker}" is open for ${this.retryAfterMs} ms yet`
      : `The circuit breaker of "${this.breaker}" waits for its probe`
  }
}

// Each open time is up to so much shorter.
const jitter = 0.2

const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
