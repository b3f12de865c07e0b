/**
 * Runs and tool calls: effects whose beginning and one ending are events.
 *
 * A run emits `agent_started` before its effect, and exactly one terminal event
 * after it, however the effect ends: `agent_completed` when it succeeds, else
 * `agent_error` with reason `failed`, `cancelled` (interrupted) or `timeout`.
 * A tool call emits `tool_executing` and `tool_completed` in the same way.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AgentEvents from "../protocol/AgentEvents.ts"
import type { Event } from "../protocol/Event.ts"
import { RunId } from "../protocol/Identity.ts"
import * as Monotonic from "../protocol/Monotonic.ts"
import * as Names from "../protocol/Names.ts"
import { emit } from "./Accepting.ts"
import { bind, type Binding } from "./Binding.ts"
import type { EmitError } from "./EmitError.ts"
import * as Spans from "./Spans.ts"

/**
 * What a run says of itself.
 *
 * - `agentName` names the agent.
 * - `input` goes into `agent_started`.
 * - `result` makes the `result` of `agent_completed` from what the effect gave;
 *   without it there is none. One that is too large for an event is left out,
 *   and says so; one that is no JSON makes the run fail.
 * - `timeout` ends the run with reason `timeout`, and the effect fails with
 *   Effect's `TimeoutError`.
 * - `describe` writes the message of `agent_error`. By default the message of a
 *   typed error is shown, and a defect is called an internal error, so that
 *   nothing private reaches the user. The first 1,000 characters are sent.
 * - `retryable` tells whether asking again may help; by default it may after
 *   `cancelled` and `timeout`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in A = unknown, in E = unknown> {
  readonly agentName: string
  readonly input?: Schema.Json
  readonly result?: (value: A) => Schema.Json
  readonly timeout?: Duration.Input
  readonly describe?: (cause: Cause.Cause<E | Cause.TimeoutError>) => string
  readonly retryable?: (cause: Cause.Cause<E | Cause.TimeoutError>) => boolean
}

/**
 * What a run says of itself where nothing depends on what its effect gives or
 * fails with.
 *
 * @category models
 * @since 0.1.0
 */
export interface PlainRunOptions extends Pick<RunOptions, "agentName" | "input" | "timeout"> {
  readonly result?: never
  readonly describe?: never
  readonly retryable?: never
}

const cancelledMessage = "The run was cancelled"
const internalMessage = "An internal error occurred"

// Long error messages help nobody on a small screen.
const maxMessage = 1000

const defaultMessage = (cause: Cause.Cause<unknown>): string => {
  if (Cause.hasInterruptsOnly(cause)) return cancelledMessage
  const failure = Cause.findErrorOption(cause)
  if (Option.isNone(failure)) return internalMessage
  const error = failure.value
  const message = error instanceof Error ? error.message : typeof error === "string" ? error : "The run failed"
  return message.slice(0, maxMessage)
}

const reasonOf = (cause: Cause.Cause<unknown>): "cancelled" | "timeout" | "failed" => {
  if (Cause.hasInterruptsOnly(cause)) return "cancelled"
  const failure = Cause.findErrorOption(cause)
  return Option.isSome(failure) && Cause.isTimeoutError(failure.value) ? "timeout" : "failed"
}

const freshRunId: Effect.Effect<RunId> = Effect.map(Names.next, (name) => RunId.make(`run-${name}`))

// The context's run while it has not started, else a run of its own below it.
const runIdFor = (binding: Binding): Effect.Effect<{ readonly runId: RunId; readonly parent: RunId | undefined }> => {
  const { runId } = binding.context
  if (runId === undefined) return Effect.map(freshRunId, (fresh) => ({ runId: fresh, parent: undefined }))
  const { state } = binding.outbox.run(runId)
  if (state._tag === "Idle") return Effect.succeed({ runId, parent: undefined })
  const parent = state._tag === "Active" ? runId : undefined
  return Effect.map(freshRunId, (fresh) => ({ runId: fresh, parent }))
}

/**
 * @category operations
 * @since 0.1.0
 */
export const run = <A, E, R, R2>(
  binding: Binding,
  options: RunOptions<A, E>,
  inside: (child: Binding) => Effect.Effect<A, E, R2>
): Effect.Effect<A, E | EmitError | Cause.TimeoutError, R | R2> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { clock } = binding.engine
      const { parent, runId } = yield* runIdFor(binding)
      const child = bind(binding, { ...binding.context, runId })
      const startedAt = Monotonic.millisUnsafe(clock)
      yield* emit(
        child,
        AgentEvents.AgentStarted.make({
          agentName: options.agentName,
          ...(options.input === undefined ? {} : { input: options.input }),
          ...(parent === undefined ? {} : { parentRunId: parent })
        }),
        false
      )
      const effect: Effect.Effect<A, E | Cause.TimeoutError, R2> = options.timeout === undefined
        ? inside(child)
        : Effect.timeout(inside(child), options.timeout)
      const traced = binding.engine.config.spans ? Spans.ofRun(effect, options.agentName, child.context) : effect
      const exit = yield* Effect.exit(restore(traced))
      const ending = Effect.suspend(() =>
        Exit.isSuccess(exit)
          ? complete(child, options, exit.value, Monotonic.elapsedUnsafe(clock, startedAt))
          : fail(child, options, exit.cause)
      )
      yield* Effect.catchCause(ending, (cause) => endPlainly(child, exit, cause))
      return yield* exit
    })
  )

const isActive = (binding: Binding): boolean =>
  binding.context.runId !== undefined && binding.outbox.run(binding.context.runId).state._tag === "Active"

// The effect may have ended its run itself, and a closing engine ends runs too: then the ending stands.
const end = (binding: Binding, event: Event): Effect.Effect<void, EmitError> =>
  Effect.suspend(() => isActive(binding) ? Effect.asVoid(emit(binding, event, false)) : Effect.void)

// The ending that was meant cannot be emitted, or its text could not be made. The run ends all the same.
const endPlainly = <E>(
  binding: Binding,
  exit: Exit.Exit<unknown, E | Cause.TimeoutError>,
  cause: Cause.Cause<EmitError>
): Effect.Effect<never, E | EmitError | Cause.TimeoutError> => {
  const reason = Exit.isSuccess(exit) ? "failed" : reasonOf(exit.cause)
  const message = reason === "cancelled" ? cancelledMessage : internalMessage
  const event = AgentEvents.AgentError.make({ reason, message, retryable: reason !== "failed" })
  return Effect.andThen(
    end(binding, event),
    Effect.failCause(Exit.isSuccess(exit) ? cause : Cause.combine(exit.cause, cause))
  )
}

const complete = <A, E>(
  binding: Binding,
  options: RunOptions<A, E>,
  value: A,
  durationMs: number
): Effect.Effect<void, EmitError> =>
  Effect.gen(function*() {
    if (!isActive(binding)) return
    yield* closeTools(binding)
    const usage = usageOf(binding)
    const completed = (result: Schema.Json | undefined) =>
      end(
        binding,
        AgentEvents.AgentCompleted.make({
          agentName: options.agentName,
          durationMs,
          ...(result === undefined ? {} : { result }),
          ...(usage === undefined ? {} : { usage })
        })
      )
    yield* Effect.catchReason(completed(options.result?.(value)), "EmitError", "EventTooLarge", ({ bytes, limit }) =>
      completed({ omitted: `the result has ${bytes} bytes, ${limit} are allowed` }))
  })

const fail = <A, E>(
  binding: Binding,
  options: RunOptions<A, E>,
  cause: Cause.Cause<E | Cause.TimeoutError>
): Effect.Effect<void, EmitError> => {
  const reason = reasonOf(cause)
  return end(
    binding,
    AgentEvents.AgentError.make({
      reason,
      message: options.describe?.(cause).slice(0, maxMessage) ?? defaultMessage(cause),
      retryable: options.retryable?.(cause) ?? reason !== "failed"
    })
  )
}

// A tool call that its program left open is said to have failed, since a completed run has none.
const closeTools = (binding: Binding): Effect.Effect<void, EmitError> => {
  const { runId } = binding.context
  const state = runId === undefined ? undefined : binding.outbox.run(runId).state
  if (state?._tag !== "Active") return Effect.void
  return Effect.forEach(state.openTools, ([toolCallId, toolName]) =>
    emit(
      binding,
      AgentEvents.ToolCompleted.make({
        toolCallId,
        toolName,
        output: "the tool call was never completed",
        isError: true,
        durationMs: 0
      }),
      false
    ), { discard: true })
}

/**
 * What the binding's run reported of its usage; `undefined` when nothing.
 *
 * @category getters
 * @since 0.1.0
 */
export const usageOf = (binding: Binding): AgentEvents.Usage | undefined => {
  const { runId } = binding.context
  if (runId === undefined) return undefined
  const { cost, inputTokens, outputTokens } = binding.outbox.run(runId)
  if (inputTokens === 0 && outputTokens === 0 && cost === undefined) return undefined
  return { inputTokens, outputTokens, ...(cost === undefined ? {} : { cost }) }
}

const isJson = Schema.is(Schema.Json)

// What a tool gave, as JSON: as it is where it is JSON, else as JSON.stringify would write it.
const toJson = (value: unknown): Schema.Json => {
  if (value === undefined) return null
  if (isJson(value)) return value
  try {
    const parsed: unknown = JSON.parse(JSON.stringify(value) ?? "null")
    return isJson(parsed) ? parsed : null
  } catch {
    return String(value)
  }
}

/**
 * @category operations
 * @since 0.1.0
 */
export const tool = <A, E, R>(
  binding: Binding,
  toolName: string,
  input: Schema.Json,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | EmitError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { clock } = binding.engine
      const { runId } = binding.context
      const count = runId === undefined ? 0 : ++binding.outbox.run(runId).tools
      const toolCallId = `call-${count}`
      yield* emit(binding, AgentEvents.ToolExecuting.make({ toolCallId, toolName, input }), false)
      const startedAt = Monotonic.millisUnsafe(clock)
      const exit = yield* Effect.exit(restore(effect))
      const durationMs = Monotonic.elapsedUnsafe(clock, startedAt)
      const completed = (output: Schema.Json) =>
        end(
          binding,
          AgentEvents.ToolCompleted.make({ toolCallId, toolName, output, isError: Exit.isFailure(exit), durationMs })
        )
      const output = Exit.isSuccess(exit) ? toJson(exit.value) : defaultMessage(exit.cause)
      yield* Effect.catchReason(
        completed(output),
        "EmitError",
        "EventTooLarge",
        ({ bytes, limit }) => completed({ omitted: `the output has ${bytes} bytes, ${limit} are allowed` })
      )
      return yield* exit
    })
  )
