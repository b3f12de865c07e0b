/**
 * Who holds runs in this process, over one broker.
 *
 * Brokers tell processes apart; within one, the layers that emit over a broker ask
 * each other here. A layer registers which runs its emitters hold, and how it loses
 * one that another layer has taken over.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { RunId, UserId } from "../protocol/values/Identity.ts"
import type { Broker } from "./Broker.ts"

/**
 * - `holds` tells whether an emitter of the layer has a run, or is about to.
 * - `lose` has the layer refuse whatever it is still given of the run.
 *
 * Both return at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunHolder {
  readonly holds: (user: UserId, run: RunId) => boolean
  readonly lose: (user: UserId, run: RunId) => void
}

const holders = new WeakMap<Broker["Service"], Set<RunHolder>>()

/**
 * Registers a holder until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const register = (
  broker: Broker["Service"],
  holder: RunHolder
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const known = holders.get(broker) ?? new Set()
      known.add(holder)
      holders.set(broker, known)
      return known
    }),
    (known) => Effect.sync(() => known.delete(holder))
  ))

/**
 * Whether a run is held in this process.
 *
 * @category getters
 * @since 0.1.0
 */
export const isHeld = (broker: Broker["Service"], user: UserId, run: RunId): boolean =>
  Array.from(holders.get(broker) ?? []).some(({ holds }) => holds(user, run))

/**
 * Tells all others of this process that one has taken a run over.
 *
 * @category operations
 * @since 0.1.0
 */
export const loseElsewhere = (broker: Broker["Service"], own: RunHolder, user: UserId, run: RunId): void => {
  for (const holder of holders.get(broker) ?? []) {
    if (holder !== own) holder.lose(user, run)
  }
}
