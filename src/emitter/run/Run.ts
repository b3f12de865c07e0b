/**
 * Runs: effects whose beginning and one ending are events.
 *
 * A run emits `agent_started` before its effect, and exactly one terminal event
 * after it, however the effect ends: `agent_completed` when it succeeds, else
 * `agent_error` with reason `failed`, `cancelled` (interrupted) or `timeout`.
 *
 * - The effect's value and failure are the run's. An ending that cannot be
 *   emitted is counted (`unreported`) and logged; a run fails for its own sake
 *   only when its start is refused, and then its effect does not run.
 * - A run is a fiber of its own. Interrupting its caller interrupts it, where the
 *   caller can be interrupted. Cancelling it, as when its emitter or its layer
 *   closes, or losing it, interrupts it in any case; its caller then sees an
 *   interrupted exit, and is not interrupted itself. Fibers that are forked as
 *   children within it end with it.
 * - Nested runs, on whatever fiber, and tool calls are stopped with it. In a run
 *   that was cancelled or lost none begins any more, also where interruption does
 *   not reach: it is interrupted instead.
 * - A run is the child of the active run in whose fiber, or from whose emitter, it
 *   begins. Two runs that begin beside each other are no children of each other.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import { RunId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import * as Names from "../../protocol/values/Names.ts"
import type { Acceptor } from "../accept/Acceptor.ts"
import { bind, type Binding, runOf } from "../accept/Binding.ts"
import type { EmitError } from "../EmitError.ts"
import { isTraced } from "../accept/TraceContext.ts"
import * as Spans from "./Spans.ts"
import type { RunRecord, RunRegistry } from "../user/RunRegistry.ts"
import * as Failure from "./Failure.ts"
import { emitShowing } from "./ProgramValue.ts"
import { type Current, CurrentRun } from "./CurrentRun.ts"
import { type AnyDefinition, open } from "./OwnCommands.ts"
import { ask, describe, isActive, type Reporter } from "./Reporting.ts"
import { closeOpen } from "./Tool.ts"

/**
 * What a run says of itself.
 *
 * - `describe` writes the message of `agent_error`. Without it, and without a
 *   `DescribeFailure` of the program, devices learn that the run failed, was
 *   cancelled or took too long, and nothing of what its errors say: that may
 *   quote secrets. The first 1,000 characters are sent.
 * - `agentName` names the agent.
 * - `input`, any value, goes into `agent_started`.
 * - `result` makes the `result` of `agent_completed` from what the effect gave;
 *   without it there is none. Input and result are copied as JSON; what cannot
 *   be, or is too large, is replaced by `{ omitted: "…" }`.
 * - `retryable` tells whether asking again may help; by default it may after
 *   `cancelled` and `timeout`.
 * - `cancellable`: whether the run's user may cancel it, true by default. One that may
 *   not is still interrupted with whoever runs it, and with the run it is within.
 * - `commands` are the program's own that it takes from its start on: see
 *   `Emitter.commands`. Devices are told their names.
 * - `parentRunId` is the run that it is a part of, where that one is another
 *   process's. Within a run of this process it is known by itself.
 * - `onEmitError` says what a refused start does: `fail` (default) fails with
 *   `EmitError`, and the effect does not run; `log` logs it and runs the effect
 *   without the events of its run, whose own emits are then refused.
 *
 * There is no timeout: put `Effect.timeout` around the effect, inside of the run.
 * The run ends as `timeout` when it fails with a `TimeoutError`, except with one
 * that came out of one of its tool calls or nested runs: then it was their time
 * that was over, and the run has failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in A = unknown, in E = unknown> {
  readonly agentName: string
  readonly describe?: ((cause: Cause.Cause<E>) => string | undefined) | undefined
  readonly input?: unknown
  readonly result?: ((value: A) => unknown) | undefined
  readonly retryable?: ((cause: Cause.Cause<E>) => boolean) | undefined
  readonly cancellable?: boolean | undefined
  readonly commands?: ReadonlyArray<AnyDefinition> | undefined
  readonly parentRunId?: string | undefined
  readonly onEmitError?: "fail" | "log" | undefined
}

/**
 * What makes a run that never fails for its own sake.
 *
 * @category models
 * @since 0.1.0
 */
export interface OnlyLogged {
  readonly onEmitError: "log"
}

/**
 * What a run says of itself where nothing depends on what its effect gives or
 * fails with.
 *
 * @category models
 * @since 0.1.0
 */
export interface PlainRunOptions
  extends Pick<RunOptions, "agentName" | "cancellable" | "commands" | "input" | "onEmitError" | "parentRunId">
{
  readonly result?: undefined
  readonly describe?: undefined
  readonly retryable?: undefined
}

/**
 * Runs an effect as a run, which fails if its start is refused.
 *
 * @category operations
 * @since 0.1.0
 */
export const run = <A, E, R>(
  reporter: Reporter,
  binding: Binding,
  options: RunOptions<A, E>,
  inside: (child: Binding) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | EmitError, R> => begin(reporter, binding, options, inside, (error) => Effect.fail(error))

/**
 * Runs an effect as a run, or without its events if its start is refused.
 *
 * @category operations
 * @since 0.1.0
 */
export const runAnyway = <A, E, R>(
  reporter: Reporter,
  binding: Binding,
  options: RunOptions<A, E>,
  inside: (child: Binding) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  begin(
    reporter,
    binding,
    options,
    inside,
    (error, effect): Effect.Effect<A, E, R> =>
      Effect.andThen(reporter.unreported(`No event tells of a run of user ${binding.context.userId}`, error), effect)
  )

const begin = <A, E, R, E2>(
  reporter: Reporter,
  binding: Binding,
  options: RunOptions<A, E>,
  inside: (child: Binding) => Effect.Effect<A, E, R>,
  refused: (error: EmitError, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E2, R>
): Effect.Effect<A, E | E2, R> =>
  Effect.withFiber((fiber) => {
    const isSpan = reporter.spans && isTraced(fiber)
    const run = traceable(reporter, binding, options, inside, refused, isSpan)
    return isSpan ? Spans.ofRun(run, options.agentName, binding.context) : run
  })

const traceable = <A, E, R, E2>(
  reporter: Reporter,
  binding: Binding,
  options: RunOptions<A, E>,
  inside: (child: Binding) => Effect.Effect<A, E, R>,
  refused: (error: EmitError, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E2, R>,
  isSpan: boolean
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { acceptor, clock } = reporter
      const { outbox: { runs } } = binding
      const outer = yield* CurrentRun
      const parent = parentOf(binding, outer)
      if (parent?.record.isStopped === true) return yield* Effect.interrupt
      const { record, runId } = yield* claim(binding)
      if (isSpan) yield* Spans.nameRun(runId)
      // Known before the start is on its way, so that a parent that is stopped meanwhile reaches it.
      runs.setParent(record, parent?.record)
      runs.setConducted(record, options.cancellable !== false)
      const child = bind(binding, { ...binding.context, runId }, true)
      const effect = inside(child)
      const startedAt = Monotonic.millisUnsafe(clock)
      const started = Effect.andThen(
        open(runs, record, options.commands ?? []),
        start(acceptor, child, options, parent)
      )
      return yield* Effect.matchEffect(Effect.onError(started, () => Effect.sync(() => runs.unclaim(record))), {
        onFailure: (error) => refused(error, restore(effect)),
        onSuccess: () => {
          const current: Current = { runs, record, runId, binding: child, outer }
          return Effect.flatMap(
            conduct(runs, record, Effect.provideService(effect, CurrentRun, current), restore),
            (exit) =>
              Effect.andThen(end(reporter, child, options, exit, Monotonic.elapsedUnsafe(clock, startedAt)), () => {
                if (Exit.isFailure(exit)) Failure.noteWithin(exit.cause)
                return exit
              })
          )
        }
      })
    })
  )

// Only a run of the same user can be a parent, and only an active one; one that was stopped forbids what would begin in it.
const parentOf = (
  binding: Binding,
  current: Current | undefined
): Pick<Current, "record" | "runId"> | undefined => {
  const { context: { runId }, isWithinRun, outbox: { runs } } = binding
  const found = current?.runs === runs
    ? current
    : isWithinRun && runId !== undefined
    ? { record: runs.of(runId), runId }
    : undefined
  return found !== undefined && (found.record.state._tag === "Active" || found.record.isStopped) ? found : undefined
}

// The context's run while nobody has started it, else one of its own.
const claim = (binding: Binding): Effect.Effect<Pick<Current, "record" | "runId">> =>
  Effect.suspend(() => {
    const { context, outbox: { runs } } = binding
    const named = runOf(binding)
    const isFree = named?.state._tag === "Idle" && !named.isClaimed
    const id = isFree && context.runId !== undefined ? Effect.succeed(context.runId) : freshRunId
    return Effect.map(id, (runId) => {
      const record = runs.of(runId)
      runs.claim(record)
      return { runId, record }
    })
  })

const freshRunId: Effect.Effect<RunId> = Effect.map(Names.next, (name) => RunId.make(`run-${name}`))

const start = <A, E>(
  acceptor: Acceptor,
  child: Binding,
  { agentName, cancellable, commands: own = [], input, parentRunId: given }: RunOptions<A, E>,
  parent: Pick<Current, "runId"> | undefined
) => {
  const parentRunId = parent?.runId ?? (given === undefined ? undefined : RunId.make(given))
  const commands = [...(cancellable === false ? [] : ["cancel"]), ...own.map(({ name }) => name)]
  const plain = {
    agentName,
    ...(parentRunId === undefined ? {} : { parentRunId }),
    ...(commands.length === 0 ? {} : { commands })
  }
  return input === undefined
    ? acceptor.emit(child, AgentEvents.AgentStarted.make(plain))
    : emitShowing(acceptor, child, "input", input, (shown) => AgentEvents.AgentStarted.make({ ...plain, input: shown }))
}

// Runs the effect on a fiber that can be interrupted whatever region its caller is in, and waits for its exit.
const conduct = <A, E, R>(
  runs: RunRegistry,
  record: RunRecord,
  effect: Effect.Effect<A, E, R>,
  restore: <B>(effect: Effect.Effect<B>) => Effect.Effect<B>
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.gen(function*() {
    const interruptibly = Effect.withFiber<A, E, R>((fiber) => {
      runs.setInterrupt(record, () => fiber.interruptUnsafe())
      // It may have been stopped while its user's log took the start.
      return record.isStopped ? Effect.interrupt : effect
    })
    const fiber = yield* Effect.forkDetach(interruptibly, { startImmediately: true })
    if (fiber.pollUnsafe() === undefined) {
      const awaited = yield* Effect.exit(restore(Fiber.await(fiber)))
      if (Exit.isFailure(awaited)) {
        runs.forbid(record, "program")
        yield* Fiber.interrupt(fiber)
      }
    }
    runs.setInterrupt(record, undefined)
    const exit = yield* Fiber.await(fiber)
    if (Exit.isFailure(exit) && Failure.reasonOf(exit.cause) === "cancelled") {
      runs.forbid(record, "program")
      runs.stopWithin(record, record.cancelledBy ?? "program")
    }
    return exit
  })

const end = <A, E>(
  reporter: Reporter,
  binding: Binding,
  options: RunOptions<A, E>,
  exit: Exit.Exit<A, E>,
  durationMs: number
): Effect.Effect<void> => {
  if (!isActive(binding)) return Effect.void
  const whole = Exit.isSuccess(exit)
    ? complete(reporter.acceptor, binding, options, exit.value, durationMs)
    : fail(reporter.acceptor, binding, options, exit.cause)
  // What cannot fail for anything that its program gave.
  const bare = Exit.isSuccess(exit)
    ? AgentEvents.AgentCompleted.make({ agentName: options.agentName, durationMs })
    : AgentEvents.AgentError.make(plainError(binding, exit.cause))
  return Effect.andThen(
    reporter.report(binding, "the end", whole),
    reporter.report(binding, "the end", Effect.suspend(() => reporter.acceptor.emit(binding, bare, true)))
  )
}

// What its user has cancelled is cancelled, whatever its program made of the interruption.
const plainError = (binding: Binding, cause: Cause.Cause<unknown>) => {
  const by = runOf(binding)?.cancelledBy ?? "program"
  const reason = by === "user" ? "cancelled" : Failure.reasonOf(cause)
  const message = by === "user" ? "The run was cancelled" : Failure.plainMessage("run", cause)
  return { reason, message, retryable: reason !== "failed", ...(reason === "cancelled" ? { by } : {}) } as const
}

const complete = <A, E>(
  acceptor: Acceptor,
  binding: Binding,
  { agentName, result }: RunOptions<A, E>,
  value: A,
  durationMs: number
): Effect.Effect<void, EmitError> =>
  Effect.gen(function*() {
    yield* closeOpen(acceptor, binding)
    const usage = usageOf(binding)
    const plain = { agentName, durationMs, ...(usage === undefined ? {} : { usage }) }
    const given = yield* ask(binding, "result", () => result?.(value), { omitted: "the result could not be made" })
    if (given === undefined) {
      yield* acceptor.emit(binding, AgentEvents.AgentCompleted.make(plain), true)
    } else {
      yield* emitShowing(
        acceptor,
        binding,
        "result",
        given,
        (shown) => AgentEvents.AgentCompleted.make({ ...plain, result: shown }),
        true
      )
    }
  })

const fail = <A, E>(
  acceptor: Acceptor,
  binding: Binding,
  options: RunOptions<A, E>,
  cause: Cause.Cause<E>
): Effect.Effect<void, EmitError> =>
  Effect.gen(function*() {
    const plain = plainError(binding, cause)
    const event = AgentEvents.AgentError.make({
      ...plain,
      message: yield* describe(binding, "run", options.describe, cause),
      retryable: yield* ask(binding, "retryable", () => options.retryable?.(cause) ?? plain.retryable, plain.retryable)
    })
    yield* acceptor.emit(binding, event, true)
  })

/**
 * What the binding's run reported of its usage; `undefined` when nothing.
 *
 * @category getters
 * @since 0.1.0
 */
export const usageOf = (binding: Binding): AgentEvents.Usage | undefined => {
  const record = runOf(binding)
  if (record === undefined) return undefined
  const { cost, inputTokens, outputTokens } = record
  if (inputTokens === 0 && outputTokens === 0 && cost === undefined) return undefined
  return { inputTokens, outputTokens, ...(cost === undefined ? {} : { cost }) }
}
