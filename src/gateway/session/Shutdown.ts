/**
 * How a gateway ends: no new devices, everything that is there to send goes out, all
 * devices are told when to come back, and those that do not hang up are cut.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Broker } from "../../broker/Broker.ts"
import * as Endings from "../../broker/Endings.ts"
import type { Hub } from "../../hub/Hub.ts"
import * as CloseReasons from "./CloseReasons.ts"
import type { Sessions } from "./Sessions.ts"

/**
 * What ends, and in which time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly broker: Broker["Service"]
  readonly hub: Hub["Service"]
  readonly sessions: Sessions
  readonly drainTimeout: Duration.Duration
  readonly comeBackAfterMs: () => number
}

/**
 * - `drain` leaves runs alone.
 * - `close` ends the runs of the emitters over the same broker first, so that devices
 *   hear how they ended before they are sent away. It happens once, whoever asks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Shutdown {
  readonly drain: Effect.Effect<void>
  readonly close: Effect.Effect<void>
}

/**
 * Makes the two ways of a shutdown, over the sessions of a gateway.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  { broker, comeBackAfterMs, drainTimeout, hub, sessions }: Options
): Effect.fn.Return<Shutdown> {
  const goodbye = () => CloseReasons.draining(comeBackAfterMs())
  const settled = settle(hub, drainTimeout)
  const endRuns = Effect.timeoutOption(Endings.endAll(broker), drainTimeout)
  return {
    drain: sessions.drain(settled, goodbye),
    close: yield* Effect.cached(sessions.drain(Effect.andThen(endRuns, settled), goodbye))
  }
})

// What was appended just before the end still goes out, unless a device is too slow for that. Its wake-up may not have come.
const settle = (hub: Hub["Service"], drainTimeout: Duration.Duration): Effect.Effect<void> =>
  Effect.andThen(Effect.yieldNow, hub.settled).pipe(
    Effect.repeat({ until: (settled) => settled, schedule: Schedule.spaced("10 millis") }),
    (isSettled) => Effect.andThen(hub.look, isSettled),
    Effect.timeoutOption(Duration.min(Duration.millis(500), Duration.times(drainTimeout, 0.25))),
    Effect.asVoid
  )
