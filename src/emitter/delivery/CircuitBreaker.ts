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
 * - every change is one synchronous step, and the closed path allocates nothing.
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
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Monotonic from "../../protocol/Monotonic.ts"

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
 * A circuit breaker.
 *
 * - `run` makes a call through the breaker, or fails with `BreakerOpen` at once.
 *   An outcome for which `counts` returns false says nothing about the health of
 *   what is guarded, and settles nothing; by default every one counts.
 * - `state` is the state now, `transitions` every change from now on. A consumer
 *   that lags by more than 64 changes loses the oldest.
 * - `openedTotal` counts all openings since the breaker was made.
 * - `admitUnsafe`, `settleUnsafe` and `releaseUnsafe` are what `run` is made of,
 *   for callers to whom every allocation counts: ask for a permit, and give it
 *   back with the call's outcome, or without one when the call was interrupted.
 *   A probe must be asked for where no interruption can lose its permit.
 * - `outlookUnsafe` tells what `admitUnsafe` would do now: give a permit of the
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
  readonly openedTotal: () => number
  readonly admitUnsafe: () => Permit | undefined
  readonly settleUnsafe: (permit: Permit, success: boolean) => void
  readonly releaseUnsafe: (permit: Permit) => void
  readonly outlookUnsafe: () => "closed" | "probe" | "refuse"
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
  const schedule = openTimes(options)
  const changes = yield* PubSub.sliding<Transition>(64)
  const stateRef = Ref.makeUnsafe<State>(closed)

  let nextOpenTime = runSync(Schedule.toStep(schedule))
  // The permit of the current state: a call whose permit it no longer is was admitted in another state.
  let current: Permit = { probe: false }
  let openings = 0
  let openedTotal = 0
  let probeAt = 0

  const monotonicMs = () => Monotonic.millisUnsafe(clock)

  const become = (event: Transition["event"], to: State): void => {
    const from = Ref.getUnsafe(stateRef)
    MutableRef.set(stateRef.ref, to)
    current = { probe: event === "probing" }
    const transition: Transition = { breaker: name, event, from, to, at: clock.currentTimeMillisUnsafe() }
    onTransition?.(transition)
    // A sliding hub never makes its publisher wait, so this ends at once.
    runSync(PubSub.publish(changes, transition))
  }

  const open = (): void => {
    // The schedule is built of synchronous steps, which keeps opening one atomic step.
    const [, openTime] = runSync(Effect.orDie(nextOpenTime(clock.currentTimeMillisUnsafe(), undefined)))
    const millis = Duration.toMillis(openTime)
    openings++
    openedTotal++
    probeAt = monotonicMs() + millis
    become("opened", { _tag: "Open", until: clock.currentTimeMillisUnsafe() + millis, openings })
  }

  const close = (): void => {
    openings = 0
    nextOpenTime = runSync(Schedule.toStep(schedule))
    become("closed", closed)
  }

  const outlookUnsafe = (): "closed" | "probe" | "refuse" => {
    const state = Ref.getUnsafe(stateRef)
    if (state._tag === "Closed") return "closed"
    return state._tag === "HalfOpen" || monotonicMs() < probeAt ? "refuse" : "probe"
  }

  const admitUnsafe = (): Permit | undefined => {
    const outlook = outlookUnsafe()
    if (outlook === "refuse") return undefined
    if (outlook === "probe") become("probing", halfOpen)
    return current
  }

  const settleUnsafe = (permit: Permit, success: boolean): void => {
    if (permit !== current) return
    const state = Ref.getUnsafe(stateRef)
    switch (state._tag) {
      case "Closed":
        if (success) {
          if (state.failures > 0) MutableRef.set(stateRef.ref, closed)
        } else if (state.failures + 1 >= options.failures) {
          open()
        } else {
          MutableRef.set(stateRef.ref, { _tag: "Closed", failures: state.failures + 1 })
        }
        return
      case "HalfOpen":
        if (success) close()
        else open()
        return
      case "Open":
        return
    }
  }

  const releaseUnsafe = (permit: Permit): void => {
    if (permit !== current || !permit.probe) return
    become("released", { _tag: "Open", until: clock.currentTimeMillisUnsafe(), openings })
  }

  const retryAfterMsUnsafe = (): number =>
    Ref.getUnsafe(stateRef)._tag === "Open" ? Math.max(0, probeAt - monotonicMs()) : 0

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
    state: Ref.get(stateRef),
    transitions: Stream.fromPubSub(changes),
    openedTotal: () => openedTotal,
    admitUnsafe,
    settleUnsafe,
    releaseUnsafe,
    outlookUnsafe,
    probeUnsafe: () => {
      probeAt = Math.min(probeAt, monotonicMs())
    },
    retryAfterMsUnsafe
  }
})

/**
 * The shortest time in milliseconds that a breaker stays open.
 *
 * @category conversions
 * @since 0.1.0
 */
export const shortestOpenMs = (options: Options): number =>
  Math.min(
    Duration.toMillis(Duration.fromInputUnsafe(options.openFor.first)),
    Duration.toMillis(Duration.fromInputUnsafe(options.openFor.cap))
  ) * (1 - jitter)

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

const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)

const closed: State = { _tag: "Closed", failures: 0 }
const halfOpen: State = { _tag: "HalfOpen" }
const jitter = 0.2

const openTimes = ({ openFor }: Options): Schedule.Schedule<unknown> =>
  Schedule.min([Schedule.exponential(openFor.first), Schedule.spaced(openFor.cap)]).pipe(
    Schedule.modifyDelay(({ duration }) =>
      Effect.map(Random.next, (random) => Duration.times(duration, 1 - jitter * random))
    )
  )
