/**
 * Spans of deliveries and of runs, for when somebody traces. Where nobody does,
 * nothing here is called, and tracing costs nothing.
 *
 * | span | attributes |
 * |---|---|
 * | `effect-emitter.deliver` | `emitter.user`, `emitter.events`, `emitter.outcome` |
 * | `effect-emitter.run` | `emitter.user`, `emitter.run`, `emitter.agent` |
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"
import type { EmissionContext, RunId } from "../../protocol/values/Identity.ts"
import type { DeliveryPipeline } from "../delivery/Delivery.ts"

/**
 * Makes each delivery a span. It leaves out the way that takes no effect, since
 * a span needs one.
 *
 * @category combinators
 * @since 0.1.0
 */
export const ofDelivery = ({ deliverUnsafe: _, ...delivery }: DeliveryPipeline): DeliveryPipeline => ({
  ...delivery,
  deliver: (user, batch) =>
    delivery.deliver(user, batch).pipe(
      Effect.tap((outcome) => Effect.annotateCurrentSpan("emitter.outcome", outcome._tag)),
      Effect.withSpan("effect-emitter.deliver", {
        attributes: { "emitter.user": user, "emitter.events": batch.length }
      })
    )
})

/**
 * Makes a run a span, its beginning and its ending included.
 *
 * @category combinators
 * @since 0.1.0
 */
export const ofRun = <A, E, R>(
  run: Effect.Effect<A, E, R>,
  agentName: string,
  { userId }: EmissionContext
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withSpan(run, "effect-emitter.run", { attributes: { "emitter.user": userId, "emitter.agent": agentName } })

/**
 * Names the run in the span that it is.
 *
 * @category operations
 * @since 0.1.0
 */
export const nameRun = (runId: RunId): Effect.Effect<void> => Effect.annotateCurrentSpan("emitter.run", runId)
