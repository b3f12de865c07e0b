import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { Emitter, Emitters, Identity } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import * as WallClock from "../support/wallClock.ts"
import { layer, shown } from "./support/emitting.ts"

const logOf = (user: string) => Effect.flatMap(TestBroker.TestBroker, ({ log }) => log(Identity.UserId.make(user)))

describe("while the wall clock steps", () => {
  for (const by of ["-2 seconds", "-1 hours", "1 hours"] as const) {
    it.effect(`fault 35: a run and its tool complete, and took as long as they did (${by})`, () =>
      Effect.gen(function*() {
        const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
        const answer = Effect.delay(Effect.succeed(42), "300 millis")
        const work = Effect.flatMap(
          Emitter.Emitter,
          ({ tool }) => tool("add", {})(Effect.andThen(WallClock.step(by), answer))
        )
        const run = yield* Effect.forkChild(emitter.run(work, { agentName: "a" }), { startImmediately: true })
        yield* TestClock.adjust("300 millis")
        assert.strictEqual(yield* Fiber.join(run), 42)
        assert.deepStrictEqual(shown(yield* logOf("ada")).slice(2), [
          ["tool_completed", { toolCallId: "call-1", toolName: "add", output: 42, isError: false, durationMs: 300 }],
          ["agent_completed", { agentName: "a", durationMs: 300 }]
        ])
      }).pipe(Effect.provide(layer().pipe(Layer.provideMerge(WallClock.WallClock.layer)))))
  }

  it.effect("fault 36: a run ends no earlier than it started, so that its start is known to be late when it comes after", () =>
    Effect.gen(function*() {
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const work = Effect.andThen(WallClock.step("-1 hours"), Effect.sleep("1 second"))
      const run = yield* Effect.forkChild(emitter.run(work, { agentName: "a" }), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(run)
      const [started, ended] = (yield* logOf("ada")).map(({ event }) => event.at)
      assert.isAtLeast(ended ?? 0, started ?? Infinity)
    }).pipe(Effect.provide(layer().pipe(Layer.provideMerge(WallClock.WallClock.layer)))))
})
