/**
 * The list of a run's parts, folded from its events.
 *
 * A part stays where it began, however often it changes. Past a bound the oldest
 * go first: of the texts, where they are too long together; of all parts, where
 * there are too many; of inputs and outputs only their JSON. The part that changes
 * right now always stays.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import { bytesOf, GrowingText, roughBytesOf, tail, textOverhead } from "./GrowingText.ts"
import { keepJson, type KeptJson, omitted } from "./KeptJson.ts"
import { maxJson, maxParts, maxText, maxTotalJson, maxTotalText } from "./RunLimits.ts"
import { withDefaults } from "../values/Present.ts"
import type { RunPart } from "./RunSnapshotSchema.ts"

interface FoldedText {
  readonly type: "text" | "thinking"
  readonly messageId: string
  readonly text: GrowingText
}

interface FoldedNote {
  readonly type: "note"
  readonly step: number | undefined
  readonly text: string
  readonly isCut: boolean
}

interface FoldedTool {
  readonly type: "tool"
  readonly toolCallId: string
  readonly toolName: string
  readonly status: "executing" | "completed" | "failed"
  readonly input: KeptJson | undefined
  readonly output: KeptJson | undefined
  readonly durationMs: number | undefined
}

type FoldedPart = FoldedText | FoldedNote | FoldedTool

/**
 * How a tool call ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolEnding {
  readonly status: "completed" | "failed"
  readonly output: Json | undefined
  readonly durationMs: number | undefined
}

interface Node {
  part: FoldedPart
  older: Node | undefined
  newer: Node | undefined
}

/**
 * Mutable, and a linked list, so that a piece of a text costs no more than a look at
 * the part that grew last, and a thought no more than its place at the end.
 *
 * @category folds
 * @since 0.1.0
 */
export class RunParts {
  #oldest: Node | undefined = undefined
  #newest: Node | undefined = undefined
  #size = 0
  // Texts and tool calls, by their type and id.
  readonly #byKey = new Map<string, Node>()
  // The text that grew last.
  #latest: FoldedText | undefined = undefined
  #droppedParts = 0
  #chars = 0
  #jsonBytes = 0
  #held = 0

  /** How many parts are not kept any more. */
  get dropped(): number {
    return this.#droppedParts
  }

  /** About what the parts take in memory, in bytes. */
  get bytes(): number {
    return this.#held
  }

  /** Goes on from the parts of a snapshot. Those of a type that is not known are left out. */
  restore(parts: ReadonlyArray<RunPart>, dropped: number): void {
    this.#droppedParts = dropped
    for (const part of parts) {
      switch (part.type) {
        case "text":
          this.#addText({ type: "text", messageId: part.messageId, text: growing(part.text, part.truncated) })
          break
        case "thinking": {
          const { messageId, step, text, truncated } = part
          if (messageId === undefined) this.#add(note(text, step, truncated))
          else this.#addText({ type: "thinking", messageId, text: growing(text, truncated) })
          break
        }
        case "tool": {
          const { durationMs, input, output, status, toolCallId, toolName } = part
          const json = { input: keepJson(input), output: keepJson(output) }
          this.#setTool({ type: "tool", toolCallId, toolName, status, ...json, durationMs })
          break
        }
      }
    }
  }

  /** A piece of a text. */
  append(type: "text" | "thinking", messageId: string, delta: string): void {
    const known = this.#textOf(type, messageId)
    if (known === undefined) return this.#addText({ type, messageId, text: growing(delta) })
    const { text } = known
    this.#chars -= text.length
    this.#held -= text.bytes
    text.append(delta)
    this.#chars += text.length
    this.#held += text.bytes
    this.#latest = known
    this.#bound(known)
  }

  /** A thought that came whole. */
  note(text: string, step: number | undefined): void {
    this.#add(note(text, step))
  }

  /** A tool call began. */
  openTool(toolCallId: string, toolName: string, input: Json | undefined): void {
    const known = this.#byKey.get(`tool:${toolCallId}`)
    // An id that is used again is another call, in a place of its own.
    if (known?.part.type === "tool" && known.part.status !== "executing") this.#drop(known)
    this.#setTool({
      type: "tool",
      toolCallId,
      toolName,
      status: "executing",
      input: keepJson(input),
      output: undefined,
      durationMs: undefined
    })
  }

  /** A tool call ended. */
  closeTool(toolCallId: string, toolName: string, { durationMs, output, status }: ToolEnding): void {
    const known = this.#byKey.get(`tool:${toolCallId}`)?.part
    const input = known?.type === "tool" ? known.input : undefined
    this.#setTool({ type: "tool", toolCallId, toolName, status, input, output: keepJson(output), durationMs })
  }

  /** Keeps of each text the last `max` characters, where memory is short. */
  shorten(max: number): void {
    for (let node = this.#oldest; node !== undefined; node = node.newer) {
      const { part } = node
      if (part.type === "tool") continue
      this.#count(part, -1)
      if (part.type === "note") node.part = note(tail(part.text, max), part.step, part.isCut || part.text.length > max)
      else part.text.shorten(max)
      this.#count(node.part)
    }
  }

  /** The parts so far. Later events do not change what was given. */
  list(): ReadonlyArray<RunPart> {
    const parts: Array<RunPart> = []
    for (let node = this.#oldest; node !== undefined; node = node.newer) parts.push(shown(node.part))
    return parts
  }

  #textOf(type: "text" | "thinking", messageId: string): FoldedText | undefined {
    const latest = this.#latest
    if (latest !== undefined && latest.messageId === messageId && latest.type === type) return latest
    const part = this.#byKey.get(`${type}:${messageId}`)?.part
    return part?.type === type ? part : undefined
  }

  #addText(part: FoldedText): void {
    this.#byKey.set(`${part.type}:${part.messageId}`, this.#add(part))
    this.#latest = part
  }

  // A call that is known keeps its place.
  #setTool(tool: FoldedTool): void {
    const key = `tool:${tool.toolCallId}`
    const known = this.#byKey.get(key)
    if (known === undefined) {
      this.#byKey.set(key, this.#add(tool))
    } else {
      this.#replace(known, tool)
      this.#bound(tool)
    }
  }

  #add(part: FoldedPart): Node {
    const node: Node = { part, older: this.#newest, newer: undefined }
    if (this.#newest === undefined) this.#oldest = node
    else this.#newest.newer = node
    this.#newest = node
    this.#size++
    this.#count(part)
    this.#bound(part)
    return node
  }

  #replace(node: Node, part: FoldedPart): void {
    this.#count(node.part, -1)
    node.part = part
    this.#count(part)
  }

  #drop(node: Node): void {
    const { newer, older, part } = node
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    this.#size--
    this.#count(part, -1)
    this.#droppedParts++
    if (part === this.#latest) this.#latest = undefined
    if (part.type === "tool") this.#byKey.delete(`tool:${part.toolCallId}`)
    else if (part.type !== "note") this.#byKey.delete(`${part.type}:${part.messageId}`)
  }

  // The part that changes right now stays.
  #bound(current: FoldedPart): void {
    for (let node = this.#oldest; node !== undefined && !this.#isWithinBounds; node = node.newer) {
      const { part } = node
      if (part === current) continue
      if (this.#size > maxParts || (this.#chars > maxTotalText && part.type !== "tool")) this.#drop(node)
      else if (this.#jsonBytes > maxPartsJson && part.type === "tool") this.#replace(node, withoutJson(part))
    }
  }

  get #isWithinBounds(): boolean {
    return this.#size <= maxParts && this.#chars <= maxTotalText && this.#jsonBytes <= maxPartsJson
  }

  #count(part: FoldedPart, sign: 1 | -1 = 1): void {
    this.#held += sign * partBytes(part)
    if (part.type === "tool") this.#jsonBytes += sign * ((part.input?.bytes ?? 0) + (part.output?.bytes ?? 0))
    else this.#chars += sign * part.text.length
  }
}

// The run's own input has its place beside them.
const maxPartsJson = maxTotalJson - maxJson

// What is no longer than what would stand for it stays.
const shortest = (json: KeptJson | undefined): KeptJson | undefined =>
  json === undefined || json.bytes <= maxOmitted ? json : omitted(json.bytes)

const maxOmitted = 32

const withoutJson = (tool: FoldedTool): FoldedTool => ({
  ...tool,
  input: shortest(tool.input),
  output: shortest(tool.output)
})

const growing = (text: string, isCut = false): GrowingText => new GrowingText(text, maxText, isCut)

const note = (text: string, step: number | undefined, isCut = false): FoldedNote => ({
  type: "note",
  step,
  text: tail(text, maxText),
  isCut: isCut || text.length > maxText
})

// What is kept takes about so much, in bytes: measured in V8. Labels may be of any script.
const partOverhead = 160
const jsonOverhead = 40
const jsonBytes = (json: KeptJson | undefined): number => json === undefined ? 0 : jsonOverhead + bytesOf(json.text)

const partBytes = (part: FoldedPart): number => {
  switch (part.type) {
    case "note":
      return partOverhead + roughBytesOf(part.text)
    case "tool":
      return partOverhead + textOverhead + 4 * part.toolCallId.length + 2 * part.toolName.length +
        jsonBytes(part.input) + jsonBytes(part.output)
    default:
      return partOverhead + 4 * part.messageId.length + part.text.bytes
  }
}

const parsed = (json: KeptJson | undefined): Json | undefined => json && JSON.parse(json.text)

const shown = (part: FoldedPart): RunPart => {
  switch (part.type) {
    case "tool": {
      const { durationMs, input, output, ...call } = part
      return withDefaults<RunPart>(call, { input: parsed(input), output: parsed(output), durationMs })
    }
    case "note":
      return withDefaults<RunPart>({ type: "thinking", text: part.text }, {
        step: part.step,
        truncated: part.isCut || undefined
      })
    default: {
      const { messageId, text, type } = part
      return withDefaults<RunPart>({ type, messageId, text: text.text }, { truncated: text.isTruncated || undefined })
    }
  }
}
