/**
 * The events of AG-UI 1.0 that runs are told in, as they travel.
 *
 * @see https://docs.ag-ui.com/concepts/events
 * @since 0.2.0
 */
import type { Json, JsonObject } from "effect/Schema"

/**
 * The version of AG-UI that is spoken where a client says that it speaks it.
 *
 * @category constants
 * @since 0.2.0
 */
export const protocolVersion = "1.0"

/**
 * A call of a tool within an assistant's message. `arguments` are JSON text.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolCall {
  readonly id: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: string }
}

/**
 * A message of a conversation, as far as runs make any.
 *
 * @category models
 * @since 0.2.0
 */
export type RunMessage =
  | {
    readonly id: string
    readonly role: "assistant"
    readonly content?: string
    readonly toolCalls?: ReadonlyArray<ToolCall>
  }
  | { readonly id: string; readonly role: "reasoning"; readonly content: string }
  | {
    readonly id: string
    readonly role: "tool"
    readonly toolCallId: string
    readonly content: string
    readonly metadata?: JsonObject
  }

/**
 * What a run asks its user for. `reason` is the kind of request; `responseSchema` is
 * the JSON Schema of an answer, `expiresAt` a time as ISO 8601 has it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Interrupt {
  readonly id: string
  readonly reason: string
  readonly message?: string
  readonly toolCallId?: string
  readonly responseSchema?: JsonObject
  readonly expiresAt?: string
  readonly metadata?: JsonObject
}

/**
 * How a run finished. Clients of version 1.0 alone know of these.
 *
 * @category models
 * @since 0.2.0
 */
export type Outcome =
  | { readonly type: "success" }
  | { readonly type: "cancelled" }
  | { readonly type: "interrupt"; readonly interrupts: ReadonlyArray<Interrupt> }

/**
 * An event of one type: `timestamp` is in milliseconds since the Unix epoch.
 *
 * @category models
 * @since 0.2.0
 */
export type Of<Type extends string, Fields = object> =
  & { readonly type: Type; readonly timestamp?: number }
  & Readonly<Fields>

/**
 * An event.
 *
 * @category models
 * @since 0.2.0
 */
export type AgUiEvent =
  | Of<"RUN_STARTED", { threadId: string; runId: string; protocolVersion?: string }>
  | Of<"RUN_FINISHED", {
    threadId: string
    runId: string
    result?: Json
    outcome?: Outcome
    usage?: ReadonlyArray<{ readonly inputTokens: number; readonly outputTokens: number }>
  }>
  | Of<"RUN_ERROR", { message: string; code: string }>
  | Of<"TEXT_MESSAGE_START", { messageId: string; role: "assistant" }>
  | Of<"TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT", { messageId: string; delta: string }>
  | Of<"TEXT_MESSAGE_END" | "REASONING_START" | "REASONING_MESSAGE_END" | "REASONING_END", { messageId: string }>
  | Of<"REASONING_MESSAGE_START", { messageId: string; role: "reasoning" }>
  | Of<"TOOL_CALL_START", { toolCallId: string; toolCallName: string }>
  | Of<"TOOL_CALL_ARGS", { toolCallId: string; delta: string }>
  | Of<"TOOL_CALL_END", { toolCallId: string }>
  | Of<"TOOL_CALL_RESULT", {
    messageId: string
    toolCallId: string
    content: string
    role: "tool"
    metadata?: JsonObject
  }>
  | Of<"STEP_STARTED" | "STEP_FINISHED", { stepName: string }>
  | Of<"STATE_SNAPSHOT", { snapshot: Json }>
  | Of<"STATE_DELTA", { delta: ReadonlyArray<Json> }>
  | Of<"MESSAGES_SNAPSHOT", { messages: ReadonlyArray<Json | RunMessage> }>
  | Of<"ACTIVITY_SNAPSHOT", { messageId: string; activityType: string; content: JsonObject; replace: true }>
  | Of<"CUSTOM", { name: string; value: Json }>
