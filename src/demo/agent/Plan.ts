/**
 * Which searches a question needs, and which of the sections they find are worth reading.
 */
import type { Hit, Library } from "./Library.ts"
import type { Reading } from "./Passages.ts"
import type { Part } from "./Question.ts"
import { type Kind, type Section, textOf } from "./Section.ts"
import { contentWords, countWords } from "./Words.ts"

/** One search: `within` keeps it to one kind of documents, `side` tells which side of a comparison it is for. */
export interface Search {
  readonly part: Part
  readonly query: string
  readonly within?: Kind
  readonly side?: string
}

/** How many sections one search returns, and how many are read for one part or side. */
const hitsPerSearch = 8
const readsPerPart = 3
const readsPerSide = 2

/** What makes a section worth more or less to a reader than its words alone say. */
const worth = (part: Part, section: Section): number => {
  let weight = 1
  const text = textOf(section).toLowerCase()
  const has = (words: string) => text.includes(words.toLowerCase())
  // What tells of both sides at once compares them already.
  if (part.sides?.every(has) === true) weight *= 1.8
  // The very forms that were asked for: "batched" rather than "batch".
  if ([...part.words.values()].some(has)) weight *= 1.25
  // What begins a sentence or an item is what it is about.
  const subjects = part.kind === "comparison" || part.kind === "definition" ? [...part.words.keys()] : []
  const opens = (word: string) => section.passages.some((passage) => contentWords(passage.text)[0] === word)
  if (subjects.length > 0) weight *= 1 + 0.8 * subjects.filter(opens).length / subjects.length
  if (part.kind === "howto" && section.passages.some(({ kind }) => kind === "code")) weight *= 1.4
  // Comments in code count a little less than prose written for readers, those of a few words a good deal less.
  if (section.kind === "api") weight *= countWords(text) < 10 ? 0.5 : 0.85
  return weight
}

/**
 * Each side of a comparison is searched for itself. Where there are guides and comments, both are searched, so that
 * the many short comments do not crowd out the guides.
 */
export const searches = (library: Library, parts: ReadonlyArray<Part>): ReadonlyArray<Search> => {
  const kinds = [...new Set(library.sections.map(({ kind }) => kind))]
  return parts.flatMap((part): ReadonlyArray<Search> => {
    if (part.sides !== undefined) {
      const [a, b] = part.sides
      return [{ part, query: a, side: a }, { part, query: b, side: b }]
    }
    const query = [...part.words.values()].join(" ")
    return kinds.length < 2 ? [{ part, query }] : kinds.map((within) => ({ part, query, within }))
  })
}

/** Runs one search, in one kind of documents or in all. */
export const hits = (library: Library, query: string, within: Kind | undefined): ReadonlyArray<Hit> =>
  library.search(query, { limit: hitsPerSearch, ...(within === undefined ? {} : { kind: within }) })

/** What a search told of one section: its id and the score. */
export interface Found {
  readonly section: string
  readonly score: number
}

/**
 * The sections to read: for each part, or each side, those not far behind the best; where one has the question as its
 * heading, that one alone.
 */
export const readings = (
  library: Library,
  found: ReadonlyArray<readonly [Search, ReadonlyArray<Found>]>
): ReadonlyArray<Reading> => {
  const groups = new Map<string, Array<Reading>>()
  for (const [{ part, side }, own] of found) {
    const key = JSON.stringify([part.text, side])
    const group = groups.get(key) ?? []
    groups.set(key, group)
    for (const { score, section: id } of own) {
      const section = library.get(id)
      if (section === undefined) continue
      group.push({ part, section, score: score * worth(part, section), ...(side === undefined ? {} : { side }) })
    }
  }
  return [...groups.values()].flatMap((group): ReadonlyArray<Reading> => {
    const part = group[0]?.part
    const asked = part === undefined ? undefined : library.titled(part.text)
    if (part !== undefined && asked !== undefined) return [{ part, section: asked, score: 1, isWhole: true }]
    const ranked = group.toSorted((a, b) => b.score - a.score)
    const best = ranked[0]?.score ?? 1
    return ranked
      .map((reading) => ({ ...reading, score: reading.score / best }))
      .filter(({ score }) => score >= 0.3)
      .slice(0, ranked[0]?.side === undefined ? readsPerPart : readsPerSide)
  })
}
