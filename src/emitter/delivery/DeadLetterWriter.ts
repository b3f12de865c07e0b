/**
 * Writes what no way out took to the dead letters: the one place where events
 * become some, so that each is kept, counted and told of.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Clock from "effect/Clock"
import type { Envelope } from "../../protocol/Envelope.ts"
import type { UserId } from "../../protocol/Identity.ts"
import type { DeadLetterStore, Reason, Trigger } from "../fallback/DeadLetters.ts"
import type { DurableLetters } from "../fallback/SpoolStore.ts"
import type { DeliveryCounters } from "../observe/DeliveryStats.ts"
import type { OperatorAlert } from "../observe/OperatorAlert.ts"
import type { DeadLettered } from "./Outcome.ts"

/**
 * Writes a batch, and gives its outcome. With `durably` it is kept beyond this
 * process, where there is such a place: what was durable before stays so.
 *
 * @category models
 * @since 0.1.0
 */
export type DeadLetterWriter = (
  user: UserId,
  batch: NonEmptyReadonlyArray<Envelope>,
  trigger: Trigger,
  reasons: ReadonlyArray<Reason>,
  durably?: boolean
) => DeadLettered

/**
 * `durable` is where a spool in a file keeps letters. Those of an earlier process
 * are taken over at once, and those that the spool finds itself are counted too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly store: DeadLetterStore
  readonly durable: DurableLetters | undefined
  readonly counters: DeliveryCounters
  readonly alert: OperatorAlert | undefined
  readonly clock: Clock.Clock
}): DeadLetterWriter => {
  const { alert, clock, counters, durable, store } = options

  const count = (trigger: Trigger, events: number): void => {
    counters.deadLettered[trigger] += events
    alert?.deadLettered(trigger, events)
  }

  if (durable !== undefined) {
    store.attach(durable)
    durable.onFound(({ length }) => count("damaged", length))
  }

  return (user, batch, trigger, reasons, durably) => {
    store.add(user, batch, trigger, reasons, clock.currentTimeMillisUnsafe(), durably)
    count(trigger, batch.length)
    return { _tag: "DeadLettered", reason: trigger }
  }
}
