/**
 * The list of a run's parts, folded from its events.
 *
 * A part stays where it began, however often it changes. Past a bound the oldest
 * go first: of the texts, where they are too long together; of all parts, where
 * there are too many; of inputs, outputs and their like only their JSON. The part
 * that changes right now always stays, and requests that are open do as long as
 * there is anything else to let go.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import { GrowingText, tail } from "./GrowingText.ts"
import { keepJson, type KeptJson, omitted } from "./KeptJson.ts"
import type { Keep } from "../event/RunEvents.ts"
import { maxJson, maxParts, maxText, maxTotalJson, maxTotalText } from "./RunLimits.ts"
import { type Given, withDefaults } from "../values/Present.ts"
import type { RunPart } from "./RunSnapshotSchema.ts"

/**
 * A text that comes piece by piece.
 *
 * @category models
 * @since 0.2.0
 */
export interface FoldedText {
  readonly type: "text" | "thinking"
  readonly messageId: string
  readonly text: GrowingText
  isCompleted: boolean
}

/**
 * A thought that came whole.
 *
 * @category models
 * @since 0.2.0
 */
export interface FoldedNote {
  readonly type: "note"
  readonly step: number | undefined
  readonly text: string
  readonly isCut: boolean
}

/**
 * All others. What is kept of a program's JSON is apart from the other fields.
 *
 * @category models
 * @since 0.2.0
 */
export interface FoldedItem {
  readonly type: "item"
  readonly key: string
  readonly fields: { [field: string]: Json }
  readonly json: { [field: string]: KeptJson }
  // Counted once: the characters of its texts, the bytes of its JSON, and what it weighs, if somebody weighs it.
  readonly chars: number
  readonly jsonBytes: number
  weight: number | undefined
}

/**
 * A part, as it is folded.
 *
 * @category models
 * @since 0.2.0
 */
export type FoldedPart = FoldedText | FoldedNote | FoldedItem

/**
 * What a text or a part takes in memory, in bytes.
 *
 * @category models
 * @since 0.2.0
 */
export type Weigh = (kept: string | FoldedPart | undefined) => number

/**
 * A part that has an id, and is told of as a whole.
 *
 * @category models
 * @since 0.2.0
 */
export type Item = Exclude<RunPart, { readonly type: "text" | "thinking" | "event" }>

/**
 * An event of the program's own that is kept.
 *
 * @category models
 * @since 0.2.0
 */
export type KeptEvent = Extract<RunPart, { readonly type: "event" }>

/**
 * What came of a request. The answer to a sensitive one is not kept.
 *
 * @category models
 * @since 0.2.0
 */
export interface Resolution {
  readonly status: "answered" | "expired" | "withdrawn"
  readonly answer: Json | undefined
  readonly client: string | undefined
}

type Changes = { readonly [field: string]: Json | undefined }

const ids: { readonly [Type in Item["type"]]: string } = {
  tool: "toolCallId",
  request: "requestId",
  step: "name",
  source: "sourceId",
  file: "fileId"
}

// The fields that count as texts.
const texts: ReadonlySet<string> = new Set(["title", "detail", "excerpt", "url", "inputText"])

// The fields that hold JSON of the program's.
const jsonFields: ReadonlySet<string> = new Set(["input", "output", "schema", "options", "answer", "data"])

// What is open by its status, and what that becomes with the ending of its run.
const closed: ReadonlyMap<unknown, string> = new Map([
  ["executing", "failed"],
  ["open", "withdrawn"],
  ["running", "finished"]
])

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
  // By their type and id: all but notes and events, and but steps that are finished, whose names may come again.
  readonly #byKey = new Map<string, Node>()
  // The text that grew last.
  #latest: FoldedText | undefined = undefined
  #droppedParts = 0
  #chars = 0
  #jsonBytes = 0
  #held = 0
  readonly #weigh: Weigh

  constructor(weigh: Weigh) {
    this.#weigh = weigh
  }

  /** How many parts are not kept any more. */
  get dropped(): number {
    return this.#droppedParts
  }

  /** What the parts weigh. */
  get bytes(): number {
    return this.#held
  }

  /** Goes on from the parts of a snapshot. Those of a type that is not known are left out. */
  restore(parts: ReadonlyArray<RunPart>, dropped: number): void {
    this.#droppedParts = dropped
    for (const part of parts) {
      switch (part.type) {
        case "text":
        case "thinking": {
          const { completed = false, messageId, text, truncated, type } = part
          if (messageId === undefined) this.#add(note(text, "step" in part ? part.step : undefined, truncated))
          else this.#addText({ type, messageId, text: growing(text, truncated), isCompleted: completed })
          break
        }
        case "event":
          this.#add(item("", part))
          break
        default:
          if (Object.hasOwn(ids, part.type)) this.change(part)
      }
    }
  }

  /** A piece of a text. */
  append(type: "text" | "thinking", messageId: string, delta: string): void {
    const known = this.#textOf(type, messageId)
    if (known === undefined) return this.#addText({ type, messageId, text: growing(delta), isCompleted: false })
    const { text } = known
    this.#chars -= text.length
    this.#held -= this.#weigh(known)
    text.append(delta)
    this.#chars += text.length
    this.#held += this.#weigh(known)
    this.#latest = known
    this.#bound(known)
  }

  /** A thought that came whole. */
  note(text: string, step: number | undefined): void {
    this.#add(note(text, step))
  }

  /** Nothing more comes of a text. */
  complete(type: "text" | "thinking", messageId: string): void {
    const known = this.#textOf(type, messageId)
    if (known !== undefined) known.isCompleted = true
  }

  /** A piece of the input of a tool call, before it begins. */
  appendInput(toolCallId: string, toolName: string, delta: string): void {
    const known = this.#byKey.get(`tool:${toolCallId}`)?.part
    const text = known?.type === "item" && isOpen(known) ? known.fields["inputText"] : undefined
    const inputText = typeof text === "string" ? [text, delta].join("") : delta
    this.begin({ type: "tool", toolCallId, toolName, status: "executing", inputText: inputText.slice(0, maxJson) })
  }

  /** Something began. An id that is used again stands for another one, in a place of its own. */
  begin(part: Given<Item>): void {
    const key = keyOf(part)
    const known = this.#byKey.get(key)
    if (known !== undefined && !isOpen(known.part)) this.#drop(known)
    this.#set(key, item(key, part))
  }

  /** Something changed, or was not seen to begin. It keeps its place. */
  change(part: Given<Item>): void {
    this.#change(keyOf(part), part)
  }

  /** An event of the program's own: a part of its own, or what the first of its name says from now on. */
  keep(event: KeptEvent, keep: Keep): void {
    const kept = item("", event)
    const known = keep === "newest" ? this.#eventOf(event.name) : undefined
    if (known === undefined) {
      this.#add(kept)
    } else {
      this.#replace(known, kept)
      this.#bound(kept)
    }
  }

  /** Something came of a request; it has no effect where the request is not open. */
  resolve(requestId: string, { answer, ...others }: Resolution): void {
    const key = `request:${requestId}`
    const part = this.#byKey.get(key)?.part
    if (part?.type !== "item" || !isOpen(part)) return
    this.#change(key, part.fields["sensitive"] === true ? others : { ...others, answer })
  }

  /** The run has ended: nothing is open any more. */
  close(): void {
    for (let node = this.#oldest; node !== undefined; node = node.newer) {
      const { part } = node
      if (part.type === "item") {
        if (!isOpen(part)) continue
        this.#replace(node, item(part.key, { status: closed.get(part.fields["status"]) }, part))
        this.#index(node)
      } else if (part.type !== "note") {
        part.isCompleted = true
      }
    }
  }

  /** The parts so far. Later events do not change what was given. */
  list(): ReadonlyArray<RunPart> {
    const parts: Array<RunPart> = []
    for (let node = this.#oldest; node !== undefined; node = node.newer) parts.push(shown(node.part))
    return parts
  }

  #change(key: string, changes: Changes): void {
    this.#set(key, item(key, changes, this.#byKey.get(key)?.part))
  }

  #set(key: string, part: FoldedItem): void {
    const known = this.#byKey.get(key)
    if (known === undefined) {
      this.#index(this.#add(part))
    } else {
      this.#replace(known, part)
      this.#index(known)
      this.#bound(part)
    }
  }

  #index(node: Node): void {
    const { part } = node
    if (part.type !== "item") return
    if (isOpen(part) || part.fields["type"] !== "step") this.#byKey.set(part.key, node)
    else this.#byKey.delete(part.key)
  }

  #eventOf(name: string): Node | undefined {
    for (let node = this.#oldest; node !== undefined; node = node.newer) {
      const { part } = node
      if (part.type === "item" && part.fields["type"] === "event" && part.fields["name"] === name) return node
    }
    return undefined
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
    if (part.type === "item") {
      if (this.#byKey.get(part.key) === node) this.#byKey.delete(part.key)
    } else if (part.type !== "note") this.#byKey.delete(`${part.type}:${part.messageId}`)
  }

  // What waits for its user goes last.
  #bound(current: FoldedPart): void {
    if (!this.#isWithinBounds) this.#shrink(current, false)
    if (!this.#isWithinBounds) this.#shrink(current, true)
  }

  // The part that changes right now stays.
  #shrink(current: FoldedPart, waits: boolean): void {
    for (let node = this.#oldest; node !== undefined && !this.#isWithinBounds; node = node.newer) {
      const { part } = node
      if (part === current || isWaiting(part) !== waits) continue
      if (this.#size > maxParts || (this.#chars > maxTotalText && charsOf(part) > 0)) this.#drop(node)
      else if (this.#jsonBytes > maxPartsJson && part.type === "item") this.#replace(node, withoutJson(part))
    }
  }

  get #isWithinBounds(): boolean {
    return this.#size <= maxParts && this.#chars <= maxTotalText && this.#jsonBytes <= maxPartsJson
  }

  #count(part: FoldedPart, sign: 1 | -1 = 1): void {
    this.#held += sign * this.#weigh(part)
    this.#chars += sign * charsOf(part)
    if (part.type === "item") this.#jsonBytes += sign * part.jsonBytes
  }
}

// The run's own input has its place beside them.
const maxPartsJson = maxTotalJson - maxJson

const maxOmitted = 32

// What is no longer than what would stand for it stays.
const withoutJson = (part: FoldedItem): FoldedItem => {
  const json = { ...part.json }
  for (const field in json) {
    const kept = json[field]
    if (kept !== undefined && kept.bytes > maxOmitted) json[field] = omitted(kept.bytes)
  }
  return counted(part.key, part.fields, json)
}

const growing = (text: string, isCut = false): GrowingText => new GrowingText(text, maxText, isCut)

const note = (text: string, step: number | undefined, isCut = false): FoldedNote => ({
  type: "note",
  step,
  text: tail(text, maxText),
  isCut: isCut || text.length > maxText
})

const keyOf = (part: Changes & { readonly type: Item["type"] }): string => `${part.type}:${part[ids[part.type]]}`

// What the changes say of the part, beside what is known of it.
const item = (key: string, changes: Changes, known?: FoldedPart): FoldedItem => {
  const before = known?.type === "item" ? known : undefined
  const fields = { ...before?.fields }
  const json = { ...before?.json }
  for (const field in changes) {
    const value = changes[field]
    if (value === undefined) continue
    const kept = jsonFields.has(field) ? keepJson(value) : undefined
    if (kept === undefined) fields[field] = value
    else json[field] = kept
  }
  return counted(key, fields, json)
}

const counted = (key: string, fields: FoldedItem["fields"], json: FoldedItem["json"]): FoldedItem => {
  let chars = 0
  let jsonBytes = 0
  for (const field in fields) {
    const value = fields[field]
    if (typeof value === "string" && texts.has(field)) chars += value.length
  }
  for (const field in json) jsonBytes += json[field]?.bytes ?? 0
  return { type: "item", key, fields, json, chars, jsonBytes, weight: undefined }
}

const isOpen = (part: FoldedPart): boolean => part.type === "item" && closed.has(part.fields["status"])

const isWaiting = (part: FoldedPart): boolean => part.type === "item" && part.fields["status"] === "open"

const charsOf = (part: FoldedPart): number => part.type === "item" ? part.chars : part.text.length

const shown = (part: FoldedPart): RunPart => {
  switch (part.type) {
    case "item": {
      const fields = { ...part.fields }
      for (const field in part.json) fields[field] = JSON.parse(part.json[field]?.text ?? "null")
      // It was made of the fields of such a part; types cannot follow their names.
      return fields as RunPart
    }
    case "note":
      return withDefaults<RunPart>({ type: "thinking", text: part.text }, {
        step: part.step,
        truncated: part.isCut || undefined
      })
    default: {
      const { isCompleted, messageId, text, type } = part
      return withDefaults<RunPart>({ type, messageId, text: text.text }, {
        truncated: text.isTruncated || undefined,
        completed: isCompleted || undefined
      })
    }
  }
}
