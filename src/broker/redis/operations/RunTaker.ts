/**
 * Takes runs over from other processes.
 *
 * A run that its process let go is taken at once, as is one whose process is known to
 * be dead. Otherwise it is watched whether that process renews its lease: as soon as
 * it does, the run is held; if it does not within the lease's time, it is dead as for
 * all others. Who waits for a run is written down beside it, so that whoever claims the
 * dead lease gives it the run instead of ending it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { RunId, UserId } from "../../../protocol/values/Identity.ts"
import type { Broker, BrokerError } from "../../Broker.ts"
import type { Leases } from "../../leases/Leases.ts"
import type { Counted, LeaseStore } from "../../leases/LeaseStore.ts"
import * as TakeOver from "../../TakeOver.ts"
import * as Standing from "../scripts/StandingLua.ts"
import type { Found, RunFields } from "./RunFields.ts"
import type { RunKeeper } from "./RunKeeper.ts"

/**
 * The part of a broker that hands runs from one process to another.
 *
 * @category models
 * @since 0.1.0
 */
export type RunTaker = Pick<Broker["Service"], "takeOver" | "letGo">

// So often within a lease's time it is looked whether the holder renews.
const looks = 12

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (parts: {
  readonly node: string
  readonly lease: Duration.Duration
  readonly fields: RunFields
  readonly leases: Leases
  readonly store: Pick<LeaseStore, "countOf">
  readonly snapshot: Broker["Service"]["snapshot"]
  readonly keeper: Pick<RunKeeper, "adopt">
}): RunTaker => {
  const { fields, keeper, leases, node, snapshot, store } = parts
  const pauseMs = Duration.toMillis(parts.lease) / looks

  const takeField = (user: UserId, run: RunId, found: Found, field: Standing.ActiveField) =>
    leases.hold(user, (lease) => fields.replace(user, run, found, Standing.takenOver(field, lease)))

  // Whoever waits is written down under its lease first, so that the run is somebody's to end should it die as well.
  const wait = (user: UserId, run: RunId, found: Found, field: Standing.ActiveField) =>
    leases.hold(user, (lease) => fields.replace(user, run, found, { ...field, mark: Standing.waitingFor(lease) }))

  const stopWaiting = (user: UserId, run: RunId): Effect.Effect<void> =>
    fields.change(user, run, (field) => {
      const heir = Standing.heirIn(field)
      return heir !== undefined && Standing.holderOf(heir) === node ? { ...field, mark: "" } : undefined
    }).pipe(
      Effect.catch((error) =>
        Effect.logWarning(`That nobody waits for run ${run} of user ${user} any more could not be noted`, error)
      )
    )

  // Gives nothing where the run is not active any more.
  const takeFrom = (user: UserId, run: RunId): Effect.Effect<"taken" | "held" | undefined, BrokerError> =>
    Effect.suspend(() => {
      let isWaiting = false
      let watched: Counted | undefined
      const take = Effect.gen(function*() {
        while (true) {
          const found = yield* fields.of(user, run)
          const field = found?.active
          if (found === undefined || field === undefined) return undefined
          const isFree = field.mark === Standing.free || Standing.holderOf(field.lease) === node
          const count = isFree ? undefined : yield* store.countOf(field.lease)
          if (count === undefined) {
            if (!(yield* takeField(user, run, found, field))) continue
            isWaiting = false
            return "taken"
          }
          if (watched?.lease !== field.lease) watched = { lease: field.lease, count }
          if (watched.count !== count) return "held"
          if (field.mark === "") {
            isWaiting = true
            if (!(yield* wait(user, run, found, field))) continue
          }
          yield* Effect.sleep(pauseMs)
        }
      })
      return Effect.ensuring(take, Effect.suspend(() => isWaiting ? stopWaiting(user, run) : Effect.void))
    })

  const letGo = (user: UserId, run: RunId): Effect.Effect<void, BrokerError> =>
    fields.change(
      user,
      run,
      (field) => Standing.holderOf(field.lease) === node ? { ...field, mark: Standing.free } : undefined
    )

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
    letGo: (user, runs) => Effect.forEach(runs, (run) => letGo(user, run), { discard: true })
  }
}
