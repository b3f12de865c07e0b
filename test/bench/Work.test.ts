/**
 * That an event costs no more work than it did: counted, not timed, so that it is the same on every machine.
 */
import { assert, describe, it } from "@effect/vitest"
import { howToRenew, readFigures } from "./work/figures.ts"
import { type Counted, measureWork } from "./work/measure.ts"
import { judge } from "./work/verdict.ts"

/** The counting process takes some seconds of a processor; how long that is, others decide. */
const timeout = 900_000

const waste = "emit, critical"

let measured: ReturnType<typeof measureWork> | undefined

/** One process counts for all tests: most of another's time would go into its start. */
const measure = (signal: AbortSignal) => measured ??= measureWork({ waste, signal })

describe("the work of an event", () => {
  it(
    "is no more than the figures of the repository say, nor so much less that they are out of date",
    { timeout },
    async ({ annotate, signal }) => {
      const { better, worse } = judge(readFigures(), await measure(signal))
      assert.deepStrictEqual(worse, [], howToRenew)
      if (better.length > 0) await annotate(`renew the figures: ${better.join("; ")} (${howToRenew})`, "notice")
    }
  )

  it("is more once each event makes an object that it does not need", { timeout }, async ({ signal }) => {
    const figures = readFigures()
    const { node, wasteful } = await measure(signal)
    const before = { ...figures, counted: figures.counted.filter(({ what }) => what === waste) }
    const { better, worse } = judge(before, { node, counted: wasteful })
    assert.deepStrictEqual(better, [])
    assert.strictEqual(worse.length, 1, worse.join("; "))
    assert.match(worse[0] ?? "", /^emit, critical: [\d,]+ bytes instead of [\d,]+, \d+\.\d % more$/)
  })
})

describe("the figures of an event's work", () => {
  const of = (what: string, bytes: number, calls: number) => ({ what, bytes, calls })
  const figures = (...counted: ReadonlyArray<Counted>) => ({ node: "24.0.0", counted })
  const before = figures(of("emit", 1_000, 100))

  it("may rise and fall by 5 %", () => {
    assert.deepStrictEqual(judge(before, figures(of("emit", 1_049, 95.1))), { worse: [], better: [] })
  })

  it("say what rose, and by how much, and what fell", () => {
    assert.deepStrictEqual(judge(before, figures(of("emit", 1_520, 90))), {
      worse: ["emit: 1,520 bytes instead of 1,000, 52.0 % more"],
      better: ["emit: 90 calls of functions instead of 100, 10.0 % less"]
    })
  })

  it("are of one Node, and of the same kinds", () => {
    assert.deepStrictEqual(judge({ ...before, node: "22.0.0" }, before).worse, [
      "the figures are of Node 22.0.0, this is Node 24.0.0"
    ])
    assert.deepStrictEqual(judge(before, figures(of("other", 1, 1))).worse, [
      "other has no figures",
      "emit is counted no more"
    ])
  })
})
