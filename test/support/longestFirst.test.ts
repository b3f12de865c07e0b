import { assert, it } from "@effect/vitest"
import { existsSync } from "node:fs"
import { long } from "./LongestFirst.ts"

it("names only files that there are", () => {
  const missing = long.filter((name) => !existsSync(new URL(`../${name}.test.ts`, import.meta.url)))
  assert.deepStrictEqual(missing, [])
})
