/**
 * How many critical events per second does one fiber emit, each appended to the log before `emit` returns?
 */
import { deepStrictEqual } from "node:assert/strict"
import { AgentEvents } from "../src/index.ts"
import { measureEmitting } from "./harness/emitting.ts"
import { atLeast, compare, type Question } from "./harness/question.ts"
import { payloadOf } from "./harness/workload.ts"

export const question: Question = {
  asks: "emit, critical, one fiber",
  answer: async (settings) => {
    const { loop, nothing, ours, reference } = await measureEmitting(
      {
        type: "agent_thinking",
        payload: payloadOf,
        event: AgentEvents.AgentThinking.make,
        merged: false,
        verify: (arrived, emitted) => {
          // The run's last event is one of these too.
          deepStrictEqual(arrived.slice(0, -1), emitted)
        }
      },
      settings
    )
    return {
      comparisons: [
        compare("emit, critical", ours, reference, atLeast(5)),
        compare("emit, critical", ours, loop, atLeast(0.6)),
        compare("emit, critical", ours, nothing)
      ],
      notes: []
    }
  }
}
