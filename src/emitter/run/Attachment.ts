/**
 * Attaches emitters to runs that are active, and lets runs go whose emitter closes.
 *
 * A run that outlives its emitter is held by whoever was attached to it, emitted into it
 * last with a key, or is bound to it and has emitted. Once the last of them has closed,
 * and all that they emitted is in the log, the run is let go: then another may attach,
 * also in another process.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Broker, BrokerError } from "../../broker/Broker.ts"
import * as RunHolders from "../../broker/RunHolders.ts"
import { type RunId, ThreadId, type UserId } from "../../protocol/values/Identity.ts"
import type { Binding } from "../accept/Binding.ts"
import * as LoggedRun from "../accept/LoggedRun.ts"
import { AttachError, type AttachErrorReason, RunEnded, RunHeld, RunUnknown } from "../AttachError.ts"
import type { Outbox } from "../dispatch/Outbox.ts"
import type { Turns } from "../user/Turns.ts"

/**
 * - `attach` makes a run the binding's, and brings what is known of it here to where
 *   its log has it. It gives the run's thread.
 * - `letGo` lets go the runs that the binding's emitter, which has closed, held.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attachment {
  readonly attach: (binding: Binding, run: RunId) => Effect.Effect<ThreadId | undefined, AttachError | BrokerError>
  readonly letGo: (binding: Binding) => Effect.Effect<void>
}

const retryEvery = "1 second"

/**
 * Makes it over a broker. `isLate` tells whether events of a user wait to be taken to
 * the broker: such a user's runs are let go later. Whatever emitters still hold when
 * the scope closes is let go then.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly broker: Broker["Service"]
  readonly outboxes: Turns<Outbox>
  readonly isLate: (user: UserId) => boolean
}): Effect.fn.Return<Attachment, never, Scope.Scope> {
  const { broker, isLate, outboxes } = parts
  const scope = yield* Effect.scope
  const read = LoggedRun.reader(broker)

  const holder: RunHolders.RunHolder = {
    holds: (user, run) => outboxes.find(user)?.runs.isHeld(run) === true,
    lose: (user, run) => outboxes.find(user)?.runs.lose(new Set([run]))
  }
  yield* RunHolders.register(broker, holder)

  // Those that nobody holds meanwhile.
  const giveUp = (user: UserId, runs: ReadonlyArray<RunId>): Effect.Effect<void, BrokerError> =>
    Effect.suspend(() => broker.letGo(user, runs.filter((run) => !RunHolders.isHeld(broker, user, run))))

  const giveUpLater = (user: UserId, runs: ReadonlyArray<RunId>): Effect.Effect<void> =>
    Effect.suspend((): Effect.Effect<void, BrokerError | "late"> =>
      isLate(user) ? Effect.fail("late") : giveUp(user, runs)
    ).pipe(
      Effect.retry(Schedule.spaced(retryEvery)),
      Effect.orDie,
      Effect.forkIn(scope),
      Effect.asVoid
    )

  const giveUpNow = (user: UserId, runs: ReadonlyArray<RunId>): Effect.Effect<void> =>
    isLate(user) ? giveUpLater(user, runs) : Effect.catch(giveUp(user, runs), (error) =>
      Effect.andThen(
        Effect.logWarning(`That runs of user ${user} were let go was not noted, and is tried again`, error),
        giveUpLater(user, runs)
      ))

  yield* Effect.addFinalizer(() =>
    Effect.forEach(Array.from(outboxes.values()), ({ runs, user }) => {
      const left = runs.letGo()
      return left.length === 0 || isLate(user) ? Effect.void : Effect.catch(
        giveUp(user, left),
        (error) => Effect.logWarning(`That runs of user ${user} were let go was not noted`, error)
      )
    }, { discard: true })
  )

  const attach: Attachment["attach"] = ({ origin, outbox: { runs, user } }, run) =>
    Effect.suspend(() => {
      const refuse = (reason: AttachErrorReason) => Effect.fail(new AttachError({ reason }))
      if (RunHolders.isHeld(broker, user, run)) return refuse(new RunHeld({ run, by: "thisProcess" }))
      const record = runs.of(run)
      runs.hold(record, origin)
      let mayBeOurs = true
      const settle = Effect.gen(function*() {
        const outcome = yield* broker.takeOver(user, run)
        mayBeOurs = outcome._tag === "Taken"
        switch (outcome._tag) {
          case "Held":
            return yield* refuse(new RunHeld({ run, by: "anotherProcess" }))
          case "Ended":
            return yield* refuse(new RunEnded({ run, outcome: outcome.outcome }))
          case "Unknown":
            return yield* refuse(new RunUnknown({ run }))
        }
        // From here on nothing comes of the run but what is emitted here.
        const found = yield* read(user, run)
        if (found === undefined) return yield* refuse(new RunUnknown({ run }))
        const { state } = found
        if (state._tag === "Ended") return yield* refuse(new RunEnded({ run, outcome: state.outcome }))
        runs.takeUp(record, found)
        RunHolders.loseElsewhere(broker, holder, user, run)
        return found.thread === undefined ? undefined : ThreadId.make(found.thread)
      })
      return Effect.onError(settle, () => {
        runs.release(record, origin)
        return mayBeOurs ? giveUpNow(user, [run]) : Effect.void
      })
    })

  return {
    attach,
    letGo: ({ origin, outbox: { runs, user } }) =>
      Effect.suspend(() => {
        const left = runs.letGo(origin)
        return left.length === 0 ? Effect.void : giveUpNow(user, left)
      })
  }
})
