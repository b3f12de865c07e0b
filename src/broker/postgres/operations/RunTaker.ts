/**
 * Takes runs over from other processes.
 *
 * A run that its process let go is taken at once, as is one whose process is known to
 * be dead. Otherwise it is watched whether that process renews its lease: as soon as
 * it does, the run is held; if it does not within the lease's time, it is dead as for
 * all others. Who waits for a run is written down beside it, so that whoever claims the
 * dead lease gives it the run instead of ending it.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { RunId, UserId } from "../../../protocol/values/Identity.ts"
import type { Broker, BrokerError } from "../../Broker.ts"
import type { Leases } from "../../leases/Leases.ts"
import type { Counted } from "../../leases/LeaseStore.ts"
import * as TakeOver from "../../TakeOver.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import type { RunKeeper } from "./RunKeeper.ts"

/**
 * The part of a broker that hands runs from one process to another.
 *
 * @category models
 * @since 0.2.0
 */
export type RunTaker = Pick<Broker["Service"], "takeOver" | "letGo">

// So often within a lease's time it is looked whether the holder renews.
const looks = 12

const decodeTry = Schema.decodeUnknownSync(Schema.Union([
  Schema.Tuple([Schema.Literals(["taken", "gone"])]),
  Schema.Tuple([Schema.Literal("waiting"), Schema.String, Schema.Int])
]))

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (parts: {
  readonly node: string
  readonly lease: Duration.Duration
  readonly database: Database
  readonly leases: Leases
  readonly snapshot: Broker["Service"]["snapshot"]
  readonly keeper: Pick<RunKeeper, "adopt">
}): RunTaker => {
  const { database, keeper, leases, node, snapshot } = parts
  const pauseMs = Duration.toMillis(parts.lease) / looks

  // Whoever waits has the user under its lease, so that the run is somebody's to end should it die as well.
  const tryToTake = (user: UserId, run: RunId) =>
    leases.hold(user, (lease) =>
      Effect.flatMap(
        database.call("takeOver", "take_run", { user, run, lease }),
        (answer) => Failure.read("takeOver", () => decodeTry(answer))
      ))

  const stopWaiting = (user: UserId, run: RunId): Effect.Effect<void> =>
    Effect.catch(
      Effect.asVoid(database.call("takeOver", "leave_run", { user, run, process: node })),
      (error) =>
        Effect.logWarning(`That nobody waits for run ${run} of user ${user} any more could not be noted`, error)
    )

  // Gives nothing where the run is not active any more.
  const takeFrom = (user: UserId, run: RunId): Effect.Effect<"taken" | "held" | undefined, BrokerError> =>
    Effect.suspend(() => {
      let isWaiting = false
      let watched: Counted | undefined
      const take = Effect.gen(function*() {
        while (true) {
          const [tag, lease = "", count = 0] = yield* tryToTake(user, run)
          isWaiting = tag === "waiting"
          if (tag === "gone") return undefined
          if (tag === "taken") return tag
          if (watched?.lease !== lease) watched = { lease, count }
          if (watched.count !== count) return "held"
          yield* Effect.sleep(pauseMs)
        }
      })
      return Effect.ensuring(take, Effect.suspend(() => isWaiting ? stopWaiting(user, run) : Effect.void))
    })

  return {
    takeOver: (user, run) =>
      Effect.gen(function*() {
        const before = yield* snapshot(user, run)
        const standing = TakeOver.within(before)
        if (standing._tag !== "Taken" || before.snapshot === undefined) return standing
        switch (yield* takeFrom(user, run)) {
          case "taken":
            keeper.adopt(user, run, before.snapshot.state, before.position.epoch)
            return standing
          case "held":
            return { _tag: "Held" }
          case undefined: {
            const after = TakeOver.within(yield* snapshot(user, run))
            return after._tag === "Taken" ? { _tag: "Unknown" } : after
          }
        }
      }),
    letGo: (user, runs) => Effect.asVoid(database.call("letGo", "let_go", { user, runs, process: node }))
  }
}
