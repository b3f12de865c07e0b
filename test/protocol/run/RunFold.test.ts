import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import * as RunEvents from "../../../src/protocol/event/RunEvents.ts"
import { RunFold } from "../../../src/protocol/run/RunSnapshot.ts"
import { builtInEvents } from "../events.ts"
import { expectWithinBounds, fold } from "./folding.ts"
import { anyWellFormed, eventNames, type Happening, of } from "./happenings.ts"

describe("RunFold", () => {
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

  it("names the commands of a run while it is active, as far as they are names", () => {
    const commands = ["cancel", 1, "x".repeat(65), ...Array.from({ length: 100 }, (_, n) => `steer${n}`)]
    const run = fold([of("agent_started", { agentName: "a", commands }, 1)])
    const kept = run.snapshot().commands ?? []
    assert.deepStrictEqual([kept[0], kept[1], kept.length], ["cancel", "steer0", RunEvents.maxCommands - 2])
    assert.deepStrictEqual(RunFold.from(run.snapshot()).snapshot(), run.snapshot())
    run.apply("agent_started", { agentName: "a" }, 2)
    assert.notProperty(run.snapshot(), "commands")
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
      assert.strictEqual(
        RunEvents.isFolded(name),
        JSON.stringify(after) !== JSON.stringify(fold(before).snapshot()),
        name
      )
    }
  })
})
