/**
 * Tells a run in the events of AG-UI.
 *
 * What comes of what stands in the table of `src/interop/README.md`. Every stream is
 * one that a client accepts: it begins with `RUN_STARTED`, closes what is open before
 * it ends, and ends once.
 *
 * - A client that joins in the middle gets the messages and the state so far; what is
 *   open is opened again, and goes on.
 * - Ids of messages and tool calls begin with the run's, since a client keeps those of
 *   a whole thread.
 * - A client of another version than 1.0 gets what version 0.0.59 knows: no outcomes,
 *   and requests as `CUSTOM` events.
 *
 * It loads no Effect, so that a page has it without.
 *
 * @since 0.2.0
 */
import type { Json, JsonObject } from "effect/Schema"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import type { RunPart, RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import { withDefaults } from "../../protocol/values/Present.ts"
import type { Mapping } from "../Mapping.ts"
import type { RunEvent, RunItem } from "../RunItem.ts"
export type { Mapping } from "../Mapping.ts"
import { type AgUiEvent, type Interrupt, protocolVersion, type RunMessage } from "./AgUiEvents.ts"

/**
 * For whom a run is told.
 *
 * - `threadId` and `runId` are what the client calls them; `run` is the run itself,
 *   which is another where the client resumes one that waited for an answer.
 * - `protocolVersion` is what the client says that it speaks.
 * - `history` are the messages before this run: a client that joins in the middle is
 *   told all of its messages anew.
 * - `answered` are requests that need no answer any more.
 *
 * @category models
 * @since 0.2.0
 */
export interface Telling {
  readonly threadId: string
  readonly runId: string
  readonly run?: string | undefined
  readonly protocolVersion?: string | undefined
  readonly history?: ReadonlyArray<Json> | undefined
  readonly answered?: ReadonlySet<string> | undefined
}

/**
 * Where a client stands: what is open for it, by ids of the run, how many thoughts
 * without an id there were, and the tokens that were used.
 *
 * @category models
 * @since 0.2.0
 */
export interface State {
  readonly phase: "idle" | "active" | "over"
  readonly texts: ReadonlySet<string>
  readonly thoughts: ReadonlySet<string>
  readonly inputs: ReadonlySet<string>
  readonly steps: ReadonlySet<string>
  readonly notes: number
}

const none: ReadonlySet<string> = new Set()

const initial: State = { phase: "idle", texts: none, thoughts: none, inputs: none, steps: none, notes: 0 }

type Step = readonly [State, ReadonlyArray<AgUiEvent>]

/**
 * The id by which a client knows a request.
 *
 * @category conversions
 * @since 0.2.0
 */
export const interruptId = (run: string, requestId: string): string => `${run}:${requestId}`

// Whoever adds a kind is told to name it here.
const kinds = Object.keys(
  { text: true, thinking: true, thought: true, call: true, result: true } satisfies Record<Kind, true>
)

/**
 * What an id of a run stands for: a message, a thought with an id or by its number, a call,
 * its result.
 *
 * @category models
 * @since 0.2.0
 */
export type Kind = "text" | "thinking" | "thought" | "call" | "result"

/**
 * The id by which a client knows what a run calls `id`.
 *
 * @category conversions
 * @since 0.2.0
 */
export const idOf = (run: string, kind: Kind, id: string | number): string => `${run}:${kind}:${id}`

/**
 * Makes the mapping for one client.
 *
 * ```ts
 * import { AgUiMapping } from "effect-emitter/ag-ui"
 *
 * const mapping = AgUiMapping.make({ threadId: "t1", runId: "r1" })
 * const [state, events] = mapping.next(mapping.initial, {
 *   _tag: "Event",
 *   position: { epoch: "e1", offset: 1 },
 *   at: 1_764_000_000_000,
 *   isKnown: false,
 *   event: { type: "agent_started", payload: { agentName: "writer" } }
 * })
 * console.assert(events[0]?.type === "RUN_STARTED" && state.phase === "active")
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (telling: Telling): Mapping<State, AgUiEvent> => {
  const teller = new Teller(telling)
  return {
    initial,
    next: (state, item) => state.phase === "over" ? [state, []] : teller.next(state, item),
    isOver: ({ phase }) => phase === "over"
  }
}

class Teller {
  readonly #telling: Telling
  readonly #run: string
  readonly #isCurrent: boolean

  constructor(telling: Telling) {
    this.#telling = telling
    this.#run = telling.run ?? telling.runId
    this.#isCurrent = telling.protocolVersion === protocolVersion
  }

  next(state: State, item: RunItem): Step {
    switch (item._tag) {
      case "Missing":
        return this.#end(state, undefined, [{ type: "RUN_ERROR", message: item.message, code: "missing" }])
      case "Snapshot":
        return this.#restore(state, item.state)
      case "Event": {
        const { at, event } = item
        const [begun, started] = this.#begin(state, at)
        const [after, told] = this.#tell(begun, event, at)
        return [after, [...started, ...told.map((one) => ({ ...one, timestamp: at }))]]
      }
    }
  }

  #begin(state: State, at: number | undefined): Step {
    if (state.phase !== "idle") return [state, []]
    const { runId, threadId } = this.#telling
    const started: AgUiEvent = withDefaults<AgUiEvent>({ type: "RUN_STARTED", threadId, runId }, {
      timestamp: at,
      protocolVersion: this.#isCurrent ? protocolVersion : undefined
    })
    return [{ ...state, phase: "active" }, [started]]
  }

  #tell(state: State, event: RunEvent, at: number): Step {
    switch (event.type) {
      case RunEvents.started:
      case "usage_reported":
      case "auth_started":
      case "auth_validating":
      case "auth_completed":
      case "auth_failed":
        return [state, []]
      case "text_delta": {
        const [quiet, closed] = this.#closeThoughts(state)
        const { delta, messageId } = event.payload
        const [open, opened] = this.#openText(quiet, messageId)
        return [open, [...closed, ...opened, ...content("TEXT_MESSAGE_CONTENT", this.#id("text", messageId), delta)]]
      }
      case "thinking_delta": {
        const { delta, messageId } = event.payload
        const [open, opened] = this.#openThought(state, messageId)
        return [open, [...opened, ...content("REASONING_MESSAGE_CONTENT", this.#id("thinking", messageId), delta)]]
      }
      case "agent_thinking": {
        const id = this.#id("thought", state.notes)
        const told = [
          ...openThought(id),
          ...content("REASONING_MESSAGE_CONTENT", id, event.payload.text),
          ...endThought(id)
        ]
        return [{ ...state, notes: state.notes + 1 }, told]
      }
      case "message_completed": {
        const { messageId } = event.payload
        const isText = state.texts.has(messageId)
        const isThought = state.thoughts.has(messageId)
        return [
          { ...state, texts: without(state.texts, messageId), thoughts: without(state.thoughts, messageId) },
          [
            ...(isThought ? endThought(this.#id("thinking", messageId)) : []),
            ...(isText ? [endText(this.#id("text", messageId))] : [])
          ]
        ]
      }
      case "tool_input_delta": {
        const [quiet, closed] = this.#closeThoughts(state)
        const { delta, toolCallId: call, toolName } = event.payload
        const [open, opened] = this.#openInput(quiet, call, toolName)
        return [open, [...closed, ...opened, { type: "TOOL_CALL_ARGS", toolCallId: this.#id("call", call), delta }]]
      }
      case "tool_executing": {
        const [quiet, closed] = this.#closeThoughts(state)
        const { input, toolCallId: call, toolName } = event.payload
        const toolCallId = this.#id("call", call)
        const end: AgUiEvent = { type: "TOOL_CALL_END", toolCallId }
        if (state.inputs.has(call)) return [{ ...quiet, inputs: without(quiet.inputs, call) }, [...closed, end]]
        const args: AgUiEvent = { type: "TOOL_CALL_ARGS", toolCallId, delta: JSON.stringify(input) }
        return [quiet, [...closed, { type: "TOOL_CALL_START", toolCallId, toolCallName: toolName }, args, end]]
      }
      case "tool_completed": {
        const { isError, output, toolCallId: call } = event.payload
        const result = {
          ...failed(isError),
          messageId: this.#id("result", call),
          toolCallId: this.#id("call", call),
          content: toText(output)
        }
        return [state, [{ type: "TOOL_CALL_RESULT", role: "tool", ...result }]]
      }
      case "step_started":
        return [
          { ...state, steps: new Set(state.steps).add(event.payload.name) },
          state.steps.has(event.payload.name) ? [] : [{ type: "STEP_STARTED", stepName: event.payload.name }]
        ]
      case "step_finished":
        return [
          { ...state, steps: without(state.steps, event.payload.name) },
          state.steps.has(event.payload.name) ? [{ type: "STEP_FINISHED", stepName: event.payload.name }] : []
        ]
      case "state_snapshot":
        return [state, [{ type: "STATE_SNAPSHOT", snapshot: event.payload.state }]]
      case "state_delta":
        return [state, [{ type: "STATE_DELTA", delta: event.payload.patch }]]
      case "progress_update":
        return [state, [this.#progress(event.payload.progress, event.payload.message)]]
      case "input_requested": {
        if (!this.#isCurrent) return [state, [custom(event.type, event.payload)]]
        const { requestId } = event.payload
        return this.#telling.answered?.has(requestId) === true
          ? [state, []]
          : this.#interrupt(state, [this.#toInterrupt(event.payload)], at)
      }
      case RunEvents.completed: {
        const { result, usage } = event.payload
        return this.#end(state, at, [this.#finished(result, usage)])
      }
      case RunEvents.failed: {
        const { message, reason } = event.payload
        return this.#end(state, at, [this.#failed(reason, message)])
      }
      case "custom":
        return [state, [custom(event.payload.name, event.payload.data)]]
      case "input_resolved":
      case "source_cited":
      case "file_produced":
        return [state, [custom(event.type, event.payload)]]
      case "$unknown":
        return [state, [custom(event.name, event.payload)]]
    }
  }

  #restore(before: State, snapshot: RunSnapshot): Step {
    const [begun, started] = this.#begin(before, snapshot.startedAt)
    const messages: ReadonlyArray<Json | RunMessage> = [
      ...(this.#telling.history ?? []).filter((message) => !this.#isOwn(message)),
      ...this.#messages(snapshot.parts)
    ]
    const told: Array<AgUiEvent> = [...started, { type: "MESSAGES_SNAPSHOT", messages }]
    if (snapshot.state !== undefined && !isOmitted(snapshot.state)) {
      told.push({ type: "STATE_SNAPSHOT", snapshot: snapshot.state })
    }
    if (snapshot.progress !== undefined) told.push(this.#progress(snapshot.progress, snapshot.progressMessage))
    const state = { ...begun, notes: snapshot.parts.filter(isNote).length }
    for (const part of snapshot.parts) {
      const value = kept(part)
      if (value !== undefined) told.push(value)
    }
    if (snapshot.status === "active") return this.#reopen(state, snapshot.parts, told)
    const { error, result, usage } = snapshot
    const [over, ending] = this.#end(state, snapshot.endedAt, [
      snapshot.status === "completed"
        ? this.#finished(result, usage.inputTokens + usage.outputTokens > 0 ? usage : undefined)
        : this.#failed(snapshot.status, error ?? snapshot.status)
    ])
    return [over, [...told, ...ending]]
  }

  // What was open before this is open for the client still: after a gap in the middle of its stream.
  #reopen(before: State, parts: ReadonlyArray<RunPart>, told: Array<AgUiEvent>): Step {
    let state = before
    const requests: Array<Interrupt> = []
    const open = ([after, events]: Step) => {
      state = after
      told.push(...events)
    }
    for (const part of parts) {
      switch (part.type) {
        case "text":
          if (part.completed !== true) open(this.#openText(state, part.messageId))
          break
        case "thinking":
          if (part.messageId !== undefined && part.completed !== true) open(this.#openThought(state, part.messageId))
          break
        case "tool":
          if (part.status === "executing" && part.inputText !== undefined) {
            open(this.#openInput(state, part.toolCallId, part.toolName))
          }
          break
        case "step":
          if (part.status === "running" && !state.steps.has(part.name)) {
            open([
              { ...state, steps: new Set(state.steps).add(part.name) },
              [{ type: "STEP_STARTED", stepName: part.name }]
            ])
          }
          break
        case "request":
          if (part.status === "open" && this.#telling.answered?.has(part.requestId) !== true) {
            if (this.#isCurrent) requests.push(this.#toInterrupt(part))
          }
      }
    }
    if (requests.length === 0) return [state, told]
    const [over, ending] = this.#interrupt(state, requests, undefined)
    return [over, [...told, ...ending]]
  }

  #messages(parts: ReadonlyArray<RunPart>): ReadonlyArray<RunMessage> {
    let notes = 0
    return parts.flatMap((part): ReadonlyArray<RunMessage> => {
      switch (part.type) {
        case "text":
          return [{ id: this.#id("text", part.messageId), role: "assistant", content: part.text }]
        case "thinking": {
          const id = part.messageId === undefined ? this.#id("thought", notes++) : this.#id("thinking", part.messageId)
          return [{ id, role: "reasoning", content: part.text }]
        }
        case "tool": {
          const { input, inputText, output, status, toolCallId: call, toolName } = part
          const id = this.#id("call", call)
          const args = inputText ?? (input === undefined ? "" : JSON.stringify(input))
          const calls = [{ id, type: "function", function: { name: toolName, arguments: args } } as const]
          const content = toText(output ?? null)
          const result = { id: this.#id("result", call), role: "tool", toolCallId: id, content } as const
          return [
            { id, role: "assistant", toolCalls: calls },
            ...(output === undefined ? [] : [{ ...result, ...failed(status === "failed") }])
          ]
        }
        default:
          return []
      }
    })
  }

  #openText(state: State, messageId: string): Step {
    if (state.texts.has(messageId)) return [state, []]
    const opened: AgUiEvent = { type: "TEXT_MESSAGE_START", messageId: this.#id("text", messageId), role: "assistant" }
    return [{ ...state, texts: new Set(state.texts).add(messageId) }, [opened]]
  }

  #openThought(state: State, messageId: string): Step {
    return state.thoughts.has(messageId)
      ? [state, []]
      : [{ ...state, thoughts: new Set(state.thoughts).add(messageId) }, openThought(this.#id("thinking", messageId))]
  }

  #openInput(state: State, call: string, toolCallName: string): Step {
    return state.inputs.has(call)
      ? [state, []]
      : [
        { ...state, inputs: new Set(state.inputs).add(call) },
        [{ type: "TOOL_CALL_START", toolCallId: this.#id("call", call), toolCallName }]
      ]
  }

  // Whoever begins to answer or to act has thought. More of a thought opens it again.
  #closeThoughts(state: State): Step {
    return state.thoughts.size === 0
      ? [state, []]
      : [
        { ...state, thoughts: none },
        Array.from(state.thoughts).flatMap((messageId) => endThought(this.#id("thinking", messageId)))
      ]
  }

  #end(state: State, at: number | undefined, ending: ReadonlyArray<AgUiEvent>): Step {
    const [begun, started] = this.#begin(state, at)
    const [{ inputs, steps, texts }, closed] = this.#closeThoughts(begun)
    return [{ ...initial, phase: "over" }, [
      ...started,
      ...closed,
      ...Array.from(texts, (messageId) => endText(this.#id("text", messageId))),
      ...Array.from(inputs, (call): AgUiEvent => ({ type: "TOOL_CALL_END", toolCallId: this.#id("call", call) })),
      ...Array.from(steps, (stepName): AgUiEvent => ({ type: "STEP_FINISHED", stepName })),
      ...ending
    ]]
  }

  #interrupt(state: State, interrupts: ReadonlyArray<Interrupt>, at: number | undefined): Step {
    const { runId, threadId } = this.#telling
    return this.#end(state, at, [{ type: "RUN_FINISHED", threadId, runId, outcome: { type: "interrupt", interrupts } }])
  }

  #finished(result: Json | undefined, usage: RunSnapshot["usage"] | undefined): AgUiEvent {
    const { runId, threadId } = this.#telling
    return withDefaults<AgUiEvent>({ type: "RUN_FINISHED", threadId, runId }, {
      result,
      outcome: this.#isCurrent ? { type: "success" } : undefined,
      usage: this.#isCurrent && usage !== undefined
        ? [{ inputTokens: usage.inputTokens, outputTokens: usage.outputTokens }]
        : undefined
    })
  }

  #failed(reason: string, message: string): AgUiEvent {
    const { runId, threadId } = this.#telling
    if (reason !== "cancelled") return { type: "RUN_ERROR", message, code: reason }
    return this.#isCurrent
      ? { type: "RUN_FINISHED", threadId, runId, outcome: { type: "cancelled" } }
      : { type: "RUN_ERROR", message, code: "abort" }
  }

  #progress(progress: number, message: string | undefined): AgUiEvent {
    return {
      type: "ACTIVITY_SNAPSHOT",
      messageId: `${this.#run}:progress`,
      activityType: "progress",
      content: message === undefined ? { progress } : { progress, message },
      replace: true
    }
  }

  #toInterrupt(request: Request): Interrupt {
    const { detail, expiresAt, kind, options, requestId, sensitive, title, toolCallId } = request
    return withDefaults<Interrupt>({ id: interruptId(this.#run, requestId), reason: kind, message: title }, {
      toolCallId: toolCallId === undefined ? undefined : this.#id("call", toolCallId),
      responseSchema: schemaOf(request),
      expiresAt: expiresAt === undefined ? undefined : toIso(expiresAt),
      metadata: withDefaults<JsonObject>({}, { detail, options, sensitive })
    })
  }

  #isOwn(message: Json): boolean {
    const id = isObject(message) ? message["id"] : undefined
    return typeof id === "string" && kinds.some((kind) => id.startsWith(`${this.#run}:${kind}:`))
  }

  #id(kind: Kind, id: string | number): string {
    return idOf(this.#run, kind, id)
  }
}

type Request = Pick<
  Extract<RunPart, { readonly type: "request" }>,
  "requestId" | "kind" | "title" | "detail" | "schema" | "options" | "toolCallId" | "sensitive" | "expiresAt"
>

const schemaOf = ({ kind, options, schema }: Request): JsonObject | undefined => {
  if (isObject(schema) && !isOmitted(schema)) return schema
  switch (kind) {
    case "approval":
      return { type: "boolean" }
    case "text":
      return { type: "string" }
    case "choice": {
      const values = Array.isArray(options) ? options.flatMap((option) => valueOf(option)) : []
      return values.length === 0 ? { type: "string" } : { type: "string", enum: values }
    }
    case "form":
      return undefined
  }
}

const valueOf = (option: Json): ReadonlyArray<Json> => {
  const value = isObject(option) ? option["value"] : undefined
  return value === undefined ? [] : [value]
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

// The latest time that a date can hold.
const maxDate = 8_640_000_000_000_000

// @effect-diagnostics-next-line globalDate:off
const toIso = (millis: number): string | undefined => millis > maxDate ? undefined : new Date(millis).toISOString()

const without = (set: ReadonlySet<string>, value: string): ReadonlySet<string> => {
  if (!set.has(value)) return set
  const others = new Set(set)
  others.delete(value)
  return others
}

// A piece that is empty tells nothing, and some clients refuse it.
const content = (
  type: "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT",
  messageId: string,
  delta: string
): ReadonlyArray<AgUiEvent> => delta === "" ? [] : [{ type, messageId, delta }]

const endText = (messageId: string): AgUiEvent => ({ type: "TEXT_MESSAGE_END", messageId })

const openThought = (messageId: string): ReadonlyArray<AgUiEvent> => [
  { type: "REASONING_START", messageId },
  { type: "REASONING_MESSAGE_START", messageId, role: "reasoning" }
]

const endThought = (messageId: string): ReadonlyArray<AgUiEvent> => [
  { type: "REASONING_MESSAGE_END", messageId },
  { type: "REASONING_END", messageId }
]

const custom = (name: string, value: Json): AgUiEvent => ({ type: "CUSTOM", name, value })

// A message of a tool has no other place for it that an event can fill.
const failed = (isError: boolean) => isError ? { metadata: { isError } } : {}

const toText = (output: Json): string => typeof output === "string" ? output : JSON.stringify(output)

const isNote = (part: RunPart): boolean => part.type === "thinking" && part.messageId === undefined

const isOmitted = (value: Json): boolean => isObject(value) && Object.keys(value).join() === "omitted"

// What a run keeps besides its messages, as its events would have told it.
const kept = (part: RunPart): AgUiEvent | undefined => {
  switch (part.type) {
    case "source":
    case "file": {
      const { type, ...payload } = part
      return custom(type === "source" ? "source_cited" : "file_produced", payload)
    }
    case "event":
      return custom(part.name, part.data)
    default:
      return undefined
  }
}
