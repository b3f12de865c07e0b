/** A run whose process is gone ends once, and takes nothing more. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { AgentEvents, Broker, type Position } from "effect-emitter"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import type { BrokerService, BrokerTest } from "../brokerSuite.ts"
import { envelope, eventually, idOf, newUser, plenty, start } from "../events.ts"

const [r, other] = [RunId.make("r"), RunId.make("other")]
const startOf = (run: string, sequence: number, source = "s", at = 1_000) =>
  envelope({ at, source, sequence, run, type: "agent_started", thread: "t", data: { agentName: "a" } })
const thought = (run: string, sequence: number, source = "s", at = 1_000) =>
  envelope({ at, source, sequence, run, type: "agent_thinking", thread: "t", data: { text: "hm" } })
const endOf = (run: string, sequence: number, source = "s", at = 1_000) =>
  envelope({ at, source, sequence, run, type: "agent_completed", thread: "t", data: { agentName: "a", durationMs: 1 } })

const typesOf = Effect.fnUntraced(function*(broker: BrokerService, user: ReturnType<typeof newUser>) {
  const { entries } = yield* broker.pull(user, yield* start(broker, user), plenty)
  return entries.map(({ run, type }) => `${run ?? "-"} ${type}`)
})

const lostOf = Effect.fnUntraced(function*(append: Effect.Effect<Position.Position, Broker.BrokerError>) {
  const { reason } = yield* Effect.flip(append)
  if (reason instanceof Broker.RunLost) return reason.runs
  throw new Error(`refused for another reason: ${reason.message}`)
})

export const losing = (test: BrokerTest) => {
  test("ends the runs that are active, of those that are named, once", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r", 1), startOf("other", 2), startOf("done", 3), endOf("done", 4)])
      const runs = [r, RunId.make("done"), RunId.make("never")]
      assert.strictEqual(yield* broker.endLost(user, runs), 1)
      assert.strictEqual(yield* broker.endLost(user, runs), 0)
      assert.deepStrictEqual(yield* typesOf(broker, user), [
        "r agent_started",
        "other agent_started",
        "done agent_started",
        "done agent_completed",
        "r agent_error"
      ])
    }))

  test("writes an ending that is an event like any other, of the run's thread", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const before = Date.now()
      const position = yield* broker.append(user, [startOf("r", 1)])
      yield* broker.endLost(user, [r])
      const { entries: [entry] } = yield* broker.pull(user, position, plenty)
      if (entry === undefined) throw new Error("no ending")
      const wire = JSON.parse(`{${entry.body}`)
      assert.deepStrictEqual(
        { type: wire.type, run: wire.run, thread: wire.thread, at: wire.at },
        { type: "agent_error", run: "r", thread: "t", at: entry.at }
      )
      assert.isAtLeast(entry.at, before - 1)
      const payload = Schema.decodeUnknownSync(AgentEvents.AgentError.payload)(wire.data)
      assert.strictEqual(payload.reason, "lost")
      assert.isTrue(payload.retryable)
      assert.strictEqual(entry.delivery, "critical")
      assert.strictEqual(entry.bytes, Buffer.byteLength(entry.body))
      const { snapshots } = yield* broker.snapshots(user, 1)
      assert.deepStrictEqual(snapshots.map(({ run, state }) => [run, state.status]), [["r", "lost"]])
    }))

  test("closes with the ending what the run left open, and keeps no answer to a sensitive request", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const event = (sequence: number, type: string, data: Schema.JsonObject) =>
        envelope({ at: 1_000, source: "s", sequence, run: "r", type, thread: "t", data })
      const ask = (sequence: number, requestId: string, sensitive: boolean) =>
        event(sequence, "input_requested", { requestId, kind: "text", title: "?", sensitive })
      const answer = { requestId: "answered", outcome: "answered", answer: "hunter2" }
      yield* broker.append(user, [
        event(1, "agent_started", { agentName: "a", commands: ["cancel"] }),
        event(2, "tool_executing", { toolCallId: "c", toolName: "n", input: 1 }),
        ask(3, "answered", true),
        ask(4, "open", false),
        event(5, "input_resolved", answer)
      ])
      const request = { type: "request", kind: "text", title: "?" } as const
      const answered = { ...request, requestId: "answered", sensitive: true, status: "answered" } as const
      const before = yield* broker.snapshot(user, r)
      assert.deepStrictEqual(before.snapshot?.state.commands, ["cancel"])
      assert.deepStrictEqual(before.snapshot?.state.parts, [
        { type: "tool", toolCallId: "c", toolName: "n", status: "executing", input: 1 },
        answered,
        { ...request, requestId: "open", status: "open" }
      ])
      yield* broker.endLost(user, [r])
      const { snapshot } = yield* broker.snapshot(user, r)
      assert.notProperty(snapshot?.state, "commands")
      assert.deepStrictEqual(snapshot?.state.parts, [
        { type: "tool", toolCallId: "c", toolName: "n", status: "failed", input: 1 },
        answered,
        { ...request, requestId: "open", status: "withdrawn" }
      ])
    }))

  test("wakes who reads", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r", 1)])
      let wakes = 0
      yield* broker.subscribe(user, () => wakes++)
      const before = wakes
      yield* broker.endLost(user, [r])
      yield* eventually(Effect.sync(() => wakes), (count) => count > before, "a wake-up")
    }))

  test("refuses what comes of the run then, with all of its batch", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r", 1), startOf("other", 2)])
      yield* broker.endLost(user, [r])
      const late = [thought("r", 3), envelope({ sequence: 4 }), thought("other", 5)] as const
      assert.deepStrictEqual(yield* lostOf(broker.append(user, late)), [r])
      assert.deepStrictEqual(yield* lostOf(broker.append(user, [endOf("r", 6, "another")])), [r])
      assert.strictEqual((yield* broker.head(user)).offset, 3)
      yield* broker.append(user, [late[1], late[2]])
      assert.deepStrictEqual((yield* typesOf(broker, user)).slice(2), [
        "r agent_error",
        "- custom",
        "other agent_thinking"
      ])
      assert.strictEqual(yield* broker.endLost(user, [other]), 1)
      const both = broker.append(user, [thought("other", 7), thought("r", 8)])
      assert.sameMembers([...yield* lostOf(both)], [other, r])
    }))

  test("does not refuse a batch that was taken before the run was lost", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const batch = [startOf("r", 1), thought("r", 2)] as const
      const position = yield* broker.append(user, batch)
      yield* broker.endLost(user, [r])
      assert.deepStrictEqual(yield* broker.append(user, batch), position)
      assert.strictEqual((yield* broker.head(user)).offset, 3)
    }))

  test("lets the run start anew, and be lost again", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r", 1)])
      yield* broker.endLost(user, [r])
      yield* broker.append(user, [startOf("r", 1, "b"), thought("r", 2, "b")])
      yield* broker.append(user, [thought("r", 3, "b")])
      assert.strictEqual(yield* broker.endLost(user, [r]), 1)
      assert.deepStrictEqual(yield* lostOf(broker.append(user, [thought("r", 4, "b")])), [r])
      assert.deepStrictEqual(yield* typesOf(broker, user), [
        "r agent_started",
        "r agent_error",
        "r agent_started",
        "r agent_thinking",
        "r agent_thinking",
        "r agent_error"
      ])
      const { entries } = yield* broker.pull(user, yield* start(broker, user), plenty)
      assert.strictEqual(new Set(entries.map(idOf)).size, 6)
    }))

  test("fault 36: takes a start that came late as an event, and opens nothing by it", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [thought("r", 2, "s", 2_000), endOf("r", 3, "s", 3_000)])
      yield* broker.append(user, [startOf("r", 1, "s", 1_000)])
      const { snapshots } = yield* broker.snapshots(user, 1)
      assert.deepStrictEqual(snapshots.map(({ run, state }) => [run, state.status]), [["r", "completed"]])
      assert.strictEqual(yield* broker.endLost(user, [r]), 0)
      assert.deepStrictEqual(yield* typesOf(broker, user), ["r agent_thinking", "r agent_completed", "r agent_started"])
    }))

  test("fault 36: refuses a start that came late of a run that was lost, and opens nothing by it", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r", 1, "s", 2_000)])
      assert.strictEqual(yield* broker.endLost(user, [r]), 1)
      assert.deepStrictEqual(yield* lostOf(broker.append(user, [startOf("r", 1, "late", 1_000)])), [r])
      // With all of its batch, and what starts it anew behind it.
      const late = [envelope({ sequence: 2 }), startOf("r", 2, "late", 1_000), startOf("r", 3, "late", 3_000)] as const
      assert.deepStrictEqual(yield* lostOf(broker.append(user, late)), [r])
      const { snapshots } = yield* broker.snapshots(user, 1)
      assert.deepStrictEqual(snapshots.map(({ run, state }) => [run, state.status]), [["r", "lost"]])
      assert.strictEqual(yield* broker.endLost(user, [r]), 0)
      assert.deepStrictEqual(yield* lostOf(broker.append(user, [thought("r", 2, "late", 3_000)])), [r])
      assert.deepStrictEqual(yield* typesOf(broker, user), ["r agent_started", "r agent_error"])
      yield* broker.append(user, [startOf("r", 3, "late", 3_000), endOf("r", 4, "late", 4_000)])
      // It was lost once, and is not any more: what comes late of it now is an event that opens nothing.
      yield* broker.append(user, [startOf("r", 1, "later", 1_000), thought("r", 2, "later", 1_000)])
      assert.strictEqual(yield* broker.endLost(user, [r]), 0)
      assert.deepStrictEqual((yield* typesOf(broker, user)).slice(2), [
        "r agent_started",
        "r agent_completed",
        "r agent_started",
        "r agent_thinking"
      ])
    }))

  test("fault 36: ends a run that began anew after a late start, once", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [endOf("r", 3, "s", 3_000)])
      yield* broker.append(user, [startOf("r", 1, "s", 1_000)])
      assert.strictEqual(yield* broker.endLost(user, [r]), 0)
      yield* broker.append(user, [startOf("r", 1, "anew", 4_000)])
      assert.strictEqual(yield* broker.endLost(user, [r]), 1)
      assert.strictEqual(yield* broker.endLost(user, [r]), 0)
    }))

  test("fault 36: ends a run that began anew, also where a late start came in the same batch", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [endOf("r", 3, "s", 3_000)])
      yield* broker.append(user, [startOf("r", 1, "anew", 5_000), startOf("r", 1, "late", 1_000)])
      assert.strictEqual(yield* broker.endLost(user, [r]), 1)
      assert.strictEqual(yield* broker.endLost(user, [r]), 0)
    }))

  test("knows nothing to end of a user without a log", (broker) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* broker.endLost(newUser(), [r]), 0)
    }))
}
