import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Library from "../../../src/demo/agent/Library.ts"
import { type Item, type Run, Runs } from "../../../src/demo/page/run/model.ts"
import { Broker } from "../../../src/index.ts"
import type { Frame } from "../../../src/protocol/index.ts"
import { engine, handbook, runAgent } from "../support.ts"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"
import { EventId, RunId } from "../../../src/protocol/values/Identity.ts"

const delivery = engine.pipe(Layer.provideMerge(Broker.layerMemory()))

const eventItem = ({ data: payload, ...event }: Frame.WireEvent): Item => ({
  _tag: "Event",
  epoch: "e",
  event: { ...event, payload }
})

const fold = (items: ReadonlyArray<Item>): Run => {
  const runs = new Runs()
  for (const item of items) runs.apply(item)
  const [run] = runs.byId.values()
  if (run === undefined) throw new Error("no run came out of it")
  return run
}

const snapshotAfter = (events: ReadonlyArray<Frame.WireEvent>): Item => {
  const state = new RunFold()
  for (const { at, data, type } of events) state.apply(type, data, at)
  const last = events.at(-1)
  return { _tag: "Snapshot", epoch: "e", run: last?.run ?? "", offset: last?.offset ?? 0, state: state.snapshot() }
}

const outcome = ({ answer, citations, error, status, tokens }: Run) => ({ answer, citations, error, status, tokens })

const tools = ({ steps }: Run) =>
  steps.flatMap((step) => step._tag === "Tool" ? [[step.key, step.name, step.status]] : [])

describe("what the page knows of a run", () => {
  it.effect("is the same from a snapshot on as from the beginning, wherever the snapshot was taken", () =>
    Effect.gen(function*() {
      const { events } = yield* runAgent("Compare the fog horn with the lamp.", yield* Library.fromText(handbook))
      const whole = fold(events.map(eventItem))
      assert.strictEqual(whole.status, "completed")
      assert.isAbove(whole.citations.length, 1)
      for (let taken = 1; taken <= events.length; taken++) {
        const rest = events.slice(taken).map(eventItem)
        const late = fold([snapshotAfter(events.slice(0, taken)), ...rest])
        assert.deepStrictEqual(outcome(late), outcome(whole), `snapshot after ${taken} of ${events.length}`)
        assert.deepStrictEqual(tools(late).toSorted(), tools(whole).toSorted())
        // A page that did not see the answer begin does not know at which offset it did.
        assert.include([whole.answerFrom, undefined], late.answerFrom, `snapshot after ${taken} of ${events.length}`)
      }
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("does not take twice what a snapshot holds already, and takes the details it left out", () =>
    Effect.gen(function*() {
      const { events } = yield* runAgent("Compare the fog horn with the lamp.", yield* Library.fromText(handbook))
      const whole = fold(events.map(eventItem))
      for (const taken of [5, 20, events.length - 1, events.length]) {
        const both = fold([snapshotAfter(events.slice(0, taken)), ...events.map(eventItem)])
        assert.deepStrictEqual(outcome(both), outcome(whole))
        assert.strictEqual(both.question, "Compare the fog horn with the lamp.")
        const steps = both.steps.filter(({ _tag }) => _tag === "Tool")
        assert.isTrue(steps.every((step) => step._tag === "Tool" && step.output !== undefined))
      }
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("goes over a gap without a wrong word: its snapshot stands for what is missing", () =>
    Effect.gen(function*() {
      const { events } = yield* runAgent("Compare the fog horn with the lamp.", yield* Library.fromText(handbook))
      const whole = fold(events.map(eventItem))
      const [from, to] = [events.length - 30, events.length - 10]
      const torn = fold([
        ...events.slice(0, from).map(eventItem),
        { _tag: "Gap", epoch: "e", from: from + 1, to, reason: "slow", previous: undefined },
        snapshotAfter(events.slice(0, to)),
        ...events.slice(to).map(eventItem)
      ])
      assert.deepStrictEqual(outcome(torn), outcome(whole))
      assert.deepStrictEqual(
        torn.steps.flatMap((step) => step._tag === "Mark" ? [step.text] : []),
        [
          `20 events up to offset ${to} will not come: this page read too slowly`,
          `Taken up from a snapshot of the run at offset ${to}`
        ]
      )
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it("has no call that looks open once its run has ended, from events as from a snapshot", () => {
    const of = (offset: number, type: string, data: Frame.WireEvent["data"]): Frame.WireEvent => ({
      offset,
      id: EventId.make(`e${offset}`),
      type,
      at: offset,
      run: RunId.make("r"),
      data
    })
    const events = [
      of(1, "agent_started", { agentName: "a" }),
      of(2, "tool_executing", { toolCallId: "t", toolName: "search", input: 1 }),
      of(3, "agent_error", { reason: "cancelled", message: "stopped", retryable: true })
    ]
    const whole = fold(events.map(eventItem))
    assert.deepStrictEqual(tools(whole), [["t", "search", "failed"]])
    assert.deepStrictEqual(tools(fold([snapshotAfter(events)])), tools(whole))
  })

  it("ends a run that the server lost, once", () => {
    const started: Item = {
      _tag: "Event",
      epoch: "e",
      event: { offset: 1, id: "a", type: "agent_started", at: 5, run: "r", payload: { agentName: "librarian" } }
    }
    const lost = fold([started, { _tag: "Lost", run: "r", at: 9 }, { _tag: "Lost", run: "r", at: 10 }])
    assert.deepStrictEqual([lost.status, lost.endedAt], ["lost", 9])
  })
})
