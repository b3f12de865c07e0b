/**
 * Finds in a broker's answer that runs of a batch were ended as lost, and which
 * events are theirs.
 *
 * The process that ran them was taken for dead, and lives. That is an answer, and
 * no failure of the broker. Whoever delivers asks here, and nowhere else, whether
 * an event is of a lost run.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { BrokerError, RunLost } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { RunId } from "../../protocol/values/Identity.ts"

/**
 * The runs of a batch that were ended as lost, and what told so.
 *
 * @category models
 * @since 0.1.0
 */
export class Lost {
  readonly runs: ReadonlySet<RunId>
  readonly error: BrokerError

  constructor(runs: ReadonlyArray<RunId>, error: BrokerError) {
    this.runs = new Set(runs)
    this.error = error
  }

  /** Whether an event is of one of these runs. */
  has({ run }: Envelope): boolean {
    return run !== undefined && this.runs.has(run)
  }

  /** The events of these runs, and the rest. */
  divide(batch: ReadonlyArray<Envelope>): { readonly late: Array<Envelope>; readonly rest: Array<Envelope> } {
    const late: Array<Envelope> = []
    const rest: Array<Envelope> = []
    for (const envelope of batch) {
      if (this.has(envelope)) late.push(envelope)
      else rest.push(envelope)
    }
    return { late, rest }
  }
}

/**
 * Finds the answer in a cause. One that names no run of the batch is none: there
 * would be nothing to set aside.
 *
 * @category conversions
 * @since 0.1.0
 */
export const find = (cause: Cause.Cause<unknown>, batch: ReadonlyArray<Envelope>): Lost | undefined => {
  for (const reason of cause.reasons) {
    if (!Cause.isFailReason(reason)) continue
    const { error } = reason
    if (!(error instanceof BrokerError) || !(error.reason instanceof RunLost)) continue
    const lost = new Lost(error.reason.runs, error)
    if (lost.divide(batch).late.length > 0) return lost
  }
  return undefined
}

/**
 * Makes the answer a success, so that nobody retries or counts it as a failure.
 *
 * @category combinators
 * @since 0.1.0
 */
export const asAnswer = <A, E>(
  append: Effect.Effect<A, E>,
  batch: ReadonlyArray<Envelope>
): Effect.Effect<A | Lost, E> =>
  Effect.catchCause(append, (cause): Effect.Effect<Lost, E> => {
    const lost = find(cause, batch)
    return lost === undefined ? Effect.failCause(cause) : Effect.succeed(lost)
  })
