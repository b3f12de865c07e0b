import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Broker, Identity } from "effect-emitter"
import * as RunLog from "../../../src/interop/server/RunLog.ts"
import { toEnvelope } from "../../support/envelopes.ts"

const ada = Identity.UserId.make("ada")
const run = Identity.RunId.make("r1")

const event = (sequence: number, type: string, data: Record<string, string | number>) =>
  toEnvelope({ id: `e-${sequence}`, source: "s", sequence, at: sequence, type, run, data })

it.effect("An ending that a reader knows is not the end of a run that began anew under its id", () =>
  Effect.gen(function*() {
    const broker = yield* Broker.Broker
    const { epoch } = yield* broker.append(ada, [
      event(1, "agent_started", { agentName: "a" }),
      event(2, "agent_completed", { agentName: "a", durationMs: 1 }),
      event(3, "agent_started", { agentName: "a" }),
      event(4, "agent_thinking", { text: "again" }),
      event(5, "agent_completed", { agentName: "a", durationMs: 1 })
    ])
    const items = yield* Stream.runCollect(
      RunLog.follow(broker, ada, run, { _tag: "After", position: { epoch, offset: 3 } })
    )
    assert.deepStrictEqual(
      items.map((item) => item._tag === "Event" ? [item.event.type, item.isKnown] : [item._tag]),
      [
        ["agent_started", true],
        ["agent_completed", true],
        ["agent_started", true],
        ["agent_thinking", false],
        ["agent_completed", false]
      ]
    )
  }).pipe(Effect.provide(Broker.layerMemory())))
