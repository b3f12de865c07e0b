/** A durable workflow whose steps emit with keys: what is retried and replayed is in the log once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Layer, Ref, Schema } from "effect"
import { AgentEvents, Broker, EmitterLayer, Emitters, Event } from "effect-emitter"
import { Activity, DurableClock, Workflow, WorkflowEngine } from "effect/workflow"
import { TestClock } from "effect/testing"
import { plenty } from "../broker/events.ts"
import { userId } from "./support/envelopes.ts"

const ada = userId("ada")

const Answer = Workflow.make("Answer", {
  payload: { question: Schema.String },
  idempotencyKey: ({ question }) => question
})

class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {}) {}

const step = (name: string) => Event.critical(AgentEvents.Custom.make({ name, data: null }))

/** The workflow; `charge` is what its activity does between its two events. */
const answerWith = (charge: Effect.Effect<void, Unreachable>) =>
  Answer.toLayer((_, runId) =>
    Effect.gen(function*() {
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId })
      yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "biller" }), { key: "start" })
      yield* Activity.make({
        name: "charge",
        error: Unreachable,
        execute: Effect.gen(function*() {
          yield* Effect.orDie(emitter.emit(step("charging"), { key: "charging" }))
          yield* charge
          yield* Effect.orDie(emitter.emit(step("charged"), { key: "charged" }))
        })
      }).pipe(Activity.retry({ times: 3 }))
      yield* DurableClock.sleep({ name: "until the goods are there", duration: "1 hour" })
      yield* emitter.emit(step("delivered"), { key: "delivered" })
      yield* emitter.emit(AgentEvents.AgentCompleted.make({ agentName: "biller", durationMs: 1 }), { key: "end" })
    }).pipe(Effect.orDie)
  )

/** A process over the log: a workflow engine with what it remembers, and an emitter's layer. */
const start = (broker: Broker.Broker["Service"], charge: Effect.Effect<void, Unreachable>) =>
  Layer.build(
    answerWith(charge).pipe(
      Layer.provideMerge(Layer.fresh(WorkflowEngine.layerMemory)),
      Layer.provideMerge(Layer.fresh(EmitterLayer())),
      Layer.provide(Layer.succeed(Broker.Broker, broker))
    )
  )

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
    const { epoch } = yield* broker.head(ada)
    const { entries } = yield* broker.pull(ada, { epoch, offset: 0 }, plenty)
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
  it.effect("retries an activity and is replayed after it was suspended, and no event is there twice", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const attempts = yield* Ref.make(0)
      const charge = Effect.flatMap(
        Ref.updateAndGet(attempts, (n) => n + 1),
        (n) => n < 3 ? Effect.fail(new Unreachable()) : Effect.void
      )
      const engine = yield* start(broker, charge)
      yield* passing(Answer.execute({ question: "q" }).pipe(Effect.provide(engine)))
      assert.strictEqual(yield* Ref.get(attempts), 3)
      assert.deepStrictEqual(yield* story(broker), whole)
    }).pipe(Effect.provide(Broker.layerMemory({ maxAge: "1000 days" }))))

  it.effect("is killed in an activity and done again by an engine that remembers nothing: one run, no event twice", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      // A process that was killed says nothing any more, and nothing of it closes while another goes on.
      const isCharging = yield* Latch.make()
      const killed = yield* start(broker, Effect.andThen(isCharging.open, Effect.never))
      yield* Effect.forkScoped(Answer.execute({ question: "q" }).pipe(Effect.provide(killed)))
      yield* isCharging.await
      assert.deepStrictEqual((yield* story(broker)).events, ["agent_started", "charging"])
      const next = yield* start(broker, Effect.void)
      yield* passing(Answer.execute({ question: "q" }).pipe(Effect.provide(next)))
      assert.deepStrictEqual(yield* story(broker), whole)
    }).pipe(Effect.provide(Broker.layerMemory({ maxAge: "1000 days" }))))
})
