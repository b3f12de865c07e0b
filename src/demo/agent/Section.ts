/**
 * A piece of a document under one heading: what the agent searches, reads and cites.
 */

/**
 * The smallest thing an answer quotes.
 *
 * `sentence`s of one paragraph carry the same `block`; so do the items of one list and the rows of one table.
 */
export interface Passage {
  readonly kind: "sentence" | "item" | "row" | "code"
  readonly text: string
  readonly block: number
  /** The language of a piece of code. */
  readonly language?: string
}

/**
 * Where a section comes from: prose written for readers, the comments of the source code, or the user's own text.
 */
export type Kind = "guide" | "api" | "text"

/**
 * One section. `trail` holds the headings above it, outermost first; `line` is where it starts in its source.
 */
export interface Section {
  readonly id: string
  readonly kind: Kind
  readonly source: string
  readonly title: string
  readonly trail: ReadonlyArray<string>
  readonly line: number
  readonly passages: ReadonlyArray<Passage>
}

/** The text of a section as a reader would see it, without its heading. */
export const textOf = (section: Section): string => {
  const out: Array<string> = []
  let block = -1
  for (const passage of section.passages) {
    const text = passage.kind === "sentence"
      ? passage.text
      : passage.kind === "code"
      ? passage.text
      : `- ${passage.text}`
    if (passage.block === block && passage.kind === "sentence") out[out.length - 1] += ` ${text}`
    else out.push(text)
    block = passage.block
  }
  return out.join("\n")
}

/** What a section says in words, without its code and its marks. */
export const proseOf = ({ passages }: Section): string =>
  passages.filter(({ kind }) => kind !== "code").map(({ text }) => text).join(" ").replace(/`|\*\*/gu, "")

/** A text cut to `limit` characters at the end of a word. */
export const excerpt = (text: string, limit: number): string => {
  const flat = text.replace(/\s+/gu, " ").trim()
  if (flat.length <= limit) return flat
  const cut = flat.slice(0, limit)
  const space = cut.lastIndexOf(" ")
  return `${cut.slice(0, space > limit / 2 ? space : limit)}…`
}
