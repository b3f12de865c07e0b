/**
 * What the engine counted since its layer was built.
 *
 * Counters are plain numbers, so counting costs nothing per event; `Metrics`
 * publishes them.
 *
 * @since 0.1.0
 */
import type { DeliveryStats } from "./DeliveryStats.ts"

/**
 * Why an event was dropped: room was short and `batching.overflow` is
 * `dropOldest` (`overflow`), a volatile event had nobody to see it
 * (`nobodyConnected`) or its user was over budget (`overBudget`), or the layer
 * closed before a way out took it (`closed`).
 *
 * @category models
 * @since 0.1.0
 */
export type DropReason = "overflow" | "nobodyConnected" | "overBudget" | "closed"

/**
 * What a circuit breaker is doing.
 *
 * @category models
 * @since 0.1.0
 */
export type BreakerState = "closed" | "open" | "halfOpen"

/**
 * One consistent view of the counters.
 *
 * - `accepted` and `merged`: events by wire name, and how many of them were
 *   merged into an earlier one;
 * - `rejected`: calls that failed, by reason; `illegal`: events that broke their
 *   run's order and passed, with `lifecycle: "observe"`; `unreported`: endings of
 *   runs and tool calls, and starts of runs that only log, that no event tells;
 * - `appended`, `handedOver`, `deadLettered`: events by outcome; `batches`: lists
 *   delivered; `waitedMs`: how long their oldest events waited for that, all
 *   together (one divided by the other is the average from emit to append; the
 *   metric `emitter_wait_milliseconds` has the distribution);
 * - `dropped`: events by reason;
 * - `delivery`: what the way to the broker and past it counted; `breakers`: the
 *   states of the broker's circuit breakers by name, and `breaker` the worst of
 *   them. There is one, `broker`, unless the broker has several domains;
 * - `emitters`, `users`, `pending`: open emitters, users with an outbox, and
 *   events not delivered yet;
 * - `lastEventAt`: milliseconds since the Unix epoch; `uptimeMs`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly accepted: Readonly<Record<string, number>>
  readonly merged: number
  readonly rejected: Readonly<Record<string, number>>
  readonly illegal: number
  readonly unreported: number
  readonly appended: number
  readonly handedOver: number
  readonly deadLettered: number
  readonly batches: number
  readonly waitedMs: number
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly delivery: DeliveryStats
  readonly breaker: BreakerState
  readonly breakers: Readonly<Record<string, BreakerState>>
  readonly emitters: number
  readonly users: number
  readonly pending: number
  readonly lastEventAt: number | undefined
  readonly uptimeMs: number
}

/**
 * What was counted of events on their way into users' lists. The acceptor writes
 * it.
 *
 * @category models
 * @since 0.1.0
 */
export class AcceptCounters {
  readonly accepted = new Map<string, { count: number }>()
  readonly rejected = new Map<string, number>()
  merged = 0
  illegal = 0
  overflow = 0
  overBudget = 0
  /** Not a number before the first event. A field that is always a number is written in place, without a new object. */
  lastEventAt = Number.NaN

  /** The counter of one wire name, to be kept by who counts often. */
  acceptedOf(type: string): { count: number } {
    let counter = this.accepted.get(type)
    if (counter === undefined) {
      counter = { count: 0 }
      this.accepted.set(type, counter)
    }
    return counter
  }

  reject(reason: string): void {
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1)
  }
}

/**
 * What was counted of lists on their way to the broker. The dispatcher writes it.
 *
 * @category models
 * @since 0.1.0
 */
export class DispatchCounters {
  emitters = 0
  batches = 0
  appended = 0
  handedOver = 0
  deadLettered = 0
  nobodyConnected = 0
  waitedMs = 0
}

/**
 * What was counted of runs and tool calls. Their reporter writes it.
 *
 * @category models
 * @since 0.1.0
 */
export class RunCounters {
  unreported = 0
}

/**
 * The view of all counters, and of what is known besides.
 *
 * @category constructors
 * @since 0.1.0
 */
export const view = (
  accept: AcceptCounters,
  dispatch: DispatchCounters,
  runs: RunCounters,
  known: Pick<Stats, "delivery" | "breakers" | "users" | "pending" | "uptimeMs">
): Stats => {
  const accepted = Array.from(accept.accepted, ([type, { count }]) => [type, count] as const)
  return {
    ...known,
    accepted: Object.fromEntries(accepted.filter(([, count]) => count > 0)),
    merged: accept.merged,
    rejected: Object.fromEntries(accept.rejected),
    illegal: accept.illegal,
    unreported: runs.unreported,
    appended: dispatch.appended,
    handedOver: dispatch.handedOver,
    deadLettered: dispatch.deadLettered,
    batches: dispatch.batches,
    waitedMs: dispatch.waitedMs,
    dropped: {
      overflow: accept.overflow,
      nobodyConnected: dispatch.nobodyConnected,
      overBudget: accept.overBudget,
      closed: 0
    },
    breaker: worst.find((state) => Object.values(known.breakers).includes(state)) ?? "closed",
    emitters: dispatch.emitters,
    lastEventAt: Number.isNaN(accept.lastEventAt) ? undefined : accept.lastEventAt
  }
}

const worst: ReadonlyArray<BreakerState> = ["open", "halfOpen"]
