import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import * as Event from "../../../src/protocol/event/Event.ts"
import { maxKnownMessages, maxKnownRequests, maxOpenRequests } from "../../../src/protocol/run/RunLimits.ts"
import * as RunState from "../../../src/protocol/run/RunState.ts"
import { roundTrips, schemasOf } from "../roundTrip.ts"

const Reviewed = Event.make("draft_reviewed", { payload: { stars: Schema.Int }, scope: "run" })
const Noted = Event.make("note_taken", { payload: { toolCallId: Schema.String } })

const toolIds = ["t1", "t2", "__proto__"] as const
const messageIds = ["m", "valueOf"] as const
const requestIds = ["r1", "constructor"] as const

/** Every kind of event that a run may meet, legal or not. */
const alphabet: ReadonlyArray<Event.Event> = [
  AgentEvents.AgentStarted.make({ agentName: "researcher" }),
  AgentEvents.AgentThinking.make({ text: "hm" }),
  ...toolIds.map((toolCallId) => AgentEvents.ToolExecuting.make({ toolCallId, toolName: "search", input: null })),
  ...toolIds.map((toolCallId) =>
    AgentEvents.ToolCompleted.make({ toolCallId, toolName: "search", output: null, isError: false, durationMs: 1 })
  ),
  ...requestIds.flatMap((requestId) => [
    AgentEvents.InputRequested.make({ requestId, kind: "approval", title: "?" }),
    AgentEvents.InputRequested.make({ requestId, kind: "text", title: "?", sensitive: true }),
    AgentEvents.InputResolved.make({ requestId, outcome: "answered", answer: true }),
    AgentEvents.InputResolved.make({ requestId, outcome: "expired" })
  ]),
  ...toolIds.map((toolCallId) => AgentEvents.ToolInputDelta.make({ toolCallId, toolName: "search", delta: "{" })),
  ...messageIds.flatMap((messageId) => [
    AgentEvents.TextDelta.make({ messageId, delta: "x" }),
    AgentEvents.ThinkingDelta.make({ messageId, delta: "x" }),
    AgentEvents.MessageCompleted.make({ messageId })
  ]),
  ...["toString", "s"].flatMap((
    name
  ) => [AgentEvents.StepStarted.make({ name }), AgentEvents.StepFinished.make({ name })]),
  AgentEvents.SourceCited.make({ sourceId: "s" }),
  AgentEvents.FileProduced.make({ fileId: "f", mediaType: "text/plain" }),
  AgentEvents.ProgressUpdate.make({ progress: 1 }),
  AgentEvents.UsageReported.make({ inputTokens: 1, outputTokens: 1 }),
  Reviewed.make({ stars: 5 }),
  AgentEvents.AgentCompleted.make({ agentName: "researcher", durationMs: 1 }),
  ...AgentEvents.ErrorReason.literals.map((reason) =>
    AgentEvents.AgentError.make({ reason, message: "", retryable: true })
  ),
  AgentEvents.Custom.make({ name: "n", data: null }),
  AgentEvents.AuthStarted.make({}),
  Noted.make({ toolCallId: "t1" })
]

// Half of all events are starts, so that most sequences get a run going.
const anyEvent = Arbitrary.map(
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: alphabet.length * 2 - 1 }))),
  (index) => alphabet[index] ?? alphabet[0] ?? assert.fail("the alphabet is empty")
)

const requestOf = (event: Event.Event): unknown => Reflect.get(event.payload, "requestId")

const toolCallOf = (event: Event.Event): unknown => Reflect.get(event.payload, "toolCallId")

/**
 * The reference: no state, only a look at all that was accepted before. Gives the problem that an event would be.
 */
const problemOf = (accepted: ReadonlyArray<Event.Event>, event: Event.Event): string | undefined => {
  if (event.definition.scope === "free") {
    return accepted.some(({ payload }) => Reflect.get(payload, "reason") === "lost") ? "alreadyEnded" : undefined
  }
  const seen = (type: string, toolCallId?: unknown) =>
    accepted.filter((past) => past.type === type && (toolCallId === undefined || toolCallOf(past) === toolCallId))
      .length
  const isOpen = (toolCallId: unknown) => seen("tool_executing", toolCallId) > seen("tool_completed", toolCallId)

  if (seen("agent_completed") + seen("agent_error") > 0) return "alreadyEnded"
  if (seen("agent_started") === 0) return event.type === "agent_started" ? undefined : "notStarted"
  if (event.type === "agent_started") return "alreadyStarted"
  if (event.type === "tool_executing" && isOpen(toolCallOf(event))) return "toolAlreadyOpen"
  if (event.type === "tool_completed" && !isOpen(toolCallOf(event))) return "toolNotOpen"
  const ofRequest = accepted.filter((past) => requestOf(past) === requestOf(event))
  const asked = ofRequest.find(({ type }) => type === "input_requested")
  if (event.type === "input_requested" && asked !== undefined) return "requestIdUsed"
  if (event.type === "input_resolved") {
    const isSensitive = asked !== undefined && Reflect.get(asked.payload, "sensitive") === true
    if (isSensitive && Reflect.get(event.payload, "answer") !== undefined) return "sensitiveAnswer"
    if (asked === undefined || ofRequest.length > 1) return "requestNotOpen"
  }
  const same = (type: string, key: string) =>
    accepted.filter((past) => past.type === type && Reflect.get(past.payload, key) === Reflect.get(event.payload, key))
      .length
  const isRunning = same("step_started", "name") > same("step_finished", "name")
  if (event.type === "step_started" && isRunning) return "stepAlreadyRunning"
  if (event.type === "step_finished" && !isRunning) return "stepNotRunning"
  if (event.type === "tool_input_delta" && isOpen(toolCallOf(event))) return "toolAlreadyOpen"
  const isOfMessage = /^(text_delta|thinking_delta|message_completed)$/.test(event.type)
  if (isOfMessage && same("message_completed", "messageId") > 0) return "messageCompleted"
  if (event.type === "agent_completed" && seen("tool_executing") > seen("tool_completed")) return "toolsOpen"
  return undefined
}

/** Offers the events in turn; an illegal one changes nothing. */
const offerAll = (events: ReadonlyArray<Event.Event>) => {
  let state = RunState.idle
  const accepted: Array<Event.Event> = []
  for (const event of events) {
    const next = RunState.next(state, event)
    if ("problem" in next) continue
    state = next
    accepted.push(event)
  }
  return { state, accepted }
}

const started = offerAll([AgentEvents.AgentStarted.make({ agentName: "researcher" })]).state

const executing = (toolCallId: string) =>
  AgentEvents.ToolExecuting.make({ toolCallId, toolName: `tool of ${toolCallId}`, input: null })

const completed = (toolCallId: string) =>
  AgentEvents.ToolCompleted.make({ toolCallId, toolName: "", output: null, isError: false, durationMs: 1 })

const asked = (requestId: string) => AgentEvents.InputRequested.make({ requestId, kind: "approval", title: "?" })

const expired = (requestId: string) => AgentEvents.InputResolved.make({ requestId, outcome: "expired" })

const afterLegal = (state: RunState.RunState, event: Event.Event): RunState.RunState => {
  const next = RunState.next(state, event)
  if ("problem" in next) return assert.fail(next.message)
  return next
}

describe("RunState", () => {
  roundTrips(schemasOf(RunState))

  it.prop("allows what the reference allows, and names the same problem where it does not", {
    events: Arbitrary.array(anyEvent, { maxLength: 40 })
  }, ({ events }) => {
    let state = RunState.idle
    const accepted: Array<Event.Event> = []
    for (const event of events) {
      const next = RunState.next(state, event)
      const problem = problemOf(accepted, event)
      if ("problem" in next) {
        assert.strictEqual(next.problem, problem)
        assert.strictEqual(next.event, event.type)
        assert.strictEqual(next.state, state._tag)
      } else {
        assert.isUndefined(problem, `${event.type} was taken`)
        state = next
        accepted.push(event)
      }
    }
  }, { arbitrary: { runs: 2000, size: 40 } })

  it.prop("lets a run start once, end at most once, and do nothing before and after", {
    events: Arbitrary.array(anyEvent, { maxLength: 60 })
  }, ({ events }) => {
    const { accepted, state } = offerAll(events)
    const ofRun = accepted.filter(({ definition }) => definition.scope === "run")
    const endings = ofRun.filter(({ type }) => type === "agent_completed" || type === "agent_error")
    assert.strictEqual(ofRun.filter(({ type }) => type === "agent_started").length, ofRun.length > 0 ? 1 : 0)
    assert.isTrue(ofRun.length === 0 || ofRun[0]?.type === "agent_started")
    assert.isTrue(endings.length <= 1)
    assert.isTrue(endings.length === 0 || ofRun.at(-1) === endings[0])
    assert.strictEqual(state._tag, endings.length === 1 ? "Ended" : ofRun.length > 0 ? "Active" : "Idle")
  }, { arbitrary: { runs: 1000, size: 60 } })

  it.prop("can always be ended by an error, whatever tool calls are open", {
    events: Arbitrary.array(anyEvent, { maxLength: 30 }),
    reason: AgentEvents.ErrorReason
  }, ({ events, reason }) => {
    const { state } = offerAll(events)
    if (state._tag !== "Active") return
    const end = RunState.next(state, AgentEvents.AgentError.make({ reason, message: "", retryable: false }))
    assert.deepStrictEqual(end, { _tag: "Ended", outcome: reason })
  }, { arbitrary: { runs: 500, size: 30 } })

  it.prop("changes no state that it was given", {
    events: Arbitrary.array(anyEvent, { maxLength: 30 }),
    event: anyEvent
  }, ({ event, events }) => {
    const { state } = offerAll(events)
    const before = structuredClone(state)
    RunState.next(state, event)
    assert.deepStrictEqual(state, before)
  }, { arbitrary: { runs: 500, size: 30 } })

  it("gives the same state back where nothing changes", () => {
    for (
      const event of [
        AgentEvents.AgentThinking.make({ text: "" }),
        Reviewed.make({ stars: 1 }),
        Noted.make({ toolCallId: "t" })
      ]
    ) {
      assert.strictEqual(RunState.next(started, event), started)
    }
  })

  it("remembers the agent's name and the tools that are open", () => {
    const two = [executing("t1"), executing("t2")].reduce(afterLegal, started)
    assert.deepStrictEqual(two, {
      _tag: "Active",
      agentName: "researcher",
      openTools: new Map([["t1", "tool of t1"], ["t2", "tool of t2"]]),
      requests: new Map(),
      steps: new Set<string>(),
      completedMessages: new Set<string>()
    })
    assert.deepStrictEqual(afterLegal(two, completed("t1")), {
      _tag: "Active",
      agentName: "researcher",
      openTools: new Map([["t2", "tool of t2"]]),
      requests: new Map(),
      steps: new Set<string>(),
      completedMessages: new Set<string>()
    })
  })

  it("lets a tool call id be used again once its call is completed", () => {
    const again = [executing("t1"), completed("t1"), executing("t1"), completed("t1")].reduce(afterLegal, started)
    assert.deepStrictEqual(again, started)
  })

  it("has at most 32 requests open at a time, however many there were", () => {
    const ids = Array.from({ length: 3 * maxOpenRequests }, (_, n) => `r${n}`)
    let state = started
    for (const id of ids.slice(0, maxOpenRequests)) state = afterLegal(state, asked(id))
    for (const [n, id] of ids.slice(maxOpenRequests).entries()) {
      const refused = RunState.next(state, asked(id))
      assert.strictEqual("problem" in refused && refused.problem, "tooManyRequests")
      state = afterLegal(state, expired(ids[n] ?? ""))
      state = afterLegal(state, asked(id))
    }
  })

  it("P5: remembers the last 1,024 requests, and all that are open", () => {
    let state = afterLegal(started, asked("open"))
    for (let n = 0; n < 2 * maxKnownRequests; n++) {
      state = afterLegal(afterLegal(state, asked(`r${n}`)), expired(`r${n}`))
    }
    const { requests } = state._tag === "Active" ? state : assert.fail(state._tag)
    assert.strictEqual(requests.size, maxKnownRequests)
    assert.deepStrictEqual(requests.get("open"), { isOpen: true, isSensitive: false })
    assert.isTrue(requests.has(`r${2 * maxKnownRequests - 1}`))
  })

  it("P5: remembers the last 256 messages that are completed", () => {
    let state = started
    for (let n = 0; n < 2 * maxKnownMessages; n++) {
      state = afterLegal(state, AgentEvents.MessageCompleted.make({ messageId: `m${n}` }))
    }
    const { completedMessages } = state._tag === "Active" ? state : assert.fail(state._tag)
    assert.deepStrictEqual(
      [...completedMessages],
      Array.from({ length: maxKnownMessages }, (_, n) => `m${n + maxKnownMessages}`)
    )
  })

  it("closes what is open with the ending, requests by either, tool calls by an error", () => {
    const open = afterLegal(started, asked("r"))
    assert.deepStrictEqual(afterLegal(open, AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 1 })), {
      _tag: "Ended",
      outcome: "completed"
    })
    const late = RunState.next({ _tag: "Ended", outcome: "completed" }, expired("r"))
    assert.strictEqual("problem" in late && late.problem, "alreadyEnded")
  })

  it("takes nothing more of a run that was lost, and what needs no run of every other", () => {
    const note = Noted.make({ toolCallId: "t" })
    for (const outcome of ["completed", "failed", "cancelled", "timeout"] as const) {
      const ended: RunState.RunState = { _tag: "Ended", outcome }
      assert.strictEqual(RunState.next(ended, note), ended)
    }
    const refused = RunState.next({ _tag: "Ended", outcome: "lost" }, note)
    assert.strictEqual("problem" in refused && refused.problem, "alreadyEnded")
  })

  it("ends with the outcome of its ending", () => {
    const done = afterLegal(started, AgentEvents.AgentCompleted.make({ agentName: "researcher", durationMs: 1 }))
    assert.deepStrictEqual(done, { _tag: "Ended", outcome: "completed" })
    for (const reason of AgentEvents.ErrorReason.literals) {
      const error = AgentEvents.AgentError.make({ reason, message: "", retryable: true })
      assert.deepStrictEqual(afterLegal(started, error), { _tag: "Ended", outcome: reason })
    }
  })

  describe("says in a sentence what is wrong", () => {
    const ended: RunState.RunState = { _tag: "Ended", outcome: "completed" }
    const cases: ReadonlyArray<readonly [RunState.RunState, Event.Event, string]> = [
      [
        RunState.idle,
        AgentEvents.TextDelta.make({ messageId: "m", delta: "" }),
        "text_delta is not legal here: the run has not started"
      ],
      [
        started,
        AgentEvents.AgentStarted.make({ agentName: "a" }),
        "agent_started is not legal here: the run has started already"
      ],
      [ended, AgentEvents.AgentThinking.make({ text: "" }), "agent_thinking is not legal here: the run has ended"],
      [started, completed("t9"), `tool_completed is not legal here: no such tool call is open (tool call "t9")`],
      [
        afterLegal(started, executing("t1")),
        executing("t1"),
        `tool_executing is not legal here: a tool call with this id is open (tool call "t1")`
      ],
      [
        afterLegal(started, executing("t1")),
        AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 1 }),
        `agent_completed is not legal here: tool calls are still open (tool call "t1")`
      ],
      [
        afterLegal(started, asked("r1")),
        asked("r1"),
        `input_requested is not legal here: the run had a request with this id (request "r1")`
      ],
      [
        afterLegal(started, AgentEvents.StepStarted.make({ name: "plan" })),
        AgentEvents.StepStarted.make({ name: "plan" }),
        `step_started is not legal here: a step with this name is running (step "plan")`
      ],
      [
        started,
        AgentEvents.StepFinished.make({ name: "plan" }),
        `step_finished is not legal here: no such step is running (step "plan")`
      ],
      [
        afterLegal(started, AgentEvents.MessageCompleted.make({ messageId: "m" })),
        AgentEvents.TextDelta.make({ messageId: "m", delta: "more" }),
        `text_delta is not legal here: the message is completed (message "m")`
      ],
      [started, expired("r1"), `input_resolved is not legal here: no such request is open (request "r1")`],
      [
        afterLegal(started, AgentEvents.InputRequested.make({ ...asked("r1").payload, sensitive: true })),
        AgentEvents.InputResolved.make({ requestId: "r1", outcome: "answered", answer: "hunter2" }),
        `input_resolved is not legal here: the answer to a sensitive request must not be in it (request "r1")`
      ],
      [
        Array.from({ length: maxOpenRequests }, (_, n) => asked(`r${n}`)).reduce(afterLegal, started),
        asked("more"),
        `input_requested is not legal here: 32 requests are open (request "more")`
      ]
    ]
    for (const [state, event, sentence] of cases) {
      it(`${sentence}`, () => {
        const next = RunState.next(state, event)
        assert.strictEqual("problem" in next ? next.message : "legal", sentence)
      })
    }
  })

  it("types its states and errors", () => {
    expectTypeOf(RunState.next).returns.toEqualTypeOf<RunState.RunState | RunState.IllegalEvent>()
    expectTypeOf<RunState.RunState["_tag"]>().toEqualTypeOf<"Idle" | "Active" | "Ended">()
    expectTypeOf<Extract<RunState.RunState, { _tag: "Ended" }>["outcome"]>()
      .toEqualTypeOf<"completed" | "failed" | "cancelled" | "timeout" | "lost">()
  })
})
