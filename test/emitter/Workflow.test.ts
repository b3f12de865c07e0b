/** A durable workflow whose steps emit with keys: what is retried and replayed is in the log once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Ref, Schema } from "effect"
import { Broker } from "effect-emitter"
import { TestClock } from "effect/testing"
import { runProcess } from "../broker/leases/runProcess.ts"
import { program, startNode, withServer } from "../broker/redis/redisNode.ts"
import { Answer, start, Unreachable } from "./support/billing.ts"
import { entriesOf } from "./support/engines.ts"

/** Lets time pass until an effect has ended. The ids of executions are digests, which are made outside of a test's time. */
const passing = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) {
      yield* TestClock.adjust("10 minutes")
      yield* Effect.promise(() => new Promise(setImmediate))
    }
    return yield* Fiber.join(fiber)
  })

const story = (broker: Broker.Broker["Service"]) =>
  Effect.gen(function*() {
    const entries = yield* entriesOf(broker)
    const nameOf = Schema.decodeUnknownSync(Schema.Struct({ data: Schema.Struct({ name: Schema.String }) }))
    return {
      runs: new Set(entries.map(({ run }) => run)).size,
      events: entries.map(({ body, type }) => type === "custom" ? nameOf(JSON.parse(`{${body}`)).data.name : type)
    }
  })

const whole = {
  runs: 1,
  events: ["agent_started", "charging", "charged", "delivered", "agent_completed"]
}

describe("A workflow that emits with keys", () => {
  for (const attaches of [false, true]) {
    const how = attaches ? ", attached each time" : ""
    it.effect(`retries an activity and is replayed after it was suspended${how}, and no event is there twice`, () =>
      Effect.gen(function*() {
        const broker = yield* Broker.Broker
        const attempts = yield* Ref.make(0)
        const charge = Effect.flatMap(
          Ref.updateAndGet(attempts, (n) => n + 1),
          (n) => n < 3 ? Effect.fail(new Unreachable()) : Effect.void
        )
        const engine = yield* start(broker, { charge, attaches })
        yield* passing(Answer.execute({ question: "q" }).pipe(Effect.provide(engine)))
        assert.strictEqual(yield* Ref.get(attempts), 3)
        assert.deepStrictEqual(yield* story(broker), whole)
      }).pipe(Effect.provide(Broker.layerMemory({ maxAge: "1000 days" }))))
  }

  it.effect("is killed in an activity and done again by an engine that remembers nothing: one run, no event twice", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      // A process that was killed says nothing any more, and nothing of it closes while another goes on.
      const isCharging = yield* Latch.make()
      const killed = yield* start(broker, { charge: Effect.andThen(isCharging.open, Effect.never) })
      yield* Effect.forkScoped(Answer.execute({ question: "q" }).pipe(Effect.provide(killed)))
      yield* isCharging.await
      assert.deepStrictEqual((yield* story(broker)).events, ["agent_started", "charging"])
      const next = yield* start(broker, { charge: Effect.void })
      yield* passing(Answer.execute({ question: "q" }).pipe(Effect.provide(next)))
      assert.deepStrictEqual(yield* story(broker), whole)
    }).pipe(Effect.provide(Broker.layerMemory({ maxAge: "1000 days" }))))

  it.live.skipIf(program === undefined)(
    "is killed with its process, and attached to its run in another: one run, no event twice, and no other ending",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const options = {
            lease: "2 seconds",
            deadline: "500 millis",
            silence: "1 second",
            trustRestarts: true
          } as const
          const broker = yield* startNode(url, options)
          const script = new URL("support/billing-child.ts", import.meta.url)
          const child = yield* runProcess({ url, user: "ada", run: "", script })
          yield* child.until("charging", ({ length }) => length === 1)
          yield* child.kill
          const engine = yield* start(broker, { charge: Effect.void, attaches: true, pause: "10 millis" })
          yield* Answer.execute({ question: "q" }).pipe(Effect.provide(engine))
          assert.deepStrictEqual(yield* story(broker), whole)
          // Whoever watches leases has nothing to end.
          yield* Effect.sleep("4 seconds")
          assert.deepStrictEqual(yield* story(broker), whole)
        }), 55),
    120_000
  )
})
