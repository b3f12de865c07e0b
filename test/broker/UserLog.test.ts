/** What no broker of the suite can be brought to: a run that is forgotten at once, and a text that was changed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { AgentEvents, Broker, UserLog } from "effect-emitter"
import { RunId } from "../../src/protocol/values/Identity.ts"
import { envelope, newUser } from "./events.ts"

describe("a user's log, read by a program", () => {
  it.effect("says that a run has ended whose state is not kept any more", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const user = newUser()
      const run = RunId.make("r1")
      const start = (of: string, sequence: number) =>
        envelope({ sequence, run: of, type: "agent_started", data: { agentName: "a" } })
      const end = (of: string, sequence: number) =>
        envelope({ sequence, run: of, type: "agent_completed", data: { agentName: "a", durationMs: 1 } })
      yield* broker.append(user, [start("r1", 1)])
      const waiting = yield* Effect.forkChild(Effect.flip(UserLog.awaitRun(user, run)), { startImmediately: true })
      yield* broker.append(user, [end("r1", 2), start("r2", 3), end("r2", 4)])
      assert.deepStrictEqual(yield* Fiber.join(waiting), new UserLog.RunForgotten({ run }))
    }).pipe(Effect.provide(Broker.layerMemory({ maxRuns: 1 }))))

  it.effect("gives an event whose text cannot be read as one that it does not know", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const user = newUser()
      yield* broker.append(user, [{ ...envelope({ sequence: 1 }), body: `"id":"s.1","ty` }])
      const [event] = yield* Stream.runCollect(UserLog.events(user, AgentEvents.catalog))
      assert.deepInclude(event, {
        type: "$unknown",
        name: "custom",
        offset: 1,
        payload: {},
        problem: "its text in the log cannot be read"
      })
    }).pipe(Effect.provide(Broker.layerMemory())))
})
