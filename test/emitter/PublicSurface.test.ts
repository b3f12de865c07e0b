/**
 * What each entry of the package gives, by name. A change here is a change for everybody who uses it.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

const { exports, name }: {
  readonly name: string
  readonly exports: Record<string, string | { readonly default: string }>
} = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))

/** Every entry that holds code, and the source that it is built from. */
const entries = Object.entries(exports).flatMap(([subpath, target]) =>
  typeof target === "string"
    ? []
    : [{
      entry: name + subpath.slice(1),
      file: join(root, target.default.replace("./dist/", "src/").replace(/\.js$/u, ".ts"))
    }]
)

const comments = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gmu
const declared = /^export (?:interface|type) (\w+)/gmu
const named = /^export (type )?\{([^}]*)\}/gmu
const all = /^export \* from "([^"]+)"/gmu
const namespace = /^export (type )?\* as (\w+) from "([^"]+)"/gmu

/** The types that a file exports: they leave no trace in the module. */
const typesOf = (file: string): ReadonlySet<string> => {
  const source = readFileSync(file, "utf8").replaceAll(comments, "")
  const types = new Set(Array.from(source.matchAll(declared), ([, type = ""]) => type))
  for (const [, areTypes, list = ""] of source.matchAll(named)) {
    for (const item of list.split(",").map((_) => _.trim())) {
      if (areTypes !== undefined || item.startsWith("type ")) types.add(item.split(" ").at(-1) ?? "")
    }
  }
  for (const [, from = ""] of source.matchAll(all)) {
    for (const type of typesOf(join(dirname(file), from))) types.add(type)
  }
  return types
}

const namesOf = (values: object, types: ReadonlySet<string>) => {
  const names = Object.keys(values).toSorted()
  const onlyTypes = [...types].filter((type) => !names.includes(type)).toSorted()
  return [...names, ...onlyTypes.map((type) => `(${type})`)].join(" ")
}

/** What an entry gives, and what each of its namespaces gives. Names in parentheses are only types. */
const surfaceOf = async (file: string): Promise<Record<string, string>> => {
  const values: Record<string, unknown> = await import(pathToFileURL(file).href)
  const source = readFileSync(file, "utf8").replaceAll(comments, "")
  const spaces = Array.from(source.matchAll(namespace), ([, onlyTypes, space = "", from = ""]) => {
    const value = values[space]
    return [
      onlyTypes === undefined ? space : `(${space})`,
      namesOf(typeof value === "object" && value !== null ? value : {}, typesOf(join(dirname(file), from)))
    ] as const
  })
  const others = Object.fromEntries(Object.entries(values).filter(([key]) => !spaces.some(([space]) => space === key)))
  return { ...Object.fromEntries(spaces), "": namesOf(others, typesOf(file)) }
}

describe("the public names", () => {
  it("are those of every entry", ({ expect }) => {
    expect(entries.map(({ entry }) => entry)).toMatchSnapshot()
    assert.isAbove(entries.length, 5)
  })

  for (const { entry, file } of entries) {
    it(`of ${entry} are these, and no others`, async ({ expect }) => {
      const surface = await surfaceOf(file)
      expect(surface).toMatchSnapshot()
      assert.isNotEmpty(Object.values(surface).join(""))
    })
  }
})
