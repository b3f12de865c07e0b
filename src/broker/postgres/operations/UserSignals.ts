/**
 * What is noted of a user beside the log, and told to those who read: how many
 * there are, what a device has handled, that access was revoked, that events are
 * late. And the canary, which does for nobody what an append needs.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Broker } from "../../Broker.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import type { Options } from "../connection/Options.ts"
import type { Notifier } from "../subscriptions/Notifier.ts"

/**
 * The part of a broker that tells of a user beside the log: readers,
 * acknowledgements, revocations, emitters that are late.
 *
 * @category models
 * @since 0.2.0
 */
export type UserSignals =
  & Pick<Broker["Service"], "readers" | "acknowledge" | "revoke">
  & Required<Pick<Broker["Service"], "late" | "canary">>

const decodeNumber = Schema.decodeUnknownSync(Schema.Int)

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: Options, node: string, database: Database, notifier: Notifier): UserSignals => {
  const number = (operation: string, name: string, asked: unknown) =>
    Effect.flatMap(
      database.call(operation, name, asked),
      (answer) => Failure.read(operation, () => decodeNumber(answer))
    )
  return {
    readers: (user) => number("readers", "count_readers", { user }),
    acknowledge: (user, position) =>
      Effect.map(database.call("acknowledge", "acknowledge", { user, ...position }), (isNoted) => {
        if (isNoted === true) notifier.acknowledged(user, position)
      }),
    revoke: (user) =>
      Effect.map(
        number("revoke", "revoke_access", { user, forMs: Duration.toMillis(options.revocationMemory) }),
        (revokedAt) => notifier.revoked(user, revokedAt)
      ),
    late: (user, by, forMs) =>
      Effect.map(
        number("late", "note_late", { user, by, forMs: Math.round(forMs) }),
        (lateMs) => notifier.late(user, lateMs)
      ),
    canary: () => Effect.asVoid(database.call("canary", "canary", { node }))
  }
}
