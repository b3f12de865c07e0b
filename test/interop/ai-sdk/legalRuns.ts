/**
 * Runs drawn at random, of all that may happen in one, in any order that is legal.
 */
import { AgentEvents, Event, RunState } from "effect-emitter/events"
import { Schema } from "effect"
import type { RunEvent, RunItem } from "effect-emitter/ai-sdk"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"
import type { Draw } from "../../support/random.ts"

const Order = Event.make("order", { payload: { total: Schema.Finite }, keep: "newest" })
const Note = Event.make("note", { payload: { n: Schema.Finite }, keep: "part" })
const Passing = Event.make("passing", { payload: { n: Schema.Finite } })

const pieces = ["", "a", "Streams are ", "👩", "\ud83d", "\ude00", "é\n", "data: x\n\n", "{\"a\":1}", "x".repeat(900)]

const draw = ({ below, chance, pick }: Draw): Event.Event => {
  const messageId = `m${below(4)}`
  const toolCallId = `t${below(8)}`
  const call = { toolCallId, toolName: toolCallId === "t1" ? "mail" : "search" }
  const requestId = `r${below(30)}`
  const source = `s${below(5)}`
  const file = below(3)
  const name = `step ${below(3)}`
  const value: Schema.Json = pick([null, 1, "one", { a: [1, "b"] }, "y".repeat(200)])
  return pick<() => Event.Event>([
    () => AgentEvents.TextDelta.make({ messageId, delta: pick(pieces) }),
    () => AgentEvents.TextDelta.make({ messageId, delta: pick(pieces) }),
    () => AgentEvents.ThinkingDelta.make({ messageId, delta: pick(pieces) }),
    () => AgentEvents.MessageCompleted.make({ messageId: chance(0.5) ? messageId : `n${below(100)}` }),
    () => AgentEvents.AgentThinking.make({ text: `${pick(pieces)}${below(1_000_000)}` }),
    () => AgentEvents.ToolInputDelta.make({ ...call, delta: pick(["{", "\"q\":", "\"x\"", "}", "z".repeat(2_000)]) }),
    () => AgentEvents.ToolExecuting.make({ ...call, input: value }),
    () => AgentEvents.ToolCompleted.make({ ...call, output: value, isError: chance(0.3), durationMs: 1 }),
    () =>
      AgentEvents.InputRequested.make({
        requestId,
        title: "Sure?",
        ...(chance(0.7) ? { kind: "approval" as const, toolCallId } : { kind: "text" as const })
      }),
    () =>
      AgentEvents.InputResolved.make({
        requestId,
        outcome: pick(["answered", "answered", "expired", "withdrawn"]),
        answer: pick<Schema.Json>([true, false, { approved: true }, { approved: false, reason: "no" }, "text"])
      }),
    () => AgentEvents.StepStarted.make({ name }),
    () => AgentEvents.StepFinished.make({ name }),
    () =>
      AgentEvents.SourceCited.make({
        sourceId: source,
        ...(source > "s2" ? { url: "https://example.org" } : {})
      }),
    () =>
      AgentEvents.FileProduced.make({
        fileId: `f${file}`,
        mediaType: "text/plain",
        ...[{}, { url: "https://example.org/f", name: "f.txt" }, { data: "aGk=" }][file]
      }),
    () => AgentEvents.ProgressUpdate.make({ progress: below(100) }),
    () => AgentEvents.UsageReported.make({ inputTokens: 1, outputTokens: 2 }),
    () => AgentEvents.StateSnapshot.make({ state: { n: below(9) } }),
    () => AgentEvents.StateDelta.make({ patch: [{ op: "replace", path: "/n", value: below(9) }] }),
    () => AgentEvents.Custom.make({ name: "note", data: value }),
    () => Order.make({ total: below(9) }),
    () => Note.make({ n: below(9) }),
    () => Passing.make({ n: below(9) })
  ])()
}

const toRunEvent = (event: Event.Event): RunEvent => {
  // Payloads of these are the same as they travel.
  const payload = event.payload as Schema.JsonObject
  return AgentEvents.catalog.definitions.has(event.type)
    ? { type: event.type, payload } as RunEvent
    : { type: "$unknown", name: event.type, keep: event.definition.keep, payload }
}

export interface Drawn {
  readonly events: ReadonlyArray<RunEvent>
  readonly items: ReadonlyArray<RunItem>
  /** The run's state after so many of its events. */
  readonly snapshotAt: (count: number) => Extract<RunItem, { readonly _tag: "Snapshot" }>
}

/** A run from its start to one of the endings that it may have then. With `isOnce`, no tool call has the id of another. */
export const drawRun = (random: Draw, isOnce = false): Drawn => {
  const length = random.below(80)
  const called = new Set<unknown>()
  const events: Array<Event.Event> = []
  let state = RunState.idle
  const take = (event: Event.Event): boolean => {
    const next = RunState.next(state, event)
    const toolCallId: unknown = Reflect.get(event.payload, "toolCallId")
    if (isOnce && /^tool_(input|executing)/u.test(event.type) && called.has(toolCallId)) return false
    if (event.type === "tool_completed" && next._tag !== "IllegalEvent") called.add(toolCallId)
    if (next._tag === "IllegalEvent") return false
    state = next
    events.push(event)
    return true
  }
  take(AgentEvents.AgentStarted.make({ agentName: "a", ...(random.chance(0.5) ? { input: "question" } : {}) }))
  while (events.length < length) take(draw(random))
  const message = "it broke"
  const completed = random.chance(0.5) &&
    take(AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 1, result: { ok: true } }))
  if (!completed) {
    const reason = random.pick(["failed", "cancelled", "timeout", "lost"] as const)
    take(AgentEvents.AgentError.make({ reason, message, retryable: false }))
  }
  const runEvents = events.map(toRunEvent)
  return {
    events: runEvents,
    items: runEvents.map((event, index) => ({
      _tag: "Event",
      position: { epoch: "e", offset: index + 1 },
      at: index,
      event,
      isKnown: false
    })),
    snapshotAt: (count) => {
      const fold = new RunFold()
      for (const [index, { definition, payload, type }] of events.slice(0, count).entries()) {
        fold.apply(type, payload as Schema.JsonObject, index, undefined, definition.keep)
      }
      return { _tag: "Snapshot", position: { epoch: "e", offset: count }, state: fold.snapshot() }
    }
  }
}
