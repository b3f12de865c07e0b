import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import * as ServerFrames from "../../../src/client/transport/ServerFrames.ts"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import * as Frame from "../../../src/protocol/wire/Frame.ts"
import * as RunEvents from "../../../src/protocol/event/RunEvents.ts"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import {
  maxJson,
  maxOpenRequests,
  maxParts,
  maxState,
  maxText,
  maxTotalJson,
  maxTotalText,
  RunFold,
  type RunPart,
  RunSnapshot
} from "../../../src/protocol/run/RunSnapshot.ts"
import type { Weigh } from "../../../src/protocol/run/RunParts.ts"
import { bytesOfFold, shortened, weigh } from "../../../src/protocol/run/RunWeight.ts"
import { settledMemory } from "../../support/memory.ts"
import { builtInEvents } from "../events.ts"
import { textOf } from "../../support/runs.ts"
import { hasEscapedKey, roundTrips, throughJson } from "../roundTrip.ts"

interface Happening {
  readonly type: string
  readonly data: Schema.JsonObject
  readonly at: number
  readonly keep?: RunEvents.Keep | undefined
}

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const oneOf = <A>(items: ReadonlyArray<A>, first: A) =>
  Arbitrary.map(Arbitrary.schema(int(0, items.length)), (index) => items[index] ?? first)

const eventNames = [...AgentEvents.catalog.definitions.keys()]

/** Well-formed events, by name: the payloads are drawn from the catalog's own schemas. */
const wellFormed = eventNames.map((type): Arbitrary.Arbitrary<Happening> => {
  const definition = AgentEvents.catalog.definitions.get(type) ?? assert.fail(type)
  const payload = Arbitrary.map(Arbitrary.schema(definition.payload), Schema.decodeUnknownSync(Schema.JsonObject))
  return Arbitrary.map(
    Arbitrary.all({ data: payload, at: Arbitrary.schema(int(0, 2 ** 41)) }),
    (rest) => ({ type, ...rest })
  )
})

const anyWellFormed = Arbitrary.flatMap(
  Arbitrary.schema(int(0, wellFormed.length - 1)),
  (index) => wellFormed[index] ?? assert.fail("no such event")
)

const fields = [
  "agentName parentRunId text step toolCallId toolName isError durationMs progress message",
  "inputTokens outputTokens cost result reason messageId delta",
  "name sourceId url excerpt fileId mediaType data state patch",
  "input commands by requestId kind title detail schema options sensitive expiresAt outcome answer client"
].join(" ").split(" ")

/** Events of known and unknown names whose fields hold anything at all. */
const garbage: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf([...eventNames, "order_placed", "__proto__"], "text_delta"),
    data: Arbitrary.all(Object.fromEntries(fields.map((field) => [field, Arbitrary.schema(Schema.Json)]))),
    at: Arbitrary.schema(int(0, 2 ** 41))
  }),
  (happening) => happening
)

// Pieces from one character to more than a snapshot keeps; some are made of surrogate pairs, at odd and even places.
const pieces = [
  "x",
  "é",
  "👩",
  "y👩",
  "👩".repeat(20_000),
  `z${"🙂".repeat(maxText / 2)}`,
  "w".repeat(maxText),
  "v".repeat(3 * maxText)
]

const delta: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf(["text_delta", "thinking_delta"], "text_delta"),
    message: Arbitrary.schema(int(0, 3)),
    piece: oneOf(pieces, "x")
  }),
  ({ message, piece, type }) => ({ type, data: { messageId: `m${message}`, delta: piece }, at: 0 })
)

const tool: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf(["tool_executing", "tool_completed"], "tool_executing"),
    id: Arbitrary.schema(int(0, 200))
  }),
  ({ id, type }) => ({
    type,
    data: { toolCallId: `t${id}`, toolName: "n", input: null, output: null, isError: id % 3 === 0, durationMs: id },
    at: 0
  })
)

/** A run as it may come: few ids, so that texts, thoughts and calls take turns, and inputs and outputs of every size. */
const sizes = [0, 1, 40, 1_000, 4_080, 4_200, 70_000]
const story: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf(
      [
        "text_delta",
        "thinking_delta",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "progress_update",
        "usage_reported",
        "input_requested",
        "input_requested",
        "input_resolved",
        "tool_input_delta",
        "tool_input_delta",
        "message_completed",
        "step_started",
        "step_finished",
        "source_cited",
        "file_produced",
        "state_snapshot",
        "state_delta",
        "state_delta",
        "order_placed",
        "agent_started",
        "agent_completed",
        "agent_error",
        "custom"
      ],
      "text_delta"
    ),
    id: Arbitrary.schema(int(0, 5)),
    size: oneOf(sizes, 0),
    at: Arbitrary.schema(int(0, 1_000))
  }),
  ({ at, id, size, type }) => ({
    type,
    data: {
      agentName: "a",
      input: { q: "é".repeat(size / 2) },
      messageId: `m${id}`,
      delta: `${id} ${"+".repeat(type === "tool_input_delta" ? Math.min(size, 4_200) : 0)}`,
      text: `thought ${id}`,
      step: id,
      toolCallId: `t${id}`,
      toolName: "n",
      output: "x".repeat(size),
      isError: id === 0,
      durationMs: id,
      progress: id,
      inputTokens: id,
      outputTokens: id,
      message: "m",
      reason: "failed",
      retryable: true,
      by: id % 2 === 0 ? "user" : "program",
      commands: ["cancel"],
      requestId: `r${id}-${at % 8}`,
      kind: id % 2 === 0 ? "form" : "choice",
      title: `title ${id}`,
      detail: "d".repeat(Math.min(size, 4_096)),
      schema: { description: "x".repeat(size) },
      options: [{ value: "y".repeat(size) }],
      sensitive: id % 3 === 0,
      expiresAt: at,
      outcome: id % 2 === 0 ? "answered" : "expired",
      answer: { secret: "z".repeat(size) },
      client: "c",
      name: `step ${id}`,
      sourceId: `s${id}`,
      url: `https://example.com/${at}`,
      excerpt: "e".repeat(Math.min(size, 4_096)),
      fileId: `f${id}`,
      state: { n: size, list: ["s".repeat(Math.min(size, 4_000))] },
      patch: [
        { op: id === 0 ? "test" : "add", path: "/n", value: id },
        { op: "add", path: "/list/-", value: "p".repeat(Math.min(size, 4_000)) }
      ],
      mediaType: "text/plain",
      ...(id === 1 ? {} : { data: "f".repeat(size) })
    },
    at,
    keep: type !== "order_placed" || id === 0 ? undefined : id % 2 === 0 ? "newest" : "part"
  })
)

const inFrame = (state: RunSnapshot) =>
  Effect.gen(function*() {
    const text = Frame.encode({ type: "snapshot", run: RunId.make("r"), offset: 1, state })
    const frame = yield* Effect.fromResult(Frame.decodeServer(text))
    const ours = ServerFrames.decode(text)
    assert.deepStrictEqual<unknown>(ours, frame)
    return frame.type === "snapshot" ? frame.state : assert.fail("no snapshot")
  })

const fold = (happenings: ReadonlyArray<Happening>, onto = new RunFold()) => {
  for (const { at, data, keep, type } of happenings) onto.apply(type, data, at, undefined, keep)
  return onto
}

const of = (name: string, data: Schema.JsonObject, at = 0): Happening => ({ type: name, data, at })

const halves = (text: string) => /^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/.test(text)

const jsonOf = (part: RunPart) => {
  switch (part.type) {
    case "tool":
      return [part.input, part.output]
    case "request":
      return [part.schema, part.options, part.answer]
    case "file":
    case "event":
      return [part.data]
    default:
      return []
  }
}

/** No part of a run that has ended looks open, and no answer to a sensitive request is told. */
const expectClosed = ({ parts, status }: RunSnapshot) => {
  for (const part of parts) {
    if (status !== "active") assert.isFalse("status" in part && /^(executing|open|running)$/.test(part.status))
    if (status !== "active" && "messageId" in part) assert.isTrue(part.completed)
    if (part.type === "request" && part.sensitive === true) assert.notProperty(part, "answer")
  }
}

const expectWithinBounds = (snapshot: RunSnapshot) => {
  assert.isTrue(Schema.is(RunSnapshot)(snapshot), JSON.stringify(snapshot).slice(0, 500))
  assert.isAtMost(snapshot.parts.length, maxParts)
  expectClosed(snapshot)
  const texts = snapshot.parts.map(textOf)
  const kept = [snapshot.input, ...snapshot.parts.flatMap(jsonOf)]
    .map((value) => value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value)))
  for (const bytes of kept) assert.isAtMost(bytes, maxJson)
  assert.isAtMost(kept.reduce((sum, bytes) => sum + bytes, 0), maxTotalJson)
  if (snapshot.state !== undefined) {
    assert.isAtMost(Buffer.byteLength(JSON.stringify(snapshot.state)), maxState)
  }
  for (const text of [...texts, snapshot.thinking, snapshot.progressMessage, snapshot.error]) {
    assert.isAtMost(text?.length ?? 0, maxText)
  }
  assert.isAtMost(texts.reduce((sum, text) => sum + text.length, 0), maxTotalText)
}

const expectSameFromAnySnapshot = (happenings: ReadonlyArray<Happening>, cut: number) =>
  Effect.gen(function*() {
    const before = happenings.slice(0, cut)
    const after = happenings.slice(cut)
    const { read, text } = yield* throughJson(RunSnapshot, fold(before).snapshot())
    if (hasEscapedKey(text)) return
    const continued = yield* throughJson(RunSnapshot, fold(after, RunFold.from(read)).snapshot())
    const whole = yield* throughJson(RunSnapshot, fold(happenings).snapshot())
    assert.deepStrictEqual(continued.read, whole.read)
  })

describe("RunSnapshot", () => {
  roundTrips([["RunSnapshot", RunSnapshot]])

  describe("folds", () => {
    it("nothing to an active run of which nothing is known", () => {
      assert.deepStrictEqual(new RunFold().snapshot(), {
        status: "active",
        parts: [],
        usage: { inputTokens: 0, outputTokens: 0 }
      })
    })

    it("a whole run", () => {
      const run = [
        of("agent_started", { agentName: "researcher", input: "q", parentRunId: "run-1", commands: ["cancel"] }, 1000),
        of("agent_thinking", { text: "looking it up", step: 1 }, 1001),
        of("tool_executing", { toolCallId: "t1", toolName: "search", input: { q: "streams" } }, 1002),
        of("thinking_delta", { messageId: "m1", delta: "which " }, 1003),
        of("tool_completed", { toolCallId: "t1", toolName: "search", output: [], isError: false, durationMs: 4 }, 1004),
        of("tool_executing", { toolCallId: "t2", toolName: "read", input: {} }, 1005),
        of(
          "tool_completed",
          { toolCallId: "t2", toolName: "read", output: "gone", isError: true, durationMs: 1 },
          1006
        ),
        of("tool_executing", { toolCallId: "t3", toolName: "compare", input: {} }, 1007),
        of("text_delta", { messageId: "m1", delta: "Streams " }, 1008),
        of("thinking_delta", { messageId: "m1", delta: "one" }, 1009),
        of("text_delta", { messageId: "m1", delta: "are lazy" }, 1010),
        of("progress_update", { progress: 10, message: "reading" }, 1011),
        of("progress_update", { progress: 60 }, 1012),
        of("usage_reported", { inputTokens: 5, outputTokens: 2 }, 1013),
        of("usage_reported", { inputTokens: 7, outputTokens: 1, cost: 0.25 }, 1014),
        of("usage_reported", { inputTokens: 0, outputTokens: 0, cost: 0.5 }, 1015),
        of("input_requested", { requestId: "r1", kind: "approval", title: "Send it?", toolCallId: "t3" }, 1016)
      ]
      const active = {
        status: "active",
        agentName: "researcher",
        parentRunId: "run-1",
        input: "q",
        commands: ["cancel"],
        startedAt: 1000,
        thinking: "looking it up",
        step: 1,
        progress: 60,
        parts: [
          { type: "thinking", step: 1, text: "looking it up" },
          {
            type: "tool",
            toolCallId: "t1",
            toolName: "search",
            status: "completed",
            input: { q: "streams" },
            output: [],
            durationMs: 4
          },
          { type: "thinking", messageId: "m1", text: "which one" },
          {
            type: "tool",
            toolCallId: "t2",
            toolName: "read",
            status: "failed",
            input: {},
            output: "gone",
            durationMs: 1
          },
          { type: "tool", toolCallId: "t3", toolName: "compare", status: "executing", input: {} },
          { type: "text", messageId: "m1", text: "Streams are lazy" },
          { type: "request", requestId: "r1", kind: "approval", title: "Send it?", toolCallId: "t3", status: "open" }
        ],
        usage: { inputTokens: 12, outputTokens: 3, cost: 0.75 }
      } as const
      assert.deepStrictEqual(fold(run).snapshot(), active)
      assert.isFalse(fold(run).ended)

      const { commands: _, parts, ...others } = active
      const ended = {
        ...others,
        parts: parts.map((part) => {
          if (part.type === "request") return { ...part, status: "withdrawn" } as const
          if (part.type === "tool" && part.status === "executing") return { ...part, status: "failed" } as const
          return "messageId" in part ? { ...part, completed: true } : part
        })
      }
      const completed = fold([...run, of("agent_completed", { agentName: "r", result: { n: 1 }, durationMs: 9 }, 1020)])
      assert.deepStrictEqual(completed.snapshot(), { ...ended, status: "completed", endedAt: 1020, result: { n: 1 } })
      assert.isTrue(completed.ended)

      for (const reason of AgentEvents.ErrorReason.literals) {
        const failed = fold([...run, of("agent_error", { reason, message: "why", retryable: true, by: "user" }, 1021)])
        const ending = { status: reason, endedAt: 1021, endedBy: "user", error: "why" } as const
        assert.deepStrictEqual(failed.snapshot(), { ...ended, ...ending })
        assert.isTrue(failed.ended)
      }
    })

    it("a run that starts again under its old id as a new run", () => {
      const first = [
        of("agent_started", { agentName: "a", parentRunId: "run-1" }, 1),
        of("text_delta", { messageId: "m", delta: "old" }, 2),
        of("tool_executing", { toolCallId: "t", toolName: "n", input: null }, 3),
        of("usage_reported", { inputTokens: 5, outputTokens: 5, cost: 1 }, 4),
        of("agent_error", { reason: "failed", message: "why", retryable: true }, 5)
      ]
      const second = [of("agent_started", { agentName: "b" }, 6), of("text_delta", { messageId: "m", delta: "new" }, 7)]
      assert.deepStrictEqual(fold([...first, ...second]).snapshot(), fold(second).snapshot())
    })

    it("a run whose start it did not see", () => {
      assert.deepStrictEqual(
        fold([of("tool_completed", { toolCallId: "t", toolName: "n", isError: false })]).snapshot(),
        {
          status: "active",
          parts: [{ type: "tool", toolCallId: "t", toolName: "n", status: "completed" }],
          usage: { inputTokens: 0, outputTokens: 0 }
        }
      )
    })

    it("an ending of an unknown reason as a failure", () => {
      assert.strictEqual(fold([of("agent_error", { reason: "bored" }, 3)]).snapshot().status, "failed")
    })

    it("every built-in event to a valid snapshot", () => {
      for (const event of Object.values(builtInEvents)) {
        const happening = of(event.type, Schema.decodeUnknownSync(Schema.JsonObject)(event.payload), 5)
        expectWithinBounds(fold([happening]).snapshot())
      }
    })
  })

  it.prop("an event that nobody knows changes nothing", {
    happenings: Arbitrary.array(anyWellFormed, { maxLength: 20 }),
    type: Schema.String.check(Schema.isPattern(/^x_[a-z]{1,8}$/)),
    data: Schema.JsonObject
  }, ({ data, happenings, type }) => {
    const known = fold(happenings)
    const before = known.snapshot()
    known.apply(type, data, 1)
    assert.deepStrictEqual(known.snapshot(), before)
  })

  it.effect.prop(
    "a fold that goes on from a snapshot comes to the same state as one that saw everything",
    {
      happenings: Arbitrary.array(anyWellFormed, { maxLength: 40 }),
      cut: int(0, 40)
    },
    ({ cut, happenings }) => expectSameFromAnySnapshot(happenings, cut),
    { arbitrary: { runs: 300, size: 20 } }
  )

  it.effect.prop(
    "a page that is drawn from a snapshot frame equals one that is drawn from all events, wherever the run is cut",
    {
      happenings: Arbitrary.array(story, { maxLength: 60 }),
      cut: int(0, 60)
    },
    ({ cut, happenings }) =>
      Effect.gen(function*() {
        const fromEvents = fold(happenings)
        const state = yield* inFrame(fold(happenings.slice(0, cut)).snapshot())
        const fromSnapshot = fold(happenings.slice(cut), RunFold.from(state))
        assert.deepStrictEqual(fromSnapshot.snapshot(), fromEvents.snapshot())
        assert.strictEqual(fromSnapshot.ended, fromEvents.ended)
        expectWithinBounds(fromSnapshot.snapshot())
      }),
    { arbitrary: { runs: 300, size: 60 } }
  )

  it.effect.prop(
    "also where texts are cut and messages dropped",
    {
      happenings: Arbitrary.array(delta, { maxLength: 24 }),
      cut: int(0, 24)
    },
    ({ cut, happenings }) => expectSameFromAnySnapshot(happenings, cut),
    { arbitrary: { runs: 100, size: 24 }, timeout: 120_000 }
  )

  it.effect.prop(
    "also where tool calls are dropped",
    {
      happenings: Arbitrary.array(tool, { minLength: 100, maxLength: 200 }),
      cut: int(0, 200)
    },
    ({ cut, happenings }) => expectSameFromAnySnapshot(happenings, cut),
    { arbitrary: { runs: 50 } }
  )

  it.effect.prop(
    "also where fields hold anything at all",
    {
      happenings: Arbitrary.array(garbage, { maxLength: 20 }),
      cut: int(0, 20)
    },
    ({ cut, happenings }) => expectSameFromAnySnapshot(happenings, cut),
    { arbitrary: { runs: 300, size: 8 } }
  )

  it.prop(
    "a snapshot is valid and within its bounds whatever fields hold",
    {
      happenings: Arbitrary.array(garbage, { maxLength: 60 })
    },
    ({ happenings }) => expectWithinBounds(fold(happenings).snapshot()),
    { arbitrary: { runs: 300, size: 12 } }
  )

  it.prop(
    "a snapshot stays within its bounds however long the texts",
    {
      happenings: Arbitrary.array(delta, { maxLength: 40 })
    },
    ({ happenings }) => expectWithinBounds(fold(happenings).snapshot()),
    { arbitrary: { runs: 100, size: 40 } }
  )

  it.prop("a text is the last of all that was said, halves no character, and says when it was cut", {
    happenings: Arbitrary.array(delta, { maxLength: 24 })
  }, ({ happenings }) => {
    const whole = new Map<string, string>()
    const texts = happenings.filter(({ data }) => data["messageId"] !== "m3" && data["messageId"] !== "m2")
    for (const { data, type } of texts) {
      const key = `${type}:${String(data["messageId"])}`
      whole.set(key, (whole.get(key) ?? "") + String(data["delta"]))
    }
    const parts = fold(texts).snapshot().parts.flatMap((part) =>
      part.type === "text" || part.type === "thinking" ? [part] : []
    )
    assert.deepStrictEqual(parts.map(({ messageId, type }) => `${type}_delta:${messageId}`), [...whole.keys()])
    for (const { messageId, text, truncated, type } of parts) {
      const all = whole.get(`${type}_delta:${messageId}`) ?? ""
      assert.isTrue(all.endsWith(text))
      assert.isFalse(halves(text))
      assert.isAtLeast(text.length, Math.min(all.length, maxText - 1))
      assert.strictEqual(truncated, all.length > maxText ? true : undefined)
    }
  }, { arbitrary: { runs: 100, size: 24 } })

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

  it("shares the state that was told last, with what changed in it since", () => {
    const told = of("state_snapshot", { state: { plan: ["read"], done: 0 } })
    const change = (...patch: ReadonlyArray<Schema.JsonObject>) => of("state_delta", { patch })
    const stateOf = (...happenings: ReadonlyArray<Happening>) => fold(happenings).snapshot().state
    const done = change({ op: "replace", path: "/done", value: 1 })
    assert.deepStrictEqual(stateOf(told, done), { plan: ["read"], done: 1 })
    // One operation that does not apply, and none does.
    const half = change({ op: "replace", path: "/done", value: 2 }, { op: "remove", path: "/plan/1" })
    assert.deepStrictEqual(stateOf(told, half, done), { plan: ["read"], done: 1 })
    assert.deepStrictEqual(stateOf(told, change({ op: "add", path: "", value: [] })), [])
    assert.isUndefined(stateOf(done))
    assert.deepStrictEqual(stateOf(change({ op: "add", path: "", value: 1 })), 1)
    assert.isUndefined(stateOf(told, of("agent_error", { reason: "failed" }, 1), of("agent_started", {}, 2)))
  })

  it("P5: says of a state that is too large how large it was, until it is told anew", () => {
    const grow = of("state_delta", { patch: [{ op: "add", path: "/-", value: "x".repeat(4_000) }] })
    const run = fold([of("state_snapshot", { state: [] }), grow, grow, grow, grow])
    assert.deepStrictEqual(run.snapshot().state, Array.from({ length: 4 }, () => "x".repeat(4_000)))
    run.apply(grow.type, grow.data, 1)
    assert.deepStrictEqual(run.snapshot().state, { omitted: 5 * 4_003 + 1 })
    const shrink = { patch: [{ op: "remove", path: "/0" }] }
    for (const each of [run, RunFold.from(run.snapshot())]) {
      each.apply("state_delta", shrink, 1)
      each.apply("state_delta", { patch: [{ op: "add", path: "/x", value: 1 }] }, 1)
      assert.deepStrictEqual(each.snapshot().state, { omitted: 5 * 4_003 + 1 })
      each.apply("state_snapshot", { state: ["anew"] }, 2)
      each.apply("state_delta", shrink, 3)
      assert.deepStrictEqual(each.snapshot().state, [])
    }
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

  it("closes what was open when its run ended, and opens nothing after that, though its process goes on", () => {
    const open = [
      of("agent_started", { agentName: "a", commands: ["cancel"] }, 1),
      of("tool_executing", { toolCallId: "t", toolName: "n", input: 1 }, 2),
      of("input_requested", { requestId: "r", kind: "approval", title: "?" }, 3)
    ]
    const late = [
      of("tool_executing", { toolCallId: "u", toolName: "n", input: 2 }, 9),
      of("input_requested", { requestId: "s", kind: "approval", title: "?" }, 9)
    ]
    for (const reason of ["completed", ...AgentEvents.ErrorReason.literals]) {
      const ending = reason === "completed"
        ? of("agent_completed", { agentName: "a", durationMs: 5 }, 5)
        : of("agent_error", { reason, message: "m", retryable: true }, 5)
      const run = fold([...open, ending])
      const tool = { type: "tool", toolCallId: "t", toolName: "n", status: "failed", input: 1 }
      const request = { type: "request", requestId: "r", kind: "approval", title: "?", status: "withdrawn" }
      assert.deepStrictEqual<unknown>(run.snapshot().parts, [tool, request], reason)
      assert.notProperty(run.snapshot(), "commands")
      // A result that came late is one.
      const completed = of("tool_completed", { toolCallId: "t", toolName: "n", output: 2, isError: false }, 9)
      const { parts } = fold([...late, completed], run).snapshot()
      assert.deepStrictEqual<unknown>(parts, [
        { ...tool, status: "completed", output: 2 },
        request,
        { ...tool, toolCallId: "u", input: 2 },
        { ...request, requestId: "s" }
      ], reason)
    }
  })

  it("closes what an older version's snapshot of an ended run left open", () => {
    const old: RunSnapshot = {
      status: "lost",
      endedAt: 5,
      parts: [{ type: "tool", toolCallId: "t", toolName: "n", status: "executing" }],
      usage: { inputTokens: 0, outputTokens: 0 }
    }
    const { parts } = RunFold.from(old).snapshot()
    assert.deepStrictEqual(parts, [{ type: "tool", toolCallId: "t", toolName: "n", status: "failed" }])
  })

  it("names the commands of a run while it is active, as far as they are names", () => {
    const commands = ["cancel", 1, "x".repeat(65), ...Array.from({ length: 100 }, (_, n) => `steer${n}`)]
    const run = fold([of("agent_started", { agentName: "a", commands }, 1)])
    const kept = run.snapshot().commands ?? []
    assert.deepStrictEqual([kept[0], kept[1], kept.length], ["cancel", "steer0", RunEvents.maxCommands - 2])
    assert.deepStrictEqual(RunFold.from(run.snapshot()).snapshot(), run.snapshot())
    run.apply("agent_started", { agentName: "a" }, 2)
    assert.notProperty(run.snapshot(), "commands")
  })

  it("leaves out parts of a later version, and goes on", () => {
    const state = { ...fold([of("text_delta", { messageId: "m", delta: "a" })]).snapshot() }
    const later = JSON.stringify({ ...state, parts: [{ type: "hologram", of: "later" }, ...state.parts] })
    const frame = ServerFrames.decode(`{"type":"snapshot","run":"r","offset":1,"state":${later}}`)
    const read = frame.type === "snapshot" ? frame.state : assert.fail(frame.type)
    const next = fold([of("text_delta", { messageId: "m", delta: "b" })], RunFold.from(read))
    assert.deepStrictEqual(next.snapshot().parts, [{ type: "text", messageId: "m", text: "ab" }])
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

  it("counts a number that is none as missing", () => {
    for (const none of [Number.NaN, Infinity, -Infinity]) {
      const happenings = [
        of("agent_thinking", { text: "t", step: none }),
        of("progress_update", { progress: none }),
        of("usage_reported", { inputTokens: none, outputTokens: none, cost: none }),
        of("tool_completed", { toolCallId: "t", toolName: "n", isError: false, durationMs: none })
      ]
      expectWithinBounds(fold(happenings).snapshot())
    }
  })

  it("counts tokens up to the last safe integer", () => {
    const usage = of("usage_reported", {
      inputTokens: Number.MAX_SAFE_INTEGER,
      outputTokens: 1,
      cost: Number.MAX_VALUE
    })
    assert.deepStrictEqual(fold([usage, usage]).snapshot().usage, {
      inputTokens: Number.MAX_SAFE_INTEGER,
      outputTokens: 2,
      cost: Number.MAX_VALUE
    })
  })

  it("hands out snapshots that later events do not change", () => {
    const run = fold([
      of("text_delta", { messageId: "m", delta: "a" }),
      of("tool_executing", { toolCallId: "t", toolName: "n", input: null })
    ])
    const snapshot = run.snapshot()
    const copy = structuredClone(snapshot)
    const next = RunFold.from(snapshot)
    for (const each of [run, next]) {
      each.apply("text_delta", { messageId: "m", delta: "b" }, 1)
      each.apply("tool_completed", { toolCallId: "t", toolName: "n", isError: true }, 2)
      each.apply("agent_completed", { agentName: "a", durationMs: 1 }, 3)
    }
    assert.deepStrictEqual(snapshot, copy)
    assert.notDeepEqual(run.snapshot(), snapshot)
  })

  it("fault 6: keeps a result as it was, whoever changes what was given to it or what it gave", () => {
    const result = { list: [1, { deep: true }] }
    const meant = structuredClone(result)
    const run = fold([of("agent_completed", { agentName: "a", durationMs: 1, result }, 1)])
    const spoil = (value: unknown) => {
      const changed: { list: Array<unknown>; self?: unknown } = value as typeof result
      changed.list.push("changed")
      changed.self = changed
    }
    spoil(result)
    const first = run.snapshot()
    const next = RunFold.from(first)
    assert.deepStrictEqual(first.result, meant)
    spoil(first.result)
    for (const each of [run, next]) assert.deepStrictEqual(each.snapshot().result, meant)
  })

  it("fault 39b: tells the thread that its run began in, also after a snapshot, and that of a run that starts anew", () => {
    const run = new RunFold()
    run.apply("agent_started", { agentName: "a" }, 1, "t1")
    run.apply("agent_thinking", { text: "hm" }, 2, "t2")
    assert.strictEqual(run.snapshot().thread, "t1")
    const next = RunFold.from(run.snapshot())
    assert.strictEqual(next.snapshot().thread, "t1")
    next.apply("agent_completed", { agentName: "a", durationMs: 1 }, 3, "t1")
    next.apply("agent_started", { agentName: "a" }, 4)
    assert.isUndefined(next.snapshot().thread)
    next.apply("agent_thinking", { text: "hm" }, 5, "t3")
    assert.strictEqual(next.snapshot().thread, "t3")
  })

  it("fault 36: a start that came late opens nothing, and a later one begins the run anew", () => {
    const happenings = [
      of("agent_started", { agentName: "a" }, 10),
      of("text_delta", { messageId: "m", delta: "said" }, 12)
    ]
    for (const reason of ["completed", ...AgentEvents.ErrorReason.literals]) {
      const ending = reason === "completed"
        ? of("agent_completed", { agentName: "a", durationMs: 5 }, 15)
        : of("agent_error", { reason, message: "m", retryable: true }, 15)
      const run = fold([...happenings, ending])
      const before = run.snapshot()
      // A lost run may start anew by a clock that is behind the one that told its ending.
      for (const at of reason === "lost" ? [9] : [9, 10, 15]) run.apply("agent_started", { agentName: "late" }, at, "t")
      assert.deepStrictEqual(run.snapshot(), before, reason)
      run.apply("agent_started", { agentName: "anew" }, reason === "lost" ? 11 : 16)
      assert.deepStrictEqual(
        [run.ended, run.snapshot().agentName, run.snapshot().parts],
        [false, "anew", []],
        reason
      )
    }
    const unseen = fold([
      of("agent_completed", { agentName: "a", durationMs: 5 }, 15),
      of("agent_started", { agentName: "a" }, 10)
    ])
    assert.isTrue(unseen.ended)
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

  it("tells of every event whether a state may come of it", () => {
    const data = {
      messageId: "m",
      delta: "d",
      agentName: "a",
      input: 1,
      text: "t",
      step: 1,
      toolCallId: "c",
      toolName: "n",
      progress: 1,
      inputTokens: 1,
      outputTokens: 1,
      result: 1,
      reason: "failed",
      message: "m",
      requestId: "r",
      kind: "text",
      title: "?",
      outcome: "expired",
      name: "n",
      sourceId: "s",
      fileId: "f",
      mediaType: "text/plain",
      state: { a: 1 },
      patch: [{ op: "add", path: "", value: 1 }]
    }
    for (const name of [...eventNames, "of_a_program"]) {
      // A tool must have begun to complete, and something have been asked to be answered.
      const before = name === "message_completed"
        ? [of("text_delta", data)]
        : name === "tool_completed"
        ? [of("tool_executing", data)]
        : name === "input_resolved"
        ? [of("input_requested", data)]
        : []
      const after = fold([...before, of(name, data, 1)]).snapshot()
      assert.strictEqual(RunFold.reads(name), JSON.stringify(after) !== JSON.stringify(fold(before).snapshot()), name)
    }
  })

  it("types its status", () => {
    expectTypeOf<RunSnapshot["status"]>()
      .toEqualTypeOf<"active" | "completed" | "failed" | "cancelled" | "timeout" | "lost">()
    expectTypeOf(RunFold.from).toEqualTypeOf<(snapshot: RunSnapshot, weigh?: Weigh) => RunFold>()
  })
})
