/**
 * What an emitter is bound to: its user's outbox, its context, and what of both
 * is written once and used for every event.
 *
 * @since 0.1.0
 */
import type { AnySpan } from "effect/Tracer"
import type { AnyDefinition } from "../../protocol/event/Event.ts"
import type { EmissionContext } from "../../protocol/values/Identity.ts"
import type { Outbox } from "../dispatch/Outbox.ts"
import type { Holder, RunRecord } from "../user/RunRegistry.ts"
import type { Encoder } from "./EventEncoder.ts"

/**
 * What an emitter and those of its runs share: the name and the count that
 * number their events, and whether they have ended. The name is made of the
 * layer's and of the emitter's number in it, when it is first needed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origin extends Holder {
  readonly layerName: string
  readonly number: number
  source: string | undefined
  last: number
  isClosed: boolean
}

/**
 * One emitter's binding to a user and, within a run, to the run.
 *
 * It is a plain mutable object, since each emit reads it: what is the same for all
 * events of an emitter is written once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Binding {
  readonly outbox: Outbox
  readonly context: EmissionContext
  readonly origin: Origin
  /** Whether it was made for the run of its context, and so stands within it. */
  readonly isWithinRun: boolean
  /** The span in which it emitted last, and its `traceparent` if somebody traces. */
  span: AnySpan | undefined
  trace: string | undefined
  /** What goes with every event of the emitter, within its run and without; written when it is first needed. */
  freePart: string | undefined
  runPart: string | undefined
  /** What belongs to the definition used last: most events are of the same kind as the one before. */
  kind: Kind | undefined
  /** The record of the run, as it was found last. */
  record: RunRecord | undefined
}

/**
 * How events of one definition are encoded and counted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kind {
  readonly definition: AnyDefinition
  readonly encoder: Encoder
  readonly accepted: { count: number }
}

/**
 * Binds to another context: of a run that is about to begin, or of the emitter
 * itself.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bind = (
  { origin, outbox }: Pick<Binding, "outbox" | "origin">,
  context: EmissionContext,
  isWithinRun = false
): Binding => ({
  outbox,
  origin,
  context,
  isWithinRun,
  span: undefined,
  trace: undefined,
  freePart: undefined,
  runPart: undefined,
  kind: undefined,
  record: undefined
})

/**
 * The record of the binding's run, if it has a run.
 *
 * @category getters
 * @since 0.1.0
 */
export const runOf = (binding: Binding): RunRecord | undefined => {
  const { record } = binding
  if (record?.isForgotten === false) return record
  const { runId } = binding.context
  return runId === undefined ? undefined : binding.record = binding.outbox.runs.of(runId)
}
