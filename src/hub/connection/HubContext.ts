/**
 * What the connections of one hub have in common.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Broker, PullLimits } from "../../broker/Broker.ts"
import type { Backlog } from "../capacity/Backlog.ts"
import type { Limits } from "../capacity/SlowConsumer.ts"
import type { Recovery } from "../outage/Recovery.ts"
import type { Counters } from "../Stats.ts"
import type { DrainQueue } from "./DrainQueue.ts"

/**
 * What all connections of a node share.
 *
 * - `run` starts an effect in the hub's context, at once.
 * - `drains` has the connections start that have something to write.
 * - `recovery` brings back connections that could not read their log.
 * - `patienceMs` is for how long such a connection is kept. Each call gives another
 *   time, so that connections do not leave together.
 *
 * @category models
 * @since 0.1.0
 */
export interface HubContext {
  readonly broker: Broker["Service"]
  readonly counters: Counters
  readonly clock: Clock.Clock
  readonly limits: PullLimits
  readonly slow: Limits
  readonly backlog: Backlog
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly drains: DrainQueue
  readonly recovery: Recovery
  readonly patienceMs: () => number
}
