import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Broker, Identity } from "effect-emitter"
import { TestClock } from "effect/testing"
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

const away = new Broker.BrokerError({
  reason: new Broker.BrokerUnavailable({ operation: "pull", afterMs: 0, cause: new Error("away") })
})

/** Follows a run whose broker is away from its first event on, and gives what it reads, or fails with, after so long. */
const throughOutage = (minutes: number) =>
  Effect.gen(function*() {
    const broker = yield* Broker.Broker
    let isAway = false
    const asked = <A>(effect: Effect.Effect<A, Broker.BrokerError>) =>
      Effect.suspend(() => isAway ? Effect.fail(away) : effect)
    const log = {
      ...broker,
      pull: (...asks: Parameters<typeof broker.pull>) => asked(broker.pull(...asks)),
      snapshot: (...asks: Parameters<typeof broker.snapshot>) => asked(broker.snapshot(...asks))
    }
    const types: Array<string> = []
    const following = yield* RunLog.follow(log, ada, run, { _tag: "Now" }).pipe(
      Stream.runForEach((item) => Effect.sync(() => types.push(item._tag === "Event" ? item.event.type : item._tag))),
      Effect.forkChild
    )
    yield* TestClock.adjust(0)
    yield* broker.append(ada, [event(1, "agent_started", { agentName: "a" })])
    yield* TestClock.adjust(0)
    assert.deepStrictEqual(types, ["agent_started"])
    isAway = true
    yield* broker.append(ada, [event(2, "agent_thinking", { text: "on" })])
    yield* TestClock.adjust(`${minutes} minutes`)
    isAway = false
    yield* broker.append(ada, [event(3, "agent_completed", { agentName: "a", durationMs: 1 })])
    yield* TestClock.adjust("1 second")
    const exit = yield* Fiber.await(following)
    return { types, exit: exit._tag }
  }).pipe(Effect.provide(Broker.layerMemory()))

it.effect("A reader goes on where it was once a broker that was away is back, and nothing is missing", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* throughOutage(4), {
      types: ["agent_started", "agent_thinking", "agent_completed"],
      exit: "Success"
    })
  }))

it.effect("A reader whose broker stays away is not kept for ever", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* throughOutage(6), { types: ["agent_started"], exit: "Failure" })
  }))

it.effect("A reader is held once, however often its broker could not serve it, and let go of when it leaves", () =>
  Effect.gen(function*() {
    const broker = yield* Broker.Broker
    let asks = 0
    let held = 0
    // As over Redis and Postgres: whether it is served is known once it is held.
    const subscribe: typeof broker.subscribe = () =>
      Effect.acquireRelease(Effect.sync(() => held++), () => Effect.sync(() => held--)).pipe(
        Effect.andThen(Effect.suspend(() => ++asks < 4 ? Effect.fail(away) : Effect.void))
      )
    const following = yield* Effect.forkChild(
      Stream.runDrain(RunLog.follow({ ...broker, subscribe }, ada, run, { _tag: "Now" }))
    )
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual({ asks, held }, { asks: 4, held: 1 })
    yield* Fiber.interrupt(following)
    assert.strictEqual(held, 0)
  }).pipe(Effect.provide(Broker.layerMemory())))
