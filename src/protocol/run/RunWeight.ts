/**
 * What runs take in memory, for who bounds it: a page does not, and need not load this.
 *
 * @since 0.2.0
 */
import { isWide, tail, textOverhead } from "./GrowingText.ts"
import type { KeptJson } from "./KeptJson.ts"
import type { RunFold } from "./RunFold.ts"
import type { FoldedItem, Weigh } from "./RunParts.ts"
import type { RunSnapshot } from "./RunSnapshotSchema.ts"

// Measured in V8, in bytes. Labels may be of any script.
const foldOverhead = 800
const partOverhead = 160
const jsonOverhead = 40

// Engines keep one byte for each character where none needs more, else two for each.
const bytesOf = (text: string): number => textOverhead + (isWide(text) ? 2 : 1) * text.length

// Without a look at each character of a short text: that counts as if each took two bytes.
const roughBytesOf = (text: string): number => text.length > maxScanned ? bytesOf(text) : textOverhead + 2 * text.length

const maxScanned = 1_024

const itemBytes = ({ fields, id }: FoldedItem): number => {
  let bytes = partOverhead + textOverhead + 2 * id.length
  for (const field in fields) {
    const value = fields[field]
    if (typeof value === "string") bytes += 2 * value.length
    else if (typeof value === "object") bytes += jsonOverhead + jsonTextBytes(value)
  }
  return bytes
}

// Where no character takes two bytes in UTF-8, none does in memory.
const jsonTextBytes = ({ bytes, text }: KeptJson): number =>
  bytes === text.length ? textOverhead + bytes : bytesOf(text)

/**
 * About what a text or a part takes, in bytes.
 *
 * @category getters
 * @since 0.2.0
 */
export const weigh: Weigh = (kept) => {
  if (kept === undefined) return 0
  if (typeof kept === "string") return roughBytesOf(kept)
  switch (kept.type) {
    case "note":
      return partOverhead + roughBytesOf(kept.text)
    case "text":
    case "thinking":
      return partOverhead + 4 * kept.id.length + kept.text.bytes
    default:
      return itemBytes(kept)
  }
}

/**
 * About what a fold takes that was given `weigh`, in bytes.
 *
 * @category getters
 * @since 0.2.0
 */
export const bytesOfFold = (fold: RunFold): number => foldOverhead + fold.weight

/**
 * The state with the last `max` characters of each of its texts and thoughts, where
 * memory is short.
 *
 * @category conversions
 * @since 0.2.0
 */
export const shortened = (state: RunSnapshot, max: number): RunSnapshot => ({
  ...state,
  parts: state.parts.map((part) =>
    (part.type === "text" || part.type === "thinking") && part.text.length > max
      ? { ...part, text: tail(part.text, max), truncated: true }
      : part
  )
})
