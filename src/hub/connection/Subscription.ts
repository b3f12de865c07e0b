/**
 * How a connection hears of its user's log.
 *
 * Where the broker offers plain calls, a subscription is no more than this object,
 * so that an idle connection holds no scope. Over other brokers it has a scope of
 * its own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Broker, BrokerError, Signal } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * One reader of a user's log. `wake` is called from `begin` until `end`.
 *
 * @category models
 * @since 0.1.0
 */
export class Subscription {
  private readonly broker: Broker["Service"]
  private readonly user: UserId
  private readonly wake: (signal?: Signal) => void
  private readonly scope: Scope.Closeable | undefined

  constructor(broker: Broker["Service"], user: UserId, wake: (signal?: Signal) => void) {
    this.broker = broker
    this.user = user
    this.wake = wake
    this.scope = broker.subscribeUnscoped === undefined ? Scope.makeUnsafe() : undefined
  }

  /** From now on `wake` is called. */
  begin(): Effect.Effect<void, BrokerError> {
    const { broker, scope, user, wake } = this
    return scope === undefined
      ? Effect.sync(() => broker.subscribeUnscoped?.add(user, wake))
      : Scope.provide(broker.subscribe(user, wake), scope)
  }

  /** `wake` is called no more. */
  end(): Effect.Effect<void> {
    const { broker, scope, user, wake } = this
    return scope === undefined
      ? Effect.sync(() => broker.subscribeUnscoped?.delete(user, wake))
      : Scope.close(scope, Exit.void)
  }
}
