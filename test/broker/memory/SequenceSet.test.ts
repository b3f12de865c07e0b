import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { maxRanges, SequenceSet } from "../../../src/broker/memory/SequenceSet.ts"
import { forSeeds } from "../../support/random.ts"

describe("SequenceSet", () => {
  it.effect("is a set, in whatever order numbers are added", () =>
    forSeeds({ count: 200 }, (draw) =>
      Effect.sync(() => {
        const numbers = new SequenceSet()
        const model = new Set<number>()
        for (let step = 0; step < 150; step++) {
          const number = 1 + draw.below(60)
          assert.strictEqual(numbers.add(number), !model.has(number))
          model.add(number)
          const asked = draw.below(62)
          assert.strictEqual(numbers.has(asked), model.has(asked))
        }
      })))

  it("takes a wide hole for what it is, without walking through it", () => {
    const numbers = new SequenceSet()
    assert.isTrue(numbers.add(1))
    assert.isTrue(numbers.add(Number.MAX_SAFE_INTEGER))
    assert.isFalse(numbers.has(2))
    assert.isTrue(numbers.add(1_000_000_000_000))
    assert.isFalse(numbers.add(1))
  })

  it("forgets the lowest numbers past its bound, and never the newest", () => {
    const numbers = new SequenceSet()
    for (let n = 1; n <= maxRanges + 3; n++) assert.isTrue(numbers.add(2 * n))
    assert.deepStrictEqual([2, 4, 6, 8].map((n) => numbers.has(n)), [false, false, false, true])
    assert.isTrue(numbers.has(2 * maxRanges + 6))
    assert.isTrue(numbers.add(4), "a forgotten number may come again")
  })
})
