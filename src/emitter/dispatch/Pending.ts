/**
 * An accepted event on its user's list.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { Coalesce } from "../../protocol/event/Event.ts"
import type { Outcome } from "../delivery/Outcome.ts"

/**
 * How an event on the list takes in others: `head` is the text before its
 * data, `text` the joined text of a `Concatenate` event, or the JSON of what is
 * newest. `grown` once it has taken in another.
 *
 * @category models
 * @since 0.1.0
 */
export interface Merging {
  readonly coalesce: Coalesce
  readonly head: string
  text: string
  grown: boolean
}

/**
 * An envelope on the list. A merged one grows until it is taken, and its `body`
 * is written when it leaves. One that may be a repetition `isApart`: it goes in a
 * batch of its own, since only of a batch's last event it is told where it stands,
 * and the others stand before it in a row. `onReceipt` is called with what becomes
 * of the event, where somebody wants to know.
 *
 * It is a plain mutable object, since one is made for every emit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pending extends Envelope {
  body: string
  bytes: number
  data: Schema.JsonObject
  readonly merging: Merging | undefined
  readonly isApart: boolean
  onReceipt: ((outcome: Outcome) => void) | undefined
}

/**
 * Puts newer data, `json` as text, in the place of the event's own, where it stays
 * within `maxBytes`. Gives whether it did.
 *
 * @category operations
 * @since 0.1.0
 */
export const replace = (event: Pending, data: Schema.JsonObject, json: string, maxBytes: number): boolean => {
  const { merging } = event
  if (merging === undefined) return false
  const bytes = bodyBytes(merging.head, json)
  if (bytes > maxBytes) return false
  merging.grown = true
  merging.text = json
  event.data = data
  event.bytes = bytes
  return true
}

/**
 * Adds text to the event's own, where it stays within `maxBytes`. Gives whether it
 * did.
 *
 * @category operations
 * @since 0.1.0
 */
export const concatenate = (event: Pending, text: Schema.Json | undefined, maxBytes: number): boolean => {
  const { merging } = event
  if (merging === undefined || typeof text !== "string") return false
  const bytes = jsonBytes(text)
  if (event.bytes + bytes > maxBytes) return false
  merging.grown = true
  merging.text += text
  event.bytes += bytes
  return true
}

/**
 * Writes the body of an event that will take in no more.
 *
 * @category operations
 * @since 0.1.0
 */
export const writeMerged = (event: Pending): void => {
  const { merging } = event
  if (merging?.grown !== true) return
  const { coalesce, head, text } = merging
  if (coalesce._tag === "Concatenate") event.data = { ...event.data, [coalesce.text]: text }
  else event.data = owned(event.data, text)
  const json = coalesce._tag === "Concatenate" ? JSON.stringify(event.data) : text
  event.body = `${head}${json}}`
  event.bytes = bodyBytes(head, json)
}

/**
 * An encoded payload that shares nothing with its program, which may change what
 * it emitted as it likes: `data` as it is where nothing in it can change, else as
 * its text `json` says. Encoding makes the payload itself anew, but not what is
 * JSON in it already.
 *
 * @category conversions
 * @since 0.1.0
 */
export const owned = (data: Schema.JsonObject, json: string): Schema.JsonObject => {
  for (const key in data) {
    const value = data[key]
    if (typeof value === "object" && value !== null) return JSON.parse(json)
  }
  return data
}

/**
 * The bytes of a body. Its head is ASCII.
 *
 * @category conversions
 * @since 0.1.0
 */
export const bodyBytes = (head: string, json: string): number => head.length + Buffer.byteLength(json) + 1

// The bytes that a text adds to a JSON string. Pieces of an answer are short: they are soon looked through.
const jsonBytes = (text: string): number => {
  let bytes = text.length
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x22 || code === 0x5c || code === 0x0a || code >= 0x80 && code < 0x800) bytes += 1
    else if (code >= 0x800 && (code < 0xd800 || code > 0xdfff)) bytes += 2
    else if (code < 0x20 || code >= 0x800) return Buffer.byteLength(JSON.stringify(text)) - 2
  }
  return bytes
}
