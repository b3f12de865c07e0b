/** What the documents point at is there: links, and files that they name. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

const documents = [
  "README.md",
  "CHANGELOG.md",
  ...["src", "bench"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(folder, name))
  )
]

const textOf = (document: string): string => readFileSync(join(root, document), "utf8")

/** The anchors of a document's headings, as hosts of repositories make them. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(Array.from(
    text.matchAll(/^#+ (.+)$/gmu),
    ([, heading = ""]) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\- ]/gu, "").trim().replaceAll(" ", "-")
  ))

describe.each(documents)("%s", (document) => {
  const text = textOf(document)

  it("links to what is there", () => {
    const links = Array.from(text.matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/gu), ([, link = ""]) => link)
    const broken = links.filter((link) => {
      const [path = "", anchor] = link.split("#")
      const target = path === "" ? document : join(dirname(document), path)
      if (!existsSync(join(root, target))) return true
      return anchor !== undefined && !anchorsOf(textOf(target)).has(anchor)
    })
    assert.deepStrictEqual(broken, [])
  })

  it("names files that are there", () => {
    const named = Array.from(text.matchAll(/`((?:src|test|bench)\/[\w./-]+)`/gu), ([, path = ""]) => path)
    assert.deepStrictEqual(named.filter((path) => !existsSync(join(root, path))), [])
  })
})

const { scripts }: { readonly scripts: Record<string, string> } = JSON.parse(textOf("package.json"))
const ofCommandLine = readdirSync(join(root, "src/cli/command"))
  .map((file) => file.replace(".ts", "").toLowerCase())
  .filter((name) => name !== "shared" && name !== "find")

/** The commands that a document tells to type: scripts of package.json, and of the command line. */
const commandsOf = (text: string) => ({
  scripts: Array.from(
    text.matchAll(/\bnpm (?:run (?:--\w+ )*)?([a-z][\w:-]*)/gu),
    ([whole, name = ""]) => whole.startsWith("npm run") || name === "test" || name === "start" ? [name] : []
  ).flat(),
  ofCommandLine: Array.from(text.matchAll(/\bnpx effect-emitter ([a-z]+)/gu), ([, name = ""]) => name)
})

describe("the commands that documents name", () => {
  it.each([...documents, "test/README.md", "src/README.md"])("are there: %s", (document) => {
    const named = commandsOf(textOf(document))
    assert.deepStrictEqual(named.scripts.filter((name) => scripts[name] === undefined), [])
    assert.deepStrictEqual(named.ofCommandLine.filter((name) => !ofCommandLine.includes(name)), [])
  })

  it("are found", () => {
    assert.deepStrictEqual(commandsOf("`npm run build -- --help`, npm test, npm ci, `npx effect-emitter tail ada`"), {
      scripts: ["build", "test"],
      ofCommandLine: ["tail"]
    })
    assert.isAbove(documents.flatMap((document) => commandsOf(textOf(document)).scripts).length, 10)
  })
})

describe("src/README.md", () => {
  const text = textOf("src/README.md")

  it("answers where an event is by files that are there", () => {
    const rows = text.slice(text.indexOf("Where an event"), text.indexOf("## The rooms"))
    const named = Array.from(rows.matchAll(/`([\w./-]+\.ts)`/gu), ([, path = ""]) => path)
    assert.isAbove(named.length, 15)
    assert.deepStrictEqual(named.filter((path) => !existsSync(join(root, "src", path))), [])
  })

  it("names each room of each part", () => {
    const rooms = text.slice(text.indexOf("## The rooms"), text.indexOf("## Habits"))
    const parts = readdirSync(join(root, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory())
    const missing = parts.filter(({ name }) => !rooms.includes(`\`${name}/\``)).map(({ name }) => name)
    const inner = parts.filter(({ name }) => name !== "demo").flatMap(({ name }) =>
      readdirSync(join(root, "src", name), { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && !rooms.includes(`\`${entry.name}/\``))
        .map((entry) => `${name}/${entry.name}`)
    )
    assert.deepStrictEqual([...missing, ...inner], [])
  })
})
