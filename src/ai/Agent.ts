/**
 * An agent: a model and its tools, again and again until the model has its answer.
 *
 * @since 0.2.0
 */
import type * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Concurrency } from "effect/Types"
import type { EmitError } from "../emitter/EmitError.ts"
import { type Approval, Emitter, run, type RunOptions, runStream } from "../emitter/Emitter.ts"
import * as AgentEvents from "../protocol/event/AgentEvents.ts"
import { emitParts } from "./emitParts.ts"
import { failCall, labelOf, preliminary, refusalOf } from "./PartEmitter.ts"
import { type ResponseError, StepLimitReached } from "./ResponseError.ts"

/**
 * What the loop of an agent is made of.
 *
 * - `prompt` is what it begins with: a text, messages, or the `history` of an answer
 *   before with a message more.
 * - `toolkit` has its tools, with their handlers. A tool that needs approval asks the
 *   user; `approval` says what, by default whether it may run.
 * - `model` is the language model, by default that of the context.
 * - `maxSteps` is how often the model is called at most, 8 by default.
 * - `concurrency` is how many tools of a step run at once, by default all of them.
 *
 * @category models
 * @since 0.2.0
 */
export interface LoopOptions<Tools extends Record<string, Tool.Any>, E = never, R = never> {
  readonly prompt: Prompt.RawInput
  readonly toolkit?: Toolkit.WithHandler<Tools> | Effect.Effect<Toolkit.WithHandler<Tools>, E, R> | undefined
  readonly approval?: ((call: { readonly name: string; readonly params: unknown }) => Approval) | undefined
  readonly maxSteps?: number | undefined
  readonly concurrency?: Concurrency | undefined
}

/**
 * What an agent is made of: its loop, and what its run says of itself.
 *
 * - `agentName`, `cancellable`, `commands`, `parentRunId`, and `input`, which is the
 *   prompt where that is a text, are its run's.
 * - `describe` and `retryable` say of its failure what a run's do.
 *
 * @category models
 * @since 0.2.0
 */
export interface AgentOptions<Tools extends Record<string, Tool.Any>, E = never, R = never>
  extends
    LoopOptions<Tools, E, R>,
    Pick<
      RunOptions<unknown, unknown>,
      "agentName" | "cancellable" | "commands" | "describe" | "input" | "parentRunId" | "retryable"
    >
{}

/**
 * What an agent gave: the text of its last step, why the model finished it, how many
 * steps there were, and all that was said, for the next prompt.
 *
 * @category models
 * @since 0.2.0
 */
export interface Answer {
  readonly text: string
  readonly finishReason: Response.FinishReason
  readonly steps: number
  readonly history: Prompt.Prompt
}

/**
 * Why an agent fails: its model, a tool whose failures are errors, a response that was
 * no whole one, too many steps, or an event that was refused.
 *
 * @category models
 * @since 0.2.0
 */
export type AgentFailure<Tools extends Record<string, Tool.Any>, E = never> =
  | AiError.AiError
  | E
  | EmitError
  | ResponseError
  | StepLimitReached
  | Tool.HandlerError<Tools[keyof Tools]>

/**
 * What an agent needs beside its model: its emitter, and what its tools need.
 *
 * @category models
 * @since 0.2.0
 */
export type AgentServices<Tools extends Record<string, Tool.Any>, R = never> =
  | Emitter
  | R
  | Tool.HandlerServices<Tools[keyof Tools]>

/**
 * The language model of one agent, in place of the context's.
 *
 * @category models
 * @since 0.2.0
 */
export interface OwnModel {
  readonly model: LanguageModel.LanguageModel
}

/**
 * Runs an agent as a run of the context's emitter, and gives its answer.
 *
 * Each step calls the model once, then the tools that it called, all at once, and goes on
 * with their results, until the model calls none. Devices see each step, what is written
 * in it, and its tools, as `emitParts` and `Emitter.tool` tell of them.
 *
 * - A tool that needs approval asks the user, and runs once it has it. One that was refused,
 *   or of which nobody said anything in time, does not run; the model is told why.
 * - A call of a tool that there is not is a failed one, and the model is told so. Input that
 *   does not fit, and a handler that fails, are as the tool's `failureMode` says: an error
 *   of the agent, or a result for the model.
 * - Tools do not run in a response that is not complete: one cut off, or ended for want of
 *   tokens. That ends the agent, with its `finishReason`.
 * - A `cancel` of a device interrupts model and tools, and the run ends as cancelled.
 * - An agent with no answer after `maxSteps` fails with `StepLimitReached`; the tools of the
 *   last step do not run.
 * - A result that a tool's handler tells of beforehand is a `custom` event named
 *   `tool_preliminary`.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Emitter } from "effect-emitter"
 * import { EmitterAi } from "effect-emitter/ai"
 * import { Tool, Toolkit } from "effect/ai"
 *
 * const Search = Tool.make("search", {
 *   description: "Searches the library",
 *   parameters: Schema.Struct({ query: Schema.String }),
 *   success: Schema.Array(Schema.String)
 * })
 * const Tools = Toolkit.make(Search)
 * const handlers = Tools.toLayer({ search: ({ query }) => Effect.succeed([`All about ${query}`]) })
 *
 * const answer = EmitterAi.runAgent({
 *   agentName: "researcher",
 *   toolkit: Tools,
 *   prompt: "What are streams?"
 * }).pipe(Effect.provide(Layer.merge(handlers, Emitter.layerUser({ userId: "ada", threadId: "t1" }))))
 * ```
 *
 * @category agents
 * @since 0.2.0
 */
export function runAgent<Tools extends Record<string, Tool.Any> = {}, E = never, R = never>(
  options: AgentOptions<Tools, E, R> & OwnModel
): Effect.Effect<Answer, AgentFailure<Tools, E>, AgentServices<Tools, R>>
export function runAgent<Tools extends Record<string, Tool.Any> = {}, E = never, R = never>(
  options: AgentOptions<Tools, E, R>
): Effect.Effect<Answer, AgentFailure<Tools, E>, AgentServices<Tools, R> | LanguageModel.LanguageModel>
export function runAgent<Tools extends Record<string, Tool.Any>, E, R>(
  options: AgentOptions<Tools, E, R> & Partial<OwnModel>
): Effect.Effect<Answer, AgentFailure<Tools, E>, AgentServices<Tools, R> | LanguageModel.LanguageModel> {
  const result = ({ finishReason, steps }: Answer) => ({ finishReason, steps })
  return run(agentLoop(options), { ...runOptions<Answer, AgentFailure<Tools, E>>(options), result })
}

/**
 * The loop of an agent within the run that is there, one at a time: for an agent that does
 * more than that in its run. See {@link runAgent}, which is a run of nothing else.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Emitter } from "effect-emitter"
 * import { EmitterAi } from "effect-emitter/ai"
 *
 * const answer = Effect.gen(function*() {
 *   const found = yield* Effect.succeed(["Streams are pull-based"]).pipe(Emitter.tool("search", { q: "streams" }))
 *   const { text } = yield* EmitterAi.agentLoop({ prompt: `Explain this: ${found.join()}` })
 *   return text
 * }).pipe(Emitter.run({ agentName: "researcher" }))
 * ```
 *
 * @category agents
 * @since 0.2.0
 */
export function agentLoop<Tools extends Record<string, Tool.Any> = {}, E = never, R = never>(
  options: LoopOptions<Tools, E, R> & OwnModel
): Effect.Effect<Answer, AgentFailure<Tools, E>, AgentServices<Tools, R>>
export function agentLoop<Tools extends Record<string, Tool.Any> = {}, E = never, R = never>(
  options: LoopOptions<Tools, E, R>
): Effect.Effect<Answer, AgentFailure<Tools, E>, AgentServices<Tools, R> | LanguageModel.LanguageModel>
export function agentLoop<Tools extends Record<string, Tool.Any>, E, R>(
  options: LoopOptions<Tools, E, R> & Partial<OwnModel>
): Effect.Effect<Answer, AgentFailure<Tools, E>, AgentServices<Tools, R> | LanguageModel.LanguageModel> {
  return Effect.suspend(() => {
    let answer: Answer = { text: "", finishReason: "unknown", steps: 0, history: Prompt.empty }
    const parts = Stream.unwrap(Effect.map(modelOf(options), (model) =>
      agent(model, options, (given) => {
        answer = given
      })))
    return Effect.map(Stream.runDrain(parts), () => answer)
  })
}

/**
 * Runs an agent as {@link runAgent} does, and streams the parts of its responses and the
 * results of its tools. The run lasts as long as the stream is consumed, and is cancelled
 * when its consumer leaves.
 *
 * ```ts
 * import { Stream } from "effect"
 * import { EmitterAi } from "effect-emitter/ai"
 *
 * const words = EmitterAi.streamAgent({ agentName: "researcher", prompt: "What are streams?" }).pipe(
 *   Stream.filter((part) => part.type === "text-delta"),
 *   Stream.map(({ delta }) => delta)
 * )
 * ```
 *
 * @category agents
 * @since 0.2.0
 */
export function streamAgent<Tools extends Record<string, Tool.Any> = {}, E = never, R = never>(
  options: AgentOptions<Tools, E, R> & OwnModel
): Stream.Stream<Response.AnyPart, AgentFailure<Tools, E>, AgentServices<Tools, R>>
export function streamAgent<Tools extends Record<string, Tool.Any> = {}, E = never, R = never>(
  options: AgentOptions<Tools, E, R>
): Stream.Stream<Response.AnyPart, AgentFailure<Tools, E>, AgentServices<Tools, R> | LanguageModel.LanguageModel>
export function streamAgent<Tools extends Record<string, Tool.Any>, E, R>(
  options: AgentOptions<Tools, E, R> & Partial<OwnModel>
): Stream.Stream<Response.AnyPart, AgentFailure<Tools, E>, AgentServices<Tools, R> | LanguageModel.LanguageModel> {
  const parts = Stream.unwrap(Effect.map(modelOf(options), (model) => agent(model, options, () => {})))
  return runStream(parts, runOptions<Option.Option<Response.AnyPart>, AgentFailure<Tools, E>>(options))
}

const runOptions = <A, E>(
  options: Omit<AgentOptions<{}>, "toolkit">
): RunOptions<A, E> => {
  const { agentName, cancellable, commands, describe, input, parentRunId, prompt, retryable } = options
  return {
    agentName,
    cancellable,
    commands,
    describe,
    input: input ?? (typeof prompt === "string" ? prompt : undefined),
    parentRunId,
    retryable
  }
}

const modelOf = ({ model }: Partial<OwnModel>) =>
  model === undefined ? LanguageModel.LanguageModel : Effect.succeed(model)

type Call = Response.ToolCallPart<string, unknown>

type Result = Response.ToolResultPart<string, unknown, unknown>

const defaultSteps = 8

// In others the model was cut off, also within the input of a tool.
const complete: ReadonlySet<Response.FinishReason> = new Set(["stop", "tool-calls", "pause"])

const agent = <Tools extends Record<string, Tool.Any>, E, R>(
  model: LanguageModel.LanguageModel,
  options: LoopOptions<Tools, E, R>,
  onAnswer: (answer: Answer) => void
): Stream.Stream<Response.AnyPart, AgentFailure<Tools, E>, AgentServices<Tools, R>> =>
  Stream.unwrap(Effect.gen(function*() {
    const { concurrency = "unbounded", maxSteps = defaultSteps, toolkit } = options
    if (!Number.isInteger(maxSteps) || maxSteps < 1) {
      return yield* Effect.die(new RangeError(`maxSteps is ${maxSteps}: an agent takes at least one step`))
    }
    const emitter = yield* Emitter
    const tools = toolkit === undefined || !Effect.isEffect(toolkit) ? toolkit : yield* toolkit
    const calling = {
      toolChoice: "auto",
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    } as const

    const step = (
      number: number,
      prompt: Prompt.Prompt
    ): Stream.Stream<Response.AnyPart, AgentFailure<Tools, E>, AgentServices<Tools, R>> => {
      const name = `step-${number}`
      const said: Array<Response.AnyPart> = []
      const note = (part: Response.AnyPart) => Effect.sync(() => void said.push(part))
      const response = tools === undefined
        ? model.streamText({ prompt, ...calling })
        : model.streamText({ prompt, toolkit: tools, ...calling })

      const resolve = Stream.suspend((): Stream.Stream<Result, AgentFailure<Tools, E>, AgentServices<Tools, R>> => {
        const calls = said.filter((part): part is Call => part.type === "tool-call" && !part.providerExecuted)
        if (calls.length === 0) return Stream.empty
        if (!complete.has(finishReason(said))) {
          return Stream.fromIterable(calls).pipe(Stream.mapEffect((call) => notRun(emitter, call, finishReason(said))))
        }
        if (number === maxSteps) return Stream.fail(new StepLimitReached({ maxSteps }))
        return Stream.fromIterable(calls).pipe(
          Stream.mapEffect((call) => resolveCall(emitter, tools, call, prompt, options.approval), { concurrency })
        )
      })

      const next = Stream.suspend(() => {
        const reason = finishReason(said)
        const history = Prompt.concat(prompt, Prompt.fromResponseParts(said))
        const isCalled = said.some((part) => part.type === "tool-result" && !part.providerExecuted)
        if (reason === "pause" || (isCalled && complete.has(reason))) {
          return number === maxSteps
            ? Stream.fail(new StepLimitReached({ maxSteps }))
            : step(number + 1, history)
        }
        onAnswer({ text: textOf(said), finishReason: reason, steps: number, history })
        return Stream.empty
      })

      return Stream.fromEffectDrain(emitter.emit(AgentEvents.StepStarted.make({ name }))).pipe(
        Stream.concat(Stream.tap(emitParts(response), note)),
        Stream.concat(Stream.tap(resolve, note)),
        Stream.concat(Stream.fromEffectDrain(emitter.emit(AgentEvents.StepFinished.make({ name })))),
        Stream.concat(next)
      )
    }

    return step(1, Prompt.make(options.prompt))
  }))

const finishReason = (parts: ReadonlyArray<Response.AnyPart>): Response.FinishReason =>
  parts.findLast((part) => part.type === "finish")?.reason ?? "unknown"

const textOf = (parts: ReadonlyArray<Response.AnyPart>): string =>
  parts.map((part) => part.type === "text-delta" ? part.delta : part.type === "text" ? part.text : "").join("")

const resultOf = (
  { id, name }: Call,
  { encodedResult, isFailure, modelOutput, result }: Pick<
    Tool.HandlerResult<Tool.Any>,
    "encodedResult" | "isFailure" | "modelOutput" | "result"
  >
): Result =>
  Response.makePart("tool-result", {
    id,
    name,
    result,
    encodedResult,
    ...(modelOutput === undefined ? {} : { modelOutput }),
    isFailure,
    preliminary: false,
    providerExecuted: false
  })

const failed = (call: Call, result: Schema.Json): Result =>
  resultOf(call, { result, encodedResult: result, isFailure: true })

const notRun = (emitter: Emitter["Service"], part: Call, reason: Response.FinishReason): Effect.Effect<Result> =>
  Effect.gen(function*() {
    const result = failed(part, {
      type: "execution-interrupted",
      reason: `The tool did not run, since the response ended with "${reason}"`
    })
    const call = yield* emitter.toolCall(labelOf(part.name), { key: part.id })
    yield* failCall(call, result)
    return result
  })

// Whether the user is asked before. Input that does not fit is refused by the handler.
const needsApproval = <T extends Tool.Any>(
  { needsApproval: needs, parametersSchema }: T,
  { id, params }: Call,
  { content }: Prompt.Prompt
): Effect.Effect<boolean, never, Tool.HandlerServices<T>> => {
  if (typeof needs !== "function") return Effect.succeed(needs === true)
  // The type of any tool forgets which services its schema needs: those of its handler.
  const decode = Schema.isSchema(parametersSchema) ? Schema.decodeUnknownEffect(parametersSchema) : Effect.succeed
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off anyUnknownInErrorContext:off
  const decoded = decode(params) as Effect.Effect<unknown, Schema.SchemaError, Tool.HandlerServices<T>>
  return decoded.pipe(
    Effect.flatMap((input) => {
      const answer = needs(input, { toolCallId: id, messages: content })
      return typeof answer === "boolean" ? Effect.succeed(answer) : answer
    }),
    Effect.orElseSucceed(() => false)
  )
}

const resolveCall = <Tools extends Record<string, Tool.Any>>(
  emitter: Emitter["Service"],
  toolkit: Toolkit.WithHandler<Tools> | undefined,
  part: Call,
  prompt: Prompt.Prompt,
  approval: LoopOptions<Tools>["approval"]
): Effect.Effect<
  Result,
  AiError.AiError | EmitError | Tool.HandlerError<Tools[keyof Tools]>,
  Tool.HandlerServices<Tools[keyof Tools]>
> =>
  Effect.gen(function*() {
    const { name, params } = part
    const call = yield* emitter.toolCall(labelOf(name), { key: part.id })
    const tool = toolkit !== undefined && Object.hasOwn(toolkit.tools, name) ? toolkit.tools[name] : undefined
    if (toolkit === undefined || tool === undefined) {
      const known = Object.keys(toolkit?.tools ?? {})
      yield* call.fail(Cause.fail(undefined), { describe: () => "There is no such tool" })
      return failed(part, {
        type: "tool-not-found",
        reason: `There is no tool "${name}"; there are: ${known.join(", ")}`
      })
    }

    const given: { last?: Tool.HandlerResult<Tool.Any> } = {}
    const take = (result: Tool.HandlerResult<Tool.Any>): Effect.Effect<void, EmitError> => {
      if (result.preliminary) {
        return Effect.asVoid(emitter.emit(preliminary(call, { name, encodedResult: result.encodedResult })))
      }
      given.last = result
      return Effect.void
    }
    // The handler decodes the parameters.
    const handled = toolkit.handle(name, params as Tool.ParametersEncoded<Tools[string]>, part.id).pipe(
      Stream.unwrap,
      Stream.runForEach(take),
      Effect.flatMap(() => {
        const { last } = given
        // That ends the call: it has no other ending.
        return last?.isFailure === true
          ? failCall(call, { name, result: last.result })
          : Effect.succeed(last?.encodedResult)
      })
    )
    // @effect-diagnostics-next-line anyUnknownInErrorContext:off
    if (yield* needsApproval(tool, part, prompt)) {
      const refused = yield* call.approve(approval?.({ name, params })).pipe(
        Effect.onError((cause) => call.fail(cause)),
        Effect.as(undefined),
        Effect.catchTag("ToolRefused", (error) => Effect.succeed(error))
      )
      if (refused !== undefined) return failed(part, { type: "execution-denied", reason: refusalOf(refused) })
    }
    yield* call.run(handled)
    if (given.last === undefined) return yield* Effect.die(`The handler of the tool "${name}" gave no result`)
    return resultOf(part, given.last)
  })
