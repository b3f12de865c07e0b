import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../../src/demo/agent/Agent.ts"
import * as OpenAi from "../../src/demo/agent/OpenAi.ts"
import * as Library from "../../src/demo/agent/Library.ts"
import { Sending } from "../../src/demo/agent/Sending.ts"
import { Broker, Emitter, Identity } from "../../src/index.ts"
import { TestDevice } from "../../src/testing/index.ts"
import { chatServer, chunk, done, says } from "../ai/chatServer.ts"
import { untilEffect } from "../client/devices.ts"
import { CommandId } from "../../src/protocol/command/Command.ts"
import { answer, emitterFor, engine, eventsOf, handbook, runAgent, sent } from "./support.ts"

const delivery = engine.pipe(Layer.provideMerge(Broker.layerMemory()))

const textOf = (events: ReadonlyArray<{ readonly type: string; readonly data: { readonly [key: string]: unknown } }>) =>
  events.flatMap(({ data, type }) => type === "text_delta" ? [String(data["delta"])] : []).join("")

describe("the agent", () => {
  it.effect("tells every step of its work as events, and streams the answer it composed", () =>
    Effect.gen(function*() {
      const library = yield* Library.fromText(handbook)
      const question = "Compare the fog horn with the lamp."
      const { events, result } = yield* runAgent(question, library)

      const types = events.map(({ type }) => type)
      assert.strictEqual(types[0], "agent_started")
      assert.strictEqual(types.at(-1), "agent_completed")
      assert.deepStrictEqual(
        [...new Set(types)].toSorted(),
        [
          "agent_completed",
          "agent_started",
          "agent_thinking",
          "custom",
          "input_requested",
          "input_resolved",
          "message_completed",
          "progress_update",
          "step_finished",
          "step_started",
          "text_delta",
          "thinking_delta",
          "tool_completed",
          "tool_executing",
          "usage_reported"
        ]
      )
      assert.strictEqual(textOf(events), answer(library, question).text)
      assert.isTrue(result.answered)
      assert.deepStrictEqual(events.at(-1)?.data["result"], { ...result })
      assert.deepStrictEqual(events.at(0)?.data["input"], { question, documents: "your text" })
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("calls tools at once where they do not need each other", () =>
    Effect.gen(function*() {
      const { events } = yield* runAgent("Compare the fog horn with the lamp.", yield* Library.fromText(handbook))
      const calls = events.filter(({ type }) => type.startsWith("tool_")).map(({ data, type }) =>
        `${type === "tool_executing" ? "begin" : "end"} ${String(data["toolName"])}`
      )
      assert.deepStrictEqual(calls, [
        "begin search",
        "begin search",
        "end search",
        "end search",
        "begin read_section",
        "begin read_section",
        "begin read_section",
        "end read_section",
        "end read_section",
        "end read_section",
        "begin compare_sections",
        "end compare_sections"
      ])
      const outputs = events.flatMap(({ data, type }) => type === "tool_completed" ? [data] : [])
      assert.isTrue(outputs.every(({ isError }) => isError === false))
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("counts the words it read and wrote into the usage of its run", () =>
    Effect.gen(function*() {
      const library = yield* Library.fromText(handbook)
      const { events } = yield* runAgent("When does the oil arrive?", library)
      const reported = events.filter(({ type }) => type === "usage_reported")
      const sum = (key: string) => reported.reduce((all, { data }) => all + Number(data[key]), 0)
      assert.deepStrictEqual(events.at(-1)?.data["usage"], {
        inputTokens: sum("inputTokens"),
        outputTokens: sum("outputTokens")
      })
      assert.strictEqual(sum("outputTokens"), textOf(events).split(/\s+/u).length)
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("takes the time a reader needs, and no time of its own", () =>
    Effect.gen(function*() {
      const library = yield* Library.fromText(handbook)
      const emitter = yield* emitterFor("ada", "run-1")
      yield* Agent.run("When does the oil arrive?", library).pipe(
        Effect.provideService(Emitter.Emitter, emitter),
        Effect.provideService(Sending, sent().service),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      const early = textOf(yield* eventsOf("ada"))
      assert.strictEqual(early, "")
      yield* TestClock.adjust("1500 millis")
      const some = textOf(yield* eventsOf("ada"))
      assert.isAbove(some.length, 0)
      assert.isTrue(answer(library, "When does the oil arrive?").text.startsWith(some))
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("ends as cancelled when it is interrupted in the middle of its answer", () =>
    Effect.gen(function*() {
      const emitter = yield* emitterFor("ada", "run-1")
      const fiber = yield* Agent.run("When does the oil arrive?", yield* Library.fromText(handbook)).pipe(
        Effect.provideService(Emitter.Emitter, emitter),
        Effect.provideService(Sending, sent().service),
        Effect.forkChild
      )
      yield* TestClock.adjust("2500 millis")
      yield* Fiber.interrupt(fiber)
      const events = yield* eventsOf("ada")
      assert.isAbove(textOf(events).length, 0)
      assert.strictEqual(events.at(-1)?.type, "agent_error")
      assert.strictEqual(events.at(-1)?.data["reason"], "cancelled")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* eventsOf("ada")).length, events.length)
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  /** Runs until the agent asks, and gives what answers it. */
  const asking = Effect.gen(function*() {
    const emitter = yield* emitterFor("ada", "run-1")
    const { service, summaries } = sent()
    const fiber = yield* Agent.run("When does the oil arrive?", yield* Library.fromText(handbook)).pipe(
      Effect.provideService(Emitter.Emitter, emitter),
      Effect.provideService(Sending, service),
      Effect.forkChild
    )
    yield* TestClock.adjust("1 minute")
    const events = yield* eventsOf("ada")
    assert.strictEqual(events.at(-1)?.type, "input_requested")
    assert.strictEqual(
      events.at(-1)?.data["detail"],
      "It goes into the file outbox/run-1. Without an answer it is not sent."
    )
    assert.strictEqual(summaries.size, 0)
    const { commands } = yield* Broker.Broker
    assert.isDefined(commands)
    const answering = (value: boolean) =>
      commands.send(
        Identity.UserId.make("ada"),
        {
          id: CommandId.make("c1"),
          run: Identity.RunId.make("run-1"),
          name: "answer",
          data: { requestId: String(events.at(-1)?.data["requestId"]), answer: value }
        },
        Duration.seconds(5)
      )
    return { answering, fiber, summaries, text: textOf(events) }
  })
  const after = Effect.map(
    eventsOf("ada"),
    (events) =>
      events.slice(events.findIndex(({ type }) => type === "input_resolved")).map(({ data, type }) =>
        [type, data["outcome"] ?? data["toolName"] ?? data["text"]].filter((part) => part !== undefined).join(" ")
      )
  )

  it.effect("sends the summary when its user says yes, and not before", () =>
    Effect.gen(function*() {
      const { answering, fiber, summaries, text } = yield* asking
      assert.deepStrictEqual(yield* answering(true), { outcome: "accepted" })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual([...summaries], [["run-1", text]])
      assert.deepStrictEqual(yield* after, [
        "input_resolved answered",
        "tool_executing send_summary",
        "tool_completed send_summary",
        "progress_update",
        "agent_completed"
      ])
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("sends nothing when its user says no", () =>
    Effect.gen(function*() {
      const { answering, fiber, summaries } = yield* asking
      assert.deepStrictEqual(yield* answering(false), { outcome: "accepted" })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(summaries.size, 0)
      assert.deepStrictEqual(yield* after, [
        "input_resolved answered",
        "agent_thinking I do not send it.",
        "progress_update",
        "agent_completed"
      ])
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("goes on without sending when nobody answers for two minutes", () =>
    Effect.gen(function*() {
      const { fiber, summaries } = yield* asking
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(fiber)
      assert.strictEqual(summaries.size, 0)
      assert.deepStrictEqual(yield* after, [
        "input_resolved expired",
        "agent_thinking I do not send it.",
        "progress_update",
        "agent_completed"
      ])
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.live("answers by a model behind an API, with the same tools, and cites what it read", () =>
    Effect.gen(function*() {
      const tools = (...calls: ReadonlyArray<readonly [name: string, input: object]>) =>
        says(
          calls.map(([name, input], index) =>
            chunk({
              tool_calls: [{
                index,
                id: `${name}-${index}`,
                type: "function",
                function: { name, arguments: JSON.stringify(input) }
              }]
            })
          ).join("") + chunk({}, "tool_calls") + done
        )
      const library = yield* Library.fromText(handbook)
      const section = library.sections.find(({ title }) => title === "Supplies")
      assert.isDefined(section)
      const server = yield* chatServer(
        tools(["search", { query: "oil" }]),
        tools(["read_section", { section: "nowhere" }], ["read_section", { section: section.id }]),
        says(
          chunk({ content: "On the first Monday " }) + chunk({ content: "of the month [1]." }) + chunk({}, "stop") +
            done
        )
      )
      const model = yield* OpenAi.make({ baseUrl: server.baseUrl, model: "local-1", retries: 0 })
      const emitter = yield* emitterFor("ada", "run-1")
      const running = yield* Agent.run("When does the oil arrive?", library).pipe(
        Effect.provideService(Emitter.Emitter, emitter),
        Effect.provideService(Sending, sent().service),
        Effect.provideService(Agent.OtherModel, model),
        Effect.forkChild
      )
      const requested = Effect.orDie(
        Effect.map(eventsOf("ada"), (events) => events.some(({ type }) => type === "input_requested"))
      )
      yield* untilEffect("asked", Effect.provideService(requested, Broker.Broker, yield* Broker.Broker), 20)
      assert.deepInclude(yield* TestDevice.of("ada", "run-1").answer("request-1", false), { outcome: "accepted" })
      const result = yield* Fiber.join(running)
      assert.isTrue(result.answered)
      assert.deepStrictEqual(result.citations.map(({ number, title }) => [number, title]), [[1, "Supplies"]])
      assert.deepStrictEqual(server.asked[0]?.tools?.map((tool) => Reflect.get(Object(tool["function"]), "name")), [
        "search",
        "read_section",
        "compare_sections"
      ])
      const read = server.asked[2]?.messages.slice(-2).map(({ content }) => String(content)) ?? []
      assert.include(read[0], "There is no section")
      // The model reads all of it, not what devices are shown.
      assert.isTrue(read[1]?.startsWith("[1] Supplies") && read[1].includes("lasts three weeks"))
      assert.include(textOf(yield* eventsOf("ada")), "On the first Monday of the month [1].")
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("completes with an honest answer where it has none", () =>
    Effect.gen(function*() {
      const { events, result } = yield* runAgent("What is the capital of France?", yield* Library.fromText(handbook))
      assert.deepStrictEqual(result, { answered: false, coverage: 0, citations: [] })
      assert.include(textOf(events), "I found nothing about “capital” and “France”")
      assert.strictEqual(events.at(-1)?.type, "agent_completed")
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("completes over no documents at all, and on a question of no meaning", () =>
    Effect.gen(function*() {
      const nothing = yield* runAgent("What is a gap?", Library.make("nothing", []))
      assert.strictEqual(textOf(nothing.events), "There are no documents to answer from.")
      assert.strictEqual(nothing.events.at(-1)?.type, "agent_completed")
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it.effect("keeps the events of a run over a long text small", () =>
    Effect.gen(function*() {
      const long = `The keeper lights the lamp and ${"walks up and down the stairs and ".repeat(200)}sleeps.`
      const { events } = yield* runAgent(
        "What does the keeper do with the lamp?",
        yield* Library.fromText(`${long}\n\n`.repeat(25))
      )
      assert.isBelow(Math.max(...events.map((event) => JSON.stringify(event).length)), 8_000)
      assert.strictEqual(events.at(-1)?.type, "agent_completed")
    }).pipe(Effect.scoped, Effect.provide(delivery)))
})
