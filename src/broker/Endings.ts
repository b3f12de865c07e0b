/**
 * What ends the runs of this process, over one broker.
 *
 * An emitter's layer registers here how it ends its runs; a gateway that closes has
 * them ended before it says goodbye, so that devices still hear of it. The two know
 * of the broker alone.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Broker } from "./Broker.ts"

const endings = new WeakMap<Broker["Service"], Set<Effect.Effect<void>>>()

/**
 * Registers what ends runs and delivers their endings, until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const register = (
  broker: Broker["Service"],
  end: Effect.Effect<void>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const known = endings.get(broker) ?? new Set()
      known.add(end)
      endings.set(broker, known)
      return known
    }),
    (known) => Effect.sync(() => known.delete(end))
  ))

/**
 * Ends all runs over this broker.
 *
 * @category operations
 * @since 0.1.0
 */
export const endAll = (broker: Broker["Service"]): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.forEach([...endings.get(broker) ?? []], (end) => end, { concurrency: "unbounded", discard: true })
  )
