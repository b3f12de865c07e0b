/**
 * Every example in the documentation compiles as it stands, and runs.
 */
import { afterAll, assert, describe, it, vi } from "@effect/vitest"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { compile, folderFor } from "../support/compile.ts"
import { findExamples, isProgram } from "./examples.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = folderFor("examples", { compilerOptions: { noUnusedLocals: false }, include: ["./*.ts", "./*.tsx"] })

const examples = findExamples(root).map((example) => {
  const file = join(folder, `${example.place.replaceAll(/[^A-Za-z0-9]+/gu, "-")}.${example.language}`)
  writeFileSync(file, example.code)
  return { ...example, file, isTest: example.code.includes(`from "@effect/vitest"`) }
})

// The page that browser examples stand on, and its tab's storage, which is empty; nothing listens there.
vi.stubGlobal("location", new URL("http://127.0.0.1:9/"))
vi.stubGlobal("sessionStorage", { getItem: () => null, setItem: () => {} })
afterAll(() => void vi.unstubAllGlobals())

describe("the examples of the documentation", () => {
  it("are found", () => {
    assert.isAbove(examples.length, 8)
  })

  it("compile", { timeout: 600_000 }, () => {
    assert.strictEqual(compile(["--project", folder]), "")
  })

  for (const { file, place } of examples.filter((example) => !example.isTest && !isProgram(example))) {
    it(`run: ${place}`, async () => {
      assert.isDefined(await import(pathToFileURL(file).href))
    })
  }
})

// An example that is a test registers itself here.
for (const { file } of examples.filter((example) => example.isTest)) await import(pathToFileURL(file).href)
