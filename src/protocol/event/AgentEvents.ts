/**
 * The built-in catalog: what happens while an AI agent works for a user.
 *
 * Wire names and payloads are fixed. Events of scope `run` are legal only
 * between `agent_started` and the run's one ending; the legal order is decided
 * by `RunState`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { define, Name } from "./EventDefinition.ts"
import * as Event from "./Event.ts"
import { Id, RunId } from "../values/Identity.ts"
import {
  Amount,
  Ender,
  ErrorReason,
  Label,
  PatchOperation,
  RequestKind,
  RequestOption,
  RequestOutcome,
  Usage
} from "./PayloadModels.ts"
import * as RunEvents from "./RunEvents.ts"

/**
 * What the payloads below are made of.
 *
 * @category models
 * @since 0.1.0
 */
export {
  Ender,
  ErrorReason,
  Label,
  PatchOperation,
  RequestKind,
  RequestOption,
  RequestOutcome,
  Usage
} from "./PayloadModels.ts"

/**
 * A run began. `commands` names the commands that it takes; without, it takes
 * none.
 *
 * @category events
 * @since 0.1.0
 */
export const AgentStarted = define(RunEvents.started, {
  payload: {
    agentName: Label,
    input: Schema.optionalKey(Schema.Json),
    parentRunId: Schema.optionalKey(RunId),
    commands: Schema.optionalKey(Schema.Array(Name).check(Schema.isMaxLength(RunEvents.maxCommands)))
  },
  delivery: "critical",
  scope: "run"
})

/**
 * The agent tells what it is doing now.
 *
 * @category events
 * @since 0.1.0
 */
export const AgentThinking = define(RunEvents.thinking, {
  payload: { text: Schema.String, step: Schema.optionalKey(Schema.Natural) },
  delivery: "critical",
  scope: "run"
})

/**
 * A tool call began.
 *
 * @category events
 * @since 0.1.0
 */
export const ToolExecuting = define(RunEvents.toolExecuting, {
  payload: { toolCallId: Label, toolName: Label, input: Schema.Json },
  delivery: "critical",
  scope: "run"
})

/**
 * A tool call ended, with its output or, when `isError`, with what went wrong.
 *
 * @category events
 * @since 0.1.0
 */
export const ToolCompleted = define(RunEvents.toolCompleted, {
  payload: { toolCallId: Label, toolName: Label, output: Schema.Json, isError: Schema.Boolean, durationMs: Amount },
  delivery: "critical",
  scope: "run"
})

/**
 * The run ended with a result.
 *
 * @category events
 * @since 0.1.0
 */
export const AgentCompleted = define(RunEvents.completed, {
  payload: {
    agentName: Label,
    result: Schema.optionalKey(Schema.Json),
    durationMs: Amount,
    usage: Schema.optionalKey(Usage)
  },
  delivery: "critical",
  scope: "run"
})

/**
 * The run ended without a result. `retryable` tells whether asking again may
 * help, `by` who ended it.
 *
 * @category events
 * @since 0.1.0
 */
export const AgentError = define(RunEvents.failed, {
  payload: {
    reason: ErrorReason,
    message: Schema.String,
    retryable: Schema.Boolean,
    by: Schema.optionalKey(Ender)
  },
  delivery: "critical",
  scope: "run"
})

/**
 * The run asks its user for something, and waits. An id stands for one request of
 * the run. At most 32 are open at a time.
 *
 * - `title` says in a line what is asked, `detail` what one has to know for an
 *   answer.
 * - `schema` is the JSON Schema of the answer, `options` are those of a `choice`.
 * - `toolCallId` is the tool call that waits for it.
 * - `sensitive`: the answer stands in no event, and so in no log.
 * - `expiresAt`, in milliseconds since the Unix epoch, is when it is given up.
 *
 * @category events
 * @since 0.2.0
 */
export const InputRequested = define(RunEvents.inputRequested, {
  payload: {
    requestId: Id,
    kind: RequestKind,
    title: Schema.String.check(Schema.isBetweenLength(1, RunEvents.maxTitle)),
    detail: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(RunEvents.maxDetail))),
    schema: Schema.optionalKey(Schema.JsonObject),
    options: Schema.optionalKey(Schema.Array(RequestOption)),
    toolCallId: Schema.optionalKey(Label),
    sensitive: Schema.optionalKey(Schema.Boolean),
    expiresAt: Schema.optionalKey(Schema.Natural)
  },
  delivery: "critical",
  scope: "run"
})

/**
 * What came of a request. `answer` is what was answered, which the event of a
 * sensitive request must not have; `client` names the program of the device that
 * answered.
 *
 * @category events
 * @since 0.2.0
 */
export const InputResolved = define(RunEvents.inputResolved, {
  payload: {
    requestId: Id,
    outcome: RequestOutcome,
    answer: Schema.optionalKey(Schema.Json),
    client: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(RunEvents.maxClient)))
  },
  delivery: "critical",
  scope: "run"
})

const Delta = { messageId: Label, delta: Schema.String }

/**
 * A piece of the input of a tool call, as the model writes it: together they are
 * JSON. The call has not begun; its `tool_executing` has the whole input.
 *
 * @category events
 * @since 0.2.0
 */
export const ToolInputDelta = define(RunEvents.toolInputDelta, {
  payload: { toolCallId: Label, toolName: Label, delta: Schema.String },
  delivery: "batched",
  scope: "run",
  coalesce: { _tag: "Concatenate", by: "toolCallId", text: "delta" }
})

/**
 * Nothing more comes of a message, of its text and of its reasoning.
 *
 * @category events
 * @since 0.2.0
 */
export const MessageCompleted = define(RunEvents.messageCompleted, {
  payload: { messageId: Label },
  delivery: "batched",
  scope: "run"
})

/**
 * A step of the run began. A name may come again once its step has finished; steps
 * of different names may overlap.
 *
 * @category events
 * @since 0.2.0
 */
export const StepStarted = define(RunEvents.stepStarted, {
  payload: { name: Label },
  delivery: "critical",
  scope: "run"
})

/**
 * A step of the run is finished.
 *
 * @category events
 * @since 0.2.0
 */
export const StepFinished = define(RunEvents.stepFinished, {
  payload: { name: Label },
  delivery: "critical",
  scope: "run"
})

/**
 * The state that the run shares with devices, whole.
 *
 * @category events
 * @since 0.2.0
 */
export const StateSnapshot = define(RunEvents.stateSnapshot, {
  payload: { state: Schema.Json },
  delivery: "batched",
  scope: "run"
})

/**
 * What has changed in the state since the last `state_snapshot` or `state_delta`: a
 * JSON Patch (RFC 6902). One of which an operation does not apply changes nothing.
 *
 * @category events
 * @since 0.2.0
 */
export const StateDelta = define(RunEvents.stateDelta, {
  payload: { patch: Schema.Array(PatchOperation) },
  delivery: "batched",
  scope: "run"
})

const Title = Schema.String.check(Schema.isMaxLength(RunEvents.maxTitle))
const Url = Schema.String.check(Schema.isMaxLength(RunEvents.maxUrl))

/**
 * The run rests on a source. One that is cited again is told of anew, under its id.
 *
 * @category events
 * @since 0.2.0
 */
export const SourceCited = define(RunEvents.sourceCited, {
  payload: {
    sourceId: Label,
    title: Schema.optionalKey(Title),
    url: Schema.optionalKey(Url),
    excerpt: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(RunEvents.maxDetail)))
  },
  delivery: "batched",
  scope: "run"
})

/**
 * The run made a file. `mediaType` is its media type, such as `image/png`. It is to
 * be had at `url`, or is in `data`, as Base64 of at most 128 KiB; without either,
 * devices ask the program for it by its id.
 *
 * @category events
 * @since 0.2.0
 */
export const FileProduced = define(RunEvents.fileProduced, {
  payload: {
    fileId: Label,
    mediaType: Label,
    name: Schema.optionalKey(Label),
    url: Schema.optionalKey(Url),
    data: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(RunEvents.maxFileData)))
  },
  delivery: "critical",
  scope: "run"
})

/**
 * A piece of the answer.
 *
 * @category events
 * @since 0.1.0
 */
export const TextDelta = define(RunEvents.textDelta, {
  payload: Delta,
  delivery: "batched",
  scope: "run",
  coalesce: { _tag: "Concatenate", by: "messageId", text: "delta" }
})

/**
 * A piece of the agent's reasoning.
 *
 * @category events
 * @since 0.1.0
 */
export const ThinkingDelta = define(RunEvents.thinkingDelta, {
  payload: Delta,
  delivery: "batched",
  scope: "run",
  coalesce: { _tag: "Concatenate", by: "messageId", text: "delta" }
})

/**
 * How far the run is, in percent.
 *
 * @category events
 * @since 0.1.0
 */
export const ProgressUpdate = define(RunEvents.progress, {
  payload: {
    progress: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
    message: Schema.optionalKey(Schema.String)
  },
  delivery: "batched",
  scope: "run",
  coalesce: { _tag: "Newest" }
})

/**
 * Tokens used since the last report. Totals go into `agent_completed`.
 *
 * @category events
 * @since 0.1.0
 */
export const UsageReported = define(RunEvents.usage, {
  payload: { ...Usage.fields, operation: Schema.optionalKey(Label) },
  delivery: "batched",
  scope: "run"
})

/**
 * Anything else. Batched; wrap it in `Event.critical` to send it at once.
 *
 * @category events
 * @since 0.1.0
 */
export const Custom = define("custom", { payload: { name: Label, data: Schema.Json }, delivery: "batched" })

const auth = {
  payload: { provider: Schema.optionalKey(Label), reason: Schema.optionalKey(Schema.String) },
  delivery: "critical",
  confirm: { attempts: 5, within: "2 seconds" }
} as const

/**
 * The user is asked to sign in somewhere. Auth events stand outside runs and
 * wait for a device's acknowledgement, with 5 attempts.
 *
 * @category events
 * @since 0.1.0
 */
export const AuthStarted = define("auth_started", auth)

/**
 * Credentials are being checked.
 *
 * @category events
 * @since 0.1.0
 */
export const AuthValidating = define("auth_validating", auth)

/**
 * The user is signed in.
 *
 * @category events
 * @since 0.1.0
 */
export const AuthCompleted = define("auth_completed", auth)

/**
 * Signing in failed; `reason` tells why.
 *
 * @category events
 * @since 0.1.0
 */
export const AuthFailed = define("auth_failed", auth)

/**
 * Any of the built-in definitions.
 *
 * @category models
 * @since 0.1.0
 */
export type BuiltIn =
  | typeof AgentStarted
  | typeof AgentThinking
  | typeof ToolExecuting
  | typeof ToolCompleted
  | typeof AgentCompleted
  | typeof AgentError
  | typeof InputRequested
  | typeof InputResolved
  | typeof ToolInputDelta
  | typeof MessageCompleted
  | typeof StepStarted
  | typeof StepFinished
  | typeof StateSnapshot
  | typeof StateDelta
  | typeof SourceCited
  | typeof FileProduced
  | typeof TextDelta
  | typeof ThinkingDelta
  | typeof ProgressUpdate
  | typeof UsageReported
  | typeof Custom
  | typeof AuthStarted
  | typeof AuthValidating
  | typeof AuthCompleted
  | typeof AuthFailed

/**
 * Every built-in event. `AgentEvents.catalog.add(OrderPlaced)` has your own as
 * well.
 *
 * @category catalogs
 * @since 0.1.0
 */
export const catalog: Event.Catalog<BuiltIn> = Event.catalog(
  AgentStarted,
  AgentThinking,
  ToolExecuting,
  ToolCompleted,
  AgentCompleted,
  AgentError,
  InputRequested,
  InputResolved,
  ToolInputDelta,
  MessageCompleted,
  StepStarted,
  StepFinished,
  StateSnapshot,
  StateDelta,
  SourceCited,
  FileProduced,
  TextDelta,
  ThinkingDelta,
  ProgressUpdate,
  UsageReported,
  Custom,
  AuthStarted,
  AuthValidating,
  AuthCompleted,
  AuthFailed
)
