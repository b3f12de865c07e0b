/** What the doctor says of any server's clock and latency. */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { ofClock, ofLatency } from "../../src/cli/backend/ServerFindings.ts"

describe("what is found of a server", () => {
  it("is well while its clock differs by a second at most, and says else which way", () => {
    for (const ms of [-1_000, 0, 1_000]) assert.deepInclude(ofClock(ms), { severity: "ok", check: "clock" })
    assert.deepInclude(ofClock(1_001), { severity: "warning", message: "its clock is 1.0 s ahead" })
    assert.deepInclude(ofClock(-90_500), { severity: "warning", message: "its clock is 90.5 s behind" })
  })

  it("is slow above 10 ms, and a fault above half of the deadline, with the setting to raise", () => {
    const of = (ms: number) =>
      ofLatency(ms, { deadline: Duration.seconds(1), prefix: "REDIS", lookFor: "slow commands" })
    assert.deepInclude(of(10), { severity: "ok", message: "it answers in 10.0 ms" })
    assert.deepInclude(of(10.1), { severity: "warning" })
    assert.include(of(500).remedy ?? "", "look for slow commands")
    const late = of(500.1)
    assert.deepInclude(late, { severity: "fault", message: "it answers in 500.1 ms, and a call fails after 1000 ms" })
    assert.include(late.remedy ?? "", "REDIS_DEADLINE")
  })
})
