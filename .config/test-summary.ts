/**
 * Ends a CI run's log: names what failed or was skipped, then prints the counts alone on the last line.
 *
 * Reads the results that `npm test` leaves in `.tmp/test-results.json` when `CI=true`, or the files named as arguments, one
 * a run. Exits with 1 when a test or a file failed, when a test was skipped in every run (on CI everything matters), when a
 * run left no results, and when no test ran.
 */
import { readFileSync } from "node:fs"
import { relative } from "node:path"
import { fileURLToPath } from "node:url"

interface Results {
  readonly success: boolean
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: "passed" | "failed" | "pending"
    readonly message: string
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string
      readonly status: "passed" | "failed" | "pending" | "skipped" | "todo" | "disabled"
    }>
  }>
}

const written = fileURLToPath(new URL("../.tmp/test-results.json", import.meta.url))
const named = process.argv.slice(2)

const read = (file: string): Results => {
  try {
    return JSON.parse(readFileSync(file, "utf8"))
  } catch (cause) {
    process.stdout.write(`no test results: ${cause}\n`)
    return { success: false, testResults: [] }
  }
}

const runs = (named.length === 0 ? [written] : named).map(read)
const files = runs.flatMap(({ testResults }) => testResults).map((file) => ({
  ...file,
  name: relative(process.cwd(), file.name)
}))
const all = files.flatMap(({ assertionResults, name }) =>
  assertionResults.map(({ fullName, status }) => ({ title: `${name}: ${fullName}`, status }))
)
const isDone = (status: string) => status === "passed" || status === "failed"
const done = new Set(all.filter(({ status }) => isDone(status)).map(({ title }) => title))
// What one run leaves to another is not skipped.
const tests = all.filter(({ status, title }) => isDone(status) || !done.has(title))

const passed = tests.filter(({ status }) => status === "passed")
const failed = tests.filter(({ status }) => status === "failed")
const skipped = tests.filter(({ status }) => status !== "passed" && status !== "failed")
// A file that did not load, or whose hooks failed, has no failed test of its own, and still is a failure.
const broken = files.filter(({ assertionResults, status }) =>
  status === "failed" && !assertionResults.some((_) => _.status === "failed")
)

const list = (what: string, titles: ReadonlyArray<string>) => {
  for (const title of titles) process.stdout.write(`${what}: ${title}\n`)
}
list("failed", failed.map(({ title }) => title))
list("failed", broken.map(({ message, name }) => `${name}: ${message.split("\n")[0] || "did not run to its end"}`))
list("skipped", skipped.map(({ title }) => title))

process.stdout.write(`${passed.length} passed, ${failed.length + broken.length} failed\n`)

const good = runs.every(({ success }) => success) && passed.length > 0 &&
  failed.length + broken.length + skipped.length === 0
process.exitCode = good ? 0 : 1
