/**
 * Random runs whose events are legal, for mappings to other protocols, and how a reader sees them: from the start, or from
 * a snapshot in their middle.
 */
import { assert } from "@effect/vitest"
import type { Json, JsonObject } from "effect/Schema"
import type { RunEvent, RunItem } from "../../src/interop/RunItem.ts"
import * as AgentEvents from "../../src/protocol/event/AgentEvents.ts"
import { decoder } from "../../src/protocol/event/ReceivedEvent.ts"
import { RunFold } from "../../src/protocol/run/RunFold.ts"
import * as RunState from "../../src/protocol/run/RunState.ts"
import type { Draw } from "../support/random.ts"

export interface Told {
  readonly type: string
  readonly data: JsonObject
  readonly at: number
}

const pieces = ["a", "é", " ", "\n\n", "👩‍🚀", "\"quoted\"", "data: x", "", "\u2028", "日本語"]

const ids = ["0", "1", "m:text", "x y"]

const inputs: ReadonlyArray<Json> = [null, 7, { q: "streams" }, ["é", { deep: true }]]

const endings: ReadonlyArray<Told["data"] & { readonly type: string }> = [
  { type: "agent_completed", agentName: "a", durationMs: 5 },
  {
    type: "agent_completed",
    agentName: "a",
    durationMs: 5,
    result: { n: 42 },
    usage: { inputTokens: 3, outputTokens: 4 }
  },
  { type: "agent_error", reason: "failed", message: "it failed", retryable: false },
  { type: "agent_error", reason: "cancelled", message: "it was cancelled", retryable: true, by: "user" },
  { type: "agent_error", reason: "timeout", message: "it took too long", retryable: true },
  { type: "agent_error", reason: "lost", message: "its process vanished", retryable: true }
]

/** A legal run. Without `asks` it never waits for its user. */
export const legalRun = (draw: Draw, options: { readonly asks?: boolean } = {}): ReadonlyArray<Told> => {
  const told: Array<Told> = []
  let state: RunState.RunState = RunState.idle
  let at = 1_000
  const tell = (type: string, data: JsonObject): boolean => {
    const definition = AgentEvents.catalog.definitions.get(type) ?? assert.fail(type)
    const next = RunState.next(state, { type, payload: data, delivery: "critical", definition })
    if (next instanceof RunState.IllegalEvent) return false
    state = next
    told.push({ type, data, at: at++ })
    return true
  }
  tell("agent_started", { agentName: "a" })
  let calls = 0
  let requests = 0
  let hasState = false
  // The rest of the input of each call that the model is writing.
  const written = new Map<string, { readonly input: Json; rest: string }>()
  const call = (): string => {
    const known = [...written.keys()]
    return known.length > 0 && draw.chance(0.6) ? draw.pick(known) : `c${calls++}`
  }
  const write = (toolCallId: string) => {
    const input = draw.pick(inputs)
    const writing = written.get(toolCallId) ?? { input, rest: JSON.stringify(input) }
    const length = 1 + draw.below(6)
    tell("tool_input_delta", { toolCallId, toolName: "search", delta: writing.rest.slice(0, length) })
    writing.rest = writing.rest.slice(length)
    written.set(toolCallId, writing)
  }
  const execute = (toolCallId: string) => {
    const writing = written.get(toolCallId)
    for (let rest = writing?.rest; rest !== undefined && rest !== ""; rest = writing?.rest) write(toolCallId)
    written.delete(toolCallId)
    tell("tool_executing", {
      toolCallId,
      toolName: "search",
      input: writing === undefined ? draw.pick(inputs) : writing.input
    })
  }
  const complete = (toolCallId: string, toolName: string) => {
    const output = draw.pick<Json>(["found", { hits: ["a"] }, null])
    tell("tool_completed", { toolCallId, toolName, output, isError: draw.chance(0.3), durationMs: 1 })
  }
  const openCalls = () => state._tag === "Active" ? [...state.openTools] : []
  const actions: ReadonlyArray<() => void> = [
    () => tell("text_delta", { messageId: draw.pick(ids), delta: draw.pick(pieces) }),
    () => tell("text_delta", { messageId: draw.pick(ids), delta: draw.pick(pieces) }),
    () => tell("thinking_delta", { messageId: draw.pick(ids), delta: draw.pick(pieces) }),
    () => tell("message_completed", { messageId: draw.pick(ids) }),
    () => tell("agent_thinking", { text: draw.pick(pieces), step: draw.below(3) }),
    () => write(call()),
    () => execute(call()),
    () => {
      const [first] = openCalls()
      if (first !== undefined) complete(...first)
    },
    () => tell("step_started", { name: `step ${draw.below(3)}` }),
    () => tell("step_finished", { name: `step ${draw.below(3)}` }),
    () => tell("progress_update", { progress: draw.below(101), ...(draw.chance(0.5) ? { message: "on it" } : {}) }),
    () => {
      hasState = tell("state_snapshot", { state: { list: [draw.below(9)] } })
    },
    () => {
      if (hasState) tell("state_delta", { patch: [{ op: "add", path: "/list/-", value: draw.below(9) }] })
    },
    () => tell("custom", { name: "note", data: draw.pick(inputs) }),
    () => tell("usage_reported", { inputTokens: 1, outputTokens: 2 }),
    () => tell("source_cited", { sourceId: `s${draw.below(2)}`, title: "A source" }),
    () => tell("file_produced", { fileId: `f${draw.below(2)}`, mediaType: "text/plain", data: "eA==" })
  ]
  const asking: ReadonlyArray<() => void> = [
    () => tell("input_requested", { requestId: `q${requests++}`, kind: "approval", title: "Sure?" }),
    () => tell("input_resolved", { requestId: `q${draw.below(requests + 1)}`, outcome: "answered", answer: true })
  ]
  const all = options.asks === true ? [...actions, ...asking] : actions
  for (let left = draw.below(40); left > 0; left--) draw.pick(all)()
  const { type, ...ending } = draw.pick(endings)
  if (type === "agent_completed") { for (const [id, name] of openCalls()) complete(id, name) }
  tell(type, ending)
  assert.strictEqual(RunState.isTerminal(told.at(-1)?.type ?? ""), true)
  return told
}

const decode = decoder(AgentEvents.catalog)

const toEvent = ({ at, data, type }: Told): RunEvent => decode("e", { offset: 1, id: "x", type, at, data })

/** What a reader gets who is there from the start. */
export const fromStart = (told: ReadonlyArray<Told>, first = 1): ReadonlyArray<RunItem> =>
  told.map((one, index) => ({
    _tag: "Event",
    position: { epoch: "e", offset: first + index },
    at: one.at,
    event: toEvent(one),
    isKnown: false
  }))

/** What a reader gets who joins behind so many events. */
export const joined = (told: ReadonlyArray<Told>, behind: number): ReadonlyArray<RunItem> => {
  const fold = new RunFold()
  for (const { at, data, type } of told.slice(0, behind)) fold.apply(type, data, at)
  const snapshot: RunItem = { _tag: "Snapshot", position: { epoch: "e", offset: behind }, state: fold.snapshot() }
  return fold.ended ? [snapshot] : [snapshot, ...fromStart(told.slice(behind), behind + 1)]
}

/** The text of each message, as it was emitted. */
export const textsOf = (told: ReadonlyArray<Told>, type: "text_delta" | "thinking_delta"): Record<string, string> => {
  const texts: Record<string, string> = {}
  for (const { data, type: of } of told) {
    if (of === type) texts[String(data["messageId"])] = (texts[String(data["messageId"])] ?? "") + String(data["delta"])
  }
  return texts
}
