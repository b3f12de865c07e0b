import { assert, describe, it } from "@effect/vitest"
import { Rates } from "../../../src/gateway/admission/Rates.ts"

describe("Rates", () => {
  it("lets each user have so many per second, and as many at once", () => {
    const rates = new Rates<string>(3)
    const took = (name: string, now: number, times: number) =>
      Array.from({ length: times }, () => rates.take(name, now)).filter((taken) => taken).length
    assert.deepStrictEqual([took("ada", 0, 5), took("bob", 0, 2), took("ada", 0, 1)], [3, 2, 0])
    assert.deepStrictEqual([took("ada", 334, 5), took("bob", 334, 5)], [1, 2])
    assert.deepStrictEqual([took("ada", 1_334, 5), took("ada", 1_400, 5)], [3, 0])
  })

  it("does not give more to a user whose bucket is carried over a turn", () => {
    const rates = new Rates<string>(10)
    let taken = 0
    for (let now = 0; now <= 10_000; now += 10) if (rates.take("ada", now)) taken += 1
    assert.isAtMost(taken, 110)
    assert.isAtLeast(taken, 109)
  })

  it("forgets users who have been quiet for two seconds", () => {
    const rates = new Rates<string>(5)
    for (let n = 0; n < 1_000; n++) rates.take(`u${n}`, n)
    assert.strictEqual(rates.size, 1_000)
    rates.take("ada", 1_999)
    assert.strictEqual(rates.size, 1_001)
    rates.take("bob", 3_100)
    assert.strictEqual(rates.size, 2)
    rates.take("ada", 9_000)
    assert.strictEqual(rates.size, 1)
  })

  it("remembers a bounded number, however many come at once", () => {
    const rates = new Rates<number>(5)
    for (let n = 0; n < 300_000; n++) rates.take(n, 0)
    assert.isAtMost(rates.size, 100_000)
  })

  it("takes again what was given back", () => {
    const rates = new Rates<string>(2)
    assert.isTrue(rates.take("ada", 0))
    assert.isTrue(rates.take("ada", 0))
    rates.giveBack("ada")
    rates.giveBack("bob")
    assert.deepStrictEqual([rates.take("ada", 0), rates.take("ada", 0)], [true, false])
  })
})
