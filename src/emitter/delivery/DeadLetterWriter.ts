/**
 * Writes what no way out took to the dead letters: the one place where events
 * become some, so that each is kept, counted and told of.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Clock from "effect/Clock"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Reason, Trigger } from "../fallback/DeadLetters.ts"
import type { DeadLetterStore } from "../fallback/DeadLetterStore.ts"
import type { DurableLetters } from "../fallback/SpoolStore.ts"
import { NamedCounter } from "../observe/Counters.ts"
import type { OperatorAlert } from "../observe/Alerts.ts"
import type { DeadLettered } from "./Outcome.ts"

/**
 * - `write` keeps a batch, and gives its outcome. With `durably` it is kept beyond
 *   this process, where there is such a place: what was durable before stays so.
 * - `counter` has how many events became dead letters, by their trigger.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetterWriter {
  readonly counter: NamedCounter<Trigger>
  readonly write: (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    trigger: Trigger,
    reasons: ReadonlyArray<Reason>,
    durably?: boolean
  ) => DeadLettered
}

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
  readonly alert: OperatorAlert | undefined
  readonly clock: Clock.Clock
}): DeadLetterWriter => {
  const { alert, clock, durable, store } = options
  const counter = new NamedCounter(noLetters)

  const count = (trigger: Trigger, events: number): void => {
    counter.add(trigger, events)
    alert?.deadLettered(trigger, events)
  }

  if (durable !== undefined) {
    store.attach(durable)
    durable.onFound(({ length }) => count("damaged", length))
  }

  return {
    counter,
    write: (user, batch, trigger, reasons, durably) => {
      store.add(user, batch, trigger, reasons, clock.currentTimeMillisUnsafe(), durably)
      count(trigger, batch.length)
      return { _tag: "DeadLettered", reason: trigger }
    }
  }
}

const noLetters: Readonly<Record<Trigger, number>> = {
  brokerFailed: 0,
  breakerOpen: 0,
  behindSpool: 0,
  runLost: 0,
  refused: 0,
  defect: 0,
  interrupted: 0,
  damaged: 0
}
