/** What the benchmark of cut connections counts. */
import { assert, describe, it } from "@effect/vitest"
import { Tally } from "../../bench/harness/tally.ts"

const counted = (tally: Tally) => {
  const { delivered, doubled, latencies, outOfOrder } = tally.counts()
  return { delivered, doubled, outOfOrder, latencies: latencies.length }
}

describe("a tally of what devices got", () => {
  it("tells what came once and in order from what came twice or late, for each device by itself", () => {
    const tally = new Tally()
    for (const step of [0, 2, 6, 4, 6]) tally.add(0, step, 0.1)
    for (const step of [1, 3, 5]) tally.add(1, step, 0.1)
    assert.deepStrictEqual(counted(tally), { delivered: 7, doubled: 1, outOfOrder: 1, latencies: 7 })
  })

  it("keeps the rounds apart: what comes too late for its round was lost, what comes again is doubled", () => {
    const tally = new Tally()
    tally.add(0, 0, 0.1)
    tally.begin(2)
    tally.add(0, 0, 0.1)
    tally.add(0, 1, 0.1)
    tally.add(0, 2, 0.1)
    assert.deepStrictEqual(counted(tally), { delivered: 1, doubled: 1, outOfOrder: 0, latencies: 1 })
  })
})
