/**
 * The state of a run, as it is written down and sent: what is known of it as a
 * whole, and its parts in the order in which they began.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Ender, ErrorReason, RequestKind, RequestOutcome, Usage } from "../event/PayloadModels.ts"

/**
 * A part of the answer, joined from the `text_delta` of one message. `truncated`:
 * its beginning is not kept any more. `completed`: nothing more comes of it.
 *
 * @category models
 * @since 0.1.0
 */
export const TextPart = Schema.Struct({
  type: Schema.Literal("text"),
  messageId: Schema.String,
  text: Schema.String,
  truncated: Schema.optionalKey(Schema.Boolean),
  completed: Schema.optionalKey(Schema.Boolean)
})

/**
 * What the agent thought: joined from the `thinking_delta` of one message or,
 * without `messageId`, one `agent_thinking` with its `step`.
 *
 * @category models
 * @since 0.1.0
 */
export const ThinkingPart = Schema.Struct({
  type: Schema.Literal("thinking"),
  messageId: Schema.optionalKey(Schema.String),
  step: Schema.optionalKey(Schema.Int),
  text: Schema.String,
  truncated: Schema.optionalKey(Schema.Boolean),
  completed: Schema.optionalKey(Schema.Boolean)
})

/**
 * A call of a tool, in the place where it began. In place of an input or output
 * that is not kept stands `{ omitted }`, the number of its bytes. A call that was
 * open when its run ended is `failed`, without an output. `inputText` is the
 * beginning of an input that the model is still writing, up to 4,096 characters;
 * such a call has not begun.
 *
 * @category models
 * @since 0.1.0
 */
export const ToolPart = Schema.Struct({
  type: Schema.Literal("tool"),
  toolCallId: Schema.String,
  toolName: Schema.String,
  status: Schema.Literals(["executing", "completed", "failed"]),
  inputText: Schema.optionalKey(Schema.String),
  input: Schema.optionalKey(Schema.Json),
  output: Schema.optionalKey(Schema.Json),
  durationMs: Schema.optionalKey(Schema.Finite)
})

/**
 * What the run asked its user for, and what came of it: `status` is `open` as long
 * as it may be answered. A request that was open when its run ended is
 * `withdrawn`. Other fields are as in `input_requested` and `input_resolved`; in
 * place of a schema, options or an answer that are not kept stands `{ omitted }`,
 * the number of their bytes. The answer to a sensitive request is never kept.
 *
 * @category models
 * @since 0.2.0
 */
export const RequestPart = Schema.Struct({
  type: Schema.Literal("request"),
  requestId: Schema.String,
  kind: RequestKind,
  title: Schema.String,
  detail: Schema.optionalKey(Schema.String),
  schema: Schema.optionalKey(Schema.Json),
  options: Schema.optionalKey(Schema.Json),
  toolCallId: Schema.optionalKey(Schema.String),
  sensitive: Schema.optionalKey(Schema.Boolean),
  expiresAt: Schema.optionalKey(Schema.Int),
  status: Schema.Union([Schema.Literal("open"), RequestOutcome]),
  answer: Schema.optionalKey(Schema.Json),
  client: Schema.optionalKey(Schema.String)
})

/**
 * A step of the run, in the place where it began. One that was running when its
 * run ended is `finished`.
 *
 * @category models
 * @since 0.2.0
 */
export const StepPart = Schema.Struct({
  type: Schema.Literal("step"),
  name: Schema.String,
  status: Schema.Literals(["running", "finished"])
})

/**
 * A source that the run cited, in the place where it was cited first.
 *
 * @category models
 * @since 0.2.0
 */
export const SourcePart = Schema.Struct({
  type: Schema.Literal("source"),
  sourceId: Schema.String,
  title: Schema.optionalKey(Schema.String),
  url: Schema.optionalKey(Schema.String),
  excerpt: Schema.optionalKey(Schema.String)
})

/**
 * A file that the run made. In place of `data` that is not kept stands
 * `{ omitted }`, the number of its bytes.
 *
 * @category models
 * @since 0.2.0
 */
export const FilePart = Schema.Struct({
  type: Schema.Literal("file"),
  fileId: Schema.String,
  mediaType: Schema.String,
  name: Schema.optionalKey(Schema.String),
  url: Schema.optionalKey(Schema.String),
  data: Schema.optionalKey(Schema.Json)
})

/**
 * An event of the program's own that is kept: its `name`, its time, and its payload
 * as it travelled, or `{ omitted }` with the number of its bytes. Of a name that
 * keeps the newest there is one part.
 *
 * @category models
 * @since 0.2.0
 */
export const EventPart = Schema.Struct({
  type: Schema.Literal("event"),
  name: Schema.String,
  at: Schema.Int,
  data: Schema.Json
})

/**
 * A part of a run. A reader leaves out parts of a `type` that it does not know:
 * later versions have more of them.
 *
 * @category models
 * @since 0.1.0
 */
export const RunPart = Schema.Union([
  TextPart,
  ThinkingPart,
  ToolPart,
  RequestPart,
  StepPart,
  SourcePart,
  FilePart,
  EventPart
])

/**
 * A part of a run, as `RunPart` checks it.
 *
 * @category models
 * @since 0.1.0
 */
export type RunPart = typeof RunPart.Type

/**
 * A run's state. Times are milliseconds since the Unix epoch.
 *
 * - `status` is `active`, `completed`, or the reason of its `agent_error`.
 * - `thread` is the thread of its first event.
 * - `input` is what it was started with, or `{ omitted }` with the number of its
 *   bytes.
 * - `commands` names the commands that it takes, while it is active.
 * - `endedBy` tells who ended it, where its `agent_error` tells that.
 * - `thinking` and `step` are those of the last `agent_thinking`, `progress` and
 *   `progressMessage` those of the last `progress_update`.
 * - `state` is that of the last `state_snapshot`, with every `state_delta` since, or
 *   `{ omitted }` with the number of its bytes.
 * - `parts` are in the order in which they began. `dropped` tells how many others
 *   are not kept any more, if any.
 *
 * @category models
 * @since 0.1.0
 */
export const RunSnapshot = Schema.Struct({
  status: Schema.Union([Schema.Literals(["active", "completed"]), ErrorReason]),
  thread: Schema.optionalKey(Schema.String),
  agentName: Schema.optionalKey(Schema.String),
  parentRunId: Schema.optionalKey(Schema.String),
  input: Schema.optionalKey(Schema.Json),
  commands: Schema.optionalKey(Schema.Array(Schema.String)),
  startedAt: Schema.optionalKey(Schema.Int),
  endedAt: Schema.optionalKey(Schema.Int),
  endedBy: Schema.optionalKey(Ender),
  thinking: Schema.optionalKey(Schema.String),
  step: Schema.optionalKey(Schema.Int),
  progress: Schema.optionalKey(Schema.Finite),
  progressMessage: Schema.optionalKey(Schema.String),
  state: Schema.optionalKey(Schema.Json),
  parts: Schema.Array(RunPart),
  dropped: Schema.optionalKey(Schema.Natural),
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
