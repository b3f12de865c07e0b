/**
 * Chooses the passages of a section that answer a question, and quotes them.
 */
import type { Library } from "./Library.ts"
import type { Part } from "./Question.ts"
import type { Passage, Section } from "./Section.ts"
import { contentWords, countWords } from "./Words.ts"

/**
 * A section that was read for one part of a question; `score` is the search's, 1 for the best of its part. `isWhole` where
 * its heading is the question itself: then all of it is the answer.
 */
export interface Reading {
  readonly part: Part
  readonly side?: string
  readonly section: Section
  readonly score: number
  readonly isWhole?: true
}

/** A passage that may be quoted. `matched` are the words of the question that it, or its heading, has. */
export interface Candidate {
  readonly reading: Reading
  readonly at: number
  readonly passage: Passage
  readonly matched: ReadonlySet<string>
  readonly score: number
}

/** How much some words tell together: rare words tell more. */
export const weigh = (library: Library, words: Iterable<string>): number => {
  let sum = 0
  for (const word of words) sum += library.rarity(word)
  return sum
}

/** A passage that cannot stand alone: it points back at what was said before it. */
const leansBack = /^(?:it|its|they|their|these|those|this|that|then|so|otherwise|both|such|here|there)\b/iu

const announces = (passage: Passage | undefined) => passage?.text.endsWith(":") === true

/**
 * The passages of a section that share a word with the question, scored.
 *
 * Rare words count most, words of the heading count for every passage under it, the opening passage counts more than
 * the rest, and where a definition is asked for, one that reads like a definition.
 */
export const candidates = (library: Library, reading: Reading): ReadonlyArray<Candidate> => {
  const { part, section } = reading
  const heading = new Set(contentWords([section.title, ...section.trail].join(" ")))
  const inHeading = [...part.words.keys()].filter((word) => heading.has(word))
  const headingWeight = weigh(library, inHeading)

  const score = (passage: Passage, at: number, matched: ReadonlyArray<string>): number => {
    const before = new Set(at > 0 ? contentWords(section.passages[at - 1]?.text ?? "") : [])
    const context = weigh(library, [...part.words.keys()].filter((word) => before.has(word) && !matched.includes(word)))
    // The very form that was asked for: "batched" rather than "batch".
    const verbatim = matched.filter((word) =>
      passage.text.toLowerCase().includes((part.words.get(word) ?? word).toLowerCase())
    )
    let sum = weigh(library, matched) + 0.25 * weigh(library, verbatim) + 0.6 * headingWeight +
      0.2 * Math.min(context, 1)
    if (at === 0) sum += headingWeight > 0 ? 0.35 : 0.15
    const [subject = "", ...others] = contentWords(passage.text)
    if (part.kind === "comparison" && part.words.has(subject)) sum += 0.8
    if (part.kind === "definition") {
      const opens = [subject, ...others.slice(0, 2)].some((word) => part.words.has(word))
      if (opens && /\b(?:is|are|means?|names?|stands?|holds?)\b|\s·\s|\*\*?:|`:/u.test(passage.text)) sum += 0.6
      if (at === 0 && headingWeight > 0) sum += 0.5
    }
    const length = countWords(passage.text)
    // A row is about what its first cell names; what the others mention is by the way.
    const [firstCell = ""] = passage.kind === "row" ? passage.text.split(" · ") : []
    if (passage.kind === "row" && !contentWords(firstCell).some((word) => part.words.has(word))) sum *= 0.75
    const fit = length < 4 ? 0.4 : length > 45 ? 45 / length : 1
    return sum * fit * (0.55 + 0.45 * reading.score)
  }

  return section.passages.flatMap((passage, at) => {
    if (passage.kind === "code") return []
    const own = new Set(contentWords(passage.text))
    const matched = [...part.words.keys()].filter((word) => own.has(word))
    if (matched.length === 0 && inHeading.length === 0) return []
    return [{ reading, at, passage, matched: new Set([...matched, ...inHeading]), score: score(passage, at, matched) }]
  })
}

/** Everything that a section says in words, as the answer to the question that is its heading. */
export const whole = (reading: Reading): ReadonlyArray<Candidate> =>
  reading.section.passages.flatMap((passage, at) =>
    passage.kind === "code"
      ? []
      : [{ reading, at, passage, matched: new Set(reading.part.words.keys()), score: reading.score }]
  )

const overlap = (a: Passage, b: Passage): number => {
  const left = new Set(contentWords(a.text))
  const right = new Set(contentWords(b.text))
  const smaller = Math.min(left.size, right.size)
  return smaller === 0 ? 0 : [...left].filter((word) => right.has(word)).length / smaller
}

/** The best passages up to about `budget` words, each of which says something the others do not. */
export const choose = (all: ReadonlyArray<Candidate>, budget: number): ReadonlyArray<Candidate> => {
  const ranked = all.toSorted((a, b) => b.score - a.score)
  const floor = (ranked[0]?.score ?? 0) * 0.52
  const chosen: Array<Candidate> = []
  let size = 0
  for (const candidate of ranked) {
    if (candidate.score < floor || chosen.length === 6) break
    const length = countWords(candidate.passage.text)
    if (chosen.length > 0 && size + length > budget) continue
    if (chosen.some(({ passage }) => overlap(passage, candidate.passage) > 0.7)) continue
    const known = chosen.some(({ matched }) => [...candidate.matched].every((word) => matched.has(word)))
    if (known && candidate.score < (ranked[0]?.score ?? 0) * 0.68) continue
    chosen.push(candidate)
    size += length
  }
  return chosen
}

/** Adds what the chosen passages cannot stand without: what they lean on, the list they announce, the code asked for. */
export const completed = (
  section: Section,
  chosen: ReadonlyArray<number>,
  withCode: boolean
): ReadonlyArray<number> => {
  const out = new Set(chosen)
  for (const at of chosen) {
    const passage = section.passages[at]
    const before = section.passages[at - 1]
    const after = section.passages[at + 1]
    if (passage === undefined) continue
    if (passage.kind === "sentence") {
      if (before?.block === passage.block && leansBack.test(passage.text)) out.add(at - 1)
      if (after?.block === passage.block && leansBack.test(after.text) && countWords(after.text) < 30) out.add(at + 1)
    }
    if (announces(passage) && after !== undefined && after.kind !== "sentence") {
      const list = section.passages.flatMap((item, index) => item.block === after.block ? [index] : [])
      if (!list.some((index) => chosen.includes(index))) { for (const index of list.slice(0, 6)) out.add(index) }
    }
    if (passage.kind !== "sentence") {
      const start = section.passages.findIndex(({ block }) => block === passage.block)
      if (announces(section.passages[start - 1])) out.add(start - 1)
    }
  }
  if (withCode) {
    const code = section.passages.findIndex(({ kind, text }) => kind === "code" && text.split("\n").length <= 30)
    if (code >= 0) out.add(code)
  }
  return [...out].toSorted((a, b) => a - b)
}

/** Quotes passages as Markdown: paragraphs, lists and code as they stood, the number at the end of each. */
export const quote = (section: Section, chosen: ReadonlyArray<number>, number: number): string => {
  const blocks = new Map<number, Array<Passage>>()
  for (const at of chosen) {
    const passage = section.passages[at]
    if (passage !== undefined) blocks.set(passage.block, [...blocks.get(passage.block) ?? [], passage])
  }
  const name = section.kind === "api" ? `\`${section.title}\`: ` : ""
  const all = [...blocks.values()]
  return all.map((passages, index) => {
    const [first] = passages
    if (first?.kind === "code") return `\`\`\`${first.language ?? ""}\n${first.text}\n\`\`\``
    const isList = first?.kind === "item" || first?.kind === "row"
    const body = isList
      ? passages.map(({ text }) => `- ${text.replace(/[;,]$/u, "")}`).join("\n")
      : `${index === 0 ? name : ""}${passages.map(({ text }) => text).join(" ")}`
    return announces(passages.at(-1)) && index < all.length - 1 ? body : `${body} [${number}]`
  }).join("\n\n")
}
