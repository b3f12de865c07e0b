/**
 * Which event may follow which within a run.
 *
 * A run is idle, then active, then ended, and never goes back:
 *
 * - idle: only `agent_started`;
 * - active: everything else. A `tool_completed` needs its `tool_executing`
 *   before it, a tool call id is not used again while its call is open, and
 *   `agent_completed` needs every tool call to be completed;
 * - ended, by `agent_completed` or `agent_error`: nothing more.
 *
 * `next` is pure and allocates only when the state changes, so it can stand on
 * the path of every event.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Event } from "../event/Event.ts"
import * as RunEvents from "../event/RunEvents.ts"

/**
 * Where a run stands.
 *
 * @category models
 * @since 0.1.0
 */
export type RunState =
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Active"; readonly agentName: string; readonly openTools: ReadonlyMap<string, string> }
  | { readonly _tag: "Ended"; readonly outcome: "completed" | RunEvents.ErrorReason }

/**
 * A run that has not started.
 *
 * @category constructors
 * @since 0.1.0
 */
export const idle: RunState = { _tag: "Idle" }

const noTools: ReadonlyMap<string, string> = new Map()

/**
 * An event that is not legal where its run stands. `state` is the run's state,
 * `problem` says which rule the event breaks.
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
    "toolsOpen"
  ]),
  toolCallId: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const tool = this.toolCallId === undefined ? "" : ` (tool call "${this.toolCallId}")`
    return `${this.event} is not legal here: ${problems[this.problem]}${tool}`
  }
}

const problems = {
  notStarted: "the run has not started",
  alreadyStarted: "the run has started already",
  alreadyEnded: "the run has ended",
  toolNotOpen: "no such tool call is open",
  toolAlreadyOpen: "a tool call with this id is open",
  toolsOpen: "tool calls are still open"
} as const

const illegal = (event: string, state: RunState, problem: keyof typeof problems, toolCallId?: string) =>
  new IllegalEvent({ event, state: state._tag, problem, ...(toolCallId === undefined ? {} : { toolCallId }) })

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
        ? { _tag: "Active", agentName: field(event, "agentName"), openTools: noTools }
        : illegal(type, state, "notStarted")
    case "Ended":
      return illegal(type, state, "alreadyEnded")
    case "Active":
      return nextActive(state, type, event)
  }
}

const nextActive = (
  state: Extract<RunState, { _tag: "Active" }>,
  type: string,
  event: Event
): RunState | IllegalEvent => {
  switch (type) {
    case RunEvents.started:
      return illegal(type, state, "alreadyStarted")
    case RunEvents.toolExecuting: {
      const id = field(event, "toolCallId")
      return state.openTools.has(id)
        ? illegal(type, state, "toolAlreadyOpen", id)
        : { ...state, openTools: new Map(state.openTools).set(id, field(event, "toolName")) }
    }
    case RunEvents.toolCompleted: {
      const id = field(event, "toolCallId")
      if (!state.openTools.has(id)) return illegal(type, state, "toolNotOpen", id)
      const openTools = new Map(state.openTools)
      openTools.delete(id)
      return { ...state, openTools }
    }
    case RunEvents.completed: {
      const [open] = state.openTools.keys()
      return open === undefined ? { _tag: "Ended", outcome: "completed" } : illegal(type, state, "toolsOpen", open)
    }
    case RunEvents.failed:
      return { _tag: "Ended", outcome: RunEvents.reasonOf(field(event, "reason")) }
    default:
      return state
  }
}
