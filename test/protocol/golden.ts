import * as fs from "node:fs"

const directory = new URL("golden/", import.meta.url)

/** The names of the golden files of a kind: `frame` for `frame.hello.json`, … */
export const goldenNames = (kind: string): ReadonlyArray<string> =>
  fs.readdirSync(directory)
    .filter((file) => file.startsWith(`${kind}.`) && file.endsWith(".json"))
    .map((file) => file.slice(kind.length + 1, -".json".length))
    .toSorted()

/** A golden file: one message as it travels, and a line feed that does not. */
export const golden = (kind: string, name: string): string => {
  const text = fs.readFileSync(new URL(`${kind}.${name}.json`, directory), "utf8")
  if (!text.endsWith("\n")) throw new Error(`${kind}.${name}.json does not end with a line feed`)
  return text.slice(0, -1)
}
