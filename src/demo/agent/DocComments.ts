/**
 * Reads the doc comments of a TypeScript file into sections: that of the file, and one for each thing it exports.
 */
import * as Markdown from "./Markdown.ts"
import type { Section } from "./Section.ts"

const comment = /\/\*\*([\s\S]*?)\*\//gu

const exported =
  /^\s*export\s+(?:(?:declare|abstract|async|const|class|interface|type|function)\s+)+\*?([A-Za-z_$][\w$]*)/u

/** The text of a comment without its stars, and without the tags at its end. */
const bodyOf = (raw: string): string => {
  const lines = raw.split("\n").map((line) => line.replace(/^\s*\*? ?/u, ""))
  const tags = lines.findIndex((line) => /^@\w+/u.test(line))
  return (tags < 0 ? lines : lines.slice(0, tags)).join("\n").replace(/\{@link\s+([^}|]+?)(?:\s*\|[^}]*)?\}/gu, "`$1`")
}

/**
 * The sections of one file. The comment that opens it is named after the file, every other one `File.name`.
 */
export const parse = (code: string, source: string): ReadonlyArray<Section> => {
  const file = source.split("/").at(-1)?.replace(/\.ts$/u, "") ?? source
  const owner = file === "index" ? source.split("/").at(-2) ?? file : file
  const out: Array<Section> = []
  const used = new Set<string>()
  for (const match of code.matchAll(comment)) {
    const [whole, raw = ""] = match
    const line = code.slice(0, match.index).split("\n").length
    const after = code.slice(match.index + whole.length)
    const opening = out.length === 0 && code.slice(0, match.index).trim() === ""
    const name = opening ? undefined : exported.exec(after)?.[1]
    if (name === undefined && !opening) continue
    const title = opening || name === undefined ? owner : `${owner}.${name}`
    for (const section of Markdown.parse(bodyOf(raw), { source, kind: "api", title, firstLine: line })) {
      let id = section.id
      for (let n = 2; used.has(id); n++) id = `${section.id}-${n}`
      used.add(id)
      out.push({ ...section, id })
    }
  }
  return out
}

/** The files an index re-exports, as paths from the root: what users can import. */
export const reexported = (code: string, source: string): ReadonlyArray<string> =>
  Array.from(
    code.matchAll(/\bexport\s[^"]*?from\s+"(\.[^"]+\.ts)"/gu),
    ([, specifier = ""]) => new URL(specifier, `file:///${source}`).pathname.slice(1)
  )
