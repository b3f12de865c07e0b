/** What a process of another version has saved of runs is read by this one, as far as it knows it. */
import { assert, describe, it } from "@effect/vitest"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import * as RedisEntry from "../../../src/broker/redis/codec/Entry.ts"

const usage = { inputTokens: 0, outputTokens: 0 }

const stateOf = (saved: object) =>
  RedisEntry.toRuns(8, {
    log: { epoch: "E1", offset: 4 },
    first: 1,
    checkpoint: 4,
    gap: undefined,
    blocks: [],
    states: ["r", JSON.stringify({ since: 1, offset: 4, state: saved })],
    tail: []
  }).snapshot(RunId.make("r"))?.state

describe("the saved state of a run", () => {
  it("is read as an earlier version wrote it, and what it left open of an ended run is closed", () => {
    const tool = {
      type: "tool",
      toolCallId: "t",
      toolName: "n",
      status: "executing",
      input: { parts: [{ type: "x" }] }
    }
    const active = { status: "active", agentName: "a", startedAt: 1, parts: [tool], usage }
    assert.deepStrictEqual<unknown>(stateOf(active), active)
    assert.deepStrictEqual<unknown>(stateOf({ ...active, status: "lost", endedAt: 2 }), {
      ...active,
      status: "lost",
      endedAt: 2,
      parts: [{ ...tool, status: "failed" }]
    })
  })

  it("is read without the parts that only a later version knows", () => {
    const text = { type: "text", messageId: "m", text: "a" }
    const later = { status: "active", parts: [{ type: "hologram", of: "later" }, text], usage, mood: "good" }
    assert.deepStrictEqual<unknown>(stateOf(later), { status: "active", parts: [text], usage })
  })
})
