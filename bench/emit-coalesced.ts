/**
 * How many pieces of text per second does one fiber emit, where those of one batch window become one event?
 */
import { strictEqual } from "node:assert/strict"
import { AgentEvents } from "../src/index.ts"
import { measureEmitting } from "./harness/emitting.ts"
import { atLeast, compare, type Question } from "./harness/question.ts"
import { textOf } from "./harness/workload.ts"

const deltaOf = (step: number) => ({ messageId: "message-1", delta: textOf(step).slice(0, 3 + step % 5) })

const textIn = (data: object): string => "delta" in data && typeof data.delta === "string" ? data.delta : ""

export const question: Question = {
  asks: "emit, text_delta, merged, one fiber",
  answer: async (settings) => {
    const { loop, nothing, ours, reference } = await measureEmitting(
      {
        type: AgentEvents.TextDelta.name,
        payload: deltaOf,
        event: AgentEvents.TextDelta.make,
        merged: true,
        verify: (arrived, emitted) => {
          strictEqual(arrived.map(textIn).join(""), emitted.map(({ delta }) => delta).join(""))
        }
      },
      settings
    )
    return {
      comparisons: [
        compare("emit, text_delta, merged", ours, reference, atLeast(20)),
        compare("emit, text_delta, merged", ours, loop),
        compare("emit, text_delta, merged", ours, nothing)
      ],
      notes: []
    }
  }
}
