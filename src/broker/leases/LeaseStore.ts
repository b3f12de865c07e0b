/**
 * Where all processes keep their leases, and who has runs under them.
 *
 * It promises two things. A lease that was claimed stays claimed, and nothing is
 * written down under it any more. And it keeps no time: each renewal gives a lease
 * a higher count, and whoever looks measures how long a count has stayed the same.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { BrokerError } from "../Broker.ts"

/**
 * A lease with the count that it was last seen at.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counted {
  readonly lease: string
  readonly count: number
}

/**
 * What renewing a lease tells: it was `held`, it is `taken` anew, or it is `lost`
 * for ever; leases of others, those renewed longest ago first; and whose runs are
 * to be ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Beat {
  readonly state: "held" | "taken" | "lost"
  readonly others: ReadonlyArray<Counted>
  readonly claimed: ReadonlyArray<string>
}

/**
 * Where leases are kept, for all processes.
 *
 * - `beat` renews or takes a lease by giving it a higher count than any has, and
 *   claims those of `over` whose count is still the same.
 * - `enter` writes down that a lease has runs of a user, and tells whether it
 *   did: under a lease that is not alive nothing is written down. `leave` takes
 *   back entries that were not made again since, `release` a lease without any.
 * - `countOf` gives the count of a lease; nothing where it is not alive, or claimed.
 * - `usersOf` gives some users of a lease, `finish` takes them out, and tells
 *   whether they were the last.
 * - `hasRuns` tells whether a user has active runs under a lease, or that its holder
 *   waits for; `carryOver` puts
 *   them under another, `endRuns` ends them as lost and gives how many it ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface LeaseStore {
  readonly beat: (lease: string, over: ReadonlyArray<Counted>) => Effect.Effect<Beat, BrokerError>
  readonly enter: (lease: string, user: UserId, mark: number) => Effect.Effect<boolean, BrokerError>
  readonly leave: (
    lease: string,
    entries: ReadonlyArray<readonly [user: UserId, mark: number]>
  ) => Effect.Effect<void, BrokerError>
  readonly release: (lease: string) => Effect.Effect<void, BrokerError>
  readonly countOf: (lease: string) => Effect.Effect<number | undefined, BrokerError>
  readonly usersOf: (lease: string) => Effect.Effect<ReadonlyArray<UserId>, BrokerError>
  readonly finish: (lease: string, users: ReadonlyArray<UserId>) => Effect.Effect<boolean, BrokerError>
  readonly hasRuns: (user: UserId, lease: string) => Effect.Effect<boolean, BrokerError>
  readonly carryOver: (user: UserId, from: string, to: string) => Effect.Effect<void, BrokerError>
  readonly endRuns: (user: UserId, lease: string) => Effect.Effect<number, BrokerError>
}
