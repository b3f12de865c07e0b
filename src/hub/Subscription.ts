/**
 * How a connection is subscribed to its user's log: in a scope of its own, or by
 * plain calls where the broker offers them, which cost an idle connection nothing.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Broker, BrokerError, Signal } from "../broker/Broker.ts"
import type { UserId } from "../protocol/Identity.ts"

/**
 * What ends the subscription.
 *
 * @category models
 * @since 0.1.0
 */
export type Subscription = Scope.Closeable | "plain"

type Wake = (signal?: Signal) => void

/**
 * A subscription to this broker that has not begun.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ subscribeUnscoped }: Broker["Service"]): Subscription =>
  subscribeUnscoped === undefined ? Scope.makeUnsafe() : "plain"

/**
 * Begins it: from now on `wake` is called.
 *
 * @category operations
 * @since 0.1.0
 */
export const begin = (
  subscription: Subscription,
  { subscribe, subscribeUnscoped }: Broker["Service"],
  user: UserId,
  wake: Wake
): Effect.Effect<void, BrokerError> =>
  subscription === "plain"
    ? Effect.sync(() => subscribeUnscoped?.add(user, wake))
    : Scope.provide(subscribe(user, wake), subscription)

/**
 * Ends it: `wake` is called no more.
 *
 * @category operations
 * @since 0.1.0
 */
export const end = (
  subscription: Subscription,
  { subscribeUnscoped }: Broker["Service"],
  user: UserId,
  wake: Wake
): Effect.Effect<void> =>
  subscription === "plain"
    ? Effect.sync(() => subscribeUnscoped?.delete(user, wake))
    : Scope.close(subscription, Exit.void)
