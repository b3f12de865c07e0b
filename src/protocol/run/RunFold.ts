/**
 * Folds a run's events into its state: what a device shows when it was not there
 * for all of them.
 *
 * The fold is the same on both sides. A fold that goes on from a snapshot comes to
 * the same state as one that saw every event, so that a page that is drawn from a
 * snapshot looks like one that is drawn from events. It is tolerant: an event it
 * does not know changes nothing, a field of the wrong kind counts as missing, and a
 * start it did not see is made up from what follows. And it is bounded, see
 * `RunLimits`.
 *
 * This module loads no Effect, so that a page can have it without.
 *
 * @since 0.1.0
 */
import type { Json, JsonObject } from "effect/Schema"
import { tail } from "./GrowingText.ts"
import * as JsonPatch from "./JsonPatch.ts"
import { isOmitted, keepJson } from "./KeptJson.ts"
import * as RunEvents from "../event/RunEvents.ts"
import { maxState, maxText } from "./RunLimits.ts"
import { withDefaults } from "../values/Present.ts"
import type { RunSnapshot } from "./RunSnapshotSchema.ts"
import { type Fields, type ItemType, RunParts, type Weigh } from "./RunParts.ts"

// They take values, not keys: an engine reads a field fast where its name stands in the program.
const text = (value: Json | undefined): string | undefined => typeof value === "string" ? value : undefined

const finite = (value: Json | undefined): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined

// A result is kept as text: then nobody who holds the value can change it.
const toText = (value: Json | undefined): string | undefined => value === undefined ? undefined : JSON.stringify(value)

// The first characters of a text.
const start = (value: Json | undefined, max: number): string | undefined =>
  typeof value === "string" ? value.slice(0, max) : undefined

// The names of commands, as far as they can be such.
const toNames = (value: Json | undefined): string | undefined =>
  Array.isArray(value)
    ? JSON.stringify(
      value.slice(0, RunEvents.maxCommands).filter((name) => typeof name === "string" && name.length <= 64)
    )
    : undefined

const count = (value: Json | undefined): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined

const oneOf = <A extends string>(values: ReadonlyArray<A>, value: Json | undefined): A | undefined =>
  values.find((known) => known === value)

const shortText = (value: Json | undefined): string | undefined =>
  typeof value === "string" ? tail(value, maxText) : undefined

type Scalars = Omit<RunSnapshot, "parts" | "dropped" | "usage">

// They are kept as text.
type JsonKey = "input" | "commands" | "state" | "result"

type State =
  & { -readonly [K in Exclude<keyof Scalars, JsonKey>]-?: Scalars[K] | undefined }
  & { status: Scalars["status"] }
  & { [K in JsonKey]: string | undefined }

// Every field is there from the beginning, so that setting one is cheap.
const blank = (): State => ({
  status: "active",
  thread: undefined,
  agentName: undefined,
  parentRunId: undefined,
  input: undefined,
  startedAt: undefined,
  endedAt: undefined,
  endedBy: undefined,
  commands: undefined,
  state: undefined,
  thinking: undefined,
  step: undefined,
  progress: undefined,
  progressMessage: undefined,
  result: undefined,
  error: undefined
})

// What may be long.
type TextKey = JsonKey | "thread" | "agentName" | "parentRunId" | "thinking" | "progressMessage" | "error"

const weightless: Weigh = () => 0

const parsed = (json: string | undefined) => json === undefined ? undefined : JSON.parse(json)

const present = ({ commands, input, result, state, status, ...others }: State): Scalars =>
  withDefaults<Scalars>({ status }, {
    ...others,
    commands: parsed(commands),
    input: parsed(input),
    state: parsed(state),
    result: parsed(result)
  })

/**
 * Folds one run's events. Mutable, so that an event costs little: give it
 * every event in order with `apply`, and ask for the state with `snapshot`.
 *
 * @category folds
 * @since 0.1.0
 */
export class RunFold {
  readonly #weigh: Weigh
  #parts: RunParts
  #state = blank()
  #inputTokens = 0
  #outputTokens = 0
  #cost: number | undefined = undefined
  #held = 0

  /**
   * A fold that has seen nothing. `weigh` is given by who bounds what folds take.
   */
  constructor(weigh: Weigh = weightless) {
    this.#weigh = weigh
    this.#parts = new RunParts(weigh)
  }

  /**
   * A fold that goes on from a snapshot.
   */
  static from(snapshot: RunSnapshot, weigh?: Weigh): RunFold {
    const fold = new RunFold(weigh)
    const { commands, dropped = 0, input, parts, result, state, usage, ...others } = snapshot
    fold.#state = {
      ...blank(),
      ...others,
      state: keepJson(state, maxState)?.text,
      commands: toNames(commands),
      input: keepJson(input)?.text,
      result: toText(result)
    }
    for (const value of Object.values(fold.#state)) if (typeof value === "string") fold.#held += fold.#weigh(value)
    fold.#parts.restore(parts, dropped)
    // A snapshot of an earlier version may show an ended run's parts as open.
    if (fold.ended) fold.#parts.close()
    fold.#inputTokens = usage.inputTokens
    fold.#outputTokens = usage.outputTokens
    fold.#cost = usage.cost
    return fold
  }

  /**
   * Whether the run has ended.
   */
  get ended(): boolean {
    return this.#state.status !== "active"
  }

  /**
   * The thread of the run's first event.
   */
  get thread(): string | undefined {
    return this.#state.thread
  }

  /**
   * What its texts and parts weigh; 0 if nobody weighs.
   */
  get weight(): number {
    return this.#held + this.#parts.bytes
  }

  /**
   * Whether a start at this time begins the run, or begins it anew: not where the
   * run has ended since, and its start only came late.
   */
  isStartedBy(at: number): boolean {
    const { endedAt, startedAt, status } = this.#state
    if (status === "active") return true
    // The ending of a lost run is told by another clock, and some time after the run's last event.
    if (status === "lost" && startedAt !== undefined) return at >= startedAt
    return endedAt === undefined || at > endedAt
  }

  /**
   * Takes the next event: its wire name, its encoded payload, its time, its thread if
   * it has one, and how it is kept if it is no built-in one.
   */
  apply(type: string, data: JsonObject, at: number, thread?: string, keep?: RunEvents.Keep): void {
    if (RunEvents.isStart(type)) return this.#start(data, at, thread)
    if (thread !== undefined && this.#state.thread === undefined) this.#set("thread", thread)
    switch (type) {
      case RunEvents.textDelta:
        return this.#append("text", data)
      case RunEvents.thinkingDelta:
        return this.#append("thinking", data)
      case RunEvents.thinking: {
        const thought = text(data["text"])
        const step = count(data["step"])
        this.#set("thinking", thought === undefined ? undefined : tail(thought, maxText))
        this.#state.step = step
        if (thought !== undefined) this.#parts.note(thought, step)
        return
      }
      case RunEvents.toolExecuting:
        return this.#openTool(data)
      case RunEvents.toolCompleted:
        return this.#closeTool(data)
      case RunEvents.progress: {
        this.#state.progress = finite(data["progress"])
        this.#set("progressMessage", shortText(data["message"]))
        return
      }
      case RunEvents.usage:
        return this.#addUsage(data)
      case RunEvents.inputRequested:
        return this.#request(data)
      case RunEvents.inputResolved:
        return this.#resolve(data)
      case RunEvents.toolInputDelta:
        return this.#appendInput(data)
      case RunEvents.messageCompleted:
        return this.#complete(data)
      case RunEvents.stepStarted:
        return this.#step(data, "running")
      case RunEvents.stepFinished:
        return this.#step(data, "finished")
      case RunEvents.stateSnapshot:
        return this.#share(data["state"])
      case RunEvents.stateDelta:
        return this.#patch(data["patch"])
      case RunEvents.sourceCited:
        return this.#cite(data)
      case RunEvents.fileProduced:
        return this.#produce(data)
      case RunEvents.completed:
        this.#end("completed", at)
        return this.#set("result", toText(data["result"]))
      case RunEvents.failed: {
        this.#end(RunEvents.reasonOf(data["reason"]), at)
        this.#state.endedBy = oneOf(RunEvents.enders, data["by"])
        return this.#set("error", shortText(data["message"]))
      }
      default:
        if (keep !== undefined) this.#parts.keep(type, at, data, keep)
    }
  }

  /**
   * The state after the events so far.
   */
  snapshot(): RunSnapshot {
    const parts = this.#parts
    const usage = { inputTokens: this.#inputTokens, outputTokens: this.#outputTokens }
    return {
      ...present(this.#state),
      parts: parts.list(),
      ...(parts.dropped > 0 && { dropped: parts.dropped }),
      usage: this.#cost === undefined ? usage : { ...usage, cost: this.#cost }
    }
  }

  #set(key: TextKey, value: string | undefined): void {
    this.#held += this.#weigh(value) - this.#weigh(this.#state[key])
    this.#state[key] = value
  }

  #start(data: JsonObject, at: number, thread: string | undefined): void {
    if (!this.isStartedBy(at)) return
    if (this.ended) this.#clear()
    if (this.#state.thread === undefined) this.#set("thread", thread)
    this.#state.startedAt = at
    const agentName = text(data["agentName"])
    if (agentName !== undefined) this.#set("agentName", agentName)
    const parentRunId = text(data["parentRunId"])
    if (parentRunId !== undefined) this.#set("parentRunId", parentRunId)
    const input = keepJson(data["input"])
    if (input !== undefined) this.#set("input", input.text)
    this.#set("commands", toNames(data["commands"]))
  }

  // A run id that starts again is a new run.
  #clear(): void {
    this.#parts = new RunParts(this.#weigh)
    this.#state = blank()
    this.#inputTokens = 0
    this.#outputTokens = 0
    this.#cost = undefined
    this.#held = 0
  }

  #append(type: "text" | "thinking", data: JsonObject): void {
    const messageId = text(data["messageId"])
    const delta = text(data["delta"])
    if (messageId === undefined || delta === undefined) return
    this.#parts.append(type, messageId, delta)
    if (this.ended) this.#parts.complete(type, messageId)
  }

  #end(status: Scalars["status"], at: number): void {
    this.#state.status = status
    this.#state.endedAt = at
    this.#set("commands", undefined)
    this.#parts.close()
  }

  #begin(type: ItemType, id: string, fields: Fields): void {
    this.#parts.begin(type, id, fields)
    this.#closeLate()
  }

  // What comes after the ending opens nothing.
  #closeLate(): void {
    if (this.ended) this.#parts.close()
  }

  #openTool(data: JsonObject): void {
    const toolCallId = text(data["toolCallId"])
    const toolName = text(data["toolName"])
    if (toolCallId === undefined || toolName === undefined) return
    const input = keepJson(data["input"])
    this.#begin("tool", toolCallId, { type: "tool", toolCallId, toolName, status: "executing", input })
  }

  #closeTool(data: JsonObject): void {
    const toolCallId = text(data["toolCallId"])
    const toolName = text(data["toolName"])
    if (toolCallId === undefined || toolName === undefined) return
    this.#parts.change("tool", toolCallId, {
      type: "tool",
      toolCallId,
      toolName,
      status: data["isError"] === true ? "failed" : "completed",
      output: keepJson(data["output"]),
      durationMs: finite(data["durationMs"])
    })
  }

  #appendInput(data: JsonObject): void {
    const toolCallId = text(data["toolCallId"])
    const toolName = text(data["toolName"])
    const delta = text(data["delta"])
    if (toolCallId === undefined || toolName === undefined || delta === undefined) return
    this.#parts.appendInput(toolCallId, toolName, delta)
    this.#closeLate()
  }

  #complete(data: JsonObject): void {
    const messageId = text(data["messageId"])
    if (messageId === undefined) return
    this.#parts.complete("text", messageId)
    this.#parts.complete("thinking", messageId)
  }

  #step(data: JsonObject, status: "running" | "finished"): void {
    const name = text(data["name"])
    if (name === undefined) return
    this.#parts.change("step", name, { type: "step", name, status })
    this.#closeLate()
  }

  #share(state: Json | undefined): void {
    if (state !== undefined) this.#set("state", keepJson(state, maxState)?.text)
  }

  // A state that is not kept does not come back by its changes.
  #patch(patch: Json | undefined): void {
    const { state } = this.#state
    if (Array.isArray(patch) && !isOmitted(state)) this.#share(JsonPatch.apply(parsed(state), patch))
  }

  #cite(data: JsonObject): void {
    const sourceId = text(data["sourceId"])
    if (sourceId === undefined) return
    this.#parts.change("source", sourceId, {
      type: "source",
      sourceId,
      title: start(data["title"], RunEvents.maxTitle),
      url: start(data["url"], RunEvents.maxUrl),
      excerpt: start(data["excerpt"], RunEvents.maxDetail)
    })
  }

  #produce(data: JsonObject): void {
    const fileId = text(data["fileId"])
    const mediaType = text(data["mediaType"])
    if (fileId === undefined || mediaType === undefined) return
    this.#parts.change("file", fileId, {
      type: "file",
      fileId,
      mediaType,
      name: text(data["name"]),
      url: start(data["url"], RunEvents.maxUrl),
      data: keepJson(text(data["data"]))
    })
  }

  #request(data: JsonObject): void {
    const requestId = text(data["requestId"])
    const kind = oneOf(RunEvents.requestKinds, data["kind"])
    const title = start(data["title"], RunEvents.maxTitle)
    if (requestId === undefined || kind === undefined || title === undefined) return
    this.#begin("request", requestId, {
      type: "request",
      requestId,
      kind,
      title,
      detail: start(data["detail"], RunEvents.maxDetail),
      schema: keepJson(data["schema"]),
      options: keepJson(data["options"]),
      toolCallId: text(data["toolCallId"]),
      sensitive: data["sensitive"] === true || undefined,
      expiresAt: count(data["expiresAt"]),
      status: "open"
    })
  }

  #resolve(data: JsonObject): void {
    const requestId = text(data["requestId"])
    const status = oneOf(RunEvents.requestOutcomes, data["outcome"])
    if (requestId === undefined || status === undefined) return
    this.#parts.resolve(requestId, {
      status,
      answer: keepJson(data["answer"]),
      client: start(data["client"], RunEvents.maxClient)
    })
  }

  #addUsage(data: JsonObject): void {
    this.#inputTokens = Math.min(this.#inputTokens + (count(data["inputTokens"]) ?? 0), Number.MAX_SAFE_INTEGER)
    this.#outputTokens = Math.min(this.#outputTokens + (count(data["outputTokens"]) ?? 0), Number.MAX_SAFE_INTEGER)
    const cost = finite(data["cost"])
    if (cost !== undefined && cost >= 0) this.#cost = Math.min((this.#cost ?? 0) + cost, Number.MAX_VALUE)
  }
}
