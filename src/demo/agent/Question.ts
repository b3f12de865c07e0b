/**
 * What a question asks for: its parts, and for each the words to look for and the kind of answer.
 */
import { Schema } from "effect"
import type { Library } from "./Library.ts"
import { subjectWords } from "./Words.ts"

/** A question as a user writes it: 1 to 500 characters that are not all white space. */
export const Question = Schema.Trim.check(Schema.isBetweenLength(1, 500))

/**
 * One part of a question.
 *
 * - `definition` asks what something is, `howto` how something is done, `comparison` how the two `sides` differ, and
 *   `fact` anything else.
 * - `words` are what it is about: the key to compare by, and the form the user wrote.
 * - `unknown` are those of them, as written, that no document has.
 * - `corrected` are those that look misspelt: as written, and as they were read. They stand in `words` corrected.
 */
export interface Part {
  readonly text: string
  readonly kind: "definition" | "howto" | "comparison" | "fact"
  readonly words: ReadonlyMap<string, string>
  readonly sides: readonly [string, string] | undefined
  readonly unknown: ReadonlyArray<string>
  readonly corrected: ReadonlyArray<readonly [string, string]>
}

/** No more parts than this are answered; the rest of a longer question is looked up with the last of them. */
export const maxParts = 3

const comparisons = [
  /\bdifferences?\s+between\s+(?<a>.+?)\s+and\s+(?<b>.+)/iu,
  /\bhow\s+(?:do|does|is|are)\s+(?<a>.+?)\s+(?:differ|different)\s+from\s+(?<b>.+)/iu,
  /\bcompare\s+(?<a>.+?)\s+(?:and|with|to)\s+(?<b>.+)/iu,
  /(?<a>.+?)\s+(?:vs\.?|versus)\s+(?<b>.+)/iu
]

const splitter = /[?!;\n]+\s*|[,.]?\s+and\s+(?=(?:how|what|why|when|where|who|which|does|do|is|are|can)\b)/iu

const trimSide = (side: string) => side.replace(/[?.!,;:]+$/u, "").replace(/^(?:a|an|the)\s+/iu, "").trim()

type Bare = Pick<Part, "text" | "kind" | "words" | "sides">

const partOf = (text: string): Bare => {
  const words = subjectWords(text)
  for (const pattern of comparisons) {
    const groups = pattern.exec(text)?.groups
    const a = trimSide(groups?.["a"] ?? "")
    const b = trimSide(groups?.["b"] ?? "")
    if (subjectWords(a).size > 0 && subjectWords(b).size > 0) {
      // "difference", "compare" and the like are how it is asked, not what about.
      return { text, kind: "comparison", words: new Map([...subjectWords(a), ...subjectWords(b)]), sides: [a, b] }
    }
  }
  const kind = /^\s*(?:what|who)(?:'s|\s+is|\s+are|\s+was|\s+does\s+.+\s+mean)\b|^\s*(?:define|explain)\b/iu.test(text)
    ? "definition"
    : /^\s*(?:how\s+(?:to|(?:do|can|could|should|would)\s+(?:i|we|you|one))|show|give)\b/iu.test(text)
    ? "howto"
    : "fact"
  return { text, kind, words, sides: undefined }
}

const against = (library: Library, part: Bare): Part => {
  const words = new Map<string, string>()
  const unknown: Array<string> = []
  const corrected: Array<readonly [string, string]> = []
  for (const [word, written] of part.words) {
    const nearest = library.knows(word) ? undefined : library.nearest(word)
    if (nearest !== undefined) corrected.push([written, nearest[1]])
    else if (!library.knows(word)) unknown.push(written)
    const [key, form] = nearest ?? [word, written]
    words.set(key, form)
  }
  return { ...part, words, unknown, corrected }
}

/**
 * Takes a question apart, and looks its words up in the documents it is asked of. Parts without any word to look for
 * are left out, so there may be none.
 */
export const parse = (question: string, library: Library): ReadonlyArray<Part> => {
  const texts = question.split(splitter).map((text) => text.trim()).filter((text) => text !== "")
  const kept = texts.length <= maxParts ? texts : [...texts.slice(0, maxParts - 1), texts.slice(maxParts - 1).join(" ")]
  return kept.map(partOf).filter(({ words }) => words.size > 0).map((part) => against(library, part))
}
