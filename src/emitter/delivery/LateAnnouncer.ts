/**
 * Tells the broker of whom a spool still holds something when the broker is back:
 * their events are late. And tells it again when nothing is held any more.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Broker } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * - `announce` tells of each of these users, in order, who `isLate` when it is
 *   their turn.
 * - `drained` tells that nothing of the user is held any more, if the broker was
 *   told that something is. It waits for no answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface LateAnnouncer {
  readonly announce: (users: ReadonlyArray<UserId>, isLate: (user: UserId) => boolean) => Effect.Effect<void>
  readonly drained: (user: UserId) => Effect.Effect<void>
}

/**
 * `name` tells this engine from others that may hold events of a user. A broker
 * without `late` is told nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  name: string,
  late: Broker["Service"]["late"]
): Effect.fn.Return<LateAnnouncer, never, Scope.Scope> {
  const scope = yield* Effect.scope
  // Of whom the broker was told that they are late.
  const told = new Set<UserId>()

  // Whether a broker hears of it or not: what is late no more is there. What one call ends in costs no other user's.
  const tell = (user: UserId, forMs: number): Effect.Effect<void> =>
    Effect.suspend(() => late?.(user, name, forMs) ?? Effect.void).pipe(
      Effect.ignore,
      Effect.catchCause((cause) => Effect.logError(`Telling the broker that user ${user} is late died`, cause))
    )

  return {
    announce: (users, isLate) =>
      Effect.forEach(
        late === undefined ? [] : users,
        (user) =>
          Effect.suspend(() => {
            if (!isLate(user)) return Effect.void
            told.add(user)
            return tell(user, lateForMs)
          }),
        { concurrency: toldAtOnce, discard: true }
      ),
    drained: (user) =>
      Effect.suspend(() => told.delete(user) ? Effect.asVoid(Effect.forkIn(tell(user, 0), scope)) : Effect.void)
  }
})

const toldAtOnce = 64
// How long a user is late at most, as far as it is known here: as long as a device waits for it.
const lateForMs = 60_000
