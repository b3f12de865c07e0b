/**
 * What the parts of one response are to a user's devices.
 *
 * It keeps which messages and tool calls the response has opened, and gives them ids
 * that no other response has: providers begin to count anew with each.
 *
 * @since 0.2.0
 */
import type * as Response from "effect/ai/Response"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import type { EmitError } from "../emitter/EmitError.ts"
import { Emitter, type ToolCall, ToolRefused } from "../emitter/Emitter.ts"
import { toJson } from "../emitter/run/ProgramValue.ts"
import * as AgentEvents from "../protocol/event/AgentEvents.ts"
import type { Event } from "../protocol/event/Event.ts"
import * as RunEvents from "../protocol/event/RunEvents.ts"
import * as Names from "../protocol/values/Names.ts"
import { ProviderFailed, ResponseError, ResponseTruncated } from "./ResponseError.ts"

type Message = "text" | "reasoning"

/**
 * Emits the parts of one response, in their order. It is a mutable class, since each
 * piece of a text goes through it.
 *
 * - `take` emits one part.
 * - `end` is for the end of the response: it fails where that is none.
 * - `close` closes what is open, however the response ended. It never fails.
 *
 * @category models
 * @since 0.2.0
 */
export class PartEmitter {
  readonly #emitter: Emitter["Service"]
  readonly #name: string
  #made = 0
  // The ids of messages and sources here, by kind and by the ids that the provider gave.
  readonly #messages: Record<Message, Map<string, string>> = { text: new Map(), reasoning: new Map() }
  readonly #sources = new Map<string, string>()
  // The tools whose input is being written, and the calls that have begun and wait for their result.
  readonly #written = new Map<string, string>()
  readonly #calls = new Map<string, ToolCall>()
  #metadata: Pick<Response.ResponseMetadataPart, "id" | "modelId"> = {}
  #error: { readonly error: unknown } | undefined = undefined
  #isFinished = false
  #isEnded = false

  constructor(emitter: Emitter["Service"], name: string) {
    this.#emitter = emitter
    this.#name = name
  }

  /** Makes one for a response, over the emitter of the context. */
  static readonly make: Effect.Effect<PartEmitter, never, Emitter> = Effect.zipWith(
    Emitter,
    Names.next,
    (emitter, name) => new PartEmitter(emitter, name)
  )

  take(part: Response.AnyPart): Effect.Effect<void, EmitError> {
    switch (part.type) {
      case "text-start":
        return this.#open("text", part.id)
      case "text-delta":
        return this.#append("text", part.id, part.delta)
      case "text-end":
        return this.#complete("text", part.id)
      case "text":
        return this.#whole("text", part.text)
      case "reasoning-start":
        return this.#open("reasoning", part.id)
      case "reasoning-delta":
        return this.#append("reasoning", part.id, part.delta)
      case "reasoning-end":
        return this.#complete("reasoning", part.id)
      case "reasoning":
        return this.#whole("reasoning", part.text)
      case "tool-params-start":
        this.#written.set(part.id, part.name)
        return Effect.void
      case "tool-params-delta":
        return this.#write(part.id, part.delta)
      case "tool-params-end":
        return Effect.void
      case "tool-call":
        return this.#begin(part.id, part.name, part.params)
      case "tool-result":
        return this.#result(part)
      case "tool-approval-request":
        // It waits for its user, and for another response.
        this.#calls.delete(part.toolCallId)
        return Effect.void
      case "file":
        return this.#file(part)
      case "source":
        return this.#source(part)
      case "response-metadata":
        this.#metadata = { ...this.#metadata, ...part }
        return Effect.void
      case "finish":
        return this.#finish(part)
      case "error":
        this.#error ??= { error: part.error }
        return Effect.void
    }
  }

  get end(): Effect.Effect<void, ResponseError | EmitError> {
    return Effect.suspend((): Effect.Effect<void, ResponseError | EmitError> => {
      if (this.#error !== undefined) return Effect.fail(new ResponseError({ reason: new ProviderFailed(this.#error) }))
      if (!this.#isFinished) return Effect.fail(new ResponseError({ reason: new ResponseTruncated() }))
      return Effect.andThen(
        this.#completeAll,
        Effect.sync(() => {
          this.#isEnded = true
        })
      )
    })
  }

  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#isEnded) return Effect.void
      // A consumer that left has interrupted the response.
      const cause = Exit.isFailure(exit) ? exit.cause : Cause.interrupt()
      const calls = [...this.#calls.values()]
      this.#calls.clear()
      return Effect.forEach(calls, (call) => call.fail(cause), { discard: true }).pipe(
        Effect.andThen(this.#completeAll),
        Effect.catch((error) => Effect.logDebug("That a message is complete was not told", error))
      )
    })
  }

  get #completeAll(): Effect.Effect<void, EmitError> {
    return Effect.suspend(() => {
      const open = Object.values(this.#messages).flatMap((ids) => {
        const left = [...ids.values()]
        ids.clear()
        return left
      })
      return Effect.forEach(open, (id) => this.#emit(completed(id)), { discard: true })
    })
  }

  #emit(event: Event): Effect.Effect<void, EmitError> {
    return Effect.asVoid(this.#emitter.emit(event))
  }

  #next(): string {
    return `${this.#name}-${++this.#made}`
  }

  // What a provider begins twice under one id is two messages.
  #open(kind: Message, id: string): Effect.Effect<void, EmitError> {
    const known = this.#messages[kind].get(id)
    this.#messages[kind].set(id, this.#next())
    return known === undefined ? Effect.void : this.#emit(completed(known))
  }

  #append(kind: Message, id: string, delta: string): Effect.Effect<void, EmitError> {
    let messageId = this.#messages[kind].get(id)
    if (messageId === undefined) this.#messages[kind].set(id, messageId = this.#next())
    return this.#tell(kind, messageId, delta)
  }

  #complete(kind: Message, id: string): Effect.Effect<void, EmitError> {
    const messageId = this.#messages[kind].get(id)
    this.#messages[kind].delete(id)
    return messageId === undefined ? Effect.void : this.#emit(completed(messageId))
  }

  #whole(kind: Message, text: string): Effect.Effect<void, EmitError> {
    const messageId = this.#next()
    return Effect.andThen(this.#tell(kind, messageId, text), this.#emit(completed(messageId)))
  }

  #tell(kind: Message, messageId: string, text: string): Effect.Effect<void, EmitError> {
    const { make } = kind === "text" ? AgentEvents.TextDelta : AgentEvents.ThinkingDelta
    return inPieces(text, (delta) => this.#emit(make({ messageId, delta })))
  }

  #call(key: string, name: string): Effect.Effect<ToolCall> {
    return this.#emitter.toolCall(labelOf(name), { key })
  }

  #write(id: string, delta: string): Effect.Effect<void, EmitError> {
    return Effect.flatMap(
      this.#call(id, this.#written.get(id) ?? ""),
      (call) => inPieces(delta, (piece) => call.write(piece))
    )
  }

  #begin(id: string, name: string, params: unknown): Effect.Effect<void, EmitError> {
    this.#written.delete(id)
    return Effect.flatMap(this.#call(id, name), (call) => {
      this.#calls.set(id, call)
      return call.begin(params)
    })
  }

  #result(part: Response.ToolResultPart<string, unknown, unknown>): Effect.Effect<void, EmitError> {
    return Effect.gen({ self: this }, function*() {
      const call = yield* this.#call(part.id, part.name)
      // The call may have come with a response that another process read.
      yield* call.begin(undefined)
      if (part.preliminary) return yield* this.#emit(preliminary(call, part))
      this.#calls.delete(part.id)
      yield* part.isFailure ? failCall(call, part) : call.succeed(part.encodedResult)
    })
  }

  // One that is too large for an event is told of without what is in it.
  #file({ data, mediaType }: Response.FilePart): Effect.Effect<void, EmitError> {
    const file = { fileId: this.#next(), mediaType: labelOf(mediaType) }
    const without = this.#emit(AgentEvents.FileProduced.make(file))
    if (data.length > RunEvents.maxFileData / 4 * 3) return without
    return Effect.catch(
      this.#emit(AgentEvents.FileProduced.make({ ...file, data: Base64.encode(data) })),
      (error) => error.reason._tag === "EventTooLarge" ? without : Effect.fail(error)
    )
  }

  #source(part: Response.DocumentSourcePart | Response.UrlSourcePart): Effect.Effect<void, EmitError> {
    let sourceId = this.#sources.get(part.id)
    if (sourceId === undefined) this.#sources.set(part.id, sourceId = this.#next())
    const url = part.sourceType === "url" ? part.url.href : ""
    return this.#emit(AgentEvents.SourceCited.make({
      sourceId,
      title: part.title.slice(0, RunEvents.maxTitle),
      ...(url !== "" && url.length <= RunEvents.maxUrl ? { url } : {})
    }))
  }

  #finish({ reason, usage }: Response.FinishPart): Effect.Effect<void, EmitError> {
    this.#isFinished = true
    if (reason === "error") this.#error ??= { error: undefined }
    const { inputTokens: input, outputTokens: output } = usage
    const inputTokens = count(input.total ?? sum(input.uncached, input.cacheRead, input.cacheWrite))
    const outputTokens = count(output.total ?? sum(output.text, output.reasoning))
    const { id, modelId } = this.#metadata
    const finished = AgentEvents.Custom.make({
      name: "model_finished",
      data: toJson({ reason, model: modelId, response: id, inputTokens: input, outputTokens: output }, "output", 4096)
    })
    return inputTokens + outputTokens === 0 ? this.#emit(finished) : Effect.andThen(
      this.#emit(AgentEvents.UsageReported.make({ inputTokens, outputTokens })),
      this.#emit(finished)
    )
  }
}

/**
 * Ends a call as its result says that it failed. Effect's own results say that a tool
 * did not run; what else they say is the program's, and is described as it describes
 * failures.
 *
 * @category operations
 * @since 0.2.0
 */
export const failCall = (
  call: ToolCall,
  { name, result }: Pick<Response.ToolResultPart<string, unknown, unknown>, "name" | "result">
): Effect.Effect<void> => {
  const given: { readonly type?: unknown; readonly reason?: unknown } = typeof result === "object" && result !== null
    ? result
    : {}
  switch (given.type) {
    case "execution-denied": {
      const detail = typeof given.reason === "string" ? { detail: given.reason } : {}
      return call.fail(Cause.fail(new ToolRefused({ toolName: name, reason: "refused", ...detail })))
    }
    case "execution-interrupted":
      return call.fail(Cause.interrupt(), { describe: () => "The tool did not run: the response was incomplete" })
    default:
      return call.fail(Cause.fail(result))
  }
}

/**
 * Why a tool did not run, as the model is told.
 *
 * @category conversions
 * @since 0.2.0
 */
export const refusalOf = ({ detail, message, reason }: ToolRefused): string =>
  reason === "refused" ? detail ?? "the user refused" : message

/**
 * A name that a model or a provider gave, as events have them: 1 to 256 characters of
 * well-formed Unicode.
 *
 * @category conversions
 * @since 0.2.0
 */
export const labelOf = (name: string): string => name.slice(0, maxLabel).toWellFormed() || "unnamed"

const maxLabel = 256

/**
 * A result of a tool that is not the last one.
 *
 * @category events
 * @since 0.2.0
 */
export const preliminary = (
  { toolCallId }: ToolCall,
  { encodedResult, name }: { readonly name: string; readonly encodedResult: unknown }
): Event =>
  AgentEvents.Custom.make({
    name: "tool_preliminary",
    data: { toolCallId, toolName: labelOf(name), output: toJson(encodedResult, "output", maxPreliminary) }
  })

const maxPreliminary = 16_384

const completed = (messageId: string): Event => AgentEvents.MessageCompleted.make({ messageId })

// A text that is too long for an event is told in several.
const inPieces = (
  text: string,
  tell: (piece: string) => Effect.Effect<void, EmitError>
): Effect.Effect<void, EmitError> =>
  text === "" ? Effect.void : Effect.catch(tell(text), (error) => {
    if (error.reason._tag !== "EventTooLarge" || text.length === 1) return Effect.fail(error)
    const half = text.length >> 1
    return Effect.andThen(
      Effect.suspend(() => inPieces(text.slice(0, half), tell)),
      Effect.suspend(() => inPieces(text.slice(half), tell))
    )
  })

const sum = (...counts: ReadonlyArray<number | undefined>): number =>
  counts.reduce<number>((total, each) => total + (each ?? 0), 0)

const count = (tokens: number): number => Number.isSafeInteger(tokens) && tokens > 0 ? tokens : 0
