/**
 * One frame of every type and variant, as the golden files beside it hold them. What is written here in TypeScript
 * stands there as the text that travels: neither may change without the other.
 */
import * as Frame from "../../src/protocol/wire/Frame.ts"
import { accepted, CommandId, refused } from "../../src/protocol/command/Command.ts"
import { ConnectionId, EventId, RunId, ThreadId } from "../../src/protocol/values/Identity.ts"

const epoch = "k3J9xQ"
const run = RunId.make("run-7")
const thread = ThreadId.make("thread-3")
const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

export const clientFrames: Record<string, Frame.ClientFrame> = {
  "hello": { type: "hello", token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln" },
  "hello.header-token": { type: "hello" },
  "hello.resume": {
    type: "hello",
    token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    resume: { epoch, offset: 41 },
    threads: [thread],
    snapshots: 20,
    client: "example/1.0",
    accepts: ["command"]
  },
  "hello.resume-start": { type: "hello", token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", resume: { epoch, offset: 0 } },
  "ack": { type: "ack", offset: 44 },
  "ack.epoch": { type: "ack", offset: 44, epoch },
  "ack.confirmed": { type: "ack", offset: 44, epoch, confirmed: [41, 44] },
  "pong": { type: "pong" },
  "token": { type: "token", token: "eyJhbGciOiJIUzI1NiJ9.e30.bmV3" },
  "command": { type: "command", id: CommandId.make("cmd-1"), run, name: "cancel" },
  "command.answer": {
    type: "command",
    id: CommandId.make("cmd-2"),
    run,
    name: "answer",
    data: { requestId: "q1", answer: true }
  },
  "command.own": {
    type: "command",
    id: CommandId.make("cmd-3"),
    run,
    name: "steer",
    data: { text: "", tags: ["ä", "\u2028", 0.5, null] }
  }
}

export const serverFrames: Record<string, Frame.ServerFrame> = {
  "welcome": {
    type: "welcome",
    connection: ConnectionId.make("c-5f2a"),
    epoch,
    offset: 44,
    recovered: true,
    snapshots: 1,
    heartbeatMs: 25_000,
    retentionMs: 600_000
  },
  "welcome.not-recovered": {
    type: "welcome",
    connection: ConnectionId.make("c-5f2b"),
    epoch: "Zr81mA",
    offset: 3,
    recovered: false,
    snapshots: 0,
    heartbeatMs: 25_000,
    retentionMs: 600_000,
    accepts: ["command"]
  },
  "events": {
    type: "events",
    epoch,
    events: [
      {
        offset: 42,
        id: EventId.make("01JD8Q2W"),
        type: "agent_thinking",
        at: 1_732_320_000_000,
        run,
        thread,
        request: "req-9",
        trace,
        data: { text: "looking it up" }
      },
      {
        offset: 43,
        id: EventId.make("01JD8Q2X"),
        type: "text_delta",
        at: 1_732_320_000_020,
        run,
        thread,
        data: { messageId: "m1", delta: "Streams are " }
      }
    ]
  },
  "events.confirm": {
    type: "events",
    epoch,
    events: [{
      offset: 44,
      id: EventId.make("01JD8Q2Y"),
      type: "auth_started",
      at: 1_732_320_000_040,
      confirm: true,
      data: { provider: "calendar" }
    }]
  },
  "events.everything": {
    type: "events",
    epoch,
    upTo: 45,
    events: [{
      offset: 45,
      id: EventId.make("01JD8Q2Z"),
      type: "approval_asked",
      keep: "part",
      at: 1_732_320_000_060,
      run,
      thread,
      confirm: true,
      request: "req-9",
      trace,
      data: { question: "Send the mail?", choices: ["yes", "no"] }
    }]
  },
  "events.filtered": { type: "events", epoch, upTo: 57, events: [] },
  "events.filtered-some": {
    type: "events",
    epoch,
    upTo: 60,
    events: [{
      offset: 58,
      id: EventId.make("01JD8Q30"),
      type: "custom",
      at: 1_732_320_001_000,
      thread,
      data: { name: "note", data: ["ä", "\u2028", "👩‍💻", 0.5, null, { ["__proto__"]: true }] }
    }]
  },
  "gap.retention": { type: "gap", epoch, from: 42, to: 120, reason: "retention", snapshots: 1 },
  "gap.slow": { type: "gap", epoch, from: 130, to: 171, reason: "slow", snapshots: 2 },
  "gap.epoch": { type: "gap", epoch: "Zr81mA", from: 1, to: 2, reason: "epoch", snapshots: 0 },
  "gap.epoch-nothing-gone": { type: "gap", epoch: "Zr81mA", from: 1, to: 0, reason: "epoch", snapshots: 0 },
  "snapshot.active": {
    type: "snapshot",
    run,
    offset: 120,
    state: {
      status: "active",
      thread,
      agentName: "researcher",
      parentRunId: "run-1",
      input: { question: "What is a stream?" },
      commands: ["cancel", "answer"],
      startedAt: 1_732_320_000_000,
      thinking: "comparing two sources",
      step: 2,
      progress: 40,
      progressMessage: "reading",
      state: { plan: ["read", "compare"], done: 1 },
      parts: [
        { type: "thinking", step: 1, text: "looking it up" },
        {
          type: "tool",
          toolCallId: "t1",
          toolName: "search",
          status: "completed",
          input: { q: "effect streams" },
          output: { omitted: 70213 },
          durationMs: 12.5
        },
        { type: "thinking", messageId: "m1", text: "… which of the two", truncated: true },
        { type: "text", messageId: "m1", text: "Streams are lazy sequences", completed: true },
        {
          type: "tool",
          toolCallId: "t2",
          toolName: "read",
          status: "failed",
          input: "streams.md",
          output: { message: "no such file" },
          durationMs: 3
        },
        { type: "thinking", step: 2, text: "comparing two sources" },
        { type: "tool", toolCallId: "t3", toolName: "compare", status: "executing", input: [1, 2] },
        { type: "step", name: "choose", status: "finished" },
        { type: "step", name: "write", status: "running" },
        {
          type: "source",
          sourceId: "s1",
          title: "Streams",
          url: "https://example.com/streams",
          excerpt: "A stream is a lazy sequence."
        },
        { type: "event", name: "order_placed", at: 1_732_320_000_500, data: { orderId: "o-1", total: 12.5 } },
        { type: "file", fileId: "f1", mediaType: "text/plain", name: "notes.txt", data: { omitted: 20482 } },
        { type: "tool", toolCallId: "t4", toolName: "read", status: "executing", inputText: "{\"path\":\"notes" },
        {
          type: "request",
          requestId: "r1",
          kind: "choice",
          title: "Which of the two?",
          options: [{ value: "a" }, { value: "b" }],
          status: "answered",
          answer: "b",
          client: "example/1.0"
        },
        {
          type: "request",
          requestId: "r2",
          kind: "form",
          title: "Who may read it?",
          detail: "The comparison names customers.",
          schema: { omitted: 5301 },
          toolCallId: "t3",
          sensitive: true,
          expiresAt: 1_732_323_600_000,
          status: "open"
        }
      ],
      dropped: 4,
      usage: { inputTokens: 812, outputTokens: 96, cost: 0.0031 }
    }
  },
  "snapshot.completed": {
    type: "snapshot",
    run,
    offset: 171,
    state: {
      status: "completed",
      thread,
      agentName: "researcher",
      startedAt: 1_732_320_000_000,
      endedAt: 1_732_320_004_500,
      parts: [{ type: "text", messageId: "m1", text: "Streams are lazy sequences.", completed: true }],
      usage: { inputTokens: 812, outputTokens: 140 },
      result: { answer: "Streams are lazy sequences.", sources: 2 }
    }
  },
  "snapshot.failed": {
    type: "snapshot",
    run: RunId.make("run-8"),
    offset: 171,
    state: {
      status: "timeout",
      endedAt: 1_732_320_004_800,
      parts: [],
      usage: { inputTokens: 0, outputTokens: 0 },
      error: "the run took longer than 30 s"
    }
  },
  "snapshot.cancelled": {
    type: "snapshot",
    run: RunId.make("run-9"),
    offset: 171,
    state: {
      status: "cancelled",
      agentName: "researcher",
      startedAt: 1_732_320_000_000,
      endedAt: 1_732_320_004_900,
      endedBy: "user",
      parts: [
        { type: "tool", toolCallId: "t1", toolName: "search", status: "failed", input: { q: "effect streams" } },
        { type: "request", requestId: "r1", kind: "approval", title: "Send it?", status: "withdrawn" }
      ],
      usage: { inputTokens: 812, outputTokens: 96 },
      error: "The run was cancelled"
    }
  },
  "status.degraded": { type: "status", state: "degraded" },
  "status.live": { type: "status", state: "live" },
  "ping": { type: "ping" },
  "goodbye": { type: "goodbye", reason: "draining", reconnectAfterMs: 1_500 },
  "command.accepted": { type: "command", id: CommandId.make("cmd-1"), ...accepted },
  "command.refused": { type: "command", id: CommandId.make("cmd-2"), ...refused("ended") },
  "command.refused-why": {
    type: "command",
    id: CommandId.make("cmd-3"),
    ...refused("invalid", { path: "data.text", message: "a text is needed" })
  },
  "error": { type: "error", code: "badFrame", message: "ack: Expected an integer at [\"offset\"]" }
}
