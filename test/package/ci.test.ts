/** A program that no step of CI installs would be missed there by the first test that needs it. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { packageOf, programs } from "../support/program.ts"
import { root } from "./pack.ts"

describe(".ci/run", () => {
  for (const program of programs) {
    it(`installs ${program}`, () => {
      assert.include(readFileSync(join(root, ".ci/run"), "utf8"), `missing+=(${packageOf(program)})`)
    })
  }

  it("installs the runtimes that the client is tested in, before the tests, and builds the reference", () => {
    const steps = Array.from(
      readFileSync(join(root, ".ci/run"), "utf8").matchAll(/^ *step "([^"]+)"/gmu),
      ([, step]) => step
    )
    assert.include(steps, "npm run docs")
    assert.isAtLeast(steps.indexOf("npm ci, runtimes"), 0)
    assert.isBelow(steps.indexOf("npm ci, runtimes"), steps.indexOf("npm test"))
  })
})
