/**
 * Which event may follow which within a run.
 *
 * A run is idle, then active, then ended, and never goes back:
 *
 * - idle: only `agent_started`;
 * - active: everything else. A `tool_completed` needs its `tool_executing`
 *   before it, a tool call id is not used again while its call is open, and
 *   `agent_completed` needs every tool call to be completed. An `input_resolved`
 *   needs its `input_requested` before it, and is the only one; the id of a request
 *   is not used again, and the answer to a sensitive one stands in no event. A
 *   `step_finished` needs its `step_started`, and a step has one of each. Nothing is
 *   added to a message after its `message_completed`, nor to the input of a tool
 *   call that is open;
 * - ended, by `agent_completed` or `agent_error`: nothing more. Whatever was open is
 *   closed by that.
 *
 * `next` is pure and allocates only when the state changes, so it can stand on
 * the path of every event.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Event } from "../event/Event.ts"
import type { ErrorReason } from "../event/PayloadModels.ts"
import * as RunEvents from "../event/RunEvents.ts"
import { maxKnownMessages, maxKnownRequests, maxOpenRequests } from "./RunLimits.ts"

/**
 * Where a request stands. The answer to one that is sensitive stands in no event.
 *
 * @category models
 * @since 0.2.0
 */
export interface RequestState {
  readonly isOpen: boolean
  readonly isSensitive: boolean
}

/**
 * Where an active run stands: the tool calls that are open, by their ids with the
 * names of their tools, the last 1,024 requests by their ids, the names of the steps
 * that are running, and the last 256 messages that are completed.
 *
 * @category models
 * @since 0.2.0
 */
export interface Active {
  readonly _tag: "Active"
  readonly agentName: string
  readonly openTools: ReadonlyMap<string, string>
  readonly requests: ReadonlyMap<string, RequestState>
  readonly steps: ReadonlySet<string>
  readonly completedMessages: ReadonlySet<string>
}

/**
 * Where a run stands.
 *
 * @category models
 * @since 0.1.0
 */
export type RunState =
  | { readonly _tag: "Idle" }
  | Active
  | { readonly _tag: "Ended"; readonly outcome: "completed" | ErrorReason }

/**
 * A run that has not started.
 *
 * ```ts
 * import { AgentEvents, RunState } from "effect-emitter/events"
 *
 * const started = RunState.next(RunState.idle, AgentEvents.AgentStarted.make({ agentName: "writer" }))
 * console.assert(started._tag === "Active")
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const idle: RunState = { _tag: "Idle" }

/**
 * A run that has just started.
 *
 * ```ts
 * import { AgentEvents, RunState } from "effect-emitter/events"
 *
 * const completed = AgentEvents.AgentCompleted.make({ agentName: "writer", durationMs: 1_200 })
 * const ended = RunState.next(RunState.active("writer"), completed)
 * console.assert(ended._tag === "Ended")
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const active = (agentName: string): Active => ({
  _tag: "Active",
  agentName,
  openTools: new Map(),
  requests: new Map(),
  steps: new Set(),
  completedMessages: new Set()
})

/**
 * An event that is not legal where its run stands. `state` is the run's state,
 * `problem` says which rule the event breaks, and the field of its payload that names it of what.
 *
 * @category errors
 * @since 0.1.0
 */
export class IllegalEvent extends Schema.TaggedError<IllegalEvent>()("IllegalEvent", {
  event: Schema.String,
  state: Schema.Literals(["Idle", "Active", "Ended"]),
  problem: Schema.Literals([
    "notStarted",
    "alreadyStarted",
    "alreadyEnded",
    "toolNotOpen",
    "toolAlreadyOpen",
    "toolsOpen",
    "requestNotOpen",
    "requestIdUsed",
    "tooManyRequests",
    "sensitiveAnswer",
    "stepNotRunning",
    "stepAlreadyRunning",
    "messageCompleted"
  ]),
  toolCallId: Schema.optionalKey(Schema.String),
  requestId: Schema.optionalKey(Schema.String),
  messageId: Schema.optionalKey(Schema.String),
  step: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const { messageId, requestId, step, toolCallId } = this
    const subjects = { "tool call": toolCallId, request: requestId, message: messageId, step }
    const of = Object.entries(subjects).flatMap(([what, id]) => id === undefined ? [] : [` (${what} "${id}")`]).join("")
    return `${this.event} is not legal here: ${problems[this.problem]}${of}`
  }
}

const problems = {
  notStarted: "the run has not started",
  alreadyStarted: "the run has started already",
  alreadyEnded: "the run has ended",
  toolNotOpen: "no such tool call is open",
  toolAlreadyOpen: "a tool call with this id is open",
  toolsOpen: "tool calls are still open",
  requestNotOpen: "no such request is open",
  requestIdUsed: "the run had a request with this id",
  tooManyRequests: `${maxOpenRequests} requests are open`,
  sensitiveAnswer: "the answer to a sensitive request must not be in it",
  stepNotRunning: "no such step is running",
  stepAlreadyRunning: "a step with this name is running",
  messageCompleted: "the message is completed"
} as const

type Subject = Pick<IllegalEvent, "toolCallId" | "requestId" | "messageId" | "step">

const illegal = (event: string, state: RunState, problem: keyof typeof problems, subject: Subject = {}) =>
  new IllegalEvent({ event, state: state._tag, problem, ...subject })

const field = (event: Event, name: string): string => {
  const value: unknown = Reflect.get(event.payload, name)
  return typeof value === "string" ? value : ""
}

/**
 * `isStart` and `isTerminal` tell by an event's wire name whether it starts or
 * ends its run.
 *
 * @category guards
 * @since 0.1.0
 */
export { isStart, isTerminal } from "../event/RunEvents.ts"

/**
 * The state after `event`, or why the event is not legal. Events of scope
 * `free` are legal and change nothing, except where the run was ended as `lost`:
 * then its program goes on without knowing, and means the run with all it emits.
 *
 * @category transitions
 * @since 0.1.0
 */
export const next = (state: RunState, event: Event): RunState | IllegalEvent => {
  const type = event.type
  if (event.definition.scope === "free") {
    return state._tag === "Ended" && state.outcome === "lost" ? illegal(type, state, "alreadyEnded") : state
  }
  switch (state._tag) {
    case "Idle":
      return RunEvents.isStart(type)
        ? active(field(event, "agentName"))
        : illegal(type, state, "notStarted")
    case "Ended":
      return illegal(type, state, "alreadyEnded")
    case "Active": {
      const rule = rules.get(type)
      return rule === undefined ? state : rule(state, event)
    }
  }
}

const addToMessage: Rule = (state, event) => {
  if (state.completedMessages.size === 0) return state
  const messageId = field(event, "messageId")
  return state.completedMessages.has(messageId) ? illegal(event.type, state, "messageCompleted", { messageId }) : state
}

type Rule = (state: Active, event: Event) => RunState | IllegalEvent

// Looked up by the type: most events of a run have no rule, and have to find that out fast.
const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  [RunEvents.started, (state, { type }) => illegal(type, state, "alreadyStarted")],
  [RunEvents.toolExecuting, (state, event) => {
    const toolCallId = field(event, "toolCallId")
    return state.openTools.has(toolCallId)
      ? illegal(event.type, state, "toolAlreadyOpen", { toolCallId })
      : { ...state, openTools: new Map(state.openTools).set(toolCallId, field(event, "toolName")) }
  }],
  [RunEvents.toolCompleted, (state, event) => {
    const toolCallId = field(event, "toolCallId")
    if (!state.openTools.has(toolCallId)) return illegal(event.type, state, "toolNotOpen", { toolCallId })
    const openTools = new Map(state.openTools)
    openTools.delete(toolCallId)
    return { ...state, openTools }
  }],
  [RunEvents.inputRequested, (state, event) => {
    const requestId = field(event, "requestId")
    if (state.requests.has(requestId)) return illegal(event.type, state, "requestIdUsed", { requestId })
    const open = Array.from(state.requests.values()).filter(({ isOpen }) => isOpen)
    if (open.length >= maxOpenRequests) return illegal(event.type, state, "tooManyRequests", { requestId })
    const isSensitive = Reflect.get(event.payload, "sensitive") === true
    return { ...state, requests: remember(state.requests, requestId, { isOpen: true, isSensitive }) }
  }],
  [RunEvents.inputResolved, (state, event) => {
    const requestId = field(event, "requestId")
    const request = state.requests.get(requestId)
    if (request?.isSensitive === true && Reflect.get(event.payload, "answer") !== undefined) {
      return illegal(event.type, state, "sensitiveAnswer", { requestId })
    }
    return request?.isOpen === true
      ? { ...state, requests: remember(state.requests, requestId, { ...request, isOpen: false }) }
      : illegal(event.type, state, "requestNotOpen", { requestId })
  }],
  [RunEvents.toolInputDelta, (state, event) => {
    const toolCallId = field(event, "toolCallId")
    return state.openTools.has(toolCallId) ? illegal(event.type, state, "toolAlreadyOpen", { toolCallId }) : state
  }],
  [RunEvents.textDelta, addToMessage],
  [RunEvents.thinkingDelta, addToMessage],
  [RunEvents.messageCompleted, (state, event) => {
    const legal = addToMessage(state, event)
    if (legal !== state) return legal
    const completedMessages = new Set(state.completedMessages).add(field(event, "messageId"))
    const [oldest] = completedMessages
    if (completedMessages.size > maxKnownMessages && oldest !== undefined) completedMessages.delete(oldest)
    return { ...state, completedMessages }
  }],
  [RunEvents.stepStarted, (state, event) => {
    const step = field(event, "name")
    return state.steps.has(step)
      ? illegal(event.type, state, "stepAlreadyRunning", { step })
      : { ...state, steps: new Set(state.steps).add(step) }
  }],
  [RunEvents.stepFinished, (state, event) => {
    const step = field(event, "name")
    const steps = new Set(state.steps)
    return steps.delete(step) ? { ...state, steps } : illegal(event.type, state, "stepNotRunning", { step })
  }],
  [RunEvents.completed, (state, { type }) => {
    const [toolCallId] = state.openTools.keys()
    return toolCallId === undefined
      ? { _tag: "Ended", outcome: "completed" }
      : illegal(type, state, "toolsOpen", { toolCallId })
  }],
  [RunEvents.failed, (_, event) => ({ _tag: "Ended", outcome: RunEvents.reasonOf(field(event, "reason")) })]
])

// Of those that are resolved the oldest are forgotten.
const remember = (
  requests: ReadonlyMap<string, RequestState>,
  requestId: string,
  request: RequestState
): ReadonlyMap<string, RequestState> => {
  const known = new Map(requests).set(requestId, request)
  if (known.size <= maxKnownRequests) return known
  const oldest = Array.from(known).find(([, { isOpen }]) => !isOpen)
  if (oldest !== undefined) known.delete(oldest[0])
  return known
}
