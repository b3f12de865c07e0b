/**
 * What the engine counted since its layer was built, as one view. `Counters` is
 * what is written, `Metrics` publishes the view.
 *
 * @since 0.1.0
 */
import type { Size, Trigger } from "../fallback/DeadLetters.ts"
import type { Depth } from "../fallback/SpoolStore.ts"
import type {
  AcceptCounters,
  AppendCounters,
  ChannelCounters,
  DispatchCounters,
  DrainCounters,
  NamedCounter,
  RunCounters
} from "./Counters.ts"

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
 * - `breakers`: the states of the broker's circuit breakers by name, and `breaker`
 *   the worst of them. There is one, `broker`, unless the broker has several
 *   domains;
 * - `emitters`, `users`, `pending`: open emitters, users with an outbox, and
 *   events not delivered yet;
 * - `lastEventAt`: milliseconds since the Unix epoch; `uptimeMs`.
 *
 * `delivery` has the way to the broker and past it, with what came out of the
 * spool and what was replayed:
 *
 * - `appendedBatches` and `appendedEvents`: what the broker took, `drainedEvents`
 *   of them out of the spool;
 * - `appendFailures`: appends that failed, each try counted; `retries`: tries
 *   after the first;
 * - `breakerOpenings`: by breaker, that is `broker` (or `broker/` and the name of
 *   each of its domains) or the name of a channel;
 * - `handedOver`: events by the channel that took them; `channelFailures`:
 *   batches that a channel did not take, with those its open breaker refused;
 * - `deadLettered`: events by what kept them from the broker;
 * - `lostRuns`: runs that an earlier process left in the spool without an ending,
 *   and that were ended as lost;
 * - `spool` and `deadLetters`: what is kept there now.
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
  readonly delivery: {
    readonly appendedBatches: number
    readonly appendedEvents: number
    readonly drainedEvents: number
    readonly appendFailures: number
    readonly retries: number
    readonly breakerOpenings: Readonly<Record<string, number>>
    readonly handedOver: Readonly<Record<string, number>>
    readonly channelFailures: Readonly<Record<string, number>>
    readonly deadLettered: Readonly<Record<Trigger, number>>
    readonly lostRuns: number
    readonly spool: Depth | undefined
    readonly deadLetters: Size
  }
  readonly breaker: BreakerState
  readonly breakers: Readonly<Record<string, BreakerState>>
  readonly emitters: number
  readonly users: number
  readonly pending: number
  readonly lastEventAt: number | undefined
  readonly uptimeMs: number
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

/**
 * The view of what the parts of a delivery have counted.
 *
 * @category constructors
 * @since 0.1.0
 */
export const viewOfDelivery = (
  counted: {
    readonly append: AppendCounters
    readonly drain: DrainCounters | undefined
    readonly channels: ChannelCounters
    readonly deadLettered: NamedCounter<Trigger>
    readonly breakerOpenings: NamedCounter<string>
  },
  kept: Pick<Stats["delivery"], "spool" | "deadLetters">
): Stats["delivery"] => {
  const { append, breakerOpenings, channels, deadLettered, drain } = counted
  return {
    ...kept,
    appendedBatches: append.batches + (drain?.batches ?? 0),
    appendedEvents: append.events + (drain?.events ?? 0),
    drainedEvents: drain?.events ?? 0,
    appendFailures: append.failures + (drain?.failures ?? 0),
    retries: append.retries,
    breakerOpenings: breakerOpenings.values,
    handedOver: channels.handedOver.values,
    channelFailures: channels.failures.values,
    deadLettered: deadLettered.values,
    lostRuns: drain?.lostRuns ?? 0
  }
}

const worst: ReadonlyArray<BreakerState> = ["open", "halfOpen"]
