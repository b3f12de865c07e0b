import { assert, describe, it } from "@effect/vitest"
import type { Schema } from "effect"
import * as RunEvents from "../../../src/protocol/event/RunEvents.ts"
import { maxJson, maxOpenRequests, maxParts, maxText, maxTotalJson } from "../../../src/protocol/run/RunSnapshot.ts"
import { expectWithinBounds, fold } from "./folding.ts"
import { type Happening, of } from "./happenings.ts"

describe("the parts of a run", () => {
  it("drops the oldest parts, one for each that comes, and says how many", () => {
    const ids = Array.from({ length: maxParts / 2 + 10 }, (_, index) => `id-${index}`)
    const snapshot = fold(ids.flatMap((id) => [
      of("text_delta", { messageId: id, delta: "x" }),
      of("tool_executing", { toolCallId: id, toolName: "n", input: null })
    ])).snapshot()
    assert.deepStrictEqual(
      snapshot.parts.map((part) => part.type === "tool" ? part.toolCallId : "messageId" in part && part.messageId),
      ids.slice(10).flatMap((id) => [id, id])
    )
    assert.strictEqual(snapshot.dropped, 20)
  })

  it("begins a part anew for what comes of a text that was dropped, though no other text has grown since", () => {
    const others = Array.from(
      { length: maxParts },
      (_, index) => of("tool_executing", { toolCallId: `t${index}`, toolName: "n", input: null })
    )
    const { dropped, parts } = fold([
      of("text_delta", { messageId: "m1", delta: "a" }),
      ...others,
      of("text_delta", { messageId: "m1", delta: "b" })
    ]).snapshot()
    assert.deepStrictEqual([dropped, parts.at(-1)], [2, { type: "text", messageId: "m1", text: "b" }])
  })

  it("begins a part anew for what comes of a call that was dropped", () => {
    const notes = Array.from({ length: maxParts }, (_, index) => of("agent_thinking", { text: `${index}` }))
    const call = { toolCallId: "t", toolName: "n" }
    const { dropped, parts } = fold([
      of("tool_executing", { ...call, input: 1 }),
      ...notes,
      of("tool_completed", { ...call, output: 2, isError: false, durationMs: 3 })
    ]).snapshot()
    assert.deepStrictEqual(
      [dropped, parts.at(-1)],
      [2, { type: "tool", ...call, status: "completed", output: 2, durationMs: 3 }]
    )
  })

  it("keeps each part where it began, however often it changes", () => {
    const parts = fold([
      of("text_delta", { messageId: "m", delta: "a" }),
      of("tool_executing", { toolCallId: "t", toolName: "n", input: 1 }),
      of("tool_executing", { toolCallId: "u", toolName: "n", input: 2 }),
      of("agent_thinking", { text: "hm", step: 1 }),
      of("tool_completed", { toolCallId: "u", toolName: "n", output: "U", isError: false, durationMs: 1 }),
      of("thinking_delta", { messageId: "m", delta: "b" }),
      of("tool_completed", { toolCallId: "t", toolName: "n", output: "T", isError: true, durationMs: 2 }),
      of("text_delta", { messageId: "m", delta: "c" }),
      of("agent_thinking", { text: "hm", step: 2 })
    ]).snapshot().parts
    assert.deepStrictEqual(parts, [
      { type: "text", messageId: "m", text: "ac" },
      { type: "tool", toolCallId: "t", toolName: "n", status: "failed", input: 1, output: "T", durationMs: 2 },
      { type: "tool", toolCallId: "u", toolName: "n", status: "completed", input: 2, output: "U", durationMs: 1 },
      { type: "thinking", step: 1, text: "hm" },
      { type: "thinking", messageId: "m", text: "b" },
      { type: "thinking", step: 2, text: "hm" }
    ])
  })

  it("takes the id of a call that has ended for another call, which begins at the end", () => {
    const { dropped, parts } = fold([
      of("tool_executing", { toolCallId: "t", toolName: "n", input: 1 }),
      of("tool_completed", { toolCallId: "t", toolName: "n", output: 1, isError: false, durationMs: 1 }),
      of("text_delta", { messageId: "m", delta: "a" }),
      of("tool_executing", { toolCallId: "t", toolName: "n", input: 2 })
    ]).snapshot()
    assert.deepStrictEqual(parts, [
      { type: "text", messageId: "m", text: "a" },
      { type: "tool", toolCallId: "t", toolName: "n", status: "executing", input: 2 }
    ])
    assert.strictEqual(dropped, 1)
  })

  it("says of an input or output that is too large how large it was, and of the oldest where all are too many", () => {
    const [fits, tooLarge] = ["x".repeat(maxJson - 2), "x".repeat(maxJson - 1)]
    const call = (id: number, input: string, output: string) => [
      of("tool_executing", { toolCallId: `t${id}`, toolName: "n", input }),
      of("tool_completed", { toolCallId: `t${id}`, toolName: "n", output, isError: false, durationMs: 1 })
    ]
    const inputs = (happenings: ReadonlyArray<Happening>) =>
      fold(happenings).snapshot().parts.map((part) => part.type === "tool" ? [part.input, part.output] : [])
    const [input, output] = [{ omitted: maxJson + 1 }, { omitted: maxJson + 2 }]
    assert.deepStrictEqual(inputs(call(0, fits, tooLarge)), [[fits, input]])
    assert.deepStrictEqual(inputs(call(0, tooLarge, `${tooLarge}x`)), [[input, output]])
    // A character of two bytes counts as two.
    assert.deepStrictEqual(inputs(call(0, "é".repeat(maxJson / 2), "é")), [[{ omitted: maxJson + 2 }, "é"]])

    const count = maxTotalJson / maxJson
    const many = Array.from({ length: count }, (_, n) => call(n, fits, "short")).flat()
    const kept = inputs([of("agent_started", { agentName: "a", input: fits }), ...many])
    // What is as short as what would stand for it stays.
    assert.deepStrictEqual(kept.map(([, output]) => output), kept.map(() => "short"))
    assert.deepStrictEqual(
      kept.map(([input]) => input === fits),
      kept.map((_, n) => n >= 2)
    )
    assert.deepStrictEqual(kept[0]?.[0], { omitted: maxJson })
    assert.strictEqual(fold([of("agent_started", { agentName: "a", input: fits }), ...many]).snapshot().input, fits)
    const large = fold([of("agent_started", { agentName: "a", input: tooLarge })]).snapshot()
    assert.deepStrictEqual(large.input, { omitted: maxJson + 1 })
  })

  describe("what a run asks its user for", () => {
    const ask = (requestId: string, others: Schema.JsonObject = {}) =>
      of("input_requested", { requestId, kind: "form", title: "?", ...others })
    const statuses = (happenings: ReadonlyArray<Happening>) =>
      fold(happenings).snapshot().parts.flatMap((part) =>
        part.type === "request" ? [[part.requestId, part.status, part.answer]] : []
      )

    it("is open until it is resolved, by the first that resolves it", () => {
      const resolve = (outcome: string, others: Schema.JsonObject = {}) =>
        of("input_resolved", { requestId: "r1", outcome, ...others })
      const answered = resolve("answered", { answer: { at: "noon" }, client: "example/1.0" })
      assert.deepStrictEqual(fold([ask("r1"), answered, resolve("expired"), resolve("answered")]).snapshot().parts, [
        {
          type: "request",
          requestId: "r1",
          kind: "form",
          title: "?",
          status: "answered",
          answer: { at: "noon" },
          client: "example/1.0"
        }
      ])
      assert.deepStrictEqual(statuses([ask("r1"), resolve("expired")]), [["r1", "expired", undefined]])
      // Nothing can be shown of a request that was not seen.
      assert.deepStrictEqual(statuses([answered]), [])
    })

    it("keeps the answer to a sensitive one to itself, though an event tells it", () => {
      const { parts } = fold([
        ask("r1", { sensitive: true }),
        of("input_resolved", { requestId: "r1", outcome: "answered", answer: "hunter2", client: "c" })
      ]).snapshot()
      assert.notInclude(JSON.stringify(parts), "hunter2")
      assert.deepInclude(parts[0], { status: "answered", client: "c" })
    })

    it("P5: stays while it is open, whatever else comes; of what is closed the oldest go", () => {
      const open = Array.from({ length: maxOpenRequests }, (_, n) =>
        ask(`r${n}`, {
          detail: "d".repeat(RunEvents.maxDetail),
          schema: { title: "s".repeat(n < 3 ? 4_000 : 10) }
        }))
      const others = Array.from({ length: 2 * maxParts }, (_, n) => [
        of("tool_executing", { toolCallId: `t${n}`, toolName: "n", input: "i".repeat(4_000) }),
        ask(`past${n}`, { detail: "d".repeat(RunEvents.maxDetail) }),
        of("input_resolved", { requestId: `past${n}`, outcome: "answered", answer: "a".repeat(4_000) }),
        of("text_delta", { messageId: `m${n}`, delta: "x".repeat(4_000) })
      ]).flat()
      const { parts } = fold([...open, ...others]).snapshot()
      const kept = parts.flatMap((part) => part.type === "request" && part.status === "open" ? [part] : [])
      assert.deepStrictEqual(kept.map(({ requestId }) => requestId), open.map(({ data }) => data["requestId"]))
      // Their schemas go last of all that is kept of JSON.
      assert.deepStrictEqual(kept.map(({ schema }) => schema), open.map(({ data }) => data["schema"]))
      expectWithinBounds(fold([...open, ...others]).snapshot())
    })

    it("P5: gives up what it asks by a schema last, and says how large that was", () => {
      const schema = { title: "s".repeat(4_000) }
      const { parts } = fold(Array.from({ length: maxOpenRequests }, (_, n) => ask(`r${n}`, { schema }))).snapshot()
      assert.lengthOf(parts, maxOpenRequests)
      const schemas = parts.map((part) => part.type === "request" ? part.schema : undefined)
      const bytes = JSON.stringify(schema).length
      assert.deepStrictEqual(schemas[0], { omitted: bytes })
      assert.deepStrictEqual(schemas.at(-1), schema)
      const tooLarge = fold([ask("r", { schema: { title: "s".repeat(maxJson) } })]).snapshot().parts[0]
      assert.deepInclude(tooLarge, { schema: { omitted: maxJson + 12 } })
    })
  })

  it("shows the input of a tool call as it is written, and the call once it has begun", () => {
    const delta = (delta: string) => of("tool_input_delta", { toolCallId: "t", toolName: "n", delta })
    const tool = { type: "tool", toolCallId: "t", toolName: "n", status: "executing" }
    const written = [delta("{\"q\":"), of("text_delta", { messageId: "m", delta: "a" }), delta("1}")]
    const partsOf = (happenings: ReadonlyArray<Happening>): ReadonlyArray<unknown> => fold(happenings).snapshot().parts
    const text = { type: "text", messageId: "m", text: "a" }
    assert.deepStrictEqual(partsOf(written), [{ ...tool, inputText: "{\"q\":1}" }, text])
    const begun = [...written, of("tool_executing", { toolCallId: "t", toolName: "n", input: { q: 1 } })]
    assert.deepStrictEqual(partsOf(begun), [{ ...tool, input: { q: 1 } }, text])
    // The id of a call that has ended stands for another one.
    const ended = of("tool_completed", { toolCallId: "t", toolName: "n", output: 2, isError: false, durationMs: 1 })
    assert.deepStrictEqual(partsOf([...begun, ended, delta("{")]), [text, { ...tool, inputText: "{" }])
    // One that never begins is closed with its run.
    const over = of("agent_error", { reason: "lost", message: "m", retryable: true })
    assert.deepStrictEqual(partsOf([delta("{"), over])[0], { ...tool, status: "failed", inputText: "{" })
    const long = Array.from({ length: 5_000 }, (_, n) => delta(String(n % 10)))
    const [part] = fold(long).snapshot().parts
    assert.lengthOf(part?.type === "tool" ? part.inputText ?? "" : "", maxJson)
  })

  it("has a part for each step, though steps of a name come again", () => {
    const [began, ended] = [of("step_started", { name: "plan" }), of("step_finished", { name: "plan" })]
    const step = { type: "step", name: "plan" } as const
    const run = [began, ended, of("step_started", { name: "write" }), began]
    const parts = [
      { ...step, status: "finished" },
      { ...step, name: "write", status: "running" },
      { ...step, status: "running" }
    ] as const
    assert.deepStrictEqual(fold(run).snapshot().parts, parts)
    const over = of("agent_completed", { agentName: "a", durationMs: 1 })
    assert.deepStrictEqual(
      fold([...run, over]).snapshot().parts,
      parts.map((part) => ({ ...part, status: "finished" }))
    )
    assert.deepStrictEqual(fold([ended, began]).snapshot().parts, [parts[0], parts[2]])
  })

  it("keeps a source and a file where they were told of first, as they were told of last", () => {
    const { parts } = fold([
      of("source_cited", { sourceId: "s", title: "Streams" }),
      of("file_produced", { fileId: "f", mediaType: "text/plain", data: "YQ==" }),
      of("source_cited", { sourceId: "s", url: "https://example.com" }),
      of("file_produced", { fileId: "f", mediaType: "text/plain", url: "https://example.com/f" }),
      of("file_produced", { fileId: "g", mediaType: "image/png", data: "x".repeat(maxJson) })
    ]).snapshot()
    assert.deepStrictEqual(parts, [
      { type: "source", sourceId: "s", title: "Streams", url: "https://example.com" },
      { type: "file", fileId: "f", mediaType: "text/plain", data: "YQ==", url: "https://example.com/f" },
      { type: "file", fileId: "g", mediaType: "image/png", data: { omitted: maxJson + 2 } }
    ])
  })

  it("keeps own events as they ask for, bounded like an input", () => {
    const own = (type: string, n: Schema.Json, keep?: RunEvents.Keep): Happening => ({ type, data: { n }, at: 1, keep })
    const { parts } = fold([
      own("stock_level", 1, "newest"),
      own("order_placed", 1, "part"),
      own("note_taken", 1),
      own("stock_level", 2, "newest"),
      own("order_placed", "x".repeat(maxJson), "part")
    ]).snapshot()
    const event = { type: "event", at: 1 }
    assert.deepStrictEqual<unknown>(parts, [
      { ...event, name: "stock_level", data: { n: 2 } },
      { ...event, name: "order_placed", data: { n: 1 } },
      { ...event, name: "order_placed", data: { omitted: maxJson + 8 } }
    ])
  })

  it("says of a message that nothing more comes of it, of its text and of its thought", () => {
    const { parts } = fold([
      of("thinking_delta", { messageId: "m", delta: "hm" }),
      of("text_delta", { messageId: "m", delta: "a" }),
      of("text_delta", { messageId: "n", delta: "b" }),
      of("message_completed", { messageId: "m" }),
      of("message_completed", { messageId: "never" })
    ]).snapshot()
    assert.deepStrictEqual(parts, [
      { type: "thinking", messageId: "m", text: "hm", completed: true },
      { type: "text", messageId: "m", text: "a", completed: true },
      { type: "text", messageId: "n", text: "b" }
    ])
  })

  it("keeps the message that is being written when all together are too long, though it began first", () => {
    const long = "x".repeat(maxText)
    const ids = ["m0", "m1", "m2", "m3", "m4"]
    const snapshot = fold([
      of("text_delta", { messageId: "m0", delta: "first" }),
      ...ids.slice(1).map((messageId) => of("text_delta", { messageId, delta: long.slice(5) })),
      of("text_delta", { messageId: "m0", delta: long })
    ]).snapshot()
    assert.deepStrictEqual(snapshot.parts.map((part) => part.type === "text" && part.messageId), [
      "m0",
      "m2",
      "m3",
      "m4"
    ])
    expectWithinBounds(snapshot)
  })
})
