/** Emitting, tools and runs as combinators that take the emitter from the context, and which run an emitter's events belong to. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option } from "effect"
import { AgentEvents, Emitter, Emitters, Identity } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { layer, note, shown } from "../support/emitting.ts"

const ada = Identity.UserId.make("ada")
const agent = { agentName: "a" }

const logOfAda = Effect.flatMap(TestBroker.TestBroker, ({ log }) => log(ada))

const thinking = (text: string) => AgentEvents.AgentThinking.make({ text })

/** The texts of thoughts that left, each with its run. */
const thoughts = Effect.map(
  logOfAda,
  (log) =>
    log.filter(({ event }) => event.type === "agent_thinking").map(({ event }) => [event.run, event.data["text"]])
)

describe("the combinators", () => {
  it.effect("take the emitter from the context, with the effect first or last", () =>
    Effect.gen(function*() {
      const search = (query: string) => Effect.succeed([query])
      const program = Effect.gen(function*() {
        const receipt = yield* Emitter.emit(thinking("well"))
        assert.strictEqual(receipt._tag, "Appended")
        const piped = yield* search("one").pipe(Emitter.tool("search", { q: "one" }))
        const plain = yield* Emitter.tool(search("two"), "search", { q: "two" })
        return [...piped, ...plain]
      })
      const first = yield* Emitter.run(program, { agentName: "first", result: (found) => found.length })
      const last = yield* program.pipe(Emitter.run({ agentName: "last" }))
      assert.deepStrictEqual([first, last], [["one", "two"], ["one", "two"]])

      const call = (toolCallId: string, q: string) => [
        ["tool_executing", { toolCallId, toolName: "search", input: { q } }],
        ["tool_completed", { toolCallId, toolName: "search", output: [q], isError: false, durationMs: 0 }]
      ]
      const within = [["agent_thinking", { text: "well" }], ...call("call-1", "one"), ...call("call-2", "two")]
      assert.deepStrictEqual(shown(yield* logOfAda), [
        ["agent_started", { agentName: "first", commands: ["cancel"] }],
        ...within,
        ["agent_completed", { agentName: "first", durationMs: 0, result: 2 }],
        ["agent_started", { agentName: "last", commands: ["cancel"] }],
        ...within,
        ["agent_completed", { agentName: "last", durationMs: 0 }]
      ])
    }).pipe(Effect.provide(Layer.provideMerge(Emitter.layerUser({ userId: "ada" }), layer()))))

  it.effect("of an emitter do the same, with the effect first or last", () =>
    Effect.gen(function*() {
      const { run, tool } = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* run(tool(Effect.void, "t", 1), agent)
      yield* Effect.void.pipe(tool("t", 1), run(agent))
      const types = ["agent_started", "tool_executing", "tool_completed", "agent_completed"]
      assert.deepStrictEqual((yield* logOfAda).map(({ event }) => event.type), [...types, ...types])
    }).pipe(Effect.provide(layer())))
})

describe("an emitter that was taken outside of a run", () => {
  it.effect("emits into the run of its fiber, whatever it does there", () =>
    Effect.gen(function*() {
      const outside = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* outside.run(
        Effect.gen(function*() {
          const { context: { runId } } = yield* Emitter.Emitter
          yield* outside.emit(thinking("hm"))
          yield* outside.emit(AgentEvents.UsageReported.make({ inputTokens: 1, outputTokens: 2 }))
          yield* outside.tool(Effect.void, "t", null)
          assert.deepStrictEqual(yield* outside.usage, { inputTokens: 1, outputTokens: 2 })
          assert.deepStrictEqual(Option.map(yield* outside.snapshot, ({ status }) => status), Option.some("active"))
          const forked = yield* Effect.forkChild(outside.emit(thinking("from a fiber of its own")))
          yield* Fiber.join(forked)
          const runs = (yield* logOfAda).map(({ event }) => event.run)
          assert.deepStrictEqual(new Set(runs), new Set([runId]))
          assert.strictEqual(runs.length, 6)
        }),
        agent
      )
    }).pipe(Effect.provide(layer())))

  it.effect("emits into the innermost run that began from it, and a run's own emitter into its run", () =>
    Effect.gen(function*() {
      const emitters = yield* Emitters
      const one = yield* emitters.forUser({ userId: "ada", threadId: "t1", runId: "r1" })
      const other = yield* emitters.forUser({ userId: "ada", threadId: "t2", runId: "r2" })
      yield* one.run(
        Effect.gen(function*() {
          const outer = yield* Emitter.Emitter
          yield* other.run(
            Effect.gen(function*() {
              yield* one.emit(thinking("one"))
              yield* other.emit(thinking("other"))
              yield* one.run(
                Effect.gen(function*() {
                  const { context: { runId } } = yield* Emitter.Emitter
                  yield* one.emit(thinking("nested"))
                  yield* outer.emit(thinking("outer"))
                  yield* other.emit(thinking("still other"))
                  assert.deepInclude(yield* thoughts, [runId, "nested"])
                  assert.notInclude(["r1", "r2"], runId)
                }),
                agent
              )
            }),
            agent
          )
        }),
        agent
      )
      assert.deepStrictEqual((yield* thoughts).filter(([, text]) => text !== "nested"), [
        ["r1", "one"],
        ["r2", "other"],
        ["r1", "outer"],
        ["r2", "still other"]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("emits into each run of its fiber in turn, and outside of them as it was bound", () =>
    Effect.gen(function*() {
      const outside = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      yield* outside.run(outside.emit(thinking("first")), agent)
      yield* outside.run(outside.emit(thinking("second")), agent)
      yield* outside.emit(note(1))
      const log = yield* logOfAda
      const [first, second] = log.filter(({ event }) => event.type === "agent_started").map(({ event }) => event.run)
      assert.deepStrictEqual(yield* thoughts, [[first, "first"], [second, "second"]])
      assert.notStrictEqual(first, second)
      const late = yield* Effect.flip(outside.emit(thinking("late")))
      assert.deepInclude(late.reason, { _tag: "IllegalEvent", problem: "alreadyEnded" })
    }).pipe(Effect.provide(layer())))

  it.effect("fails where its fiber has no run, and says what to do", () =>
    Effect.gen(function*() {
      const emitters = yield* Emitters
      const outside = yield* emitters.forUser({ userId: "ada" })
      const { message } = yield* Effect.flip(outside.emit(thinking("hm")))
      assert.strictEqual(
        message,
        "agent_thinking belongs to a run, and there is none here: emit it within Emitter.run, from this emitter or the one that the run gives, or give the emitter's context a runId"
      )
      const other = yield* emitters.forUser({ userId: "ada" })
      const within = yield* Effect.flip(other.run(outside.emit(thinking("hm")), agent))
      assert.deepInclude(within, { _tag: "EmitError", message })
    }).pipe(Effect.provide(layer())))
})
