/**
 * What an emitter is bound to: its user's outbox, its context, and what of both
 * is written once and used for every event.
 *
 * @since 0.1.0
 */
import type { AnyDefinition } from "../../protocol/Event.ts"
import type { EmissionContext } from "../../protocol/Identity.ts"
import { type Encoder, encoderOf } from "./EventEncoder.ts"
import type { Engine } from "../Engine.ts"
import type { Outbox, RunRecord } from "../dispatch/Outbox.ts"

/**
 * What an emitter and those of its runs share: the name and the count that
 * number their events, and whether they have ended. The name is made of the
 * engine's and of the emitter's number in it, when it is first needed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origin {
  readonly engineName: string
  readonly number: number
  source: string | undefined
  last: number
  isClosed: boolean
}

/**
 * One emitter's binding to a user and, within a run, to the run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Binding {
  readonly engine: Engine
  readonly outbox: Outbox
  readonly context: EmissionContext
  readonly origin: Origin
  /** Whether it was made for the run of its context, and so stands within it. */
  readonly isWithinRun: boolean
  /** What goes with every event of the emitter, within its run and without; written when it is first needed. */
  freePart: string | undefined
  runPart: string | undefined
  /** What belongs to the definition used last: most events are of the same kind as the one before. */
  kind: Kind | undefined
  /** The record of the run, as it was found last. */
  record: RunRecord | undefined
}

/**
 * How events of one definition are encoded, and counted, in one engine.
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
  parent: Pick<Binding, "engine" | "outbox" | "origin">,
  context: EmissionContext,
  isWithinRun = false
): Binding => ({
  engine: parent.engine,
  outbox: parent.outbox,
  origin: parent.origin,
  context,
  isWithinRun,
  freePart: undefined,
  runPart: undefined,
  kind: undefined,
  record: undefined
})

/**
 * The kind of a definition, looked up once for an engine.
 *
 * @category operations
 * @since 0.1.0
 */
export const kindOf = (binding: Binding, definition: AnyDefinition): Kind => {
  if (binding.kind?.definition === definition) return binding.kind
  const kinds = binding.engine.kinds
  let kind = kinds.get(definition)
  if (kind === undefined) {
    kind = {
      definition,
      encoder: encoderOf(definition),
      accepted: binding.engine.counters.acceptedOf(definition.name)
    }
    kinds.set(definition, kind)
  }
  binding.kind = kind
  return kind
}
