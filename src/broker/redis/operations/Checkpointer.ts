/**
 * Saves the folded state of a user's runs beside the log, so that a reader of
 * snapshots has few events to fold.
 *
 * One at a time for each user; what is appended meanwhile asks for the next. Each
 * reads much of a log, so few go on at once, or they would keep Redis from all else.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { UserId } from "../../../protocol/values/Identity.ts"
import * as RedisEntry from "../codec/Entry.ts"
import { checkpoint } from "../scripts/CheckpointLua.ts"
import { type LogCaller, onlyRuns } from "./LogCaller.ts"

/**
 * Begins to save the state of a user's runs, in the background, unless that is
 * under way.
 *
 * @category models
 * @since 0.1.0
 */
export type Checkpointer = (user: UserId) => Effect.Effect<void>

const atOnce = 4

// What could not be saved is not tried again with each append: it reads much of a log, and may fail for good.
const failurePause = Duration.seconds(5)

/**
 * Saves until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (logs: LogCaller, maxRuns: number): Effect.Effect<Checkpointer, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const underWay = new Set<UserId>()
    const few = Semaphore.makeUnsafe(atOnce)

    const save = (user: UserId) =>
      Effect.gen(function*() {
        const args = yield* logs.viewAs("checkpoint", user, onlyRuns, (view) => RedisEntry.toCheckpoint(maxRuns, view))
        yield* logs.call("checkpoint", checkpoint, user, args, () => ({ log: undefined }))
      }).pipe(
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
        return Effect.asVoid(Effect.forkIn(save(user), scope))
      })
  })
