/** What `npm run bench -- --compare` says of two runs. */
import { assert, describe, it } from "@effect/vitest"
import { changesSince } from "../../bench/harness/changes.ts"
import { compare, type Comparison, type Figure } from "../../bench/harness/question.ts"
import { renderChanges } from "../../bench/harness/report.ts"
import { summarize } from "../../bench/harness/statistics.ts"

const line = (what: string, unit: Figure["unit"], ...ratios: ReadonlyArray<number>): Comparison =>
  compare(what, { contestant: "this", unit, value: summarize(ratios) }, {
    contestant: "other",
    unit,
    value: summarize(ratios.map(() => 1))
  })

const run = (...comparisons: ReadonlyArray<Comparison>) => [{ name: "q", comparisons }]

const verdicts = (unit: Figure["unit"], before: ReadonlyArray<number>, now: ReadonlyArray<number>) =>
  changesSince({ quick: false, questions: run(line("a", unit, ...before)) }, run(line("a", unit, ...now))).changes.map(
    ({ verdict }) => verdict
  )

describe("bench --compare", () => {
  it("calls better what is more per second, and what takes less time or memory", () => {
    assert.deepStrictEqual(verdicts("per second", [1, 1.1, 1.2], [2, 2.1, 2.2]), ["better"])
    assert.deepStrictEqual(verdicts("seconds", [1, 1.1, 1.2], [2, 2.1, 2.2]), ["worse"])
    assert.deepStrictEqual(verdicts("bytes", [2, 2.1, 2.2], [1, 1.1, 1.2]), ["better"])
  })

  it("is not sure where rounds of the two runs overlap, and says nothing where their medians are in both spreads", () => {
    assert.deepStrictEqual(verdicts("seconds", [1, 1.1, 1.2], [1.15, 1.3, 1.4]), ["perhaps worse"])
    assert.deepStrictEqual(verdicts("per second", [1, 1.1, 1.2], [0.9, 1.05, 1.2]), ["within the spread"])
  })

  it("names lines that only one run has, but no question that was not asked", () => {
    const before = {
      quick: false,
      questions: [...run(line("a", "bytes", 1), line("old", "bytes", 1)), { name: "other" }]
    }
    const changes = changesSince(before, run(line("a", "bytes", 1), line("new", "bytes", 1)))
    assert.deepStrictEqual([changes.added, changes.missing], [["q: new, beside other"], ["q: old, beside other"]])
    assert.deepStrictEqual(changesSince(before, [{ name: "other" }]).missing, [])
  })

  it("shows what became worse first", () => {
    const before = {
      quick: false,
      questions: run(line("up", "per second", 1, 1.1), line("down", "per second", 1, 1.1))
    }
    const now = run(line("up", "per second", 2, 2.1), line("down", "per second", 0.5, 0.6))
    const text = renderChanges(changesSince(before, now), "earlier.json")
    assert.match(text, /Compared with earlier\.json:/)
    assert.isBelow(text.indexOf("down"), text.indexOf("up"))
    assert.match(text, /down, beside other .*worse .*−47\.6 %/)
    assert.match(text, /up, beside other .*better .*\+95\.2 %/)
  })
})
