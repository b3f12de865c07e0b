/**
 * A run as a UI message stream of the AI SDK: its events, or its state and the events
 * behind it, become the parts of one assistant message.
 *
 * - Whatever comes, the stream is one that the SDK's readers accept: it begins with
 *   `start`, each piece has its beginning, what begins has an end, and the run's ending
 *   closes what is open.
 * - Texts stand where they began, and are what was emitted, character by character.
 * - A reader that comes late gets the parts that the run's state has, and goes on with
 *   the events behind it.
 * - It holds little, whatever the run's length: the ids of what is open and of what was
 *   told, up to a bound, and the run's shared state.
 *
 * | event | parts |
 * |---|---|
 * | `agent_started` | `start`, with the run's id as that of the message |
 * | `text_delta`, `thinking_delta`, `message_completed` | `text-…`, `reasoning-…` |
 * | `agent_thinking` | a `reasoning` of its own |
 * | `tool_input_delta`, `tool_executing`, `tool_completed` | `tool-input-…`, `tool-output-…` |
 * | `input_requested` to approve a tool call, and its answer | `tool-approval-…` |
 * | any other `input_requested`, and its answer | `data-request`, with what a run's state has of it |
 * | `step_started`, `step_finished` | `start-step`, `finish-step` |
 * | `source_cited` | `source-url`, without an address `source-document` |
 * | `file_produced` | `file`, without address and data `data-file` |
 * | `progress_update`, `state_snapshot`, `state_delta` | `data-progress`, `data-state`, each once and then in its place |
 * | `usage_reported` | `message-metadata` |
 * | `custom`, and events of the program's own | `data-` and the name; transient, unless the run's state keeps them |
 * | `agent_completed` | `finish` |
 * | `agent_error` | `abort` where it was cancelled, else `error` and `finish` |
 *
 * This module loads no Effect, so that a page can have it without.
 *
 * @since 0.2.0
 */
import type { Json } from "effect/Schema"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import * as JsonPatch from "../../protocol/run/JsonPatch.ts"
import { isOmitted, keepJson } from "../../protocol/run/KeptJson.ts"
import { maxJson, maxKnownMessages, maxKnownRequests, maxState, maxText } from "../../protocol/run/RunLimits.ts"
import type { RunPart, RunSnapshot } from "../../protocol/run/RunSnapshotSchema.ts"
import { withDefaults } from "../../protocol/values/Present.ts"
import type { RunEvent, RunItem } from "../RunItem.ts"
import type { PartMetadata, RunMetadata, UiMessageChunk } from "./UiMessage.ts"

type Told = RunMetadata["run"]

interface JsonFields {
  [field: string]: unknown
}

type TextKind = "text" | "reasoning"

type Known<Type extends RunPart["type"]> = Extract<RunPart, { readonly type: Type }>

/** A text that more may come of: how many characters of it were written, of those that are known. */
interface OpenText {
  readonly kind: TextKind
  readonly id: string
  sent: number
}

/** A tool call that more may come of. */
interface OpenTool {
  readonly toolName: string
  phase: "streaming" | "called"
  /** Its input cannot be written as it comes, since a piece of it is missing. */
  isCut: boolean
  /** The approval that its user is asked for. */
  approval: string | undefined
  isDenied: boolean
}

const ended = "the run ended before"

/**
 * Writes the stream of one run for one reader. Mutable, since it changes with each event.
 *
 * @category writers
 * @since 0.2.0
 */
export class UiMessageStream {
  readonly #run: string
  #parts: Array<UiMessageChunk> = []
  #isStarted = false
  #isOver = false
  readonly #texts = new Map<string, OpenText>()
  readonly #completed = new Set<string>()
  readonly #tools = new Map<string, OpenTool>()
  /** The tool calls that await an approval, by its id. */
  readonly #approvals = new Map<string, string>()
  /** The requests that are open and no approval of a tool call, by their ids. */
  readonly #requests = new Map<string, Known<"request">>()
  readonly #resolved = new Set<string>()
  readonly #closedTools = new Set<string>()
  readonly #sources = new Set<string>()
  readonly #files = new Set<string>()
  readonly #names = new Set<string>()
  #runningSteps = 0
  #waitingSteps = 0
  #thoughts = 0
  #lastThought: string | undefined
  #usage: NonNullable<Told["usage"]> = { inputTokens: 0, outputTokens: 0 }
  #state: string | undefined

  /**
   * The stream of the run of this id.
   */
  constructor(run: string) {
    this.#run = run
  }

  /**
   * What is to be written of the next item.
   */
  take(item: RunItem): ReadonlyArray<UiMessageChunk> {
    this.#parts = []
    if (!this.#isOver) this.#take(item)
    return this.#parts
  }

  #take(item: RunItem): void {
    switch (item._tag) {
      case "Event":
        return this.#event(item.event, item.at)
      case "Snapshot":
        return this.#snapshot(item.state)
      case "Missing":
        this.#start({})
        this.#close()
        return this.#fail(item.message, { status: "lost" })
    }
  }

  #event(event: RunEvent, at: number): void {
    if (event.type === RunEvents.started) {
      const { agentName, input } = event.payload
      return this.#start({ agentName, startedAt: at, ...(input === undefined ? {} : { input }) })
    }
    this.#start({})
    switch (event.type) {
      case "text_delta":
        return this.#append("text", event.payload.messageId, event.payload.delta)
      case "thinking_delta":
        return this.#append("reasoning", event.payload.messageId, event.payload.delta)
      case "message_completed":
        return this.#complete(event.payload.messageId)
      case "agent_thinking":
        return this.#think(event.payload.text)
      case "tool_input_delta":
        return this.#toolInput(event.payload.toolCallId, event.payload.toolName, event.payload.delta)
      case "tool_executing":
        return this.#toolCalled(event.payload.toolCallId, event.payload.toolName, event.payload.input)
      case "tool_completed": {
        const { isError, output, toolCallId, toolName } = event.payload
        return this.#toolOver(toolCallId, toolName, output, isError)
      }
      case "input_requested":
        return this.#ask({ type: "request", ...event.payload, status: "open" })
      case "input_resolved": {
        const { answer, client, outcome, requestId } = event.payload
        return this.#resolve(requestId, outcome, answer, client)
      }
      case "step_started":
        return this.#startStep()
      case "step_finished":
        return this.#finishStep()
      case "source_cited":
        return this.#cite(event.payload)
      case "file_produced":
        return this.#produce(event.payload)
      case "progress_update":
        return this.#write({ type: "data-progress", id: "progress", data: event.payload })
      case "state_snapshot":
        return this.#share(event.payload.state)
      case "state_delta": {
        if (isOmitted(this.#state)) return
        const patch: ReadonlyArray<Json> = event.payload.patch.map((operation) => ({ ...operation }))
        const state = JsonPatch.apply(parsed(this.#state), patch)
        return state === undefined ? undefined : this.#share(state)
      }
      case "usage_reported":
        return this.#use(event.payload)
      case "custom":
        return this.#write({ type: `data-${event.payload.name}`, data: event.payload.data, transient: true })
      case RunEvents.completed: {
        const { result } = event.payload
        this.#close()
        return this.#finish({ status: "completed", endedAt: at, ...(result === undefined ? {} : { result }) })
      }
      case RunEvents.failed: {
        const { message, reason, retryable } = event.payload
        return this.#end(reason, message, { endedAt: at, retryable })
      }
      case "$unknown":
        return this.#own(event.name, event.payload, event.keep)
      // Signing in is no part of a run.
      case "auth_started":
      case "auth_validating":
      case "auth_completed":
      case "auth_failed":
        return
    }
  }

  /** The state of the run. What was written of it before is gone on with. */
  #snapshot(snapshot: RunSnapshot): void {
    const { agentName, dropped, endedAt, error, input, parts, progress, progressMessage, result, startedAt } = snapshot
    const isFirst = !this.#isStarted
    if (isFirst) {
      this.#start(withDefaults<Told>({}, { agentName, input, startedAt, dropped }))
      // Whoever comes back has some of the message, and gets it anew.
      this.#write({ type: "reset-step" })
    }
    const calls = new Set(parts.flatMap((part) => part.type === "tool" ? [part.toolCallId] : []))
    const approvals = Map.groupBy(
      parts.filter((part) => part.type === "request"),
      (request) => isApproval(request) && calls.has(request.toolCallId) ? request.toolCallId : undefined
    )
    // A thought has no id: what stands up to the one that was told last was told.
    const lastTold = isFirst ? -1 : parts.findLastIndex((part) => isThought(part) && part.text === this.#lastThought)
    for (const [index, part] of parts.entries()) {
      if (isThought(part)) {
        if (index > lastTold) this.#think(part.text)
      } else if (part.type !== "step" || isFirst) {
        this.#part(part, approvals)
      }
    }
    const { cost, inputTokens, outputTokens } = snapshot.usage
    if (inputTokens > 0 || outputTokens > 0 || cost !== undefined) {
      this.#usage = snapshot.usage
      this.#use({ inputTokens: 0, outputTokens: 0 })
    }
    if (progress !== undefined) {
      const data = progressMessage === undefined ? { progress } : { progress, message: progressMessage }
      this.#write({ type: "data-progress", id: "progress", data })
    }
    if (snapshot.state !== undefined) this.#share(snapshot.state)
    switch (snapshot.status) {
      case "active":
        return
      case "completed":
        this.#close()
        return this.#finish(withDefaults<Told>({ status: snapshot.status }, { endedAt, result }))
      default:
        return this.#end(snapshot.status, error ?? snapshot.status, withDefaults<Told>({}, { endedAt }))
    }
  }

  #part(part: RunPart, approvals: ReadonlyMap<string | undefined, ReadonlyArray<Known<"request">>>): void {
    switch (part.type) {
      case "text":
        return this.#text("text", part.messageId, part)
      case "thinking":
        return this.#text("reasoning", part.messageId ?? "", part)
      case "tool":
        return this.#tool(part, approvals.get(part.toolCallId) ?? [])
      case "request":
        return approvals.get(undefined)?.includes(part) === true ? this.#request(part) : undefined
      case "step":
        this.#startStep()
        return part.status === "finished" ? this.#finishStep() : undefined
      case "source":
        return this.#cite(part)
      case "file": {
        const { data, ...file } = part
        return this.#produce(typeof data === "string" ? { ...file, data } : file)
      }
      case "event":
        return this.#own(part.name, part.data, "part")
    }
  }

  #request(part: Known<"request">): void {
    const { answer, client, requestId, status } = part
    const isKnown = this.#approvals.has(requestId) || this.#requests.has(requestId)
    if (!isKnown && this.#resolved.has(requestId)) return
    if (!isKnown) this.#ask(part)
    if (status !== "open") this.#resolve(requestId, status, answer, client)
  }

  #tool(part: Known<"tool">, approvals: ReadonlyArray<Known<"request">>): void {
    const { input, inputText, output, status, toolCallId, toolName } = part
    const known = this.#tools.get(toolCallId)
    if (known === undefined && this.#closedTools.has(toolCallId)) return
    const isStreaming = input === undefined && inputText !== undefined && status === "executing"
    if (!isStreaming && known?.phase !== "called") this.#toolCalled(toolCallId, toolName, input ?? inputText ?? null)
    if (isStreaming) {
      if (known === undefined) this.#toolInput(toolCallId, toolName, inputText)
      const tool = this.#tools.get(toolCallId)
      // What comes does not follow where a piece is missing.
      if (tool !== undefined) tool.isCut = known !== undefined || inputText.length >= maxJson
    }
    for (const request of approvals) this.#request(request)
    if (status !== "executing") this.#toolOver(toolCallId, toolName, output, status === "failed")
  }

  #text(
    kind: TextKind,
    messageId: string,
    { completed = false, text, truncated = false }: {
      readonly text: string
      readonly truncated?: boolean
      readonly completed?: boolean
    }
  ): void {
    const key = `${kind} ${messageId}`
    if (this.#completed.has(key)) return
    const known = this.#texts.get(key)
    if (known !== undefined && !truncated) {
      if (text.length > known.sent) this.#append(kind, messageId, text.slice(known.sent))
    } else {
      // Nobody knows what came between.
      if (known !== undefined) this.#endText(key, known)
      this.#openText(kind, messageId, truncated ? { truncated: true } : undefined)
      if (text !== "") this.#append(kind, messageId, text)
    }
    const open = this.#texts.get(key)
    if (completed && open !== undefined) this.#endText(key, open)
  }

  #start(told: Told): void {
    if (this.#isStarted) return
    this.#isStarted = true
    this.#write({
      type: "start",
      messageId: this.#run,
      messageMetadata: { run: { id: this.#run, status: "active", ...told } }
    })
  }

  #openText(kind: TextKind, id: string, told?: PartMetadata["effect-emitter"]): OpenText {
    const text = { kind, id, sent: 0 }
    this.#texts.set(`${kind} ${id}`, text)
    const more = told === undefined ? {} : { providerMetadata: { "effect-emitter": told } }
    this.#write({ type: `${kind}-start`, id, ...more })
    const [first] = this.#texts
    if (this.#texts.size > maxKnownMessages && first !== undefined) this.#endText(...first)
    return text
  }

  #append(kind: TextKind, id: string, delta: string): void {
    const text = this.#texts.get(`${kind} ${id}`) ?? this.#openText(kind, id)
    text.sent += delta.length
    this.#write({ type: `${kind}-delta`, id, delta })
  }

  #endText(key: string, { id, kind }: OpenText): void {
    this.#texts.delete(key)
    remember(this.#completed, key, maxKnownMessages)
    this.#write({ type: `${kind}-end`, id })
  }

  #complete(messageId: string): void {
    for (const key of [`text ${messageId}`, `reasoning ${messageId}`]) {
      const text = this.#texts.get(key)
      if (text !== undefined) this.#endText(key, text)
    }
  }

  #think(text: string): void {
    const id = `thought-${++this.#thoughts}`
    this.#lastThought = text.length > maxText ? undefined : text
    this.#write({ type: "reasoning-start", id })
    this.#write({ type: "reasoning-delta", id, delta: text })
    this.#write({ type: "reasoning-end", id })
  }

  #toolInput(toolCallId: string, toolName: string, delta: string): void {
    let tool = this.#tools.get(toolCallId)
    if (tool?.phase !== "streaming") {
      tool = { toolName, phase: "streaming", isCut: false, approval: undefined, isDenied: false }
      this.#tools.set(toolCallId, tool)
      this.#write({ type: "tool-input-start", toolCallId, toolName })
    }
    if (!tool.isCut) this.#write({ type: "tool-input-delta", toolCallId, inputTextDelta: delta })
  }

  #toolCalled(toolCallId: string, toolName: string, input: unknown): void {
    const known = this.#tools.get(toolCallId)
    if (known?.phase !== "streaming") this.#write({ type: "tool-input-start", toolCallId, toolName })
    this.#tools.set(toolCallId, { toolName, phase: "called", isCut: false, approval: undefined, isDenied: false })
    this.#write({ type: "tool-input-available", toolCallId, toolName, input })
    this.#startWaitingSteps()
  }

  #toolOver(toolCallId: string, toolName: string, output: unknown, isError: boolean): void {
    if (this.#tools.get(toolCallId)?.phase !== "called") this.#toolCalled(toolCallId, toolName, null)
    const tool = this.#tools.get(toolCallId)
    this.#tools.delete(toolCallId)
    remember(this.#closedTools, toolCallId, maxKnownRequests)
    if (tool?.approval !== undefined) this.#approvals.delete(tool.approval)
    if (!isError) return this.#write({ type: "tool-output-available", toolCallId, output })
    if (tool?.isDenied === true) return this.#write({ type: "tool-output-denied", toolCallId })
    this.#write({ type: "tool-output-error", toolCallId, errorText: errorText(output) })
  }

  #ask(request: Known<"request">): void {
    const { requestId, title, toolCallId } = request
    const tool = toolCallId === undefined ? undefined : this.#tools.get(toolCallId)
    if (
      request.kind === "approval" && toolCallId !== undefined && tool?.phase === "called" && tool.approval === undefined
    ) {
      tool.approval = requestId
      this.#approvals.set(requestId, toolCallId)
      return this.#write({ type: "tool-approval-request", approvalId: requestId, toolCallId, reason: title })
    }
    const { type: _, ...data } = request
    if (request.status === "open") this.#requests.set(requestId, request)
    this.#write({ type: "data-request", id: requestId, data })
  }

  #resolve(
    requestId: string,
    status: "answered" | "expired" | "withdrawn",
    answer: Json | undefined,
    client: string | undefined
  ): void {
    const toolCallId = this.#approvals.get(requestId)
    const tool = toolCallId === undefined ? undefined : this.#tools.get(toolCallId)
    remember(this.#resolved, requestId, maxKnownRequests)
    if (tool !== undefined) {
      this.#approvals.delete(requestId)
      tool.approval = undefined
      const { approved, reason } = approvalOf(status, answer)
      tool.isDenied = !approved
      const more = reason === undefined ? {} : { reason }
      return this.#write({ type: "tool-approval-response", approvalId: requestId, approved, ...more })
    }
    const request = this.#requests.get(requestId)
    if (request === undefined) return
    this.#requests.delete(requestId)
    const { type: _, ...data } = request
    this.#write({
      type: "data-request",
      id: requestId,
      data: withDefaults<JsonFields>({ ...data, status }, { answer, client })
    })
  }

  // A reader looks for a tool call whose input is not whole in the step that is the last.
  #startStep(): void {
    if (this.#isStreaming) {
      this.#waitingSteps++
      return
    }
    this.#runningSteps++
    this.#write({ type: "start-step" })
  }

  #startWaitingSteps(): void {
    if (this.#isStreaming) return
    for (; this.#waitingSteps > 0; this.#waitingSteps--) this.#startStep()
  }

  #finishStep(): void {
    if (this.#runningSteps > 0) {
      this.#runningSteps--
      return this.#write({ type: "finish-step" })
    }
    if (this.#waitingSteps > 0) this.#waitingSteps--
  }

  get #isStreaming(): boolean {
    for (const { phase } of this.#tools.values()) if (phase === "streaming") return true
    return false
  }

  #cite({ excerpt, sourceId, title, url }: Omit<Known<"source">, "type">): void {
    if (this.#sources.has(sourceId)) return
    remember(this.#sources, sourceId, maxKnownRequests)
    const more = excerpt === undefined ? {} : { providerMetadata: { "effect-emitter": { excerpt } } }
    this.#write(
      url === undefined
        ? { type: "source-document", sourceId, mediaType: "text/plain", title: title ?? sourceId, ...more }
        : { type: "source-url", sourceId, url, ...(title === undefined ? {} : { title }), ...more }
    )
  }

  #produce({ data, fileId, mediaType, name, url }: {
    readonly fileId: string
    readonly mediaType: string
    readonly name?: string | undefined
    readonly url?: string | undefined
    readonly data?: string | undefined
  }): void {
    if (this.#files.has(fileId)) return
    remember(this.#files, fileId, maxKnownRequests)
    const at = url ?? (data === undefined ? undefined : `data:${mediaType};base64,${data}`)
    if (at === undefined) {
      return this.#write({
        type: "data-file",
        id: fileId,
        data: withDefaults<JsonFields>({ fileId, mediaType }, { name })
      })
    }
    const told: PartMetadata["effect-emitter"] = name === undefined ? { fileId } : { fileId, name }
    this.#write({ type: "file", url: at, mediaType, providerMetadata: { "effect-emitter": told } })
  }

  #share(state: Json): void {
    this.#state = keepJson(state, maxState)?.text
    this.#write({ type: "data-state", id: "state", data: parsed(this.#state) })
  }

  #use({ cost, inputTokens, outputTokens }: NonNullable<Told["usage"]>): void {
    const sum = {
      inputTokens: this.#usage.inputTokens + inputTokens,
      outputTokens: this.#usage.outputTokens + outputTokens
    }
    const costs = (this.#usage.cost ?? 0) + (cost ?? 0)
    const isPriced = cost !== undefined || this.#usage.cost !== undefined
    this.#usage = isPriced ? { ...sum, cost: costs } : sum
    this.#write({ type: "message-metadata", messageMetadata: { run: { usage: this.#usage } } })
  }

  #own(name: string, data: unknown, keep: RunEvents.Keep | undefined): void {
    const type = `data-${name}` as const
    if (keep === undefined) return this.#write({ type, data, transient: true })
    // One that is newer takes the place of the first of its name.
    const isFirst = !this.#names.has(name)
    remember(this.#names, name, maxKnownRequests)
    this.#write(keep === "newest" || isFirst ? { type, id: name, data } : { type, data })
  }

  /** Nothing is open any more. */
  #close(): void {
    for (const [key, text] of this.#texts) this.#endText(key, text)
    for (const [toolCallId, { phase, toolName }] of this.#tools) {
      this.#write(
        phase === "streaming"
          ? { type: "tool-input-error", toolCallId, toolName, input: null, errorText: `${ended} the call began` }
          : { type: "tool-output-error", toolCallId, errorText: `${ended} the call did` }
      )
    }
    this.#tools.clear()
    this.#approvals.clear()
    for (const requestId of Array.from(this.#requests.keys())) {
      this.#resolve(requestId, "withdrawn", undefined, undefined)
    }
    this.#startWaitingSteps()
    while (this.#runningSteps > 0) this.#finishStep()
  }

  #end(
    status: "failed" | "cancelled" | "timeout" | "lost",
    message: string,
    told: Pick<Told, "endedAt" | "retryable">
  ): void {
    this.#close()
    if (status !== "cancelled") return this.#fail(message, { status, ...told })
    this.#isOver = true
    this.#write({ type: "message-metadata", messageMetadata: { run: { status, ...told } } })
    this.#write({ type: "abort", reason: message })
  }

  #fail(errorText: string, told: Told): void {
    this.#isOver = true
    // Readers take nothing that comes behind an error.
    this.#write({ type: "message-metadata", messageMetadata: { run: told } })
    this.#write({ type: "error", errorText })
    this.#write({ type: "finish", finishReason: "error", messageMetadata: { run: told } })
  }

  #finish(told: Told): void {
    this.#isOver = true
    this.#write({ type: "finish", finishReason: "stop", messageMetadata: { run: told } })
  }

  #write(part: UiMessageChunk): void {
    this.#parts.push(part)
  }
}

const isThought = (part: RunPart): part is Known<"thinking"> => part.type === "thinking" && part.messageId === undefined

const isApproval = (request: Known<"request">): request is Known<"request"> & { readonly toolCallId: string } =>
  request.kind === "approval" && request.toolCallId !== undefined

const approvalOf = (
  status: "answered" | "expired" | "withdrawn",
  answer: Json | undefined
): { readonly approved: boolean; readonly reason?: string } => {
  if (status !== "answered") return { approved: false, reason: status }
  if (typeof answer === "object" && answer !== null && "approved" in answer) {
    const { approved, reason } = answer
    return typeof reason === "string" ? { approved: approved === true, reason } : { approved: approved === true }
  }
  return { approved: answer === true }
}

const errorText = (output: unknown): string => {
  if (typeof output === "string") return output
  return output === undefined ? `${ended} the call did` : JSON.stringify(output)
}

const parsed = (text: string | undefined): Json | undefined => text === undefined ? undefined : JSON.parse(text)

// Of more than `most`, the oldest are forgotten.
const remember = (known: Set<string>, id: string, most: number): void => {
  known.delete(id)
  known.add(id)
  const [oldest] = known
  if (known.size > most && oldest !== undefined) known.delete(oldest)
}
