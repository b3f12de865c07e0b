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
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import * as BackgroundSaves from "../../BackgroundSaves.ts"
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
  const folds = new KeptFolds(yield* FoldBounds)
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

  const save = yield* BackgroundSaves.make(atOnce, (user) =>
    Effect.gen(function*() {
      const kept = folds.get(user)
      if (kept !== undefined && (yield* write(user, kept, "kept"))) return
      const read = yield* logs.viewAs("checkpoint", user, onlyRuns, (view) => {
        const fold = RedisEntry.toFolded(maxRuns, view)
        folds.keep(user, fold)
        return fold
      })
      yield* write(user, read, "log")
    }))

  return (user, batch, appended) =>
    Effect.suspend(() => {
      folds.appended(user, batch, appended)
      return appended.isDue && appended.isTold ? save(user) : Effect.void
    })
})
