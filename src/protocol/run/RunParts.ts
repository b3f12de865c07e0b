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
import { withDefaults } from "../values/Present.ts"
import type { RunPart } from "./RunSnapshotSchema.ts"

// What is open by its status, and what that becomes with the ending of its run.
const closed: ReadonlyMap<unknown, string> = new Map([
  ["executing", "failed"],
  ["open", "withdrawn"],
  ["running", "finished"]
])

// Its characters, the bytes of its JSON, what it weighs, and its neighbours.
interface Place {
  chars: number
  jsonBytes: number
  weight: number
  older: FoldedPart | undefined
  newer: FoldedPart | undefined
}

/**
 * A text that comes piece by piece.
 *
 * @category models
 * @since 0.2.0
 */
export interface FoldedText extends Place {
  readonly type: "text" | "thinking"
  readonly id: string
  readonly text: GrowingText
  isCompleted: boolean
}

/**
 * A thought that came whole.
 *
 * @category models
 * @since 0.2.0
 */
export interface FoldedNote extends Place {
  readonly type: "note"
  readonly step: number | undefined
  readonly text: string
  readonly isCut: boolean
}

/**
 * All others.
 *
 * @category models
 * @since 0.2.0
 */
export interface FoldedItem extends Place {
  readonly type: ItemType | "event"
  readonly id: string
  fields: Fields
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
 * What is told as a whole, of each under an id.
 *
 * @category models
 * @since 0.2.0
 */
export type ItemType = "tool" | "request" | "step" | "source" | "file"

/**
 * The fields of such a part, or some of them. JSON of the program's is kept as text.
 *
 * @category models
 * @since 0.2.0
 */
export interface Fields {
  [field: string]: string | number | boolean | KeptJson | undefined
}

/**
 * What came of a request. The answer to a sensitive one is not kept.
 *
 * @category models
 * @since 0.2.0
 */
export interface Resolution {
  readonly status: "answered" | "expired" | "withdrawn"
  readonly answer: KeptJson | undefined
  readonly client: string | undefined
}

const ids: { readonly [Type in ItemType]: string } = {
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

/**
 * Mutable, and a linked list whose parts know their neighbours, so that a piece of a
 * text costs no more than a look at the part that grew last, and a thought no more
 * than its place at the end.
 *
 * @category folds
 * @since 0.1.0
 */
export class RunParts {
  #oldest: FoldedPart | undefined = undefined
  #newest: FoldedPart | undefined = undefined
  #size = 0
  // By their ids: all but notes and events, and but steps that are finished, whose names may come again.
  readonly #byId: { [Type in ItemType]?: Map<string, FoldedItem> } = {}
  readonly #texts: { [Type in FoldedText["type"]]?: Map<string, FoldedText> } = {}
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
          else this.#addText(type, messageId, text, truncated, completed)
          break
        }
        case "event":
          this.#add(item("event", part.name, kept(part)))
          break
        default:
          if (!Object.hasOwn(ids, part.type)) break
          const fields = kept(part)
          this.change(part.type, String(fields[ids[part.type]]), fields)
      }
    }
  }

  /** A piece of a text. */
  append(type: "text" | "thinking", messageId: string, delta: string): void {
    const known = this.#textOf(type, messageId)
    if (known === undefined) return this.#addText(type, messageId, delta)
    known.text.append(delta)
    this.#measure(known)
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
    const known = this.#byId.tool?.get(toolCallId)
    const text = known !== undefined && isOpen(known) ? known.fields["inputText"] : undefined
    const inputText = (typeof text === "string" ? [text, delta].join("") : delta).slice(0, maxJson)
    this.begin("tool", toolCallId, { type: "tool", toolCallId, toolName, status: "executing", inputText })
  }

  /** Something began. An id that is used again stands for another one, in a place of its own. Takes over `fields`. */
  begin(type: ItemType, id: string, fields: Fields): void {
    const known = this.#byId[type]?.get(id)
    if (known === undefined) return this.#begin(type, id, fields)
    if (isOpen(known)) return this.#rewrite(known, fields)
    this.#drop(known)
    this.#begin(type, id, fields)
  }

  /** Something changed, or was not seen to begin. It keeps its place. Takes over `fields`. */
  change(type: ItemType, id: string, fields: Fields): void {
    const known = this.#byId[type]?.get(id)
    if (known === undefined) this.#begin(type, id, fields)
    else this.#change(known, fields)
  }

  /** An event of the program's own: a part of its own, or what the first of its name says from now on. */
  keep(name: string, at: number, data: Json, keep: Keep): void {
    const fields = { type: "event", name, at, data: keepJson(data) }
    const known = keep === "newest" ? this.#eventOf(name) : undefined
    if (known === undefined) this.#add(item("event", name, fields))
    else this.#rewrite(known, fields)
  }

  /** Something came of a request; it has no effect where the request is not open. */
  resolve(requestId: string, { answer, client, status }: Resolution): void {
    const known = this.#byId.request?.get(requestId)
    if (known === undefined || !isOpen(known)) return
    this.#change(known, { status, client, answer: known.fields["sensitive"] === true ? undefined : answer })
  }

  /** The run has ended: nothing is open any more. */
  close(): void {
    for (let part = this.#oldest; part !== undefined; part = part.newer) {
      if (isText(part)) part.isCompleted = true
      else if (isItem(part) && isOpen(part)) this.#change(part, { status: closed.get(part.fields["status"]) })
    }
  }

  /** The parts so far. Later events do not change what was given. */
  list(): ReadonlyArray<RunPart> {
    const parts: Array<RunPart> = []
    for (let part = this.#oldest; part !== undefined; part = part.newer) parts.push(shown(part))
    return parts
  }

  #begin(type: ItemType, id: string, fields: Fields): void {
    const part = item(type, id, fields)
    this.#add(part)
    if (type !== "step" || isOpen(part)) (this.#byId[type] ??= new Map()).set(id, part)
  }

  #change(part: FoldedItem, fields: Fields): void {
    for (const field in fields) {
      if (fields[field] !== undefined) part.fields[field] = fields[field]
    }
    if (part.type === "step" && !isOpen(part)) this.#byId.step?.delete(part.id)
    this.#measure(part)
    this.#bound(part)
  }

  #rewrite(part: FoldedItem, fields: Fields): void {
    part.fields = fields
    this.#measure(part)
    this.#bound(part)
  }

  #eventOf(name: string): FoldedItem | undefined {
    for (let part = this.#oldest; part !== undefined; part = part.newer) {
      if (part.type === "event" && part.id === name) return part
    }
    return undefined
  }

  #textOf(type: FoldedText["type"], messageId: string): FoldedText | undefined {
    const latest = this.#latest
    return latest !== undefined && latest.id === messageId && latest.type === type
      ? latest
      : this.#texts[type]?.get(messageId)
  }

  #addText(type: FoldedText["type"], id: string, start: string, isCut = false, isCompleted = false): void {
    const text = new GrowingText(start, maxText, isCut)
    const part: FoldedText = {
      type,
      id,
      text,
      isCompleted,
      chars: 0,
      jsonBytes: 0,
      weight: 0,
      older: undefined,
      newer: undefined
    }
    this.#add(part)
    const texts = this.#texts[type] ??= new Map()
    texts.set(id, part)
    this.#latest = part
  }

  #add(part: FoldedPart): void {
    const newest = this.#newest
    if (newest === undefined) this.#oldest = part
    else newest.newer = part
    part.older = newest
    this.#newest = part
    this.#size++
    this.#measure(part)
    this.#bound(part)
  }

  #drop(part: FoldedPart): void {
    const { newer, older } = part
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    // What is gone must not keep alive what came after it.
    part.older = undefined
    part.newer = undefined
    this.#size--
    this.#chars -= part.chars
    this.#jsonBytes -= part.jsonBytes
    this.#held -= part.weight
    this.#droppedParts++
    if (part === this.#latest) this.#latest = undefined
    if (part.type === "note" || part.type === "event") return
    if (isText(part)) this.#texts[part.type]?.delete(part.id)
    else if (this.#byId[part.type]?.get(part.id) === part) this.#byId[part.type]?.delete(part.id)
  }

  // What waits for its user goes last.
  #bound(current: FoldedPart): void {
    if (this.#isWithinBounds) return
    this.#shrink(current, false)
    if (!this.#isWithinBounds) this.#shrink(current, true)
  }

  // The part that changes right now stays.
  #shrink(current: FoldedPart, waits: boolean): void {
    let next: FoldedPart | undefined
    for (let part = this.#oldest; part !== undefined && !this.#isWithinBounds; part = next) {
      next = part.newer
      if (part === current || isWaiting(part) !== waits) continue
      if (this.#size > maxParts || (this.#chars > maxTotalText && part.chars > 0)) this.#drop(part)
      else if (this.#jsonBytes > maxPartsJson && isItem(part)) this.#omitJson(part)
    }
  }

  // What is no longer than what would stand for it stays.
  #omitJson(part: FoldedItem): void {
    for (const field in part.fields) {
      const value = part.fields[field]
      if (typeof value === "object" && value.bytes > maxOmitted) part.fields[field] = omitted(value.bytes)
    }
    this.#measure(part)
  }

  get #isWithinBounds(): boolean {
    return this.#size <= maxParts && this.#chars <= maxTotalText && this.#jsonBytes <= maxPartsJson
  }

  // After each change of a part.
  #measure(part: FoldedPart): void {
    let chars = 0
    let jsonBytes = 0
    if (isItem(part)) {
      for (const field in part.fields) {
        const value = part.fields[field]
        if (typeof value === "object") jsonBytes += value.bytes
        else if (typeof value === "string" && texts.has(field)) chars += value.length
      }
    } else chars = part.text.length
    const weight = this.#weigh(part)
    this.#chars += chars - part.chars
    this.#jsonBytes += jsonBytes - part.jsonBytes
    this.#held += weight - part.weight
    part.chars = chars
    part.jsonBytes = jsonBytes
    part.weight = weight
  }
}

// The run's own input has its place beside them.
const maxPartsJson = maxTotalJson - maxJson

const maxOmitted = 32

const note = (text: string, step: number | undefined, isCut = false): FoldedNote => ({
  type: "note",
  step,
  text: tail(text, maxText),
  isCut: isCut || text.length > maxText,
  chars: 0,
  jsonBytes: 0,
  weight: 0,
  older: undefined,
  newer: undefined
})

const item = (type: FoldedItem["type"], id: string, fields: Fields): FoldedItem => ({
  type,
  id,
  fields,
  chars: 0,
  jsonBytes: 0,
  weight: 0,
  older: undefined,
  newer: undefined
})

// The fields of a part as it is shown, as they are kept.
const kept = (part: { readonly [field: string]: Json | undefined }): Fields => {
  const fields: Fields = {}
  for (const field in part) {
    const value = part[field]
    fields[field] = jsonFields.has(field) || typeof value === "object" ? keepJson(value) : value
  }
  return fields
}

const isText = (part: FoldedPart): part is FoldedText => part.type === "text" || part.type === "thinking"

const isItem = (part: FoldedPart): part is FoldedItem => part.type !== "note" && !isText(part)

const isOpen = (part: FoldedPart): boolean => isItem(part) && closed.has(part.fields["status"])

const isWaiting = (part: FoldedPart): boolean => isItem(part) && part.fields["status"] === "open"

const shown = (part: FoldedPart): RunPart => {
  if (isText(part)) {
    const { id, isCompleted, text, type } = part
    return withDefaults<RunPart>({ type, messageId: id, text: text.text }, {
      truncated: text.isTruncated || undefined,
      completed: isCompleted || undefined
    })
  }
  if (part.type === "note") {
    return withDefaults<RunPart>({ type: "thinking", text: part.text }, {
      step: part.step,
      truncated: part.isCut || undefined
    })
  }
  const fields: { [field: string]: Json } = {}
  for (const field in part.fields) {
    const value = part.fields[field]
    if (value !== undefined) fields[field] = typeof value === "object" ? JSON.parse(value.text) : value
  }
  // It was made of the fields of such a part; types cannot follow their names.
  return fields as RunPart
}
