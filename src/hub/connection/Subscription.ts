/**
 * How a connection hears of its user's log.
 *
 * Where the broker offers plain calls there is nothing to hold, so that an idle
 * connection pays for no scope. Over other brokers a subscription is a scope of its own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Broker, BrokerError, Reader } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * One reader's way to hear of its user's log.
 *
 * @category models
 * @since 0.1.0
 */
export type Subscription = Scope.Closeable | undefined

/**
 * A subscription that has not begun.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = ({ subscribeUnscoped }: Broker["Service"]): Subscription =>
  subscribeUnscoped === undefined ? Scope.makeUnsafe() : undefined

/**
 * From now on the reader is woken.
 *
 * @category operations
 * @since 0.2.0
 */
export const begin = (
  subscription: Subscription,
  broker: Broker["Service"],
  user: UserId,
  reader: Reader
): Effect.Effect<void, BrokerError> =>
  subscription === undefined
    ? Effect.sync(() => broker.subscribeUnscoped?.add(user, reader))
    : Scope.provide(broker.subscribe(user, (signal) => reader.wake(signal)), subscription)

/**
 * The reader is woken no more.
 *
 * @category operations
 * @since 0.2.0
 */
export const end = (
  subscription: Subscription,
  broker: Broker["Service"],
  user: UserId,
  reader: Reader
): Effect.Effect<void> =>
  subscription === undefined
    ? Effect.sync(() => broker.subscribeUnscoped?.delete(user, reader))
    : Scope.close(subscription, Exit.void)
