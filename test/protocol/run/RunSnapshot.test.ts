import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, Effect } from "effect"
import * as ServerFrames from "../../../src/client/transport/ServerFrames.ts"
import type { Weigh } from "../../../src/protocol/run/RunParts.ts"
import { maxText, RunFold, RunSnapshot } from "../../../src/protocol/run/RunSnapshot.ts"
import * as Frame from "../../../src/protocol/wire/Frame.ts"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { hasEscapedKey, roundTrips, throughJson } from "../roundTrip.ts"
import { expectWithinBounds, fold } from "./folding.ts"
import { anyWellFormed, delta, garbage, type Happening, int, of, story, tool } from "./happenings.ts"

const inFrame = (state: RunSnapshot) =>
  Effect.gen(function*() {
    const text = Frame.encode({ type: "snapshot", run: RunId.make("r"), offset: 1, state })
    const frame = yield* Effect.fromResult(Frame.decodeServer(text))
    const ours = ServerFrames.decode(text)
    assert.deepStrictEqual<unknown>(ours, frame)
    return frame.type === "snapshot" ? frame.state : assert.fail("no snapshot")
  })

const halves = (text: string) => /^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/.test(text)

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

  it("leaves out parts of a later version, and goes on", () => {
    const state = { ...fold([of("text_delta", { messageId: "m", delta: "a" })]).snapshot() }
    const later = JSON.stringify({ ...state, parts: [{ type: "hologram", of: "later" }, ...state.parts] })
    const frame = ServerFrames.decode(`{"type":"snapshot","run":"r","offset":1,"state":${later}}`)
    const read = frame.type === "snapshot" ? frame.state : assert.fail(frame.type)
    const next = fold([of("text_delta", { messageId: "m", delta: "b" })], RunFold.from(read))
    assert.deepStrictEqual(next.snapshot().parts, [{ type: "text", messageId: "m", text: "ab" }])
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

  it("types its status", () => {
    expectTypeOf<RunSnapshot["status"]>()
      .toEqualTypeOf<"active" | "completed" | "failed" | "cancelled" | "timeout" | "lost">()
    expectTypeOf(RunFold.from).toEqualTypeOf<(snapshot: RunSnapshot, weigh?: Weigh) => RunFold>()
  })
})
