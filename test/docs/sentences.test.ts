/** Every export of the sources says in a sentence what it is. */
import { assert, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const src = fileURLToPath(new URL("../../src", import.meta.url))

const sources = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/u.test(name) && !name.startsWith("demo"))
  .toSorted()

/** A declaration, with the doc comment that stands right before it, if there is one. */
const exported =
  /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:\/\/[^\n]*\n)*)?^export (?:abstract |async )*(const|class|interface|type|function) (\w+)/gmu

/** What a doc comment says before its tags. */
const saying = (comment: string): string => comment.replaceAll(/^ *\* ?/gmu, "").split(/^@/mu)[0]?.trim() ?? ""

const unsaid = (source: string): ReadonlyArray<string> => {
  const said = new Set<string>()
  return Array.from(source.matchAll(exported)).flatMap(([, comment = "", kind = "", name = ""]) => {
    const isOverload = kind === "function" && said.has(name)
    said.add(name)
    return isOverload || /\w/u.test(saying(comment)) ? [] : [name]
  })
}

it("Every export says what it is", () => {
  const found = sources.flatMap((name) => unsaid(readFileSync(join(src, name), "utf8")).map((one) => `${name}: ${one}`))
  assert.deepStrictEqual(found, [])
})

it("An export that says nothing is found", () => {
  const tags = "/**\n * @since 0.1.0\n */\n"
  assert.deepStrictEqual(
    unsaid(
      `/** Said. */\nexport const a = 1\n${tags}export type B = 1\nexport class C {}\n/**\n * Said.\n *\n * @since 0.1.0\n */\nexport const d = 1\n`
    ),
    ["B", "C"]
  )
})
