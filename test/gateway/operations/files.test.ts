/** What operators load as files speaks of metrics that there are, and each alert is in the runbook. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const src = fileURLToPath(new URL("../../../src/", import.meta.url))
const read = (name: string) => readFileSync(join(src, "gateway/operations", name), "utf8")

/** Metrics are named in the sources by texts alone. */
const metrics = new Map<string, ReadonlyArray<string>>()
for (const name of readdirSync(src, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".ts")) continue
  const text = readFileSync(join(src, name), "utf8")
  const labels = Array.from(text.matchAll(/(?:label: |\b)"?([a-z]+)"?/gu), ([, label = ""]) => label)
  for (const [, metric = ""] of text.matchAll(/"(emitter_[a-z_]+)"/gu)) metrics.set(metric, labels)
}

const namesIn = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/\bemitter_[a-z_]+/gu), ([name]) => name.replace(/_(bucket|sum|count)$/u, ""))

interface Panel {
  readonly id: number
  readonly title: string
  readonly targets?: ReadonlyArray<{ readonly expr: string }>
}

const dashboard: { readonly panels: ReadonlyArray<Panel> } = JSON.parse(read("dashboard.json"))
const alerts = read("alerts.yml")
const expressions = [
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...Array.from(alerts.matchAll(/^ +expr: (".*")$/gmu), ([, text = ""]): string => JSON.parse(text))
]

describe("dashboard and alerts", () => {
  it("ask for metrics that there are, by labels that these have", () => {
    assert.isAbove(expressions.length, 40)
    for (const expression of expressions) {
      const names = namesIn(expression)
      assert.isNotEmpty(names, expression)
      assert.deepStrictEqual(names.filter((name) => !metrics.has(name)), [], expression)
      const asked = Array.from(
        expression.matchAll(/by \(([a-z, ]+)\)|\{([a-z]+)[=!]/gu),
        ([, by = "", one = ""]) => [...by.split(", "), one]
      )
        .flat().filter((label) => !["", "job", "instance", "le"].includes(label))
      for (const label of asked) {
        assert.isTrue(names.some((name) => metrics.get(name)?.includes(label)), `${label} in ${expression}`)
      }
    }
  })

  it("show all that is counted of compression", () => {
    const counted = Array.from(metrics.keys()).filter((name) => name.includes("_compress"))
    assert.isAtLeast(counted.length, 5)
    const shown = expressions.flatMap(namesIn)
    assert.deepStrictEqual(counted.filter((name) => !shown.includes(name)), [])
  })

  it("close their brackets, and give each panel a number of its own", () => {
    for (const expression of expressions) {
      for (const pair of ["()", "{}", "[]"]) {
        const [open, closed] = Array.from(pair, (bracket) => expression.split(bracket).length)
        assert.strictEqual(open, closed, expression)
      }
    }
    const ids = dashboard.panels.map(({ id }) => id)
    assert.strictEqual(new Set(ids).size, ids.length)
  })

  it("have a chapter of the runbook for each alert, in the same order, and no other", () => {
    const named = Array.from(alerts.matchAll(/^ +- alert: (\S+)$/gmu), ([, name = ""]) => name)
    const told = Array.from(alerts.matchAll(/runbook: "runbook\.md, (\S+)"/gu), ([, name = ""]) => name)
    const chapters = Array.from(read("runbook.md").matchAll(/^## (\S+)$/gmu), ([, name = ""]) => name)
    assert.deepStrictEqual([chapters, told], [named, named])
  })
})
