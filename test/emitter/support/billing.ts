/** A durable workflow whose steps emit with keys. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { AgentEvents, Broker, EmitterLayer, Emitters, Event } from "../../../src/index.ts"

export const Answer = Workflow.make("Answer", {
  payload: { question: Schema.String },
  idempotencyKey: ({ question }) => question
})

export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {}) {}

const step = (name: string) => Event.critical(AgentEvents.Custom.make({ name, data: null }))

/** Goes on with ada's run, or begins it, once the broker can tell. */
const attached = Effect.fnUntraced(function*(runId: string) {
  const { attach, forUser } = yield* Emitters
  const context = { userId: "ada", runId }
  return yield* attach(context).pipe(
    Effect.retry({ while: ({ _tag }) => _tag === "BrokerError", schedule: Schedule.spaced("100 millis") }),
    Effect.catchReason("AttachError", "RunUnknown", () => forUser(context))
  )
})

/** Begins ada's run, or emits into it whoever has it. */
const bound = Effect.fnUntraced(function*(runId: string) {
  return yield* (yield* Emitters).forUser({ userId: "ada", runId })
})

export interface Billing {
  /** What its activity does between its two events. */
  readonly charge: Effect.Effect<void, Unreachable>
  /** Whether each execution attaches an emitter to the run that another has begun. */
  readonly attaches?: boolean
  readonly pause?: string & Parameters<typeof DurableClock.sleep>[0]["duration"]
}

const answerWith = ({ attaches = false, charge, pause = "1 hour" }: Billing) =>
  Answer.toLayer((_, runId) =>
    // A scope of its own, which ends when the workflow is suspended.
    Effect.scoped(Effect.gen(function*() {
      const emitter = yield* attaches ? attached(runId) : bound(runId)
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
      yield* DurableClock.sleep({ name: "until the goods are there", duration: pause })
      yield* emitter.emit(step("delivered"), { key: "delivered" })
      yield* emitter.emit(AgentEvents.AgentCompleted.make({ agentName: "biller", durationMs: 1 }), { key: "end" })
    })).pipe(Effect.orDie)
  )

/** A process over the log: a workflow engine with what it remembers, and an emitter's layer. */
export const start = (broker: Broker.Broker["Service"], billing: Billing) =>
  Layer.build(
    answerWith(billing).pipe(
      Layer.provideMerge(Layer.fresh(WorkflowEngine.layerMemory)),
      Layer.provideMerge(Layer.fresh(EmitterLayer())),
      Layer.provide(Layer.succeed(Broker.Broker, broker))
    )
  )
