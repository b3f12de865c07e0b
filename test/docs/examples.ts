/**
 * Finds the examples of the documentation: fenced `ts` and `tsx` blocks in Markdown files, and in the doc comments of sources.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"

export interface Example {
  /** Where the example stands: the file, and the line of its first statement. */
  readonly place: string
  readonly language: "ts" | "tsx"
  readonly code: string
}

/** Whether an example begins to run, as a server or on a page, when it is loaded. `test/package/readme.test.ts` runs these. */
export const isProgram = ({ code }: Example): boolean => /^(NodeRuntime\.runMain|.*\bcreateRoot)\(/mu.test(code)

const fence = /^```(ts|tsx)\n([\s\S]*?)^```$/gmu

const examplesIn = (place: string, text: string): ReadonlyArray<Example> =>
  Array.from(text.matchAll(fence), (match) => ({
    place: `${place}:${text.slice(0, match.index).split("\n").length + 1}`,
    language: match[1] === "tsx" ? "tsx" : "ts",
    code: match[2] ?? ""
  }))

/** A doc comment's text, with its lines where they were. */
const withoutStars = (source: string): string => source.replaceAll(/^ *\* ?/gmu, "")

const filesUnder = (folder: string, ending: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .toSorted()

export const findExamples = (root: string): ReadonlyArray<Example> => [
  ...[join(root, "README.md"), ...filesUnder(join(root, "src"), ".md")].flatMap((file) =>
    examplesIn(relative(root, file), readFileSync(file, "utf8"))
  ),
  ...filesUnder(join(root, "src"), ".ts").flatMap((file) =>
    examplesIn(relative(root, file), withoutStars(readFileSync(file, "utf8")))
  )
]
