import { assert, describe, it } from "@effect/vitest"
import { UserRates } from "../../src/gateway/UserRates.ts"
import { user } from "./server.ts"

describe("UserRates", () => {
  it("lets each user have so many per second, and as many at once", () => {
    const rates = new UserRates(3)
    const took = (name: string, now: number, times: number) =>
      Array.from({ length: times }, () => rates.take(user(name), now)).filter((taken) => taken).length
    assert.deepStrictEqual([took("ada", 0, 5), took("bob", 0, 2), took("ada", 0, 1)], [3, 2, 0])
    assert.deepStrictEqual([took("ada", 334, 5), took("bob", 334, 5)], [1, 2])
    assert.deepStrictEqual([took("ada", 1_334, 5), took("ada", 1_400, 5)], [3, 0])
  })

  it("does not give more to a user whose bucket is carried over a turn", () => {
    const rates = new UserRates(10)
    let taken = 0
    for (let now = 0; now <= 10_000; now += 10) if (rates.take(user("ada"), now)) taken += 1
    assert.isAtMost(taken, 110)
    assert.isAtLeast(taken, 109)
  })

  it("forgets users who have been quiet for two seconds", () => {
    const rates = new UserRates(5)
    for (let n = 0; n < 1_000; n++) rates.take(user(`u${n}`), n)
    assert.strictEqual(rates.size, 1_000)
    rates.take(user("ada"), 1_999)
    assert.strictEqual(rates.size, 1_001)
    rates.take(user("bob"), 3_100)
    assert.strictEqual(rates.size, 2)
    rates.take(user("ada"), 9_000)
    assert.strictEqual(rates.size, 1)
  })
})
