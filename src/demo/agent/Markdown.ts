/**
 * Reads Markdown, and plain text, into sections.
 *
 * It knows what documents of this kind use: headings, paragraphs, lists, tables and fenced code. A long section is cut
 * at a paragraph, so that a text without any heading can be searched too.
 */
import { countWords } from "./Words.ts"
import type { Kind, Passage, Section } from "./Section.ts"

/** From this many words on, a section goes on as another part. */
const longSection = 220

const sentences = new Intl.Segmenter("en", { granularity: "sentence" })

/** Markup that says nothing to a reader of plain text. Code marks and emphasis stay: the page shows them. */
const plain = (text: string): string =>
  text
    .replace(/!?\[([^\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+"[^"]*")?\)/gu, "$1")
    .replace(/<!--.*?-->/gsu, "")
    .replace(/<\/?[a-z][^>]*>/giu, "")
    .replace(/\s+/gu, " ")
    .trim()

/** A full stop inside `code` or **emphasis** ends no sentence, so both are taken out while the text is split. */
const splitSentences = (text: string): ReadonlyArray<string> => {
  const code: Array<string> = []
  const masked = text.replace(/`[^`]+`|\*\*[^*]+\*\*/gu, (span) => `\uE000${code.push(span) - 1}\uE001`)
  return Array.from(
    sentences.segment(masked),
    ({ segment }) => segment.replace(/\uE000(\d+)\uE001/gu, (_, index) => code[Number(index)] ?? "").trim()
  ).filter((sentence) => /[\p{L}\p{N}]/u.test(sentence))
}

const cellsOf = (row: string): ReadonlyArray<string> =>
  row.trim().replace(/^\||\|$/gu, "").split(/(?<!\\)\|/u).map((cell) => plain(cell.replace(/\\\|/gu, "|")))

const slug = (text: string): string =>
  text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/gu, "").slice(0, 60) || "section"

interface Draft {
  title: string
  trail: ReadonlyArray<string>
  line: number
  passages: Array<Passage>
  words: number
}

/**
 * Reads a text.
 *
 * `title` names what stands before the first heading. `firstLine` is the line of the text's first line in its source.
 */
export const parse = (
  text: string,
  from: { readonly source: string; readonly kind: Kind; readonly title: string; readonly firstLine?: number }
): ReadonlyArray<Section> => {
  const lines = text.replace(/\r\n?/gu, "\n").split("\n")
  const offset = from.firstLine ?? 1
  const drafts: Array<Draft> = []
  let headings: ReadonlyArray<{ readonly level: number; readonly title: string }> = []
  let block = 0

  const open = (title: string, line: number): Draft => {
    const draft: Draft = { title, trail: headings.slice(0, -1).map((_) => _.title), line, passages: [], words: 0 }
    drafts.push(draft)
    return draft
  }
  let draft = open(from.title, offset)

  const add = (kind: Passage["kind"], passageText: string, language?: string) => {
    draft.passages.push({ kind, text: passageText, block, ...(language ? { language } : {}) })
    draft.words += countWords(passageText)
  }
  /** Ends a paragraph, a list or a table. A list and the line that announces it stay together. */
  const endBlock = (line: number, announces: boolean) => {
    block++
    if (draft.words < longSection || announces) return
    draft = open(draft.title, line)
  }
  const announced = () => draft.passages.at(-1)?.text.endsWith(":") === true

  let index = 0
  const here = () => lines[index] ?? ""
  while (index < lines.length) {
    const line = here()
    const heading = /^(#{1,6})\s+(.+?)\s*#*$/u.exec(line)
    const fence = /^\s*(```+|~~~+)\s*([\w-]*)/u.exec(line)
    if (line.trim() === "") {
      index++
    } else if (heading?.[1] !== undefined && heading[2] !== undefined) {
      const level = heading[1].length
      const title = plain(heading[2])
      headings = [...headings.filter((_) => _.level < level), { level, title }]
      draft = open(title, offset + index)
      index++
    } else if (fence?.[1] !== undefined) {
      const end = lines.findIndex((candidate, at) => at > index && candidate.trim().startsWith(fence[1] ?? "```"))
      const stop = end < 0 ? lines.length : end
      add("code", lines.slice(index + 1, stop).join("\n"), fence[2])
      index = stop + 1
      endBlock(offset + index, false)
    } else if (/^\s*\|.*\|\s*$/u.test(line)) {
      const rows: Array<ReadonlyArray<string>> = []
      for (; /^\s*\|.*\|\s*$/u.test(here()); index++) rows.push(cellsOf(here()))
      const ruled = rows[1]?.every((cell) => /^:?-+:?$/u.test(cell)) === true
      const head = ruled ? rows[0] ?? [] : []
      for (const row of ruled ? rows.slice(2) : rows) {
        const [name = "", ...rest] = row
        const cells = rest.flatMap((cell, at) => cell === "" ? [] : [head[at + 1] ? `${head[at + 1]}: ${cell}` : cell])
        add("row", [name, ...cells].filter((cell) => cell !== "").join(" · "))
      }
      endBlock(offset + index, false)
    } else if (/^\s*([-*+]|\d+[.)])\s+/u.test(line)) {
      let item = line.replace(/^\s*([-*+]|\d+[.)])\s+/u, "")
      for (index++; /^\s+\S/u.test(here()) && !/^\s*([-*+]|\d+[.)])\s+|^\s*(```|~~~)/u.test(here()); index++) {
        item += ` ${here().trim()}`
      }
      if (plain(item) !== "") add("item", plain(item))
      if (!/^\s*([-*+]|\d+[.)])\s+/u.test(here())) endBlock(offset + index, false)
    } else {
      const start = index
      const starter = /^(#{1,6}\s|\s*(```|~~~|\|.*\|\s*$|[-*+]\s|\d+[.)]\s))/u
      for (index++; here().trim() !== "" && index < lines.length && !starter.test(here()); index++);
      const paragraph = plain(lines.slice(start, index).map((_) => _.replace(/^\s*>\s?/u, "").trim()).join(" "))
      if (!/^[-=_*\s]*$/u.test(paragraph)) {
        for (const sentence of splitSentences(paragraph)) add("sentence", sentence)
        endBlock(offset + index, announced())
      }
    }
  }

  const used = new Map<string, number>()
  return drafts.filter(({ passages }) => passages.length > 0).map(({ line, passages, title, trail }) => {
    const base = `${from.source}#${slug(title)}`
    const seen = (used.get(base) ?? 0) + 1
    used.set(base, seen)
    return {
      id: seen === 1 ? base : `${base}-${seen}`,
      kind: from.kind,
      source: from.source,
      title,
      trail,
      line,
      passages
    }
  })
}
