/**
 * Every example in the documentation compiles as it stands, and runs.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { findExamples, isProgram } from "./examples.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = join(root, ".tmp", "examples")

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

const examples = findExamples(root).map((example) => {
  const file = join(folder, `${example.place.replaceAll(/[^A-Za-z0-9]+/gu, "-")}.${example.language}`)
  writeFileSync(file, example.code)
  return { ...example, file, isTest: example.code.includes(`from "@effect/vitest"`) }
})

const { compilerOptions }: { readonly compilerOptions: { readonly paths: Record<string, ReadonlyArray<string>> } } =
  JSON
    .parse(readFileSync(join(root, "tsconfig.json"), "utf8"))
writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.json",
    compilerOptions: {
      noUnusedLocals: false,
      paths: Object.fromEntries(
        Object.entries(compilerOptions.paths).map(([name, files]) => [name, files.map((file) => join("../..", file))])
      )
    },
    include: ["./*.ts", "./*.tsx"]
  })
)

// The page that browser examples stand on, and its tab's storage, which is empty; nothing listens there.
Object.defineProperty(globalThis, "location", { value: new URL("http://127.0.0.1:9/"), configurable: true })
Object.defineProperty(globalThis, "sessionStorage", {
  value: { getItem: () => null, setItem: () => {} },
  configurable: true
})

describe("the examples of the documentation", () => {
  it("are found", () => {
    assert.isAbove(examples.length, 8)
  })

  it("compile", { timeout: 600_000 }, () => {
    const tsc = join(root, "node_modules", ".bin", "tsc")
    try {
      execFileSync(tsc, ["--project", join(folder, "tsconfig.json"), "--pretty", "false"], { encoding: "utf8" })
    } catch (error) {
      assert.fail(error instanceof Error && "stdout" in error ? String(error.stdout) : String(error))
    }
  })

  for (const { file, place } of examples.filter((example) => !example.isTest && !isProgram(example))) {
    it(`run: ${place}`, async () => {
      assert.isDefined(await import(pathToFileURL(file).href))
    })
  }
})

// An example that is a test registers itself here.
for (const { file } of examples.filter((example) => example.isTest)) await import(pathToFileURL(file).href)
