/**
 * Saves what is known of users' logs in the background: one save at a time for each
 * user, and few in all, since each reads much of a log.
 *
 * What could not be saved is not tried again with each append: it may fail for good.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { UserId } from "../protocol/values/Identity.ts"

const failurePause = Duration.seconds(5)

/**
 * Begins a user's save, unless one is under way.
 *
 * @category models
 * @since 0.2.0
 */
export type BackgroundSaves = (user: UserId) => Effect.Effect<void>

/**
 * Saves until the scope closes, so many users `atOnce`. A failure is logged, and the
 * user's next save waits for a while.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <E>(
  atOnce: number,
  save: (user: UserId) => Effect.Effect<void, E>
): Effect.Effect<BackgroundSaves, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const underWay = new Set<UserId>()
    const few = Semaphore.makeUnsafe(atOnce)

    const saved = (user: UserId) =>
      save(user).pipe(
        few.withPermits(1),
        Effect.catchCause((cause) =>
          Effect.andThen(
            Effect.logWarning("The state of runs was not saved, and will be later", cause),
            Effect.sleep(failurePause)
          )
        ),
        Effect.ensuring(Effect.sync(() => underWay.delete(user)))
      )

    return (user) =>
      Effect.suspend(() => {
        if (underWay.has(user)) return Effect.void
        underWay.add(user)
        return Effect.asVoid(Effect.forkIn(saved(user), scope))
      })
  })
