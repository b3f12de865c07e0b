/**
 * Messages and stream parts of the AI SDK, as far as they are written and read here.
 *
 * The types are of the same form as the SDK's own, so that values go to and fro; the
 * package `ai` need not be there for them.
 *
 * @see https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
 * @since 0.2.0
 */
import type { Json } from "effect/Schema"

/**
 * What a run tells in the metadata of its message, under `run`:
 *
 * - `id`, `agentName`, `input` and `startedAt` of its start;
 * - `usage` so far;
 * - `status`, as in a run's snapshot: `active`, `completed`, or the reason of its
 *   `agent_error`; with its end `endedAt` and `result`, or `retryable`;
 * - `dropped`: how many parts a client that came late does not get, if any.
 *
 * Times are milliseconds since the Unix epoch.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunMetadata {
  readonly run: {
    readonly id?: string
    readonly agentName?: string
    readonly input?: Json
    readonly startedAt?: number
    readonly status?: "active" | "completed" | "failed" | "cancelled" | "timeout" | "lost"
    readonly endedAt?: number
    readonly result?: Json
    readonly retryable?: boolean
    readonly usage?: { readonly inputTokens: number; readonly outputTokens: number; readonly cost?: number }
    readonly dropped?: number
  }
}

/**
 * What has no place of its own in a part.
 *
 * @category models
 * @since 0.2.0
 */
export type PartMetadata = {
  "effect-emitter": { [field: string]: string | boolean }
}

/**
 * A part of a UI message stream.
 *
 * @category models
 * @since 0.2.0
 */
export type UiMessageChunk =
  | { readonly type: "start"; readonly messageId: string; readonly messageMetadata: RunMetadata }
  | { readonly type: "message-metadata"; readonly messageMetadata: RunMetadata }
  | { readonly type: "start-step" }
  | { readonly type: "finish-step" }
  | { readonly type: "reset-step" }
  | { readonly type: "text-start"; readonly id: string; readonly providerMetadata?: PartMetadata }
  | { readonly type: "text-delta"; readonly id: string; readonly delta: string }
  | { readonly type: "text-end"; readonly id: string }
  | { readonly type: "reasoning-start"; readonly id: string; readonly providerMetadata?: PartMetadata }
  | { readonly type: "reasoning-delta"; readonly id: string; readonly delta: string }
  | { readonly type: "reasoning-end"; readonly id: string }
  | { readonly type: "tool-input-start"; readonly toolCallId: string; readonly toolName: string }
  | { readonly type: "tool-input-delta"; readonly toolCallId: string; readonly inputTextDelta: string }
  | {
    readonly type: "tool-input-available"
    readonly toolCallId: string
    readonly toolName: string
    readonly input: unknown
  }
  | {
    readonly type: "tool-input-error"
    readonly toolCallId: string
    readonly toolName: string
    readonly input: unknown
    readonly errorText: string
  }
  | {
    readonly type: "tool-approval-request"
    readonly approvalId: string
    readonly toolCallId: string
    readonly reason: string
  }
  | {
    readonly type: "tool-approval-response"
    readonly approvalId: string
    readonly approved: boolean
    readonly reason?: string
  }
  | { readonly type: "tool-output-available"; readonly toolCallId: string; readonly output: unknown }
  | { readonly type: "tool-output-error"; readonly toolCallId: string; readonly errorText: string }
  | { readonly type: "tool-output-denied"; readonly toolCallId: string }
  | {
    readonly type: "source-url"
    readonly sourceId: string
    readonly url: string
    readonly title?: string
    readonly providerMetadata?: PartMetadata
  }
  | {
    readonly type: "source-document"
    readonly sourceId: string
    readonly mediaType: string
    readonly title: string
    readonly providerMetadata?: PartMetadata
  }
  | {
    readonly type: "file"
    readonly url: string
    readonly mediaType: string
    readonly providerMetadata?: PartMetadata
  }
  | {
    readonly type: `data-${string}`
    readonly id?: string
    readonly data: unknown
    readonly transient?: true
  }
  | { readonly type: "error"; readonly errorText: string }
  | { readonly type: "abort"; readonly reason: string }
  | {
    readonly type: "finish"
    readonly finishReason: "stop" | "error"
    readonly messageMetadata: RunMetadata
  }

/**
 * A message of a chat, as a page sends it.
 *
 * @category models
 * @since 0.2.0
 */
export interface UiMessage {
  readonly id: string
  readonly role: "system" | "user" | "assistant"
  readonly parts: ReadonlyArray<{ readonly type: string }>
  readonly metadata?: unknown
}
