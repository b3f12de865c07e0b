/**
 * The golden events again, as the emitter really writes them: from `emit` to the text in the log.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { AgentEvents, Broker, EmitterLayer, Emitters, Event } from "effect-emitter"
import { Envelope, Frame } from "effect-emitter/protocol"
import { TestClock } from "effect/testing"
import { frames } from "../../src/hub/connection/FrameEncoder.ts"
import { RunId, UserId } from "../../src/protocol/values/Identity.ts"
import { builtInEvents } from "./events.ts"
import { golden } from "./golden.ts"

const engine = EmitterLayer().pipe(Layer.provideMerge(Broker.layerMemory()), Layer.orDie)

// The clock is set before anything runs by it: to move it there later would be to wait for half a century.
const inTheGoldenTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.andThen(TestClock.setTime(1_732_320_000_000), Effect.provide(effect, engine))

/** What must have happened for an event to be legal. */
const before = (event: Event.Event): ReadonlyArray<Event.Event> => {
  if (event.definition.scope === "free" || event.type === "agent_started") return []
  const started = AgentEvents.AgentStarted.make({ agentName: "researcher" })
  switch (event.type) {
    case "tool_completed":
      return [started, AgentEvents.ToolExecuting.make({ toolCallId: "t1", toolName: "search", input: null })]
    case "input_resolved": {
      const requestId = "requestId" in event.payload ? String(event.payload.requestId) : ""
      return [started, AgentEvents.InputRequested.make({ requestId, kind: "text", title: "Which one?" })]
    }
    case "step_finished":
      return [started, AgentEvents.StepStarted.make({ name: "compare the sources" })]
    default:
      return [started]
  }
}

describe("what the emitter writes", () => {
  for (const [name, event] of Object.entries(builtInEvents)) {
    it.effect(`${name} is what its golden file holds, but for id and offset`, () =>
      Effect.gen(function*() {
        const { broker, emitters } = yield* Effect.all({ broker: Broker.Broker, emitters: Emitters })
        const run = event.definition.scope === "run" ? { runId: "run-7" } : {}
        const emitter = yield* emitters.forUser({ userId: "ada", ...run })
        const earlier = before(event)
        for (const each of earlier) yield* emitter.emit(each)
        // An event that waits for a device's word never gets it here: it is in the log all the same.
        const emitted = yield* Effect.forkChild(Effect.exit(emitter.emit(event)))
        yield* TestClock.adjust("1 second")

        const ada = UserId.make("ada")
        const { epoch } = yield* broker.head(ada)
        const { entries } = yield* broker.pull(ada, { epoch, offset: 0 }, { maxEvents: 10, maxBytes: 1_000_000 })
        assert.lengthOf(entries, earlier.length + 1)
        const body = entries.at(-1)?.body ?? ""
        const { id } = JSON.parse(`{${body}`)
        assert.isString(id)
        assert.strictEqual(Envelope.toJson(7, body.replace(`"${id}"`, `"01JD8Q2W"`)), golden("event", name))
        emitted.interruptUnsafe()
      }).pipe(inTheGoldenTime))
  }

  it.effect("how an own event is kept stands behind its type", () =>
    Effect.gen(function*() {
      const { broker, emitters } = yield* Effect.all({ broker: Broker.Broker, emitters: Emitters })
      const Placed = Event.make("order_placed", { payload: { n: Schema.Int }, delivery: "critical", keep: "part" })
      const Stock = Event.make("stock_level", { payload: { n: Schema.Int }, delivery: "critical", keep: "newest" })
      const Noted = Event.make("note_taken", { payload: { n: Schema.Int }, delivery: "critical" })
      const ada = UserId.make("ada")
      const emitter = yield* emitters.forUser({ userId: "ada", runId: "run-7" })
      yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "researcher" }))
      for (const definition of [Placed, Stock, Noted, Placed, Stock]) {
        yield* emitter.emit(definition.make({ n: 1 }))
      }
      const { epoch } = yield* broker.head(ada)
      const { entries } = yield* broker.pull(ada, { epoch, offset: 1 }, { maxEvents: 10, maxBytes: 1_000_000 })
      assert.deepStrictEqual(
        entries.map(({ body }) => body.replace(/^"id":"[^"]+",/, "").replace(/"at":.*$/, "")),
        [
          `"type":"order_placed","keep":"part",`,
          `"type":"stock_level","keep":"newest",`,
          `"type":"note_taken",`,
          `"type":"order_placed","keep":"part",`,
          `"type":"stock_level","keep":"newest",`
        ]
      )
      assert.deepStrictEqual(entries.map(({ body }) => Envelope.keepIn(body)), [
        "part",
        "newest",
        undefined,
        "part",
        "newest"
      ])
      const { snapshot } = yield* broker.snapshot(ada, RunId.make("run-7"))
      assert.deepStrictEqual(
        snapshot?.state.parts.map((part) => part.type === "event" ? [part.name, part.data] : part),
        [["order_placed", { n: 1 }], ["stock_level", { n: 1 }], ["order_placed", { n: 1 }]]
      )
    }).pipe(inTheGoldenTime))

  it.effect("context goes in its fixed place: run, thread, request, trace", () =>
    Effect.gen(function*() {
      const { broker, emitters } = yield* Effect.all({ broker: Broker.Broker, emitters: Emitters })
      const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
      const context = { userId: "ada", runId: "run-7", threadId: "thread-3", requestId: "req-9", trace }
      const emitter = yield* emitters.forUser(context)
      yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "researcher" }))
      const { snapshots: _, ...head } = yield* broker.snapshots(UserId.make("ada"))
      const position = { epoch: head.position.epoch, offset: 0 }
      const { entries } = yield* broker.pull(UserId.make("ada"), position, { maxEvents: 10, maxBytes: 1_000_000 })
      const body = entries[0]?.body ?? ""
      const { id } = JSON.parse(`{${body}`)
      const rest = `"run":"run-7","thread":"thread-3","request":"req-9","trace":"${trace}"`
      assert.strictEqual(
        body,
        `"id":"${id}","type":"agent_started","at":1732320000000,${rest},"data":{"agentName":"researcher"}}`
      )
    }).pipe(inTheGoldenTime))

  it.effect("ids come through whole in any script, beside data of any script", () =>
    Effect.gen(function*() {
      const { broker, emitters } = yield* Effect.all({ broker: Broker.Broker, emitters: Emitters })
      const context = { userId: "ada", runId: "поиск", threadId: "Größe-日本-🚀", requestId: "é𐐷" }
      const emitter = yield* emitters.forUser(context)
      const texts = ["plain", "Größe", "日本語", "👩‍🚀"]
      yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "researcher" }))
      for (const text of texts) yield* emitter.emit(AgentEvents.AgentThinking.make({ text }))
      for (const delta of texts) yield* emitter.emit(AgentEvents.TextDelta.make({ messageId: "m", delta }))
      yield* TestClock.adjust("1 second")
      const ada = UserId.make("ada")
      const { epoch } = yield* broker.head(ada)
      const { entries } = yield* broker.pull(ada, { epoch, offset: 0 }, { maxEvents: 10, maxBytes: 1_000_000 })
      assert.deepStrictEqual(
        entries.map(({ body, bytes }) => [bytes, body]),
        entries.map(({ body }) => [Buffer.byteLength(body), body])
      )
      const frame = Frame.decodeServer(frames.events(epoch, entries, undefined).toString())
      assert(frame._tag === "Success" && frame.success.type === "events")
      assert.deepStrictEqual(
        frame.success.events.map(({ data, run, thread }): Schema.JsonObject => ({
          data,
          run: run ?? "",
          thread: thread ?? ""
        })),
        [
          { agentName: "researcher" },
          ...texts.map((text) => ({ text })),
          { messageId: "m", delta: texts.join("") }
        ].map((data) => ({ data, run: context.runId, thread: context.threadId }))
      )
    }).pipe(inTheGoldenTime))
})
