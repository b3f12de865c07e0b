/**
 * Every stream that is made of a legal run is one that the clients of AG-UI accept, and it says what was emitted.
 */
import { type BaseEvent, enforceEvents, HttpAgent, verifyEvents } from "@ag-ui/client"
import { assert, describe, it } from "@effect/vitest"
import { HttpAgent as OldAgent, verifyEvents as verifyOld } from "ag-ui-client-0.0.59"
import { Effect } from "effect"
import type { JsonObject } from "effect/Schema"
import { from, lastValueFrom, toArray } from "rxjs"
import type { AgUiEvent, Outcome } from "../../../src/interop/ag-ui/AgUiEvents.ts"
import * as AgUiMapping from "../../../src/interop/ag-ui/AgUiMapping.ts"
import { isEnd, type RunItem } from "../../../src/interop/RunItem.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { fromStart, joined, legalRun, textsOf } from "../runs.ts"

const tell = (items: ReadonlyArray<RunItem>, telling: Partial<AgUiMapping.Telling> = {}): ReadonlyArray<AgUiEvent> => {
  const { initial, isOver, next } = AgUiMapping.make({
    threadId: "t1",
    runId: "r1",
    protocolVersion: "1.0",
    ...telling
  })
  let state = initial
  return items.flatMap((item) => {
    const [after, events] = next(state, item)
    assert.isTrue(!isEnd(item) || isOver?.(after))
    state = after
    return events
  })
}

const question = { id: "u1", role: "user" as const, content: "What are streams?" }

/** A client of a published version that is answered with these events, as they travel; what it took of them, and has then. */
const take = async (Client: typeof HttpAgent | typeof OldAgent, events: ReadonlyArray<AgUiEvent>) => {
  const body = events.map((event) => `id: x\ndata: ${JSON.stringify(event)}\n\n`).join("")
  const agent = new Client({
    url: "http://127.0.0.1:9",
    threadId: "t1",
    initialMessages: [question],
    initialState: null,
    fetch: () => Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }))
  })
  const taken: Array<unknown> = []
  agent.subscribe({
    onEvent: ({ event }) => {
      taken.push(JSON.parse(JSON.stringify(event)))
    }
  })
  await agent.runAgent({ runId: "r1" })
  const sent: ReadonlyArray<BaseEvent> = JSON.parse(JSON.stringify(events))
  assert.deepStrictEqual<ReadonlyArray<unknown>>(taken, sent)
  const verified = Client === OldAgent
    ? from(sent).pipe(verifyOld())
    : from(sent).pipe(enforceEvents(), verifyEvents())
  assert.deepStrictEqual<ReadonlyArray<unknown>>(await lastValueFrom(verified.pipe(toArray())), sent)
  const last = events.at(-1)?.type
  assert.isTrue(last === "RUN_FINISHED" || last === "RUN_ERROR", last)
  const messages: ReadonlyArray<Message> = JSON.parse(JSON.stringify(agent.messages))
  return { messages: messages.filter(({ role }) => role !== "activity"), state: agent.state }
}

interface Message {
  readonly id: string
  readonly role: string
  readonly content?: string
}

const contents = (messages: ReadonlyArray<Message>, kind: string) =>
  Object.fromEntries(
    messages.filter(({ id }) => id.startsWith(`r1:${kind}:`)).map((
      { content, id }
    ) => [id.slice(4 + kind.length), content])
  )

const versions = [
  { name: "1.0.0", Client: HttpAgent, telling: { protocolVersion: "1.0" } },
  { name: "0.0.59", Client: OldAgent, telling: { protocolVersion: undefined } }
]

const property = (check: (draw: Draw) => Promise<void>) =>
  forSeeds({ count: 40 }, (draw) => Effect.promise(() => check(draw)))

for (const { Client, name, telling } of versions) {
  describe(`The client ${name}`, () => {
    it.live("accepts every event of every legal run, and has what was emitted, character by character", () =>
      property(async (draw) => {
        const told = legalRun(draw)
        const { messages } = await take(Client, tell(fromStart(told), telling))
        assert.deepStrictEqual(contents(messages, "text"), textsOf(told, "text_delta"))
        assert.deepStrictEqual(contents(messages, "thinking"), textsOf(told, "thinking_delta"))
      }))

    it.live("has the same messages and state where it joined the run in its middle, or after its end", () =>
      property(async (draw) => {
        const told = legalRun(draw)
        const whole = await take(Client, tell(fromStart(told), telling))
        const behind = 1 + draw.below(told.length)
        const late = await take(Client, tell(joined(told, behind), { ...telling, history: [question] }))
        assert.deepStrictEqual(late.messages, whole.messages)
        assert.deepStrictEqual(late.state, whole.state)
      }))

    it.live("has the same messages where a part of its stream is replaced by a snapshot", () =>
      property(async (draw) => {
        const told = legalRun(draw)
        const whole = await take(Client, tell(fromStart(told), telling))
        const from = draw.below(told.length)
        const behind = from + draw.below(told.length - from + 1)
        const items = [...fromStart(told.slice(0, from)), ...joined(told, behind)]
        const healed = await take(Client, tell(items, { ...telling, history: [question] }))
        // What a client had keeps its place, and what is new comes last.
        const byId = (messages: ReadonlyArray<Message>) => messages.toSorted((a, b) => a.id < b.id ? -1 : 1)
        assert.deepStrictEqual(byId(healed.messages), byId(whole.messages))
      }))
  })
}

const at = (type: string, data: JsonObject) => ({ type, data, at: 1 })

const started = at("agent_started", { agentName: "a" })

const approval = at("input_requested", {
  requestId: "q1",
  kind: "approval",
  title: "Send it?",
  detail: "To everybody.",
  toolCallId: "c1",
  expiresAt: 1_000
})

const choice = at("input_requested", {
  requestId: "q2",
  kind: "choice",
  title: "Which?",
  options: [{ value: "hard" }, { value: "soft", label: "Soft" }]
})

const interrupts = [
  {
    id: "r1:q1",
    reason: "approval",
    message: "Send it?",
    toolCallId: "r1:call:c1",
    responseSchema: { type: "boolean" },
    expiresAt: "1970-01-01T00:00:01.000Z",
    metadata: { detail: "To everybody." }
  },
  {
    id: "r1:q2",
    reason: "choice",
    message: "Which?",
    responseSchema: { type: "string", enum: ["hard", "soft"] },
    metadata: { options: [{ value: "hard" }, { value: "soft", label: "Soft" }] }
  }
]

const finished = (outcome: Outcome) => ({ type: "RUN_FINISHED", threadId: "t1", runId: "r1", outcome }) as const

const untimed = (events: ReadonlyArray<AgUiEvent>) => events.map(({ timestamp: _, ...event }) => event)

describe("A request", () => {
  it("ends what a client of version 1.0 sees, with all that is open closed, and takes whoever joins to all requests", () => {
    const told = [started, at("text_delta", { messageId: "m", delta: "x" }), approval]
    const events = tell(fromStart([...told, choice]))
    assert.deepStrictEqual(untimed(events).slice(-2), [
      { type: "TEXT_MESSAGE_END", messageId: "r1:text:m" },
      finished({ type: "interrupt", interrupts: interrupts.slice(0, 1) })
    ])
    const late = tell(joined([...told, choice], 4))
    assert.deepStrictEqual(untimed(late).at(-1), finished({ type: "interrupt", interrupts }))
  })

  it("that was answered just now interrupts nobody again", () => {
    const done = at("agent_completed", { agentName: "a", durationMs: 1 })
    for (const items of [joined([started, approval, done], 2), fromStart([started, approval, done])]) {
      const events = tell(items, { run: "r1", runId: "r2", answered: new Set(["q1"]) })
      assert.deepStrictEqual(untimed(events).at(-1), { ...finished({ type: "success" }), runId: "r2" })
    }
  })

  it("is an event of its own for a client of another version, and the run goes on", () => {
    const done = at("agent_completed", { agentName: "a", durationMs: 1 })
    const events = tell(fromStart([started, approval, done]), { protocolVersion: undefined })
    assert.deepStrictEqual(untimed(events), [
      { type: "RUN_STARTED", threadId: "t1", runId: "r1" },
      { type: "CUSTOM", name: "input_requested", value: approval.data },
      { type: "RUN_FINISHED", threadId: "t1", runId: "r1" }
    ])
  })

  it.live("is accepted by the client wherever it comes", () =>
    property(async (draw) => {
      const told = legalRun(draw, { asks: true })
      await take(HttpAgent, tell(fromStart(told)))
      await take(OldAgent, tell(fromStart(told), { protocolVersion: undefined }))
      await take(HttpAgent, tell(joined(told, 1 + draw.below(told.length))))
    }))
})

describe("What a run tells", () => {
  const ended = (data: JsonObject, protocolVersion: string | undefined) =>
    untimed(
      tell(fromStart([started, at("agent_error", { message: "m", retryable: true, ...data })]), { protocolVersion })
    )
      .at(-1)

  it("of its end says why, and of a cancelled one as the client understands it", () => {
    assert.deepStrictEqual(ended({ reason: "timeout" }, "1.0"), { type: "RUN_ERROR", message: "m", code: "timeout" })
    assert.deepStrictEqual(ended({ reason: "lost" }, undefined), { type: "RUN_ERROR", message: "m", code: "lost" })
    assert.deepStrictEqual(ended({ reason: "cancelled" }, "1.0"), finished({ type: "cancelled" }))
    assert.deepStrictEqual(ended({ reason: "cancelled" }, "2.0"), { type: "RUN_ERROR", message: "m", code: "abort" })
  })

  it("in events of its own comes as CUSTOM, whatever they are", () => {
    const events = tell(fromStart([started, at("order_placed", { id: 7 }), at("custom", { name: "note", data: null })]))
    assert.deepStrictEqual(untimed(events).slice(1), [
      { type: "CUSTOM", name: "order_placed", value: { id: 7 } },
      { type: "CUSTOM", name: "note", value: null }
    ])
  })

  it("of a call that the model wrote and nobody began is left to the client to do", () => {
    const input = at("tool_input_delta", { toolCallId: "c", toolName: "paint", delta: "{}" })
    const events = tell(fromStart([started, input, at("agent_completed", { agentName: "a", durationMs: 1 })]))
    assert.deepStrictEqual(events.map(({ type }) => type), [
      "RUN_STARTED",
      "TOOL_CALL_START",
      "TOOL_CALL_ARGS",
      "TOOL_CALL_END",
      "RUN_FINISHED"
    ])
  })

  it("ends where no event of an end comes", () => {
    assert.deepStrictEqual(tell([{ _tag: "Missing", message: "gone" }]), [
      { type: "RUN_STARTED", threadId: "t1", runId: "r1", protocolVersion: "1.0" },
      { type: "RUN_ERROR", message: "gone", code: "missing" }
    ])
  })
})
