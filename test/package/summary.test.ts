import { afterAll, assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { root } from "./pack.ts"

const directory = mkdtempSync(join(tmpdir(), "effect-emitter-summary-"))

/** The last line that a CI run would print for these results, and its exit code. */
const summarize = (...runs: ReadonlyArray<unknown>) => {
  const files = runs.map((results, index) => {
    const file = join(directory, `results-${index}.json`)
    writeFileSync(file, typeof results === "string" ? results : JSON.stringify(results))
    return file
  })
  const { status, stdout } = spawnSync(process.execPath, [".config/test-summary.ts", ...files], {
    cwd: root,
    encoding: "utf8"
  })
  return { status, last: stdout.trimEnd().split("\n").at(-1), stdout }
}

const file = (status: string, ...tests: ReadonlyArray<string>) => ({
  name: "a.test.ts",
  status,
  message: "",
  assertionResults: tests.map((status, i) => ({ fullName: `test ${i}`, status }))
})

describe("the closing line of a CI run", () => {
  afterAll(() => rmSync(directory, { recursive: true }))

  it("counts the tests that passed and lets the run pass", () => {
    const { last, status } = summarize({ success: true, testResults: [file("passed", "passed", "passed")] })
    assert.deepStrictEqual({ last, status }, { last: "2 passed, 0 failed", status: 0 })
  })

  it("counts the tests that failed and lets the run fail", () => {
    const { last, status } = summarize({ success: false, testResults: [file("failed", "passed", "failed")] })
    assert.deepStrictEqual({ last, status }, { last: "1 passed, 1 failed", status: 1 })
  })

  it("counts a file that did not load as a failure", () => {
    const { last, status } = summarize({ success: false, testResults: [file("passed", "passed"), file("failed")] })
    assert.deepStrictEqual({ last, status }, { last: "1 passed, 1 failed", status: 1 })
  })

  it("fails when a test was skipped, and names it", () => {
    const { last, status, stdout } = summarize({ success: true, testResults: [file("passed", "passed", "skipped")] })
    assert.deepStrictEqual({ last, status }, { last: "1 passed, 0 failed", status: 1 })
    assert.include(stdout, "skipped: a.test.ts: test 1")
  })

  it("counts a test that one run left to another once, and not as skipped", () => {
    const { last, status } = summarize(
      { success: true, testResults: [file("passed", "passed", "skipped")] },
      { success: true, testResults: [file("passed", "skipped", "passed")] }
    )
    assert.deepStrictEqual({ last, status }, { last: "2 passed, 0 failed", status: 0 })
  })

  it("fails when one of several runs left no results", () => {
    const { last, status } = summarize({ success: true, testResults: [file("passed", "passed")] }, "")
    assert.deepStrictEqual({ last, status }, { last: "1 passed, 0 failed", status: 1 })
  })

  it("fails when an error outside any test spoiled the run", () => {
    const { last, status } = summarize({ success: false, testResults: [file("passed", "passed")] })
    assert.deepStrictEqual({ last, status }, { last: "1 passed, 0 failed", status: 1 })
  })

  it("fails when nothing ran or no results can be read", () => {
    for (const results of [{ success: true, testResults: [] }, "not json"]) {
      const { last, status } = summarize(results)
      assert.deepStrictEqual({ last, status }, { last: "0 passed, 0 failed", status: 1 })
    }
  })
})
