/**
 * The documents one question is answered from, indexed for ranked search.
 *
 * A library is made once and never changes. The package's own documents make one when the demo starts; a text that a
 * user pastes makes another, for that one question.
 */
import { Effect, FileSystem, Path, Schema } from "effect"
import type { PlatformError } from "effect/PlatformError"
import MiniSearch from "minisearch"
import * as DocComments from "./DocComments.ts"
import * as Markdown from "./Markdown.ts"
import { type Kind, type Section, textOf } from "./Section.ts"
import { contentWords, subjectWords } from "./Words.ts"

/** The most characters a pasted text may have. */
export const maxText = 200_000

/** The text has `size` characters, more than the `limit`. */
export class TextTooLong extends Schema.TaggedError<TextTooLong>()("TextTooLong", {
  size: Schema.Natural,
  limit: Schema.Natural
}) {
  override get message() {
    return `The text has ${this.size.toLocaleString("en")} characters; ${
      this.limit.toLocaleString("en")
    } is the most. Paste a part of it.`
  }
}

/** There is nothing to read in the text. */
export class TextEmpty extends Schema.TaggedError<TextEmpty>()("TextEmpty", {}) {
  override get message() {
    return "The text has no words in it."
  }
}

/** A section that matches a query. Scores of one library compare with each other, whatever the query. */
export interface Hit {
  readonly section: Section
  readonly score: number
}

/**
 * - `search` ranks the sections for a query.
 * - `titled` gives the section of prose that has a text as its heading, whatever its case and its marks.
 * - `rarity` tells how much a word tells apart: 0 for a word in every section, about 1 for a word in one; 1 for unknown
 *   words.
 * - `knows` tells whether any section has a word; `nearest` gives, for a long word that none has, the one it may be a
 *   misspelling of: how words are compared, and how it is written.
 */
export interface Library {
  readonly name: string
  readonly sections: ReadonlyArray<Section>
  readonly get: (id: string) => Section | undefined
  readonly search: (query: string, options: { readonly limit: number; readonly kind?: Kind }) => ReadonlyArray<Hit>
  readonly titled: (text: string) => Section | undefined
  readonly rarity: (word: string) => number
  readonly knows: (word: string) => boolean
  readonly nearest: (word: string) => readonly [string, string] | undefined
}

/** How many letters must be changed, added, dropped or swapped to make `a` into `b`; more than `most` is not told. */
const distance = (a: string, b: string, most: number): number => {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let before: ReadonlyArray<number> = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let least = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (before[j - 2] ?? 0) + 1)
      }
      row.push(least)
    }
    if (Math.min(...row) > most) return most + 1
    before = last
    last = row
  }
  return last[b.length] ?? most + 1
}

const bare = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim()

/** Indexes sections. */
export const make = (name: string, sections: ReadonlyArray<Section>): Library => {
  const byId = new Map(sections.map((section) => [section.id, section]))
  const byTitle = new Map(
    sections.filter(({ kind }) => kind !== "api").toReversed().map((section) => [bare(section.title), section])
  )
  const documents = new Map<string, number>()
  const written = new Map<string, string>()
  for (const section of sections) {
    const text = textOf(section)
    for (const [word, form] of subjectWords(text)) {
      const known = written.get(word)
      if (known === undefined || form.length < known.length) written.set(word, form)
    }
    for (const word of new Set(contentWords(`${section.title} ${text}`))) {
      documents.set(word, (documents.get(word) ?? 0) + 1)
    }
  }
  const index = new MiniSearch<Section>({
    fields: ["title", "trail", "text"],
    extractField: (section, field) =>
      field === "text"
        ? textOf(section)
        : field === "trail"
        ? section.trail.join(" ")
        : field === "id"
        ? section.id
        : section.title,
    tokenize: (text) => [...contentWords(text)],
    processTerm: (term) => term,
    searchOptions: {
      boost: { title: 2.5, trail: 1.2 },
      combineWith: "OR"
    }
  })
  index.addAll([...sections])

  const most = Math.log(1 + sections.length)
  return {
    name,
    sections,
    get: (id) => byId.get(id),
    search: (query, { kind, limit }) => {
      const found = index.search(query, {
        filter: ({ id }) => kind === undefined || byId.get(id)?.kind === kind
      })
      return found.slice(0, limit).flatMap(({ id, score }) => {
        const section = byId.get(id)
        return section === undefined ? [] : [{ section, score }]
      })
    },
    titled: (text) => byTitle.get(bare(text)),
    rarity: (word) => {
      const count = documents.get(word) ?? 0
      return count === 0 || most === 0 ? 1 : Math.max(0.15, Math.log((sections.length + 1) / count) / most)
    },
    knows: (word) => documents.has(word),
    nearest: (word) => {
      const most = word.length < 7 ? 0 : word.length < 9 ? 1 : 2
      let best: readonly [string, string] | undefined
      let least = most + 1
      for (const [known, form] of written) {
        if (known.length < 5) continue
        const far = most === 0 ? 1 : distance(word, known, most)
        if (far < least) [least, best] = [far, [known, form.toLowerCase()]]
      }
      return best
    }
  }
}

/** A library of one text that a user pasted. */
export const fromText = Effect.fnUntraced(function*(text: string) {
  if (text.length > maxText) return yield* new TextTooLong({ size: text.length, limit: maxText })
  const sections = Markdown.parse(text, { source: "your text", kind: "text", title: "Your text" })
  if (sections.length === 0) return yield* new TextEmpty()
  return make("your text", sections)
})

/**
 * A library of a package's own documents: README.md and CHANGELOG.md at its root, every README.md under src and bench,
 * and the doc comments of the modules that its users can import: those that the entries of package.json name.
 */
export const fromPackage = Effect.fnUntraced(function*(root: string): Effect.fn.Return<
  Library,
  PlatformError,
  FileSystem.FileSystem | Path.Path
> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const under = Effect.fnUntraced(function*(folder: string) {
    if (!(yield* fs.exists(path.join(root, folder)))) return []
    return (yield* fs.readDirectory(path.join(root, folder), { recursive: true })).map((name) =>
      path.join(folder, name)
    )
  })
  const read = (name: string) => Effect.map(fs.readFileString(path.join(root, name)), (text) => ({ name, text }))
  const readAll = (wanted: ReadonlyArray<string>) => Effect.forEach(wanted, read, { concurrency: 8 })

  const names = [...yield* fs.readDirectory(root), ...yield* under("src"), ...yield* under("bench")]
    .map((name) => name.split(path.sep).join("/"))
    .toSorted()
  const guides = yield* readAll(names.filter((name) => /(^|\/)README\.md$|^CHANGELOG\.md$/u.test(name)))
  const { text: manifest } = yield* read("package.json")
  const entries = new Set(
    Array.from(manifest.matchAll(/"default": "\.\/dist\/([^"]+)\.js"/gu), ([, entry = ""]) => `src/${entry}.ts`)
  )
  const indexes = yield* readAll([...entries].filter((name) => names.includes(name)))
  const modules = new Set(indexes.flatMap(({ name, text }) => DocComments.reexported(text, name)))
  const sources = yield* readAll([...modules].filter((name) => names.includes(name)).toSorted())
  return make("the package's documents", [
    ...guides.flatMap(({ name, text }) => Markdown.parse(text, { source: name, kind: "guide", title: name })),
    ...sources.flatMap(({ name, text }) => DocComments.parse(text, name))
  ])
})
