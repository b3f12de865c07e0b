/**
 * Every built-in event, once with all of its fields and once with the fewest, as the golden files beside it hold them:
 * each file is one event of an `events` frame.
 */
import * as AgentEvents from "../../src/protocol/event/AgentEvents.ts"
import type { Event } from "../../src/protocol/event/Event.ts"
import { RunId } from "../../src/protocol/values/Identity.ts"

export const builtInEvents: Record<string, Event> = {
  "agent_started": AgentEvents.AgentStarted.make({
    agentName: "researcher",
    input: { question: "what is a stream?" },
    parentRunId: RunId.make("run-1"),
    commands: ["cancel", "answer", "steer"]
  }),
  "agent_started.least": AgentEvents.AgentStarted.make({ agentName: "researcher" }),
  "agent_thinking": AgentEvents.AgentThinking.make({ text: "looking it up", step: 1 }),
  "agent_thinking.least": AgentEvents.AgentThinking.make({ text: "" }),
  "tool_executing": AgentEvents.ToolExecuting.make({
    toolCallId: "t1",
    toolName: "search",
    input: { q: "effect streams", limit: 3 }
  }),
  "tool_completed": AgentEvents.ToolCompleted.make({
    toolCallId: "t1",
    toolName: "search",
    output: ["a", null, { score: 0.5 }],
    isError: false,
    durationMs: 12.5
  }),
  "tool_completed.error": AgentEvents.ToolCompleted.make({
    toolCallId: "t1",
    toolName: "search",
    output: "the index is closed",
    isError: true,
    durationMs: 0
  }),
  "agent_completed": AgentEvents.AgentCompleted.make({
    agentName: "researcher",
    result: { answer: "a lazy sequence" },
    durationMs: 4_500,
    usage: { inputTokens: 812, outputTokens: 140, cost: 0.0031 }
  }),
  "agent_completed.least": AgentEvents.AgentCompleted.make({ agentName: "researcher", durationMs: 4_500 }),
  "agent_error.failed": AgentEvents.AgentError.make({ reason: "failed", message: "no such page", retryable: false }),
  "agent_error.cancelled": AgentEvents.AgentError.make({
    reason: "cancelled",
    message: "stopped",
    retryable: true,
    by: "user"
  }),
  "agent_error.timeout": AgentEvents.AgentError.make({ reason: "timeout", message: "over 30 s", retryable: true }),
  "agent_error.lost": AgentEvents.AgentError.make({ reason: "lost", message: "its process ended", retryable: true }),
  "input_requested": AgentEvents.InputRequested.make({
    requestId: "r1",
    kind: "form",
    title: "When shall it be sent?",
    detail: "The summary is 3 pages long.",
    schema: { type: "object", properties: { at: { type: "string", format: "date-time" } }, required: ["at"] },
    toolCallId: "t1",
    sensitive: true,
    expiresAt: 1_732_323_600_000
  }),
  "input_requested.choice": AgentEvents.InputRequested.make({
    requestId: "r2",
    kind: "choice",
    title: "Which one?",
    options: [{ value: "a", label: "The first" }, { value: "b" }]
  }),
  "input_requested.least": AgentEvents.InputRequested.make({ requestId: "r3", kind: "approval", title: "Send it?" }),
  "input_resolved": AgentEvents.InputResolved.make({
    requestId: "r2",
    outcome: "answered",
    answer: "b",
    client: "example/1.0"
  }),
  "input_resolved.least": AgentEvents.InputResolved.make({ requestId: "r3", outcome: "expired" }),
  "tool_input_delta": AgentEvents.ToolInputDelta.make({
    toolCallId: "t1",
    toolName: "search",
    delta: "{\"q\":\"effect str"
  }),
  "message_completed": AgentEvents.MessageCompleted.make({ messageId: "m1" }),
  "step_started": AgentEvents.StepStarted.make({ name: "compare the sources" }),
  "step_finished": AgentEvents.StepFinished.make({ name: "compare the sources" }),
  "state_snapshot": AgentEvents.StateSnapshot.make({ state: { plan: ["read"], done: 0 } }),
  "state_delta": AgentEvents.StateDelta.make({
    patch: [
      { op: "test", path: "/done", value: 0 },
      { op: "replace", path: "/done", value: 1 },
      { op: "add", path: "/plan/-", value: "compare" },
      { op: "copy", from: "/plan/1", path: "/a~1b" },
      { op: "move", from: "/plan/1", path: "/plan/0" },
      { op: "remove", path: "/a~1b" }
    ]
  }),
  "source_cited": AgentEvents.SourceCited.make({
    sourceId: "s1",
    title: "Streams",
    url: "https://example.com/streams",
    excerpt: "A stream is a lazy sequence."
  }),
  "source_cited.least": AgentEvents.SourceCited.make({ sourceId: "s2" }),
  "file_produced": AgentEvents.FileProduced.make({
    fileId: "f1",
    mediaType: "text/markdown",
    name: "summary.md",
    url: "https://example.com/files/f1"
  }),
  "file_produced.data": AgentEvents.FileProduced.make({ fileId: "f2", mediaType: "text/plain", data: "aGVsbG8=" }),
  "text_delta": AgentEvents.TextDelta.make({ messageId: "m1", delta: "Streams are “lazy” 👩‍💻\n" }),
  "thinking_delta": AgentEvents.ThinkingDelta.make({ messageId: "m2", delta: "which of the two" }),
  "progress_update": AgentEvents.ProgressUpdate.make({ progress: 40, message: "reading" }),
  "progress_update.least": AgentEvents.ProgressUpdate.make({ progress: 99.5 }),
  "usage_reported": AgentEvents.UsageReported.make({
    inputTokens: 812,
    outputTokens: 96,
    cost: 0.0031,
    operation: "answer"
  }),
  "usage_reported.least": AgentEvents.UsageReported.make({ inputTokens: 0, outputTokens: 0 }),
  "custom": AgentEvents.Custom.make({ name: "note", data: { ["__proto__"]: 1, list: [true, null, -0.5, "\u2028"] } }),
  "auth_started": AgentEvents.AuthStarted.make({ provider: "calendar" }),
  "auth_started.least": AgentEvents.AuthStarted.make({}),
  "auth_validating": AgentEvents.AuthValidating.make({ provider: "calendar" }),
  "auth_completed": AgentEvents.AuthCompleted.make({ provider: "calendar" }),
  "auth_failed": AgentEvents.AuthFailed.make({ provider: "calendar", reason: "access was denied" })
}
