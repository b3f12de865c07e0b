/** Tool calls in their steps. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber } from "effect"
import { Emitter, Identity } from "effect-emitter"
import { TestBroker, TestDevice } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, shown } from "../support/emitting.ts"

const agent = { agentName: "a" }

const logged = Effect.map(
  Effect.flatMap(TestBroker.TestBroker, ({ log }) => log(Identity.UserId.make("ada"))),
  shown
)

const asAda = Effect.provide(Emitter.layerUser({ userId: "ada", runId: "r1" }))

describe("a tool call in its steps", () => {
  it.effect("is one call under its key as long as it is open, and has one beginning and one ending", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        const first = yield* Emitter.toolCall("search", { key: "k" })
        yield* first.write("{}")
        yield* first.begin({})
        yield* first.begin({})
        yield* first.write("late")
        const again = yield* Emitter.toolCall("search", { key: "k" })
        yield* again.succeed(1)
        yield* first.fail(Cause.fail("no"))
        const next = yield* Emitter.toolCall("search", { key: "k" })
        assert.deepStrictEqual([first.toolCallId, again.toolCallId, next.toolCallId], ["call-1", "call-1", "call-2"])
        // It never began, so it has no ending.
        yield* next.succeed(2)
      }).pipe(Emitter.run(agent))
      assert.deepStrictEqual(yield* logged, [
        ["agent_started", { ...agent, commands: ["cancel"] }],
        ["tool_input_delta", { toolCallId: "call-1", toolName: "search", delta: "{}" }],
        ["tool_executing", { toolCallId: "call-1", toolName: "search", input: {} }],
        ["tool_completed", { toolCallId: "call-1", toolName: "search", output: 1, isError: false, durationMs: 0 }],
        ["agent_completed", { ...agent, durationMs: 0 }]
      ])
    }).pipe(asAda, Effect.provide(layer())))

  it.effect("is ended by its interruption, also while it waits for its user", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const running = yield* Effect.gen(function*() {
        const call = yield* Emitter.toolCall("send")
        yield* call.begin(null)
        yield* Deferred.succeed(begun, undefined)
        yield* call.run(Effect.void, { approval: {} })
      }).pipe(Emitter.run(agent), Effect.exit, Effect.forkChild)
      yield* Deferred.await(begun)
      const cancelling = yield* Effect.forkChild(TestDevice.of("ada", "r1").cancel())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(cancelling)
      const exit = yield* Fiber.join(running)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      const completed = (yield* logged).filter(([type]) => type === "tool_completed")
      assert.deepStrictEqual(completed, [[
        "tool_completed",
        { toolCallId: "call-1", toolName: "send", output: "The tool was cancelled", isError: true, durationMs: 0 }
      ]])
    }).pipe(asAda, Effect.provide(layer())))
})
