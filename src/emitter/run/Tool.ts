/**
 * Tool calls: effects of a run whose beginning and ending are events.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Acceptor } from "../accept/Acceptor.ts"
import { type Binding, runOf } from "../accept/Binding.ts"
import type { EmitError } from "../EmitError.ts"
import * as Failure from "./Failure.ts"
import { emitShowing } from "./ProgramValue.ts"
import { describe, type Reporter } from "./Reporting.ts"
import { approvalOf, ask, type RequestOptions } from "./Requests.ts"

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
 * What the user is asked before a tool runs. Without a `title` it is whether the tool,
 * by its name, may run.
 *
 * @category models
 * @since 0.2.0
 */
export interface Approval extends Pick<RequestOptions<boolean>, "default" | "detail" | "timeout"> {
  readonly title?: string | undefined
}

/**
 * Lets a tool run only once the user has approved of it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Approved {
  readonly approval: Approval
}

/**
 * The user did not approve of the tool, so it did not run: it was `refused`, nobody
 * answered in time (`expired`), or the run ended before (`withdrawn`). `detail` is what
 * the user gave as the reason. Devices see the call as failed.
 *
 * @category errors
 * @since 0.2.0
 */
export class ToolRefused extends Schema.TaggedError<ToolRefused>()("ToolRefused", {
  toolName: Schema.String,
  reason: Schema.Literals(["refused", "expired", "withdrawn"]),
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const detail = this.detail === undefined ? "" : `: ${this.detail}`
    return `The tool "${this.toolName}" did not run: ${refusals[this.reason]}${detail}`
  }
}

const refusals = {
  refused: "it was not approved",
  expired: "nobody approved it in time",
  withdrawn: "its run ended before it was approved"
} as const

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
      const asked = options.approval === undefined
        ? Effect.void
        : approve(reporter, binding, toolName, toolCallId, options.approval)
      // The run may have been stopped while its user's log took the start.
      const exit = yield* Effect.exit(Effect.andThen(restore(asked), start))
      const durationMs = Monotonic.elapsedUnsafe(clock, startedAt)
      if (Exit.isFailure(exit)) Failure.noteWithin(exit.cause)
      const output = Exit.isSuccess(exit)
        ? exit.value
        : refusalOf(exit.cause) ?? (yield* describe(binding, "tool", options.describe, exit.cause))
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

const approve = (
  reporter: Reporter,
  binding: Binding,
  toolName: string,
  toolCallId: string,
  { title, ...options }: Approval
): Effect.Effect<void, EmitError | ToolRefused> =>
  ask(reporter, binding, { kind: "approval", title: title ?? `Run ${toolName}?`, ...options }, toolCallId).pipe(
    Effect.catchTag("AskError", ({ reason }) => Effect.fail(new ToolRefused({ toolName, reason }))),
    Effect.flatMap((answer) => {
      const { approved, reason } = approvalOf(answer)
      if (approved) return Effect.void
      const detail = reason === undefined ? {} : { detail: reason }
      return Effect.fail(new ToolRefused({ toolName, reason: "refused", ...detail }))
    })
  )

const refusalOf = (cause: Cause.Cause<unknown>): string | undefined => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  return error instanceof ToolRefused ? error.message : undefined
}

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
