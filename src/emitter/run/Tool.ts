/**
 * Tool calls: effects of a run whose beginning and ending are events.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Acceptor } from "../accept/Acceptor.ts"
import { type Binding, runOf } from "../accept/Binding.ts"
import type { EmitError } from "../EmitError.ts"
import * as Failure from "./Failure.ts"
import { emitShowing } from "./ProgramValue.ts"
import { describe, type Reporter } from "./Reporting.ts"

/**
 * - `describe` writes the output of `tool_completed` where the tool failed; see
 *   `DescribeFailure`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolOptions {
  readonly describe?: ((cause: Cause.Cause<unknown>) => string | undefined) | undefined
}

/**
 * Runs an effect as a tool call. It fails for its own sake only when its start
 * is refused; then the effect does not run. A tool of a run that was cancelled
 * or lost does not start: it is interrupted.
 *
 * @category operations
 * @since 0.1.0
 */
export const tool = <A, E, R>(
  reporter: Reporter,
  binding: Binding,
  toolName: string,
  input: unknown,
  options: ToolOptions,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | EmitError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { acceptor, clock } = reporter
      const record = runOf(binding)
      const start: Effect.Effect<A, E, R> = Effect.suspend(() =>
        record?.isStopped === true ? Effect.interrupt : restore(effect)
      )
      if (record?.isStopped === true) return yield* start
      const toolCallId = `call-${record === undefined ? 0 : binding.outbox.runs.nextTool(record)}`
      yield* emitShowing(
        acceptor,
        binding,
        "input",
        input,
        (shown) => AgentEvents.ToolExecuting.make({ toolCallId, toolName, input: shown })
      )
      const startedAt = Monotonic.millisUnsafe(clock)
      // The run may have been stopped while its user's log took the start.
      const exit = yield* Effect.exit(start)
      const durationMs = Monotonic.elapsedUnsafe(clock, startedAt)
      if (Exit.isFailure(exit)) Failure.noteWithin(exit.cause)
      const output = Exit.isSuccess(exit) ? exit.value : yield* describe(binding, "tool", options.describe, exit.cause)
      const completed = emitShowing(acceptor, binding, "output", output, (shown) =>
        AgentEvents.ToolCompleted.make({
          toolCallId,
          toolName,
          output: shown,
          isError: Exit.isFailure(exit),
          durationMs
        }), true)
      yield* reporter.report(binding, `the end of ${toolCallId}`, completed)
      return yield* exit
    })
  )

/**
 * Closes the tool calls that the binding's program left open, since a completed
 * run has none: they are said to have failed.
 *
 * @category operations
 * @since 0.1.0
 */
export const closeOpen = (acceptor: Acceptor, binding: Binding): Effect.Effect<void, EmitError> => {
  const state = runOf(binding)?.state
  if (state?._tag !== "Active") return Effect.void
  const output: Schema.Json = "the tool call was never completed"
  return Effect.forEach(state.openTools, ([toolCallId, toolName]) =>
    acceptor.emit(
      binding,
      AgentEvents.ToolCompleted.make({ toolCallId, toolName, output, isError: true, durationMs: 0 }),
      true
    ), { discard: true })
}
