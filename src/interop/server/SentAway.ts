/**
 * When an answer to a user has to end: the server closes, what they showed lapses, or
 * their access is revoked.
 *
 * @since 0.2.0
 */
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Broker, BrokerError, Signal } from "../../broker/Broker.ts"
import type { Principal } from "../../gateway/authentication/Principal.ts"
import type { Gateway } from "../../gateway/Gateway.ts"
import * as RunLog from "./RunLog.ts"

/**
 * Waits until a user is sent away. `closing` waits for the end of the routes, which may
 * come before that of their gateway.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = ({ broker, clock, closing, gateway }: {
  readonly broker: Broker["Service"]
  readonly clock: Clock.Clock
  readonly closing: Effect.Effect<void>
  readonly gateway: Gateway["Service"]
}) =>
({ expiresAt, issuedAt = 0, userId }: Principal): Effect.Effect<void, BrokerError> => {
  const revoked = Effect.scoped(Effect.suspend(() => {
    const told = Deferred.makeUnsafe<void>()
    const hear = (signal?: Signal) => {
      if (typeof signal !== "object" || !("revokedAt" in signal)) return
      // What was shown before a new one is older, whenever it says that it was issued.
      if (signal.isNew || issuedAt < signal.revokedAt) Deferred.doneUnsafe(told, Effect.void)
    }
    return Effect.andThen(RunLog.subscribeWhenBack(broker)(userId, hear), Deferred.await(told))
  }))
  const lapsed = expiresAt === undefined
    ? Effect.never
    : Effect.suspend(() => Effect.sleep(Math.max(0, expiresAt - clock.currentTimeMillisUnsafe())))
  // The ending of a run that ends with this process still comes.
  const closed = Effect.andThen(gateway.goodbye, Effect.sleep("500 millis"))
  return Effect.raceAllFirst([closing, closed, lapsed, revoked])
}
