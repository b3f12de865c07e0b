/**
 * Tool calls in their steps: the input as it is written, the beginning, the user's
 * approval, and the one ending.
 *
 * Whoever runs a tool has all of them at once, by `Emitter.tool`. Whoever is told of
 * calls one by one, as by the stream of a language model, takes the steps here.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import type { Event } from "../../protocol/event/Event.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import { type Binding, runOf } from "../accept/Binding.ts"
import type { EmitError } from "../EmitError.ts"
import type { RunRecord } from "../user/RunRegistry.ts"
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
 * Names a tool call that is told of in several places, such as by the id that a model
 * gave it: as long as the call is open, the same key gives the same call.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolCallOptions {
  readonly key?: string | undefined
}

/**
 * A tool call in its steps. Its id is the run's own, so that no two calls of a run have
 * the same, whatever a model calls them.
 *
 * - `write` tells a piece of the input, as it is written. Once the call has begun, or
 *   has ended, it does nothing.
 * - `begin` tells the input, any value, whole: `tool_executing`. It does so once. It
 *   fails where that is refused.
 * - `approve` asks the user whether the tool may run, and fails with `ToolRefused` where
 *   it may not. The call is begun before, and is not ended by it.
 * - `run` makes an effect what the call does, and ends it as the effect ends; with
 *   `approval` the user is asked before. A call of a run that was cancelled or lost does
 *   not run: it is interrupted.
 * - `succeed` and `fail` end it: `tool_completed`, once. They never fail: an ending that
 *   cannot be emitted is counted and logged. What devices are told of a failure is
 *   written by `describe`, and is nothing of what the cause says by default. A call that
 *   has not begun has no ending.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolCall {
  readonly toolCallId: string
  readonly write: (delta: string) => Effect.Effect<void, EmitError>
  readonly begin: (input: unknown) => Effect.Effect<void, EmitError>
  readonly approve: (approval?: Approval) => Effect.Effect<void, EmitError | ToolRefused>
  readonly run: {
    <A, E, R>(
      effect: Effect.Effect<A, E, R>,
      options: ToolOptions & Approved
    ): Effect.Effect<A, E | EmitError | ToolRefused, R>
    <A, E, R>(effect: Effect.Effect<A, E, R>, options?: ToolOptions): Effect.Effect<A, E, R>
  }
  readonly succeed: (output: unknown) => Effect.Effect<void>
  readonly fail: (cause: Cause.Cause<unknown>, options?: ToolOptions) => Effect.Effect<void>
}

type Phase =
  | { readonly _tag: "Written" }
  | { readonly _tag: "Begun"; readonly at: number }
  | { readonly _tag: "Ended" }

type Emission = (event: Event, owed?: boolean) => Effect.Effect<unknown, EmitError>

/**
 * A call of a run. It is a mutable class: its phase is its own.
 *
 * @category models
 * @since 0.2.0
 */
export class Call implements ToolCall {
  readonly toolCallId: string
  readonly #toolName: string
  readonly #reporter: Reporter
  readonly #binding: Binding
  readonly #onEnd: () => void
  readonly #emit: Emission
  #phase: Phase = { _tag: "Written" }

  constructor(reporter: Reporter, binding: Binding, toolName: string, onEnd: () => void) {
    const record = runOf(binding)
    this.toolCallId = `call-${record === undefined ? 0 : binding.outbox.runs.nextTool(record)}`
    this.#toolName = toolName
    this.#reporter = reporter
    this.#binding = binding
    this.#onEnd = onEnd
    this.#emit = (event) => reporter.acceptor.emit(binding, event)
  }

  write(delta: string): Effect.Effect<void, EmitError> {
    const { toolCallId } = this
    const toolName = this.#toolName
    return Effect.suspend(() =>
      this.#phase._tag === "Written"
        ? Effect.asVoid(this.#emit(AgentEvents.ToolInputDelta.make({ toolCallId, toolName, delta })))
        : Effect.void
    )
  }

  begin(input: unknown): Effect.Effect<void, EmitError> {
    const { toolCallId } = this
    const toolName = this.#toolName
    const { acceptor, clock } = this.#reporter
    return Effect.suspend(() => {
      if (this.#phase._tag !== "Written") return Effect.void
      const begun = emitShowing(
        acceptor,
        this.#binding,
        "input",
        input,
        (shown) => AgentEvents.ToolExecuting.make({ toolCallId, toolName, input: shown })
      )
      return Effect.map(begun, () => {
        if (this.#phase._tag === "Written") this.#phase = { _tag: "Begun", at: Monotonic.millisUnsafe(clock) }
      })
    })
  }

  approve({ title, ...options }: Approval = {}): Effect.Effect<void, EmitError | ToolRefused> {
    const toolName = this.#toolName
    const request = { kind: "approval", title: title ?? `Run ${toolName}?`, ...options } as const
    return ask(this.#reporter, this.#binding, request, this.toolCallId).pipe(
      Effect.catchTag("AskError", ({ reason }) => Effect.fail(new ToolRefused({ toolName, reason }))),
      Effect.flatMap((answer) => {
        const { approved, reason } = approvalOf(answer)
        if (approved) return Effect.void
        const detail = reason === undefined ? {} : { detail: reason }
        return Effect.fail(new ToolRefused({ toolName, reason: "refused", ...detail }))
      })
    )
  }

  run<A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options: ToolOptions & Approved
  ): Effect.Effect<A, E | EmitError | ToolRefused, R>
  run<A, E, R>(effect: Effect.Effect<A, E, R>, options?: ToolOptions): Effect.Effect<A, E, R>
  run<A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options: ToolOptions & Partial<Approved> = {}
  ): Effect.Effect<A, E | EmitError | ToolRefused, R> {
    return Effect.uninterruptibleMask((restore) => this.#conduct(effect, options, restore))
  }

  /** Begins the call and runs it, in one step. A call of a stopped run does not begin. */
  whole<A, E, R>(
    input: unknown,
    effect: Effect.Effect<A, E, R>,
    options: ToolOptions & Partial<Approved>
  ): Effect.Effect<A, E | EmitError | ToolRefused, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() =>
        this.#isStopped
          ? Effect.interrupt
          : Effect.andThen(this.begin(input), this.#conduct(effect, options, restore))
      )
    )
  }

  get #isStopped(): boolean {
    return runOf(this.#binding)?.isStopped === true
  }

  #conduct<A, E, R>(
    effect: Effect.Effect<A, E, R>,
    { approval, ...options }: ToolOptions & Partial<Approved>,
    restore: <B, E2, R2>(effect: Effect.Effect<B, E2, R2>) => Effect.Effect<B, E2, R2>
  ): Effect.Effect<A, E | EmitError | ToolRefused, R> {
    // The run may have been stopped while its user's log took the start, or while the user was asked.
    const start = Effect.suspend(() => this.#isStopped ? Effect.interrupt : restore(effect))
    const asked = approval === undefined ? start : Effect.andThen(restore(this.approve(approval)), start)
    return Effect.onExit(
      asked,
      (exit) => Exit.isSuccess(exit) ? this.succeed(exit.value) : this.fail(exit.cause, options)
    )
  }

  succeed(output: unknown): Effect.Effect<void> {
    return this.#end(Effect.succeed(output), false)
  }

  fail(cause: Cause.Cause<unknown>, options: ToolOptions = {}): Effect.Effect<void> {
    const described = Effect.suspend(() => {
      Failure.noteWithin(cause)
      const refusal = refusalOf(cause)
      return refusal === undefined
        ? describe(this.#binding, "tool", options.describe, cause)
        : Effect.succeed(refusal)
    })
    return this.#end(described, true)
  }

  #end(given: Effect.Effect<unknown>, isError: boolean): Effect.Effect<void> {
    const { toolCallId } = this
    const toolName = this.#toolName
    const { acceptor, clock } = this.#reporter
    return Effect.uninterruptible(Effect.suspend(() => {
      const phase = this.#phase
      this.#phase = { _tag: "Ended" }
      this.#onEnd()
      if (phase._tag !== "Begun") return Effect.void
      const durationMs = Monotonic.elapsedUnsafe(clock, phase.at)
      const completed = Effect.flatMap(given, (output) =>
        emitShowing(
          acceptor,
          this.#binding,
          "output",
          output,
          (shown) => AgentEvents.ToolCompleted.make({ toolCallId, toolName, output: shown, isError, durationMs }),
          true
        ))
      return this.#reporter.report(this.#binding, `the end of ${toolCallId}`, completed)
    }))
  }
}

const refusalOf = (cause: Cause.Cause<unknown>): string | undefined => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  return error instanceof ToolRefused ? error.message : undefined
}

// The calls of a run that have a key and are open.
const ofRuns = new WeakMap<RunRecord, Map<string, Call>>()

/**
 * Makes a tool call of the binding's run, or gives the one that is open under its key.
 *
 * @category constructors
 * @since 0.2.0
 */
export const toolCall = (
  reporter: Reporter,
  binding: Binding,
  toolName: string,
  { key }: ToolCallOptions = {}
): Call => {
  const record = runOf(binding)
  if (key === undefined || record === undefined) return new Call(reporter, binding, toolName, () => {})
  let calls = ofRuns.get(record)
  if (calls === undefined) ofRuns.set(record, calls = new Map())
  let call = calls.get(key)
  if (call === undefined) calls.set(key, call = new Call(reporter, binding, toolName, () => calls.delete(key)))
  return call
}
