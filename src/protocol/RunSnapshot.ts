/**
 * A run's state folded from its events: what a device shows when it was not
 * there for all of them.
 *
 * The fold is the same on both sides. It is tolerant (an event it does not know
 * changes nothing, and a start it did not see is made up from what follows) and
 * bounded: of each text it keeps the last {@link maxText} characters, of all
 * texts together the newest {@link maxTotalText}, of messages and tool calls the
 * last {@link maxItems}.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ErrorReason, Usage } from "./AgentEvents.ts"

/**
 * The most characters kept of one message's text.
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

const Message = Schema.Struct({
  messageId: Schema.String,
  kind: Schema.Literals(["text", "thinking"]),
  text: Schema.String,
  truncated: Schema.optionalKey(Schema.Boolean)
})

const ToolCall = Schema.Struct({
  toolCallId: Schema.String,
  toolName: Schema.String,
  status: Schema.Literals(["executing", "completed", "failed"]),
  durationMs: Schema.optionalKey(Schema.Finite)
})

/**
 * A run's state. Times are milliseconds since the Unix epoch.
 *
 * `status` is `active`, `completed`, or the reason of its `agent_error`.
 *
 * @category models
 * @since 0.1.0
 */
export const RunSnapshot = Schema.Struct({
  status: Schema.Union([Schema.Literals(["active", "completed"]), ErrorReason]),
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
 * @category models
 * @since 0.1.0
 */
export type RunSnapshot = typeof RunSnapshot.Type

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

type Data = { readonly [key: string]: Schema.Json | undefined }

const text = (data: Data, key: string): string | undefined => {
  const value = data[key]
  return typeof value === "string" ? value : undefined
}

const number = (data: Data, key: string): number | undefined => {
  const value = data[key]
  return typeof value === "number" ? value : undefined
}

const dropOldest = <V>(map: Map<string, V>): void => {
  if (map.size <= maxItems) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}

/**
 * Folds one run's events. Mutable, so that an event costs little: give it
 * every event in order with `apply`, and ask for the state with `snapshot`.
 *
 * @category folds
 * @since 0.1.0
 */
export class RunFold {
  private readonly messages = new Map<string, Mutable<typeof Message.Type>>()
  private readonly tools = new Map<string, typeof ToolCall.Type>()
  private state: Mutable<Omit<RunSnapshot, "messages" | "tools" | "usage">> = { status: "active" }
  private inputTokens = 0
  private outputTokens = 0
  private cost: number | undefined = undefined
  private chars = 0

  /**
   * A fold that goes on from a snapshot.
   */
  static from(snapshot: RunSnapshot): RunFold {
    const fold = new RunFold()
    const { messages, tools, usage, ...state } = snapshot
    fold.state = { ...state }
    for (const message of messages) {
      fold.messages.set(`${message.kind}:${message.messageId}`, { ...message })
      fold.chars += message.text.length
    }
    for (const tool of tools) fold.tools.set(tool.toolCallId, tool)
    fold.inputTokens = usage.inputTokens
    fold.outputTokens = usage.outputTokens
    fold.cost = usage.cost
    return fold
  }

  /**
   * Whether the run has ended.
   */
  get ended(): boolean {
    return this.state.status !== "active"
  }

  /**
   * Takes the next event: its wire name, its encoded payload, and its time.
   */
  apply(type: string, data: Data, at: number): void {
    switch (type) {
      case "text_delta":
        return this.append("text", data)
      case "thinking_delta":
        return this.append("thinking", data)
      case "agent_started":
        return this.start(data, at)
      case "agent_thinking": {
        this.set("thinking", text(data, "text"))
        return this.set("step", number(data, "step"))
      }
      case "tool_executing":
        return this.openTool(data)
      case "tool_completed":
        return this.closeTool(data)
      case "progress_update": {
        this.set("progress", number(data, "progress"))
        return this.set("progressMessage", text(data, "message"))
      }
      case "usage_reported":
        return this.addUsage(data)
      case "agent_completed": {
        this.state.status = "completed"
        this.state.endedAt = at
        return this.set("result", data["result"])
      }
      case "agent_error": {
        const reason = data["reason"]
        this.state.status = Schema.is(ErrorReason)(reason) ? reason : "failed"
        this.state.endedAt = at
        return this.set("error", text(data, "message"))
      }
    }
  }

  /**
   * The state after the events so far.
   */
  snapshot(): RunSnapshot {
    return {
      ...this.state,
      messages: Array.from(this.messages.values(), (message) => ({ ...message })),
      tools: Array.from(this.tools.values()),
      usage: {
        inputTokens: this.inputTokens,
        outputTokens: this.outputTokens,
        ...(this.cost === undefined ? {} : { cost: this.cost })
      }
    }
  }

  private set<K extends "thinking" | "step" | "progress" | "progressMessage" | "result" | "error">(
    key: K,
    value: RunSnapshot[K] | undefined
  ): void {
    if (value === undefined) delete this.state[key]
    else this.state[key] = value
  }

  private start(data: Data, at: number): void {
    this.state.status = "active"
    this.state.startedAt = at
    const agentName = text(data, "agentName")
    if (agentName !== undefined) this.state.agentName = agentName
    const parentRunId = text(data, "parentRunId")
    if (parentRunId !== undefined) this.state.parentRunId = parentRunId
  }

  private append(kind: "text" | "thinking", data: Data): void {
    const messageId = text(data, "messageId")
    const delta = text(data, "delta")
    if (messageId === undefined || delta === undefined) return
    const key = `${kind}:${messageId}`
    this.chars += delta.length
    const message = this.messages.get(key)
    if (message === undefined) this.messages.set(key, { messageId, kind, text: delta })
    else message.text += delta
    // Cut only now and then, so that a long answer does not copy itself at each piece.
    if (message !== undefined && message.text.length > 2 * maxText) this.truncate(message, maxText)
    if (this.messages.size > maxItems || this.chars > maxTotalText) this.dropOldestMessages()
  }

  private truncate(message: Mutable<typeof Message.Type>, keep: number): void {
    this.chars -= message.text.length - keep
    message.text = message.text.slice(message.text.length - keep)
    message.truncated = true
  }

  private dropOldestMessages(): void {
    for (const [key, message] of this.messages) {
      const fits = this.messages.size <= maxItems && this.chars <= maxTotalText
      if (fits) return
      if (this.messages.size === 1) return this.truncate(message, maxText)
      this.messages.delete(key)
      this.chars -= message.text.length
    }
  }

  private openTool(data: Data): void {
    const toolCallId = text(data, "toolCallId")
    const toolName = text(data, "toolName")
    if (toolCallId === undefined || toolName === undefined) return
    this.tools.set(toolCallId, { toolCallId, toolName, status: "executing" })
    dropOldest(this.tools)
  }

  private closeTool(data: Data): void {
    const toolCallId = text(data, "toolCallId")
    const toolName = text(data, "toolName")
    if (toolCallId === undefined || toolName === undefined) return
    const durationMs = number(data, "durationMs")
    this.tools.set(toolCallId, {
      toolCallId,
      toolName,
      status: data["isError"] === true ? "failed" : "completed",
      ...(durationMs === undefined ? {} : { durationMs })
    })
    dropOldest(this.tools)
  }

  private addUsage(data: Data): void {
    this.inputTokens += number(data, "inputTokens") ?? 0
    this.outputTokens += number(data, "outputTokens") ?? 0
    const cost = number(data, "cost")
    if (cost !== undefined) this.cost = (this.cost ?? 0) + cost
  }
}
