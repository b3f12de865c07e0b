/**
 * Effects of a run that are tool calls: their beginning and ending are events.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import type { Acceptor } from "../accept/Acceptor.ts"
import { type Binding, runOf } from "../accept/Binding.ts"
import type { EmitError } from "../EmitError.ts"
import type { Reporter } from "./Reporting.ts"
import { type Approved, toolCall, type ToolOptions, type ToolRefused } from "./ToolCall.ts"

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
  options: ToolOptions & Partial<Approved>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | EmitError | ToolRefused, R> =>
  Effect.suspend(() => toolCall(reporter, binding, toolName).whole(input, effect, options))

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
