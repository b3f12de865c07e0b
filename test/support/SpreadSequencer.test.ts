import { assert, describe, it } from "@effect/vitest"
import { spread } from "./SpreadSequencer.ts"

describe("spread", () => {
  it("begins with the first of the few, and sets the others evenly among the many, each in order", () => {
    assert.deepStrictEqual(spread(["A", "B"], ["1", "2", "3", "4", "5"]), ["A", "1", "2", "3", "B", "4", "5"])
    assert.deepStrictEqual(spread(["A", "B", "C"], ["1", "2", "3"]), ["A", "1", "B", "2", "C", "3"])
  })
  it("keeps all that there is, also where one of both is empty", () => {
    assert.deepStrictEqual(spread([], ["1", "2"]), ["1", "2"])
    assert.deepStrictEqual(spread(["A"], []), ["A"])
    assert.deepStrictEqual(spread([], []), [])
  })
})
