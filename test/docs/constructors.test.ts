/** What a program makes by itself, by a constructor, a layer, a hook, has an example in its reference. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { findExamples } from "./examples.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const { exports }: { readonly exports: Record<string, string | { readonly default: string }> } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8")
)

const examples = findExamples(root)

const categories = ["adapters", "agents", "components", "constructors", "hooks", "layers", "transports"]

/** A public name: as programs write it, where it is declared, and what its doc comment says that it is. */
interface Public {
  readonly name: string
  readonly files: ReadonlyArray<string>
  readonly category: string
}

const declared =
  /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:\/\/[^\n]*\n)*export (?:abstract |async )*(?:const|function|class) (\w+)/gmu

/** The values that an `export { … }` names, by the names of their file. */
const named = (list: string): ReadonlyMap<string, string> =>
  new Map(
    list.replaceAll(/\/\*[\s\S]*?\*\//gu, "").split(",").map((item) => item.trim())
      .filter((item) => item !== "" && !item.startsWith("type "))
      .map((item) => [item.split(" ")[0] ?? "", item.split(" ").at(-1) ?? ""])
  )

/** The public names of a file, under a namespace or by themselves, `only` some of them. */
const publicOf = (
  file: string,
  home: string,
  space = "",
  only?: ReadonlyMap<string, string>
): ReadonlyArray<Public> => {
  const text = readFileSync(file, "utf8")
  const own = Array.from(text.matchAll(declared), ([, comment = "", name = ""]) => ({
    name: space + (only === undefined ? name : only.get(name) ?? ""),
    files: [file, home],
    category: /@category (\w+)/u.exec(comment)?.[1] ?? ""
  })).filter(({ name }) => name !== space)
  const all = Array.from(
    text.matchAll(/^export \* from "([^"]+)"/gmu),
    ([, from = ""]) => publicOf(join(dirname(file), from), home, space, only)
  )
  const some = Array.from(
    text.matchAll(/^export \{([^}]*)\} from "([^"]+)"/gmu),
    ([, list = "", from = ""]) => publicOf(join(dirname(file), from), home, space, named(list))
  )
  const spaces = Array.from(
    text.matchAll(/^export \* as (\w+) from "([^"]+)"/gmu),
    ([, name = "", from = ""]) => publicOf(join(dirname(file), from), join(dirname(file), from), `${name}.`)
  )
  return [...own, ...all.flat(), ...some.flat(), ...spaces.flat()]
}

const made = Object.values(exports)
  .flatMap((target) => typeof target === "string" ? [] : [target.default])
  .map((path) => join(root, path.replace("./dist/", "src/").replace(/\.js$/u, ".ts")))
  .flatMap((file) => publicOf(file, file))
  .filter(({ category }) => categories.includes(category))

/** Whether an example in one of the files, in the comment of the module or of the name, uses the name. */
const isShown = ({ files, name }: Public): boolean => {
  const uses = new RegExp(`\\b${name.replace(".", "\\.")}\\b`, "u")
  return examples.some(({ code, place }) =>
    files.some((file) => place.startsWith(`${relative(root, file)}:`)) && uses.test(code)
  )
}

describe("what a program makes", () => {
  it("is found", () => {
    const names = new Set(made.map(({ name }) => name))
    assert.isAbove(names.size, 60)
    for (const name of ["EmitterLayer", "connect", "RedisBroker.layer", "Broker.layerMemory", "useRuns"]) {
      assert.include([...names], name)
    }
  })

  it("has an example in its doc comment, or in that of its module", () => {
    assert.deepStrictEqual([...new Set(made.filter((one) => !isShown(one)).map(({ name }) => name))], [])
  })
})
