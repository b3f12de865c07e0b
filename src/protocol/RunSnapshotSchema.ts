/**
 * A run's state as it travels: what a device shows when it was not there for all
 * of the run's events.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ErrorReason, Usage } from "./AgentEvents.ts"

/**
 * A text of a run.
 *
 * @category models
 * @since 0.1.0
 */
export const Message = Schema.Struct({
  messageId: Schema.String,
  kind: Schema.Literals(["text", "thinking"]),
  text: Schema.String,
  truncated: Schema.optionalKey(Schema.Boolean)
})

/**
 * A tool call of a run.
 *
 * @category models
 * @since 0.1.0
 */
export const ToolCall = Schema.Struct({
  toolCallId: Schema.String,
  toolName: Schema.String,
  status: Schema.Literals(["executing", "completed", "failed"]),
  durationMs: Schema.optionalKey(Schema.Finite)
})

/**
 * A run's state. Times are milliseconds since the Unix epoch.
 *
 * `status` is `active`, `completed`, or the reason of its `agent_error`. `thread`
 * is the thread of its first event.
 *
 * @category models
 * @since 0.1.0
 */
export const RunSnapshot = Schema.Struct({
  status: Schema.Union([Schema.Literals(["active", "completed"]), ErrorReason]),
  thread: Schema.optionalKey(Schema.String),
  agentName: Schema.optionalKey(Schema.String),
  parentRunId: Schema.optionalKey(Schema.String),
  startedAt: Schema.optionalKey(Schema.Int),
  endedAt: Schema.optionalKey(Schema.Int),
  thinking: Schema.optionalKey(Schema.String),
  step: Schema.optionalKey(Schema.Int),
  progress: Schema.optionalKey(Schema.Finite),
  progressMessage: Schema.optionalKey(Schema.String),
  messages: Schema.Array(Message),
  tools: Schema.Array(ToolCall),
  usage: Usage,
  result: Schema.optionalKey(Schema.Json),
  error: Schema.optionalKey(Schema.String)
})

/**
 * A run's state, as `RunSnapshot` checks it.
 *
 * @category models
 * @since 0.1.0
 */
export type RunSnapshot = typeof RunSnapshot.Type
