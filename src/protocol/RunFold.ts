/**
 * Folds a run's events to its state.
 *
 * The fold is the same on both sides, and a fold that goes on from a snapshot
 * comes to the same state as one that saw every event. It is tolerant (an event
 * it does not know changes nothing, a field of the wrong kind counts as missing,
 * and a start it did not see is made up from what follows) and bounded: of each
 * text it keeps the last {@link maxText} characters, of all messages together
 * {@link maxTotalText} (the oldest messages go first), of messages and tool calls
 * the last {@link maxItems}.
 *
 * A page folds as well, so nothing here may load a schema.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import { bytesOf, GrowingText, tail, textOverhead } from "./GrowingText.ts"
import * as RunEvents from "./RunEvents.ts"
import type { Message, RunSnapshot, ToolCall } from "./RunSnapshotSchema.ts"

/**
 * The most characters a snapshot keeps of one text.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxText = 65_536

/**
 * The most characters kept of all messages of a run together.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxTotalText = 4 * maxText

/**
 * The most messages, and the most tool calls, kept of a run.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxItems = 64

type Data = { readonly [key: string]: Json | undefined }

// They take values, not keys: an engine reads a field fast where its name stands in the program.
const text = (value: Json | undefined): string | undefined => typeof value === "string" ? value : undefined

const finite = (value: Json | undefined): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined

// A result is kept as text: then nobody who holds the value can change it.
const toText = (value: Json | undefined): string | undefined => value === undefined ? undefined : JSON.stringify(value)

const count = (value: Json | undefined): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined

const shortText = (value: Json | undefined): string | undefined =>
  typeof value === "string" ? tail(value, maxText) : undefined

interface FoldedMessage {
  readonly messageId: string
  readonly kind: "text" | "thinking"
  readonly text: GrowingText
}

const shown = ({ kind, messageId, text }: FoldedMessage): typeof Message.Type => ({
  messageId,
  kind,
  text: text.text,
  ...(text.isTruncated ? { truncated: true } : {})
})

// What is kept takes about so much, in bytes: measured in V8. Labels may be of any script.
const foldOverhead = 800
const itemOverhead = 160
const messageBytes = ({ messageId, text }: FoldedMessage): number => itemOverhead + 4 * messageId.length + text.bytes
const toolBytes = ({ toolCallId, toolName }: typeof ToolCall.Type): number =>
  itemOverhead + 2 * toolCallId.length + 2 * toolName.length

type Scalars = Omit<RunSnapshot, "messages" | "tools" | "usage">

type State =
  & { -readonly [K in Exclude<keyof Scalars, "result">]-?: Scalars[K] | undefined }
  & { status: Scalars["status"]; result: string | undefined }

// Every field is there from the beginning, so that setting one is cheap.
const blank = (): State => ({
  status: "active",
  thread: undefined,
  agentName: undefined,
  parentRunId: undefined,
  startedAt: undefined,
  endedAt: undefined,
  thinking: undefined,
  step: undefined,
  progress: undefined,
  progressMessage: undefined,
  result: undefined,
  error: undefined
})

// The texts of a state. A result may be large, others seldom are: these count as if each character took two bytes.
const texts = [
  "thread",
  "agentName",
  "parentRunId",
  "thinking",
  "progressMessage",
  "result",
  "error"
] as const satisfies ReadonlyArray<keyof State>

const scalarBytes = (value: string | undefined): number =>
  value === undefined ? 0 : value.length > maxScanned ? bytesOf(value) : textOverhead + 2 * value.length

const maxScanned = 1024

const present = (
  {
    agentName,
    endedAt,
    error,
    parentRunId,
    progress,
    progressMessage,
    result,
    startedAt,
    status,
    step,
    thinking,
    thread
  }: State
): Scalars => ({
  status,
  ...(thread === undefined ? {} : { thread }),
  ...(agentName === undefined ? {} : { agentName }),
  ...(parentRunId === undefined ? {} : { parentRunId }),
  ...(startedAt === undefined ? {} : { startedAt }),
  ...(endedAt === undefined ? {} : { endedAt }),
  ...(thinking === undefined ? {} : { thinking }),
  ...(step === undefined ? {} : { step }),
  ...(progress === undefined ? {} : { progress }),
  ...(progressMessage === undefined ? {} : { progressMessage }),
  ...(result === undefined ? {} : { result: JSON.parse(result) }),
  ...(error === undefined ? {} : { error })
})

/**
 * Folds one run's events. Mutable, so that an event costs little: give it
 * every event in order with `apply`, and ask for the state with `snapshot`.
 *
 * @category folds
 * @since 0.1.0
 */
export class RunFold {
  private readonly messages = new Map<string, FoldedMessage>()
  private readonly tools = new Map<string, typeof ToolCall.Type>()
  private state = blank()
  private inputTokens = 0
  private outputTokens = 0
  private cost: number | undefined = undefined
  private chars = 0
  private held = foldOverhead

  /**
   * A fold that goes on from a snapshot.
   */
  static from(snapshot: RunSnapshot): RunFold {
    const fold = new RunFold()
    const { messages, result, tools, usage, ...state } = snapshot
    fold.state = { ...blank(), ...state, result: toText(result) }
    for (const key of texts) fold.held += scalarBytes(fold.state[key])
    for (const { kind, messageId, text, truncated } of messages) {
      fold.open(`${kind}:${messageId}`, { kind, messageId, text: new GrowingText(text, maxText, truncated) })
    }
    for (const tool of tools) fold.setTool(tool)
    fold.inputTokens = usage.inputTokens
    fold.outputTokens = usage.outputTokens
    fold.cost = usage.cost
    return fold
  }

  /**
   * Whether an event of this wire name may change a run's state. The payload of
   * one that may not need not be read from its text to be folded.
   */
  static reads(type: string): boolean {
    return RunEvents.isFolded(type)
  }

  /**
   * Whether the run has ended.
   */
  get ended(): boolean {
    return this.state.status !== "active"
  }

  /**
   * About what the fold takes in memory, in bytes.
   */
  get bytes(): number {
    return this.held
  }

  /**
   * Keeps of each text the last `max` characters, where memory is short.
   */
  shorten(max: number): void {
    for (const { text } of this.messages.values()) {
      this.chars -= text.length
      this.held -= text.bytes
      text.shorten(max)
      this.chars += text.length
      this.held += text.bytes
    }
  }

  /**
   * Whether a start at this time begins the run, or begins it anew: not where the
   * run has ended since, and its start only came late.
   */
  isStartedBy(at: number): boolean {
    const { endedAt, startedAt, status } = this.state
    if (status === "active") return true
    // The ending of a lost run is told by another clock, and some time after the run's last event.
    if (status === "lost" && startedAt !== undefined) return at >= startedAt
    return endedAt === undefined || at > endedAt
  }

  /**
   * Takes the next event: its wire name, its encoded payload, its time, and its
   * thread if it has one.
   */
  apply(type: string, data: Data, at: number, thread?: string): void {
    if (RunEvents.isStart(type)) return this.start(data, at, thread)
    if (thread !== undefined && this.state.thread === undefined) this.set("thread", thread)
    switch (type) {
      case RunEvents.textDelta:
        return this.append("text", data)
      case RunEvents.thinkingDelta:
        return this.append("thinking", data)
      case RunEvents.thinking: {
        const thinking = shortText(data["text"])
        this.held += scalarBytes(thinking) - scalarBytes(this.state.thinking)
        this.state.thinking = thinking
        this.state.step = count(data["step"])
        return
      }
      case RunEvents.toolExecuting:
        return this.openTool(data)
      case RunEvents.toolCompleted:
        return this.closeTool(data)
      case RunEvents.progress: {
        this.state.progress = finite(data["progress"])
        this.set("progressMessage", shortText(data["message"]))
        return
      }
      case RunEvents.usage:
        return this.addUsage(data)
      case RunEvents.completed: {
        this.state.status = "completed"
        this.state.endedAt = at
        this.set("result", toText(data["result"]))
        return
      }
      case RunEvents.failed: {
        this.state.status = RunEvents.reasonOf(data["reason"])
        this.state.endedAt = at
        this.set("error", shortText(data["message"]))
        return
      }
    }
  }

  /**
   * The state after the events so far.
   */
  snapshot(): RunSnapshot {
    return {
      ...present(this.state),
      messages: Array.from(this.messages.values(), shown),
      tools: Array.from(this.tools.values()),
      usage: {
        inputTokens: this.inputTokens,
        outputTokens: this.outputTokens,
        ...(this.cost === undefined ? {} : { cost: this.cost })
      }
    }
  }

  private set(key: (typeof texts)[number], value: string | undefined): void {
    this.held += scalarBytes(value) - scalarBytes(this.state[key])
    this.state[key] = value
  }

  private start(data: Data, at: number, thread: string | undefined): void {
    if (!this.isStartedBy(at)) return
    if (this.ended) this.clear()
    if (this.state.thread === undefined) this.set("thread", thread)
    this.state.startedAt = at
    const agentName = text(data["agentName"])
    if (agentName !== undefined) this.set("agentName", agentName)
    const parentRunId = text(data["parentRunId"])
    if (parentRunId !== undefined) this.set("parentRunId", parentRunId)
  }

  // A run id that starts again is a new run.
  private clear(): void {
    this.messages.clear()
    this.tools.clear()
    this.state = blank()
    this.inputTokens = 0
    this.outputTokens = 0
    this.cost = undefined
    this.chars = 0
    this.held = foldOverhead
  }

  private append(kind: "text" | "thinking", data: Data): void {
    const messageId = text(data["messageId"])
    const delta = text(data["delta"])
    if (messageId === undefined || delta === undefined) return
    const key = `${kind}:${messageId}`
    const message = this.messages.get(key)
    if (message === undefined) {
      this.open(key, { messageId, kind, text: new GrowingText(delta, maxText) })
    } else {
      this.chars -= message.text.length
      this.held -= message.text.bytes
      message.text.append(delta)
      this.chars += message.text.length
      this.held += message.text.bytes
    }
    if (this.messages.size > maxItems || this.chars > maxTotalText) this.dropOldestMessages(key)
  }

  private open(key: string, message: FoldedMessage): void {
    this.messages.set(key, message)
    this.chars += message.text.length
    this.held += messageBytes(message)
  }

  private dropOldestMessages(current: string): void {
    for (const [key, message] of this.messages) {
      if (this.messages.size <= maxItems && this.chars <= maxTotalText) return
      if (key === current) continue
      this.messages.delete(key)
      this.chars -= message.text.length
      this.held -= messageBytes(message)
    }
  }

  private setTool(tool: typeof ToolCall.Type): void {
    const before = this.tools.get(tool.toolCallId)
    if (before !== undefined) this.held -= toolBytes(before)
    this.tools.set(tool.toolCallId, tool)
    this.held += toolBytes(tool)
    if (this.tools.size <= maxItems) return
    const [oldest] = this.tools.values()
    if (oldest === undefined) return
    this.tools.delete(oldest.toolCallId)
    this.held -= toolBytes(oldest)
  }

  private openTool(data: Data): void {
    const toolCallId = text(data["toolCallId"])
    const toolName = text(data["toolName"])
    if (toolCallId === undefined || toolName === undefined) return
    this.setTool({ toolCallId, toolName, status: "executing" })
  }

  private closeTool(data: Data): void {
    const toolCallId = text(data["toolCallId"])
    const toolName = text(data["toolName"])
    if (toolCallId === undefined || toolName === undefined) return
    const durationMs = finite(data["durationMs"])
    this.setTool({
      toolCallId,
      toolName,
      status: data["isError"] === true ? "failed" : "completed",
      ...(durationMs === undefined ? {} : { durationMs })
    })
  }

  private addUsage(data: Data): void {
    this.inputTokens = Math.min(this.inputTokens + (count(data["inputTokens"]) ?? 0), Number.MAX_SAFE_INTEGER)
    this.outputTokens = Math.min(this.outputTokens + (count(data["outputTokens"]) ?? 0), Number.MAX_SAFE_INTEGER)
    const cost = finite(data["cost"])
    if (cost !== undefined && cost >= 0) this.cost = Math.min((this.cost ?? 0) + cost, Number.MAX_VALUE)
  }
}
