/** A durable workflow that tells its user of each charge once, and an audit that reads them back. */
import { Effect, Layer, Schema, Stream } from "effect"
import { Emitter, EmitterLayer, Event, Identity, UserLog } from "effect-emitter"
import { Activity, Workflow, WorkflowEngine } from "effect/workflow"

const Charged = Event.make("charged", { payload: { order: Schema.String, cents: Schema.Int }, delivery: "critical" })

export const Charge = Workflow.make("Charge", {
  payload: { userId: Identity.UserId, order: Schema.String, cents: Schema.Int },
  idempotencyKey: ({ order }) => order
})

const charging = Charge.toLayer(Effect.fnUntraced(function*({ cents, order, userId }) {
  // Run again after a crash or a failure, it emits the one event of this run and key.
  yield* Activity.make({
    name: "tell",
    execute: Emitter.emit(Charged.make({ order, cents }), { key: "charged" }).pipe(
      Effect.provide(Emitter.layerUser({ userId, runId: order })),
      Effect.orDie
    )
  })
}))

/** What a user was charged, as the log has it. */
export const audit = (userId: Identity.UserId) =>
  UserLog.events(userId, Event.catalog(Charged)).pipe(
    Stream.filter((event) => event.type === "charged"),
    Stream.map(({ at, payload }) => ({ at, ...payload })),
    Stream.runCollect
  )

export const layer = charging.pipe(
  Layer.provideMerge(WorkflowEngine.layerMemory),
  Layer.provide(EmitterLayer())
)
