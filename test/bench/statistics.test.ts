import { assert, describe, it } from "@effect/vitest"
import { ratioOf, summarize } from "../../bench/harness/statistics.ts"

describe("a ratio", () => {
  it("is of what stood side by side in a round", () => {
    const { max, median, min } = ratioOf(summarize([2, 9, 4]), summarize([1, 3, 1]))
    assert.deepStrictEqual([min, median, max], [2, 3, 4])
  })
  it("of nothing is refused, with the round", () => {
    assert.throws(() => ratioOf(summarize([1, 0]), summarize([1, 0])), "round 2 measured 0 beside 0")
    assert.throws(() => ratioOf(summarize([1]), summarize([0])), "round 1 measured 1 beside 0")
  })
})
