/**
 * Keeps the logs of this process's active runs: none is forgotten for its age, and what
 * a server that took over knows nothing of is written down anew.
 *
 * @since 0.2.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { RunId, type UserId } from "../../../protocol/values/Identity.ts"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as Position from "../../../protocol/values/Position.ts"
import { RunSnapshot } from "../../../protocol/run/RunSnapshot.ts"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import type { Broker, BrokerError } from "../../Broker.ts"
import { HeldRuns } from "../../leases/HeldRuns.ts"
import type { Leases } from "../../leases/Leases.ts"
import type { RunClaims } from "../../leases/RunClaims.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import type { Options } from "../connection/Options.ts"
import type { Notifier } from "../subscriptions/Notifier.ts"
import type { Appender } from "./Appender.ts"
import type { Logs } from "./Logs.ts"

/**
 * - `append` appends under this process's lease, and notes which runs it holds.
 * - `watchLost` is that of a broker.
 * - `lookAtAll` looks soon how all runs that are held stand.
 * - `adopt` notes a run that was taken over, in the state that it has.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunKeeper extends Required<Pick<Broker["Service"], "watchLost">> {
  readonly append: (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>
  ) => Effect.Effect<Position.Position, BrokerError>
  readonly lookAtAll: () => void
  readonly adopt: (user: UserId, run: RunId, state: RunSnapshot, epoch: string) => void
}

const atOnce = 8

const encodeState = Schema.encodeUnknownSync(Schema.fromJsonString(RunSnapshot))

const decodeKept = Schema.decodeUnknownSync(Schema.Tuple([
  Position.Epoch,
  Position.Offset,
  Schema.Array(RunId),
  Schema.Array(RunId),
  Schema.Boolean
]))

/**
 * Keeps until the scope closes.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly options: Options
  readonly database: Database
  readonly logs: Logs
  readonly leases: Leases
  readonly appender: Appender
  readonly claims: Pick<RunClaims, "confirm">
  readonly notifier: Notifier
}): Effect.fn.Return<RunKeeper, never, Scope.Scope> {
  const { appender, claims, database, leases, logs, notifier, options } = parts
  const clock = yield* Clock.Clock
  const pollMs = Duration.toMillis(options.poll)
  const now = () => Monotonic.millisUnsafe(clock)
  const held = new HeldRuns()
  const forgotten = new Set<UserId>()
  const isDue = Latch.makeUnsafe(false)
  const listeners = new Set<(user: UserId, runs: ReadonlyArray<RunId>) => void>()

  const append: RunKeeper["append"] = (user, batch) =>
    leases.hold(user, (lease, quiet) =>
      claims.confirm(user, batch, lease).pipe(
        Effect.andThen(appender.append(user, batch, lease)),
        Effect.tapError(({ reason }) =>
          Effect.sync(() => {
            if (reason._tag === "RunLost") held.ended(user, reason.runs)
          })
        ),
        Effect.map(({ left, position }) => {
          if (left === 0) quiet()
          // Another log than before may know nothing of the user's other runs.
          if (held.appended(user, batch, position.epoch, now())) {
            forgotten.add(user)
            isDue.openUnsafe()
          }
          return position
        })
      ))

  const keepRuns = (user: UserId): Effect.Effect<void, BrokerError> =>
    leases.hold(user, (lease, quiet) =>
      Effect.suspend(() => {
        const runs = Array.from(held.of(user)?.runs.values() ?? [])
        if (runs.length === 0) return Effect.sync(quiet)
        const asked = {
          user,
          epoch: logs.nextEpoch(),
          lease,
          runs: runs.map(({ epoch, run, startedAt, state, thread }) => ({
            run,
            thread,
            started: startedAt,
            epoch,
            state: encodeState(state)
          }))
        }
        return Effect.gen(function*() {
          const answer = yield* database.call("keep", "keep", asked)
          const [epoch, offset, shut, others, isSaved] = yield* Failure.read("keep", () => decodeKept(answer))
          held.ended(user, [...shut, ...others])
          held.kept(user, runs, epoch, now())
          if (isSaved) notifier.appended(user, { epoch, offset })
          if (shut.length > 0) listeners.forEach((listener) => listener(user, shut))
        })
      }))

  const keepAll = Effect.suspend(() => {
    const due = new Set([...forgotten, ...held.quietSince(now() - pollMs)])
    forgotten.clear()
    let failures = 0
    return Effect.forEach(due, (user) =>
      Effect.catch(keepRuns(user), (error) =>
        Effect.suspend(() => {
          forgotten.add(user)
          return failures++ === 0
            ? Effect.logWarning("Where active runs stand was not renewed, and is tried again at the next poll", error)
            : Effect.void
        })), { concurrency: atOnce, discard: true })
  })

  const lookAtAll = (): void => {
    for (const user of held.quietSince(Number.POSITIVE_INFINITY)) forgotten.add(user)
    isDue.openUnsafe()
  }
  // A server that comes back may be another, and need not be asked by anybody else.
  yield* database.watch((signal) => {
    if (signal === "up") lookAtAll()
  })
  yield* Effect.timeoutOption(isDue.await, pollMs).pipe(
    Effect.andThen(Effect.sync(() => isDue.closeUnsafe())),
    Effect.andThen(keepAll),
    Effect.catchCause((cause) => Effect.logError("Keeping the logs of active runs failed, and goes on", cause)),
    Effect.forever,
    Effect.forkScoped
  )

  return {
    append,
    watchLost: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => void listeners.add(listener)),
        () => Effect.sync(() => void listeners.delete(listener))
      ),
    lookAtAll,
    adopt: (user, run, state, epoch) => held.taken(user, run, state, epoch, now())
  }
})
