/**
 * Composes an answer out of what the documents say, word for word, with a citation for each quotation.
 *
 * Nothing is made up: passages are scored by the rare words they share with the question, the best are taken as long as
 * they add something, and they are put back into the order of their sections. When the documents do not say enough, the
 * answer says that, and what was missing.
 */
import type { Library } from "./Library.ts"
import * as Passages from "./Passages.ts"
import type { Part } from "./Question.ts"
import { excerpt, type Section } from "./Section.ts"
import { contentWords } from "./Words.ts"

/** Where a quotation comes from; `number` is what stands in the text as `[1]`. */
export interface Citation {
  readonly number: number
  readonly section: Section
}

/**
 * - `answered` is false when the documents do not say enough about any part of the question; `text` then says so.
 * - `coverage` tells how much of what the question is about was found in one place, from 0 to 1, for its worst part.
 * - `missing` are the words of the question that no document has.
 */
export interface Answer {
  readonly answered: boolean
  readonly text: string
  readonly citations: ReadonlyArray<Citation>
  readonly coverage: number
  readonly missing: ReadonlyArray<string>
}

/** Below this share of what a part of the question is about, what was found is no answer. */
const enough = 0.5

/** An answer to one part grows to about this many words. */
const wordsPerPart = 110

/** The passages that answer a part, and how much of it they cover. */
const answerPart = (library: Library, part: Part, readings: ReadonlyArray<Passages.Reading>) => {
  const own = readings.filter((reading) => reading.part === part)
  const asked = own.find(({ isWhole }) => isWhole)
  if (asked !== undefined) return { part, chosen: Passages.whole(asked), coverage: 1 }
  const candidates = own.flatMap((reading) => Passages.candidates(library, reading))
  // Both sides of a comparison have their say.
  const chosen = part.sides === undefined
    ? Passages.choose(candidates, wordsPerPart)
    : part.sides.flatMap((side) =>
      Passages.choose(candidates.filter(({ reading }) => reading.side === side), wordsPerPart / 2)
    )

  const weight = Passages.weigh(library, part.words.keys())
  const share = (found: ReadonlyArray<Passages.Candidate>) =>
    Passages.weigh(library, new Set(found.flatMap(({ matched }) => [...matched]))) / weight
  // One section must tell it: words scattered over the documents do not make an answer. A comparison needs two.
  const coverage = part.sides === undefined
    ? Math.max(0, ...own.map(({ section }) => share(chosen.filter(({ reading }) => reading.section === section))))
    : share(chosen)
  return { part, chosen: coverage < enough ? [] : chosen, coverage }
}

const list = (items: ReadonlyArray<string>): string =>
  items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`

const quoted = (words: ReadonlyArray<string>) => list(words.map((word) => `“${word}”`))

const notFound = (
  library: Library,
  missing: ReadonlyArray<string>,
  readings: ReadonlyArray<Passages.Reading>
): string => {
  if (library.sections.length === 0) return "There are no documents to answer from."
  const about = missing.length > 0 ? ` about ${quoted(missing)}` : " that answers this"
  const nearest = [...new Map(readings.map(({ section }) => [section.title, section])).values()].slice(0, 3)
  const hint = nearest.length > 0
    ? `The nearest I found, which is not an answer:\n\n${
      nearest.map((section) => `- ${section.title} (${section.source})`).join("\n")
    }`
    : "Try the words the documents themselves use, or paste a text that tells it."
  return `I found nothing${about} in ${library.name}, so I will not guess.\n\n${hint}`
}

/**
 * Answers a question from the sections that were read for it, best first within each part.
 */
export const compose = (
  library: Library,
  parts: ReadonlyArray<Part>,
  readings: ReadonlyArray<Passages.Reading>
): Answer => {
  const missing = [...new Set(parts.flatMap(({ unknown }) => unknown))]
  const answers = parts.map((part) => answerPart(library, part, readings))
  const coverage = answers.length === 0 ? 0 : Math.min(...answers.map((_) => _.coverage))
  const chosen = answers.flatMap((_) => _.chosen)
  if (chosen.length === 0) {
    return { answered: false, text: notFound(library, missing, readings), citations: [], coverage, missing }
  }

  // In the order of the parts they answer; where two sides are compared, what says most comes first.
  const said = (section: Section) => chosen.filter(({ reading }) => reading.section === section).length
  const sections = answers.flatMap(({ chosen: own, part }) => {
    const cited = [...new Set(own.map(({ reading }) => reading.section))]
    return part.sides === undefined ? cited : cited.toSorted((a, b) => said(b) - said(a))
  }).filter((section, index, all) => all.indexOf(section) === index)
  const citations = sections.map((section, index) => ({ number: index + 1, section }))
  const quotations = citations.map(({ number, section }) => {
    const own = chosen.filter(({ reading }) => reading.section === section)
    const showsCode = number === 1 && own.some(({ reading }) => reading.part.kind === "howto")
    return Passages.quote(section, Passages.completed(section, own.map(({ at }) => at), showsCode), number)
  })
  const notes = [
    ...parts.flatMap(({ corrected }) => corrected).map(([from, to]) => `I read “${from}” as “${to}”.`),
    ...answers.filter((_) => _.chosen.length === 0).map(({ part }) => `I found nothing that answers “${part.text}”.`),
    ...(missing.length > 0 ? [`No document mentions ${quoted(missing)}.`] : [])
  ]
  return { answered: true, text: [...quotations, ...notes].join("\n\n"), citations, coverage, missing }
}

/** What two sections have in common and what each has alone, by their rarest words. `similarity` is from 0 to 1. */
export const compare = (library: Library, a: Section, b: Section) => {
  const wordsOf = ({ passages, title }: Section) =>
    new Set(contentWords([title, ...passages.filter((_) => _.kind !== "code").map((_) => _.text)].join(" ")))
  const left = wordsOf(a)
  const right = wordsOf(b)
  const top = (words: ReadonlyArray<string>) =>
    words.toSorted((x, y) => library.rarity(y) - library.rarity(x) || (x < y ? -1 : 1)).slice(0, 8)
  const shared = [...left].filter((word) => right.has(word))
  const union = left.size + right.size - shared.length
  return {
    first: excerpt(a.title, 80),
    second: excerpt(b.title, 80),
    similarity: union === 0 ? 0 : Math.round(100 * shared.length / union) / 100,
    shared: top(shared),
    onlyFirst: top([...left].filter((word) => !right.has(word))),
    onlySecond: top([...right].filter((word) => !left.has(word)))
  }
}
