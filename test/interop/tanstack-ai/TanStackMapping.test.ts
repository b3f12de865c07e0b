/**
 * Whatever a page of TanStack AI was told before it gets the state of a run, it has what was emitted then: no less, and
 * nothing twice.
 */
import { HttpAgent } from "@ag-ui/client"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { AgUiEvent } from "../../../src/interop/ag-ui/AgUiEvents.ts"
import type { RunItem } from "../../../src/interop/RunItem.ts"
import * as TanStackMapping from "../../../src/interop/tanstack-ai/TanStackMapping.ts"
import { forSeeds } from "../../support/random.ts"
import { fromStart, joined, legalRun, textsOf } from "../runs.ts"

const tell = (items: ReadonlyArray<RunItem>, told?: TanStackMapping.Told) => {
  const { initial, next } = TanStackMapping.make({ threadId: "t1", runId: "r1" }, told)
  let state = initial
  const events = items.flatMap((item) => {
    const [after, made] = next(state, item)
    state = after
    return made
  })
  return { events, told: state.told }
}

/** What was said under each id, in the words of AG-UI. */
const saidIn = (events: ReadonlyArray<AgUiEvent>, kind: string): Record<string, string> => {
  const said: Record<string, string> = {}
  for (const event of events) {
    const id = "messageId" in event ? event.messageId : "toolCallId" in event ? event.toolCallId : ""
    const [, own] = new RegExp(`^r1:${kind}:(.*)$`, "su").exec(id) ?? []
    if (own === undefined || !("delta" in event) || typeof event.delta !== "string") continue
    said[own] = (said[own] ?? "") + event.delta
  }
  return said
}

const results = (events: ReadonlyArray<AgUiEvent>) =>
  events.flatMap((event) => event.type === "TOOL_CALL_RESULT" ? [`${event.toolCallId} ${event.content}`] : [])

/** A client of AG-UI takes the stream: what is told belongs to what is open, and all is closed at the end. */
const accepted = async (events: ReadonlyArray<AgUiEvent>) => {
  const body = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")
  const fetched = () => Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }))
  const taken: Array<string> = []
  const agent = new HttpAgent({ url: "http://127.0.0.1:9", threadId: "t1", initialState: null, fetch: fetched })
  agent.subscribe({
    onEvent: ({ event }) => {
      taken.push(event.type)
    }
  })
  await agent.runAgent({ runId: "r1" })
  assert.deepStrictEqual(taken, events.map(({ type }) => type))
}

const nonEmpty = (texts: Record<string, string>) =>
  Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ""))

describe("What a page is told of a run", () => {
  it.effect("is all of it, once, from the start, from its middle, and with something missed between", () =>
    forSeeds({ count: 25 }, (draw) =>
      Effect.promise(async () => {
        const told = legalRun(draw)
        const from = draw.below(told.length)
        const behind = from + draw.below(told.length - from + 1)
        const whole = tell(fromStart(told)).events
        const late = tell(joined(told, Math.max(1, behind))).events
        const missed = tell([...fromStart(told.slice(0, from)), ...joined(told, Math.max(1, behind))]).events
        for (const events of [whole, late, missed]) {
          assert.deepStrictEqual(saidIn(events, "text"), nonEmpty(textsOf(told, "text_delta")))
          assert.deepStrictEqual(saidIn(events, "thinking"), nonEmpty(textsOf(told, "thinking_delta")))
          assert.deepStrictEqual(saidIn(events, "thought"), saidIn(whole, "thought"))
          assert.deepStrictEqual(saidIn(events, "call"), saidIn(whole, "call"))
          assert.sameMembers(results(events), results(whole))
          assert.isTrue(events.every(({ type }) => type !== "MESSAGES_SNAPSHOT"))
          await accepted(events)
        }
      })))

  it("goes on behind what another reader was told before", () => {
    const told = [
      { type: "agent_started", data: { agentName: "a" }, at: 1 },
      { type: "text_delta", data: { messageId: "m", delta: "one " }, at: 2 },
      { type: "text_delta", data: { messageId: "m", delta: "two" }, at: 3 }
    ]
    const before = tell(fromStart(told.slice(0, 2))).told
    const { events } = tell(joined(told, 3), before)
    assert.deepStrictEqual(saidIn(events, "text"), { m: "two" })
    assert.notInclude(events.map(({ type }) => type), "TEXT_MESSAGE_START")
  })

  it("is what was not told of a text whose beginning is not kept", () => {
    const known = tell(fromStart([
      { type: "agent_started", data: { agentName: "a" }, at: 1 },
      { type: "text_delta", data: { messageId: "m", delta: "abcd" }, at: 2 }
    ])).told
    const [item] = joined([
      { type: "agent_started", data: { agentName: "a" }, at: 1 },
      { type: "text_delta", data: { messageId: "m", delta: "cdef" }, at: 2 }
    ], 2)
    if (item?._tag !== "Snapshot") return assert.fail("a state is needed")
    const parts = item.state.parts.map((part) => part.type === "text" ? { ...part, truncated: true } : part)
    const state = { ...item.state, parts }
    assert.deepStrictEqual(saidIn(tell([{ ...item, state }], known).events, "text"), { m: "ef" })
  })
})
