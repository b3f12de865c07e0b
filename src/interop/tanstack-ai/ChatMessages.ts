/**
 * Messages of TanStack AI: as a request for a run has them, and as a run makes them.
 *
 * @since 0.2.0
 */
import type { SubscribeConnectionAdapter } from "@tanstack/ai-client"
import type { Json } from "effect/Schema"
import type { Run } from "../../client/driver/RunStore.ts"
import * as AgUiMapping from "../ag-ui/AgUiMapping.ts"

/**
 * A message of a page, or of a model, as it is sent.
 *
 * @category models
 * @since 0.2.0
 */
export type SentMessage = Parameters<SubscribeConnectionAdapter["send"]>[0][number]

type Hydrated = Awaited<ReturnType<NonNullable<SubscribeConnectionAdapter["hydrate"]>>>

/**
 * A message of a page.
 *
 * @category models
 * @since 0.2.0
 */
export type PageMessage = Hydrated["messages"][number]

/**
 * The messages as a `RunAgentInput` has them.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toInput = (messages: ReadonlyArray<SentMessage>): ReadonlyArray<object> =>
  messages.flatMap((message, index): ReadonlyArray<object> => {
    if (!("parts" in message)) return [{ id: `m${index}`, ...message }]
    const { id, parts, role } = message
    const texts = parts.flatMap((part) => part.type === "text" ? [part.content] : [])
    const media = parts.flatMap((part) =>
      part.type === "image" || part.type === "audio" || part.type === "video" || part.type === "document" ? [part] : []
    )
    const calls = parts.flatMap((part) =>
      part.type === "tool-call"
        ? [{ id: part.id, type: "function", function: { name: part.name, arguments: part.arguments } }]
        : []
    )
    const results = parts.flatMap((part) => part.type === "tool-result" ? [part] : [])
    const text = texts.join("")
    return [
      {
        id,
        role,
        content: media.length === 0 ? text : [...(text === "" ? [] : [{ type: "text", text }]), ...media],
        ...(calls.length === 0 ? {} : { toolCalls: calls })
      },
      ...results.map(({ content, toolCallId }) => ({
        id: `${toolCallId}:result`,
        role: "tool",
        toolCallId,
        content: typeof content === "string" ? content : JSON.stringify(content)
      }))
    ]
  })

/**
 * What the user asked, as a message, if a run is known to have been asked that.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toQuestion = (run: Run, question: string | undefined): ReadonlyArray<PageMessage> =>
  question === undefined
    ? []
    : [{ id: `${run.id}:input`, role: "user", parts: [{ type: "text", content: question }] }]

/**
 * What a run has said, thought and done, as messages. They have the ids by which the run is
 * told. A call stands in the message before it, thoughts in the one behind them.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toAnswer = ({ id: run, parts }: Run): ReadonlyArray<PageMessage> => {
  const messages: Array<PageMessage> = []
  let thoughts: PageMessage["parts"] = []
  const begin = (id: string): PageMessage => {
    const message: PageMessage = { id, role: "assistant", parts: thoughts }
    thoughts = []
    messages.push(message)
    return message
  }
  for (const part of parts) {
    switch (part.type) {
      case "text":
        begin(AgUiMapping.idOf(run, "text", part.messageId)).parts.push({ type: "text", content: part.text })
        break
      case "thinking":
        thoughts.push({ type: "thinking", content: part.text })
        break
      case "tool": {
        const id = AgUiMapping.idOf(run, "call", part.toolCallId)
        const before = thoughts.length === 0 ? messages.at(-1) : undefined
        const message = before ?? begin(id)
        message.parts.push(...toCall(id, part))
      }
    }
  }
  if (thoughts.length > 0) begin(`${run}:thoughts`)
  return messages
}

type Tool = Extract<Run["parts"][number], { readonly type: "tool" }>

const toCall = (id: string, { input, inputText, output, status, toolName }: Tool): PageMessage["parts"] => {
  const isFailed = status === "failed"
  const state = isFailed ? "error" : status === "completed" ? "complete" : "input-complete"
  const text = inputText ?? (input === undefined ? "" : JSON.stringify(input))
  return [
    {
      type: "tool-call",
      id,
      name: toolName,
      arguments: text,
      state: inputText === undefined ? state : "input-streaming",
      ...(input === undefined ? {} : { input }),
      ...(output === undefined ? {} : { output })
    },
    ...(output === undefined ? [] : [
      {
        type: "tool-result",
        toolCallId: id,
        content: toText(output),
        state: isFailed ? "error" : "complete"
      } as const
    ])
  ]
}

const toText = (output: Json): string => typeof output === "string" ? output : JSON.stringify(output)
