/**
 * Saves the folded state of a user's runs beside the log, so that a reader of
 * snapshots has few events to fold.
 *
 * What this process appended it folds itself (see `KeptFolds`); else what came since
 * the last checkpoint is read from the log. One at a time for each user; what is
 * appended meanwhile asks for the next. Reading takes much of a log, so few go on at
 * once, or they would keep Redis from all else.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import type { BrokerError } from "../../Broker.ts"
import * as RedisEntry from "../codec/Entry.ts"
import type { Connection } from "../connection/Connection.ts"
import type { RedisMetrics } from "../Metrics.ts"
import { checkpoint } from "../scripts/CheckpointLua.ts"
import { type Bounds, bounds, KeptFolds } from "./KeptFolds.ts"
import { type LogCaller, onlyRuns } from "./LogCaller.ts"

/**
 * Takes note of a batch that was appended and, where a checkpoint is due, begins to
 * save the state of the user's runs in the background, unless that is under way.
 *
 * @category models
 * @since 0.1.0
 */
export type Checkpointer = (
  user: UserId,
  batch: NonEmptyReadonlyArray<Envelope>,
  appended: RedisEntry.Appended
) => Effect.Effect<void>

/**
 * The bounds of the folds that are kept; tests take others.
 *
 * @category references
 * @since 0.2.0
 */
export const FoldBounds = Context.Reference<Bounds>("effect-emitter/redis/FoldBounds", {
  defaultValue: () => bounds
})

const atOnce = 4

// What could not be saved is not tried again with each append: it reads much of a log, and may fail for good.
const failurePause = Duration.seconds(5)

/**
 * Saves until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly connection: Connection
  readonly logs: LogCaller
  readonly maxRuns: number
  readonly metrics: Pick<RedisMetrics, "saved">
}): Effect.fn.Return<Checkpointer, never, Scope.Scope> {
  const { connection, logs, maxRuns, metrics } = parts
  const scope = yield* Effect.scope
  const folds = new KeptFolds(yield* FoldBounds)
  const underWay = new Set<UserId>()
  const few = Semaphore.makeUnsafe(atOnce)
  yield* connection.watch((signal) => {
    if (signal === "down") folds.clear()
  })

  // Tells whether it was saved: not where the log has another checkpoint than the fold went on from.
  const write = (user: UserId, fold: RedisEntry.Folded, from: "kept" | "log"): Effect.Effect<boolean, BrokerError> =>
    Effect.suspend(() => {
      const { offset } = fold
      const saved = Array.from(fold.runs.entries(), ([run]) => run)
      const args = RedisEntry.toCheckpoint(fold)
      return Effect.map(
        logs.call("checkpoint", checkpoint, user, args, (reply) => ({ log: undefined, isSaved: reply === 1 })),
        ({ isSaved }) => {
          if (!isSaved) {
            folds.forget(user)
            return false
          }
          // What was appended meanwhile is in the fold already.
          fold.checkpoint = offset
          fold.saved = saved
          metrics.saved(from)
          return true
        }
      )
    })

  const save = (user: UserId) =>
    Effect.gen(function*() {
      const kept = folds.get(user)
      if (kept !== undefined && (yield* write(user, kept, "kept"))) return
      const read = yield* logs.viewAs("checkpoint", user, onlyRuns, (view) => {
        const fold = RedisEntry.toFolded(maxRuns, view)
        folds.keep(user, fold)
        return fold
      })
      yield* write(user, read, "log")
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

  return (user, batch, appended) =>
    Effect.suspend(() => {
      folds.appended(user, batch, appended)
      if (!appended.isDue || !appended.isTold || underWay.has(user)) return Effect.void
      underWay.add(user)
      return Effect.asVoid(Effect.forkIn(save(user), scope))
    })
})
