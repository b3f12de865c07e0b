/**
 * What a hub counts.
 *
 * Counters are plain numbers, so counting costs nothing per event; `Metrics`
 * publishes them.
 *
 * @since 0.1.0
 */
import type { DeliveryClass } from "../protocol/event/Event.ts"
import type { GapReason } from "../protocol/wire/Frame.ts"

/**
 * What the connections of a node did since the hub was built.
 *
 * - `opened`: connections that were greeted;
 * - `refused`: connections that were not, by the limit they met;
 * - `messages`, `bytes`, `events`: what was written to devices;
 * - `gaps`: gaps that devices were told of, by reason;
 * - `leftOut`: events that slow devices did not get, by delivery class;
 * - `blocked`: how often a transport was full;
 * - `acknowledgements`: confirmed events that were passed on;
 * - `degradations`: how often a device was told that events may be late, since
 *   its log could not be read or an emitter held events of its user.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counters {
  opened: number
  readonly refused: Record<LimitScope, number>
  messages: number
  bytes: number
  events: number
  readonly gaps: Record<GapReason, number>
  readonly leftOut: Record<DeliveryClass, number>
  blocked: number
  acknowledgements: number
  degradations: number
}

/**
 * What a limit counts the connections of.
 *
 * @category models
 * @since 0.1.0
 */
export type LimitScope = "user" | "node"

/**
 * One consistent view of a hub: its counters, and how it stands right now.
 *
 * - `behind`: connections that have not written all they know of;
 * - `lag`: the most events that one of them was behind when it last looked;
 * - `degraded`: connections whose devices were told that events may be late;
 * - `backlog`: bytes that wait for the network, for all connections together, those
 *   that are closing included;
 * - `overfull`: connections that were closed since the hub was built, because too
 *   many bytes waited for them, or for all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends Readonly<Counters> {
  readonly users: number
  readonly connections: number
  readonly behind: number
  readonly degraded: number
  readonly lag: number
  readonly backlog: number
  readonly overfull: number
}

/**
 * Makes counters that all stand at zero.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeCounters = (): Counters => ({
  opened: 0,
  refused: { user: 0, node: 0 },
  messages: 0,
  bytes: 0,
  events: 0,
  gaps: { retention: 0, epoch: 0, slow: 0 },
  leftOut: { critical: 0, batched: 0, volatile: 0 },
  blocked: 0,
  acknowledgements: 0,
  degradations: 0
})
