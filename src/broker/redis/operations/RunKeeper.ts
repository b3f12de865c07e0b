/**
 * Looks after the runs of this process: appends their events under its lease, keeps
 * their log from being forgotten while they say nothing, and writes down anew where
 * they stand if the server forgot it.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import type { RunId, UserId } from "../../../protocol/values/Identity.ts"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import type { RunSnapshot } from "../../../protocol/run/RunSnapshot.ts"
import type { Broker, BrokerError } from "../../Broker.ts"
import type { Leases } from "../../leases/Leases.ts"
import type { RunClaims } from "../../leases/RunClaims.ts"
import * as RedisEntry from "../codec/Entry.ts"
import * as RedisKeys from "../codec/Keys.ts"
import type { Connection } from "../connection/Connection.ts"
import type { ServerOptions } from "../connection/Options.ts"
import { HeldRuns } from "../../leases/HeldRuns.ts"
import { keep as keepScript } from "../scripts/KeepLua.ts"
import type { Appender } from "./Appender.ts"
import type { LogCaller } from "./LogCaller.ts"

/**
 * - `append` adds a batch that is of runs.
 * - `watchLost` is that of the broker.
 * - `lookAtAll` looks at once whether the runs are still this process's.
 * - `adopt` looks after a run that was taken over, in the state that it has in the
 *   log of this epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunKeeper {
  readonly append: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Position, BrokerError>
  readonly watchLost: NonNullable<Broker["Service"]["watchLost"]>
  readonly lookAtAll: () => void
  readonly adopt: (user: UserId, run: RunId, state: RunSnapshot, epoch: string) => void
}

const atOnce = 16

/**
 * Keeps runs until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly options: ServerOptions
  readonly connection: Connection
  readonly logs: LogCaller
  readonly leases: Leases
  readonly appender: Appender
  readonly claims: Pick<RunClaims, "confirm">
}): Effect.fn.Return<RunKeeper, never, Scope.Scope> {
  const { appender, claims, connection, leases, logs, options } = parts
  const clock = yield* Clock.Clock
  const pollMs = Duration.toMillis(options.poll)
  const monotonicMs = () => Monotonic.millisUnsafe(clock)
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
          if (held.appended(user, batch, position.epoch, monotonicMs())) {
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
        const args = [RedisKeys.ofChannel(options, user), lease, ...RedisEntry.toHeld(runs)]
        return Effect.map(logs.call("keep", keepScript, user, args, RedisEntry.toKept), ({ ended, log, shut }) => {
          held.ended(user, ended)
          held.kept(user, runs, log.epoch, monotonicMs())
          if (shut.length > 0) listeners.forEach((listener) => listener(user, shut))
        })
      }))

  const keepAll = Effect.suspend(() => {
    const due = new Set([...forgotten, ...held.quietSince(monotonicMs() - pollMs)])
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
  // A server that comes back may have forgotten everything, and need not be asked by anybody else.
  yield* connection.watch((signal) => {
    if (signal === "up") lookAtAll()
  })
  const keepWhenDue = Effect.timeoutOption(isDue.await, pollMs).pipe(
    Effect.andThen(Effect.sync(() => isDue.closeUnsafe())),
    Effect.andThen(keepAll)
  )
  yield* keepWhenDue.pipe(
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
    adopt: (user, run, state, epoch) => held.taken(user, run, state, epoch, monotonicMs())
  }
})
