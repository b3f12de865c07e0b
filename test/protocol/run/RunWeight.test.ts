import { assert, describe, it } from "@effect/vitest"
import { maxText, RunFold } from "../../../src/protocol/run/RunSnapshot.ts"
import { bytesOfFold, shortened, weigh } from "../../../src/protocol/run/RunWeight.ts"
import { settledMemory } from "../../support/memory.ts"
import { textOf } from "../../support/runs.ts"
import { fold } from "./folding.ts"
import { of } from "./happenings.ts"

describe("what a run takes", () => {
  it("says of texts and thoughts that were shortened that they are cut, and takes what they take then", () => {
    const snapshot = fold([
      of("text_delta", { messageId: "m1", delta: "abcdef" }),
      of("agent_thinking", { text: "ghijkl" }),
      of("agent_thinking", { text: "mn" })
    ]).snapshot()
    const short = RunFold.from(shortened(snapshot, 3), weigh)
    assert.deepStrictEqual(short.snapshot().parts, [
      { type: "text", messageId: "m1", text: "def", truncated: true },
      { type: "thinking", text: "jkl", truncated: true },
      { type: "thinking", text: "mn" }
    ])
    assert.isBelow(bytesOfFold(short), bytesOfFold(RunFold.from(snapshot, weigh)))
    assert.deepStrictEqual(shortened(short.snapshot(), 3), short.snapshot())
  })

  it("keeps all texts of a snapshot that were shortened, and goes on with them", () => {
    const ids = Array.from({ length: 12 }, (_, index) => `m${index}`)
    const long = fold(ids.map((messageId) => of("text_delta", { messageId, delta: "long ".repeat(100) })))
    const short = shortened(long.snapshot(), 9)
    const restored = RunFold.from(short)
    assert.deepStrictEqual(restored.snapshot(), short)
    restored.apply("text_delta", { messageId: "m0", delta: "more" }, 1)
    assert.deepStrictEqual(restored.snapshot().parts, [
      { type: "text", messageId: "m0", text: "ong long more", truncated: true },
      ...short.parts.slice(1)
    ])
  })

  it("fault 39d: a text that comes in small pieces costs little more than its characters", async () => {
    // Or the second measurement would see the first folds go.
    const kept: Array<ReadonlyArray<RunFold>> = []
    for (
      const [what, piece, width] of [["ASCII", "thirteen char", 1], ["other scripts", "тринадцать зн", 2]] as const
    ) {
      const before = await settledMemory()
      const folds = Array.from({ length: 20 }, () => new RunFold(weigh))
      for (const [n, run] of folds.entries()) {
        for (let i = 0; i < 4_000; i++) {
          run.apply("text_delta", {
            messageId: "m",
            delta: `${piece.slice(1)}${(i + n) % 10}`
          }, i)
        }
      }
      const cost = (await settledMemory() - before) / folds.length
      const length = width * textOf(folds[0]?.snapshot().parts[0]).length
      assert.strictEqual(length, width * 52_000)
      assert.isBelow(cost, 1.3 * length + 4096, what)
      // What the fold says of itself is what the engine says.
      for (const run of folds) assert.closeTo(bytesOfFold(run) / cost, 1, 0.25, what)
      kept.push(folds)
    }
  })

  it("P5: says of itself what the engine says, also of inputs, outputs and thoughts", async () => {
    const before = await settledMemory()
    const folds = Array.from({ length: 40 }, (_, run) => {
      const each = new RunFold(weigh)
      each.apply("agent_started", { agentName: "a", input: `${run}${"q".repeat(3_000)}` }, 0)
      for (let n = 0; n < 60; n++) {
        const [toolCallId, toolName] = [`call-${run}-${n}`, `tool-${run}-${n}`]
        each.apply("tool_executing", { toolCallId, toolName, input: { q: `${n}${"i".repeat(300)}` } }, n)
        each.apply("agent_thinking", { text: `${n}${"t".repeat(200)}` }, n)
        const output = [`${n}${"é".repeat(100)}`]
        each.apply("tool_completed", { toolCallId, toolName, output, isError: false, durationMs: n }, n)
      }
      return each
    })
    const cost = (await settledMemory() - before) / folds.length
    for (const run of folds) {
      assert.closeTo(bytesOfFold(run) / cost, 1, 0.25, `${bytesOfFold(run)} of ${cost}`)
    }
  })

  it("takes a long answer in small pieces without copying it each time", () => {
    const run = new RunFold()
    const started = process.cpuUsage()
    for (let i = 0; i < 500_000; i++) run.apply("text_delta", { messageId: "m", delta: "0123456789" }, i)
    assert.strictEqual(textOf(run.snapshot().parts[0]).length, maxText)
    // By the process's own time. Copying 64 KiB at each piece would move 32 GB, which no machine does in this time.
    assert.isBelow(process.cpuUsage(started).user, 3_000_000)
  })
})
