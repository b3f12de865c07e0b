/**
 * How many batched events per second does one fiber emit, none of which can be merged with another?
 *
 * Asked twice: with an event of one's own that has the payload of `agent_thinking`, so that only the delivery class
 * differs from `emit-critical`; and with `usage_reported`, which the emitter also adds up.
 */
import { deepStrictEqual } from "node:assert/strict"
import { AgentEvents } from "../src/index.ts"
import { measureEmitting } from "./harness/emitting.ts"
import { atLeast, compare, type Question } from "./harness/question.ts"
import { Noted, payloadOf } from "./harness/workload.ts"

const usageOf = (step: number) => ({
  inputTokens: step % 4000,
  outputTokens: step % 700,
  cost: step % 100 / 64,
  operation: "answer"
})

export const question: Question = {
  asks: "emit, batched, one fiber",
  answer: async (settings) => {
    const noted = await measureEmitting(
      { type: Noted.name, payload: payloadOf, event: Noted.make, merged: false, verify: deepStrictEqual },
      settings
    )
    const usage = await measureEmitting(
      {
        type: AgentEvents.UsageReported.name,
        payload: usageOf,
        event: AgentEvents.UsageReported.make,
        merged: false,
        verify: deepStrictEqual
      },
      settings
    )
    return {
      comparisons: [
        compare("emit, batched", noted.ours, noted.reference, atLeast(6)),
        compare("emit, batched", noted.ours, noted.loop, atLeast(0.75)),
        compare("emit, batched", noted.ours, noted.nothing),
        compare("emit, batched, usage_reported", usage.ours, usage.reference, atLeast(6)),
        compare("emit, batched, usage_reported", usage.ours, usage.loop, atLeast(0.75))
      ],
      notes: []
    }
  }
}
