/**
 * A model behind an API that speaks OpenAI's chat completions, as a `LanguageModel`: OpenAI itself, or a server of one's
 * own (Ollama, llama.cpp, vLLM and others).
 */
import { Effect, Stream } from "effect"
import { AiError, LanguageModel, type Prompt, type Response, Tool } from "effect/ai"
import OpenAI, { APIConnectionError, APIError } from "openai"

/** `baseUrl` is up to `/v1`. A local server needs no key. Requests that failed before an answer are tried again twice. */
export interface Options {
  readonly baseUrl: string
  readonly model: string
  readonly apiKey?: string | undefined
  readonly retries?: number | undefined
}

type Messages = OpenAI.ChatCompletionMessageParam

type Chunk = OpenAI.ChatCompletionChunk

type Part = Response.StreamPartEncoded

/** The model that `options` name. */
export const make = ({ apiKey = "none", baseUrl, model, retries = 2 }: Options) => {
  const client = new OpenAI({ baseURL: baseUrl, apiKey, maxRetries: retries, logLevel: "off" })

  const streamText = ({ prompt, toolChoice, tools }: LanguageModel.ProviderOptions) =>
    Stream.unwrap(Effect.gen(function*() {
      // Whoever leaves the stream ends the request.
      const request = yield* Effect.acquireRelease(
        Effect.sync(() => new AbortController()),
        (controller) => Effect.sync(() => controller.abort())
      )
      const body = {
        model,
        messages: prompt.content.flatMap(messagesOf),
        stream: true,
        stream_options: { include_usage: true },
        ...(tools.length === 0 ? {} : { tools: tools.map(toolOf), tool_choice: choiceOf(toolChoice) })
      } as const
      const chunks = yield* Effect.tryPromise({
        try: () => client.chat.completions.create(body, { signal: request.signal }),
        catch: errorOf
      })
      return Stream.fromAsyncIterable(partsOf(chunks), errorOf)
    }))

  return LanguageModel.make({
    streamText,
    generateText: () => Effect.die("the demo's agent reads its model as a stream")
  })
}

const messagesOf = (message: Prompt.Message): ReadonlyArray<Messages> => {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content }]
    case "user":
      return [{ role: "user", content: textOf(message.content) }]
    case "assistant": {
      const calls = message.content.filter((part) => part.type === "tool-call")
      return [{
        role: "assistant",
        content: textOf(message.content),
        ...(calls.length === 0 ? {} : {
          tool_calls: calls.map(({ id, name, params }) => ({
            id,
            type: "function" as const,
            function: { name, arguments: JSON.stringify(params) }
          }))
        })
      }]
    }
    case "tool":
      return message.content.flatMap((part): ReadonlyArray<Messages> => {
        if (part.type !== "tool-result") return []
        const content = part.modelOutput === undefined ? JSON.stringify(part.result ?? null) : textOf(part.modelOutput)
        return [{ role: "tool", tool_call_id: part.id, content }]
      })
  }
}

const textOf = (parts: ReadonlyArray<{ readonly type: string }>): string =>
  parts.map((part) => part.type === "text" && "text" in part ? String(part.text) : "").join("")

const toolOf = (tool: Tool.Any): OpenAI.ChatCompletionTool => ({
  type: "function",
  function: {
    name: tool.name,
    parameters: { ...Tool.getJsonSchema(tool) },
    ...(tool.description === undefined ? {} : { description: tool.description })
  }
})

const choiceOf = (choice: LanguageModel.ProviderOptions["toolChoice"]): OpenAI.ChatCompletionToolChoiceOption =>
  typeof choice === "string"
    ? choice
    : "tool" in choice
    ? { type: "function", function: { name: choice.tool } }
    : choice.mode ?? "auto"

const reasons: Record<string, Response.FinishReason> = {
  stop: "stop",
  length: "length",
  content_filter: "content-filter",
  tool_calls: "tool-calls",
  function_call: "tool-calls"
}

// A response that ends without a reason has no finish part: it was cut off.
async function* partsOf(chunks: AsyncIterable<Chunk>): AsyncGenerator<Part> {
  const calls = new Map<number, { readonly id: string; readonly name: string; text: string }>()
  let open: "text" | "reasoning" | undefined
  let isFirst = true
  let reason: Response.FinishReason | undefined
  let usage: OpenAI.CompletionUsage | null | undefined

  function* write(kind: "text" | "reasoning", delta: unknown): Generator<Part> {
    if (typeof delta !== "string" || delta === "") return
    if (open !== kind) {
      yield* close()
      yield { type: `${kind}-start`, id: kind }
    }
    open = kind
    yield { type: `${kind}-delta`, id: kind, delta }
  }
  function* close(): Generator<Part> {
    if (open !== undefined) yield { type: `${open}-end`, id: open }
    open = undefined
  }

  for await (const chunk of chunks) {
    if (isFirst) yield { type: "response-metadata", id: chunk.id, modelId: chunk.model }
    isFirst = false
    usage = chunk.usage ?? usage
    const choice = chunk.choices[0]
    if (choice === undefined) continue
    const { delta, finish_reason: finished } = choice
    // How several servers name what a model thinks.
    yield* write("reasoning", Reflect.get(delta, "reasoning_content") ?? Reflect.get(delta, "reasoning"))
    yield* write("text", delta.content)
    for (const { function: called, id, index } of delta.tool_calls ?? []) {
      let call = calls.get(index)
      if (call === undefined) {
        yield* close()
        call = { id: id ?? `${chunk.id}-${index}`, name: called?.name ?? "", text: "" }
        calls.set(index, call)
        yield { type: "tool-params-start", id: call.id, name: call.name }
      }
      const text = called?.arguments ?? ""
      call.text += text
      if (text !== "") yield { type: "tool-params-delta", id: call.id, delta: text }
    }
    if (typeof finished === "string") reason = reasons[finished] ?? "other"
  }
  yield* close()
  if (reason === undefined) return
  for (const { id, name, text } of calls.values()) {
    yield { type: "tool-params-end", id }
    yield { type: "tool-call", id, name, params: paramsOf(name, text) }
  }
  const { completion_tokens: output, prompt_tokens: input } = usage ?? {}
  yield {
    type: "finish",
    // Some servers say "stop" where tools are called.
    reason: reason === "stop" && calls.size > 0 ? "tool-calls" : reason,
    usage: {
      inputTokens: {
        uncached: undefined,
        total: input,
        cacheRead: usage?.prompt_tokens_details?.cached_tokens,
        cacheWrite: undefined
      },
      outputTokens: {
        total: output,
        text: undefined,
        reasoning: usage?.completion_tokens_details?.reasoning_tokens
      }
    }
  }
}

// What is no JSON is for the tool to refuse: the model is told, and may try again.
const paramsOf = (name: string, text: string): unknown => {
  if (text.trim() === "") return {}
  try {
    return JSON.parse(text)
  } catch {
    return `the input of ${name} is no JSON: ${text.slice(0, 200)}`
  }
}

const errorOf = (error: unknown): AiError.AiError =>
  AiError.make({ module: "OpenAi", method: "streamText", reason: reasonOf(error) })

const reasonOf = (error: unknown): AiError.AiErrorReason => {
  const description = error instanceof Error ? error.message : "The answer could not be read"
  if (error instanceof APIConnectionError) {
    return new AiError.NetworkError({ reason: "TransportError", method: "POST", url: "/chat/completions", description })
  }
  if (error instanceof APIError) {
    return error.status === undefined
      ? new AiError.InternalProviderError({ description })
      : AiError.reasonFromHttpStatus({ status: error.status, description })
  }
  return error instanceof SyntaxError
    ? new AiError.InvalidOutputError({ description })
    : new AiError.NetworkError({ reason: "TransportError", method: "POST", url: "/chat/completions", description })
}
