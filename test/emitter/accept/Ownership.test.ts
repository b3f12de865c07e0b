/**
 * What was emitted is the program's no more: whatever it does with its objects afterwards, events and states say what
 * they were.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { AgentEvents, Broker, Emitters, Event, Spool } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer } from "../support/emitting.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"

const Newest = Event.make("test_newest", {
  payload: { key: Schema.String, value: Schema.Json },
  coalesce: { _tag: "Newest", by: "key" }
})
const Joined = Event.make("test_joined", {
  payload: { key: Schema.String, text: Schema.String, value: Schema.Json },
  coalesce: { _tag: "Concatenate", by: "key", text: "text" }
})

type Box = { [key: string]: unknown }

/** A JSON value with something to change at several depths. */
const boxOf = (draw: Draw): { readonly json: Schema.Json; readonly change: () => void } => {
  const inner: Array<Schema.Json> = [draw.below(100), { deep: draw.below(100) }]
  const outer: Box = { inner, text: `t${draw.below(100)}` }
  const json = outer as { readonly [key: string]: Schema.Json }
  return {
    json: draw.chance(0.2) ? inner : json,
    change: () => {
      inner.push("changed")
      outer["text"] = "changed"
      // From here on JSON cannot write it.
      outer["self"] = outer
      inner[1] = json
    }
  }
}

const stateOf = (
  events: ReadonlyArray<{ readonly type: string; readonly data: Schema.JsonObject; readonly at: number }>
) => {
  const fold = new RunFold()
  for (const { at, data, type } of events) fold.apply(type, data, at)
  return fold.snapshot()
}

describe("what was emitted", () => {
  it.effect(
    "fault 6: is what it was, in the log and in the run's state, whatever becomes of the program's objects",
    () =>
      forSeeds({ count: 60 }, (draw) =>
        Effect.gen(function*() {
          const broker = yield* TestBroker.TestBroker
          const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r" })
          const meant: Array<Schema.Json> = []
          const emit = (make: (json: Schema.Json) => Event.Event, keep: boolean) =>
            Effect.gen(function*() {
              const { change, json } = boxOf(draw)
              const event = make(json)
              if (keep) meant.push(structuredClone(json))
              yield* Effect.forkChild(ada.emit(event), { startImmediately: true })
              change()
            })
          const isAway = draw.chance(0.5)
          if (isAway) yield* broker.behave("fail")
          yield* emit((input) => AgentEvents.AgentStarted.make({ agentName: "a", input }), true)
          for (let step = 0; step < 10; step++) {
            const id = `${step}`
            yield* emit((data) => AgentEvents.Custom.make({ name: "n", data }), true)
            yield* emit((input) => AgentEvents.ToolExecuting.make({ toolCallId: id, toolName: "t", input }), true)
            yield* emit((value) => Newest.make({ key: id, value }), false)
            yield* emit((value) => Newest.make({ key: id, value }), true)
            yield* emit((value) => Joined.make({ key: id, text: "a", value }), true)
            yield* emit((value) => Joined.make({ key: id, text: "b", value }), false)
            yield* emit(
              (output) =>
                AgentEvents.ToolCompleted.make({
                  toolCallId: id,
                  toolName: "t",
                  output,
                  isError: false,
                  durationMs: 1
                }),
              true
            )
            if (draw.chance(0.3)) yield* TestClock.adjust("50 millis")
          }
          yield* emit((result) => AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 1, result }), true)
          yield* TestClock.adjust("1 second")
          yield* broker.behave("ok")
          yield* TestClock.adjust("2 minutes")

          const log = (yield* broker.log(ada.context.userId)).map(({ event }) => event)
          const values = log.map(({ data }) =>
            data["input"] ?? data["data"] ?? data["value"] ?? data["output"] ?? data["result"] ?? null
          )
          assert.deepStrictEqual(values, meant)
          const [snapshot] = (yield* (yield* Broker.Broker).snapshots(ada.context.userId, 0)).snapshots
          assert.deepStrictEqual(snapshot?.state, stateOf(log))
          assert.deepStrictEqual(snapshot?.state.result, meant.at(-1))
        }).pipe((program) =>
          Effect.flatMap(Spool.memory(), (spool) => Effect.provide(program, layer({ channels: [spool] })))
        )),
    120_000
  )
})
