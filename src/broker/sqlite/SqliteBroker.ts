/**
 * A broker that keeps the logs in a file, for one process.
 *
 * What was appended is in the file before `append` answers, and goes on after the
 * process has ended, however it did: the same epochs and offsets, what was taken
 * once, who was revoked, what became of commands. Devices that come back resume.
 * Runs that were active end as lost.
 *
 * The file is written and read by a thread of its own, so the event loop never waits
 * for a disk. All that is asked in one turn shares a transaction. Readers that keep
 * up are served from memory.
 *
 * The file belongs to one process at a time, on a disk of its machine. Its README says
 * what is promised under which failure.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Command from "../../protocol/command/Command.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Names from "../../protocol/values/Names.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { Broker, type Signal, type Unscoped, type Watcher } from "../Broker.ts"
import { BrokerError, RunLost } from "../BrokerError.ts"
import { LateUsers } from "../LateUsers.ts"
import * as RunClaims from "../leases/RunClaims.ts"
import type { Entry } from "../Log.ts"
import * as Readers from "../subscriptions/Readers.ts"
import { signalOf } from "../subscriptions/WakeUp.ts"
import * as TakeOver from "../TakeOver.ts"
import * as MemoryCommands from "../memory/MemoryCommands.ts"
import * as Boot from "./Boot.ts"
import * as DurableCommands from "./DurableCommands.ts"
import * as FileThread from "./FileThread.ts"
import * as SqliteMetrics from "./SqliteMetrics.ts"
import { LiveTails } from "./LiveTails.ts"
import type { Appended, LogState, SentEvent } from "./Messages.ts"
import { config, decode, type Options, read } from "./Options.ts"
import { Revocations } from "./Revocations.ts"
import type { SqliteOpenError } from "./SqliteOpenError.ts"
import { type User, Users, type Waiter } from "./Users.ts"

export { Options } from "./Options.ts"
export { SqliteOpenError } from "./SqliteOpenError.ts"

const sweepPause = Duration.seconds(1)
const sweepAgain = Duration.millis(20)

// How much commands and their outcomes may take in memory.
const maxCommandBytes = 32 * 1024 * 1024

const sentOf = (
  { at, body, bytes, confirm, delivery, keep, run, sequence, source, thread, type }: Envelope
): SentEvent => ({ at, body, bytes, confirm, delivery, keep, run, sequence, source, thread, type })

const entryOf = (
  { at, body, bytes, confirm, delivery, run, thread, type }: Envelope,
  offset: number
): Entry => ({ offset, type, delivery, at, run, thread, confirm, body, bytes })

/**
 * Opens the file, and makes it if there is none. Its scope closes it.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { SqliteBroker } from "effect-emitter/sqlite"
 *
 * const broker = Schema.decodeEffect(SqliteBroker.Options)({ file: "events.db" }).pipe(Effect.flatMap(SqliteBroker.make))
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  options: typeof Options.Type
): Effect.fn.Return<Broker["Service"], SqliteOpenError, Scope.Scope> {
  const clock = yield* Clock.Clock
  const life = yield* Names.next
  const maxAgeMs = Duration.toMillis(options.maxAge)
  const revocationMs = Duration.toMillis(options.revocationMemory)
  const watchers = new Set<Watcher>()
  const users = new Users()
  const tails = new LiveTails<UserId>()
  const revocations = new Revocations()
  const lateUsers = new LateUsers()
  let endingsMade = 0

  const signal = (to: "down" | "up"): void => {
    for (const watcher of Array.from(watchers)) watcher(to)
    users.tellAll(to)
  }

  const file = yield* FileThread.make(
    {
      file: options.file,
      isFull: options.synchronous === "full",
      maxEvents: options.maxEvents,
      maxBytes: options.maxBytes,
      maxAgeMs,
      maxRuns: options.maxRuns,
      maxTotalBytes: options.maxTotalBytes,
      revocationMs,
      outcomeMs: Command.outcomeMemoryMs,
      lockTimeoutMs: Duration.toMillis(options.lockTimeout),
      life,
      boot: Boot.current(clock.currentTimeMillisUnsafe()),
      wallMs: clock.currentTimeMillisUnsafe()
    },
    Duration.toMillis(options.deadline),
    {
      down: () => signal("down"),
      up: () => signal("up"),
      reset: () => {
        users.clear()
        tails.clear()
        users.tellAll()
      }
    }
  )
  const { isTorn, revoked, setAside } = file.opened
  for (const [user, at, since] of revoked) revocations.add(user, at, since)
  if (setAside !== undefined) {
    yield* Effect.logError(
      `The file ${options.file} is damaged. It was moved to ${setAside}, where "sqlite3 … .recover" may find what can ` +
        "be saved; the logs of all users begin anew"
    )
  }
  if (isTorn) {
    yield* Effect.logWarning(
      `The machine ended before the file ${options.file} was closed, and its last moments may be missing: logs go on ` +
        "under new epochs. With synchronous \"full\" nothing would be missing"
    )
  }

  const metrics = yield* SqliteMetrics.make
  const stand = (user: UserId, log: LogState): User => {
    const found = users.of(user)
    found.log = log
    return found
  }

  const memory: DurableCommands.Memory = {
    life,
    recall: (user, id) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const found = users.of(user)
          found.commands++
          return found
        }),
        (found) => Effect.sync(() => found.commands--)
      ).pipe(
        Effect.andThen(
          file.ask<"recall">({ _tag: "recall", user, command: id }, ({ log, standings }) => {
            stand(user, log).standings = new Map(standings)
          })
        ),
        Effect.map(({ known }) => known)
      ),
    remember: (user, id, { digest, outcome }) =>
      Effect.asVoid(file.ask<"remember">({ _tag: "remember", user, command: id, digest, outcome }))
  }
  const commandsHere = yield* MemoryCommands.make({
    clock,
    maxTotalBytes: maxCommandBytes,
    standing: (user, run) => users.find(user)?.standings?.get(run) ?? "unknown",
    count: () => {},
    taking: DurableCommands.taking(memory)
  })
  const commands = yield* DurableCommands.make(commandsHere.commands, memory)

  // What an append came to is seen by all at once.
  const publish = (user: UserId, appended: Appended, entries: () => ReadonlyArray<Entry>): void => {
    const found = stand(user, appended.log)
    users.turn(found, appended.turned)
    if (appended.ended.length > 0) commandsHere.settle(user, appended.ended)
    if (Readers.count(found.readers) === 0) return
    const added = entries()
    tails.add(user, added)
    Readers.wake(found.readers, signalOf(added))
  }

  const append: Broker["Service"]["append"] = (user, batch) =>
    Effect.flatMap(
      file.ask<"append">({ _tag: "append", user, batch: batch.map(sentOf) }, (result) => {
        if ("lost" in result) return
        publish(user, result, () => {
          const taken = result.taken?.map((index) => batch[index]) ?? batch
          return taken.flatMap((event, index) => event === undefined ? [] : [entryOf(event, result.from + index)])
        })
      }),
      (result) =>
        "lost" in result
          ? Effect.fail(new BrokerError({ reason: new RunLost({ runs: result.lost }) }))
          : Effect.succeed({ epoch: result.log.epoch, offset: result.offset })
    )

  const endLost: Broker["Service"]["endLost"] = (user, runs) =>
    Effect.suspend(() =>
      file.ask<"endLost">({ _tag: "endLost", user, runs, source: `${life}-lost-${endingsMade++}-` }, (result) => {
        if (result !== undefined) publish(user, result, () => result.entries)
      })
    ).pipe(Effect.map((result) => result?.entries.length ?? 0))

  const pull: Broker["Service"]["pull"] = (user, after, limits) =>
    Effect.suspend(() => {
      const log = users.find(user)?.log
      const slice = log === undefined ? undefined : tails.pull(user, after, log, limits)
      return slice === undefined
        ? Effect.map(
          file.ask<"pull">({ _tag: "pull", user, after, limits }, (result) => void stand(user, result.log)),
          (result) => result.slice
        )
        : Effect.succeed(slice)
    })

  const readersOf = (user: UserId): Readers.Readers => users.find(user)?.readers ?? Readers.nobody
  const wakeAll = (user: UserId, signal: Signal): void => Readers.wake(readersOf(user), signal)

  const subscribeUnscoped: Unscoped = {
    add: (user, reader) => {
      const found = users.of(user)
      found.readers = Readers.add(found.readers, reader)
      const revokedAt = revocations.at(user)
      if (revokedAt !== undefined) reader.wake({ revokedAt, isNew: false })
      const lateMs = lateUsers.lateMs(user, file.now())
      if (lateMs > 0) reader.wake({ lateMs })
    },
    delete: (user, reader) => {
      const found = users.find(user)
      if (found === undefined) return
      found.readers = Readers.remove(found.readers, reader)
      if (Readers.count(found.readers) === 0) tails.forget(user)
    }
  }

  const head: Broker["Service"]["head"] = (user) =>
    Effect.suspend(() => {
      const log = users.find(user)?.log
      return log === undefined
        ? Effect.map(
          file.ask<"look">({ _tag: "look", user }, (result) => void stand(user, result.log)),
          (result) => positionOf(result.log)
        )
        : Effect.succeed(positionOf(log))
    })

  const snapshot: Broker["Service"]["snapshot"] = (user, run) =>
    Effect.map(
      file.ask<"snapshot">({ _tag: "snapshot", user, run }, (result) => void stand(user, result.log)),
      (result) => ({ position: positionOf(result.log), snapshot: result.snapshot })
    )

  const snapshots: Broker["Service"]["snapshots"] = (user, since = Number.POSITIVE_INFINITY, recent) =>
    Effect.map(
      file.ask<"snapshots">({ _tag: "snapshots", user, since, recent }, (result) => void stand(user, result.log)),
      (result) => ({ position: positionOf(result.log), snapshots: result.snapshots })
    )

  const acknowledge: Broker["Service"]["acknowledge"] = (user, position) =>
    Effect.asVoid(file.ask<"acknowledge">({ _tag: "acknowledge", user, position }, (isTaken) => {
      if (!isTaken) return
      for (const { epoch, offset, resume } of Array.from(users.find(user)?.waiters ?? [])) {
        if (epoch === position.epoch && offset === position.offset) resume()
      }
    }))

  // Whoever waits is there before it is asked whether it has been, so none comes between.
  const acknowledged: Broker["Service"]["acknowledged"] = (user, position) =>
    Effect.suspend(() => {
      const done = Deferred.makeUnsafe<void>()
      const waiter: Waiter = { ...position, resume: () => void Deferred.doneUnsafe(done, Effect.void) }
      return Effect.acquireUseRelease(
        Effect.sync(() => {
          const found = users.of(user)
          found.waiters.add(waiter)
          return found
        }),
        () =>
          Effect.flatMap(
            file.ask<"isAcknowledged">({ _tag: "isAcknowledged", user, position }),
            (isDone) => isDone ? Effect.void : Deferred.await(done)
          ),
        (found) => Effect.sync(() => found.waiters.delete(waiter))
      )
    })

  const revoke: Broker["Service"]["revoke"] = (user) =>
    Effect.suspend(() =>
      file.ask<"revoke">({ _tag: "revoke", user, at: clock.currentTimeMillisUnsafe() }, (revokedAt) => {
        revocations.add(user, revokedAt, file.now())
        wakeAll(user, { revokedAt, isNew: true })
      })
    ).pipe(Effect.asVoid)

  const late: Broker["Service"]["late"] = (user, by, forMs) =>
    Effect.sync(() => {
      const lateMs = lateUsers.note(user, by, forMs, file.now())
      wakeAll(user, { lateMs })
    })

  const sweep = Effect.gen(function*() {
    const { empty, fileBytes, hasMore } = yield* file.ask<"sweep">({ _tag: "sweep" })
    metrics.set(fileBytes)
    const forgotten = users.forgetIdle(empty)
    if (forgotten.length > 0) yield* file.ask<"forget">({ _tag: "forget", users: forgotten })
    revocations.sweep(file.now() - revocationMs)
    lateUsers.sweep(file.now())
    commandsHere.sweep()
    yield* Effect.sleep(hasMore ? sweepAgain : sweepPause)
  })
  yield* sweep.pipe(
    // Whoever cannot be swept now is swept later: an outage is told by the calls of who waits.
    Effect.catch(() => Effect.sleep(sweepPause)),
    Effect.forever,
    Effect.forkScoped
  )

  return {
    append,
    pull,
    subscribe: Readers.subscribeBy(subscribeUnscoped),
    subscribeUnscoped,
    head,
    snapshots,
    snapshot,
    readers: (user) => Effect.sync(() => Readers.count(readersOf(user))),
    acknowledge,
    acknowledged,
    endLost,
    // There is no other process that could have a run.
    takeOver: (user, run) => Effect.map(snapshot(user, run), TakeOver.within),
    letGo: () => Effect.void,
    claim: RunClaims.within(),
    revoke,
    late,
    canary: () => Effect.asVoid(file.ask<"canary">({ _tag: "canary" })),
    commands,
    watch: (watcher) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => void watchers.add(watcher)),
        () => Effect.sync(() => watchers.delete(watcher))
      )),
    retentionMs: maxAgeMs
  }
})

const positionOf = ({ epoch, head }: LogState): Position => ({ epoch, offset: head })

/**
 * A broker that keeps the logs in the file `file`, bounded per user and in total. For
 * its options and their defaults see `Options`; a wrong or unknown option fails the
 * layer with every problem listed, a file that cannot be used with `SqliteOpenError`.
 *
 * ```ts
 * import { SqliteBroker } from "effect-emitter/sqlite"
 *
 * const BrokerLive = SqliteBroker.layer({ file: "/var/lib/app/events.db" })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options: Options): Layer.Layer<Broker, ConfigError | SqliteOpenError> =>
  Layer.effect(Broker, Effect.flatMap(decode(options), make))

/**
 * The same, with options from `Config`, one for all of them or one a field. Without
 * any they are read from the environment: `SQLITE_FILE`, `SQLITE_MAX_AGE`, …
 *
 * ```ts
 * import { Config } from "effect"
 * import { SqliteBroker } from "effect-emitter/sqlite"
 *
 * const fromEnvironment = SqliteBroker.layerConfig()
 * const named = SqliteBroker.layerConfig({ file: Config.String("EVENTS_FILE") })
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerConfig = (
  options: Config.Wrap<Options> = config
): Layer.Layer<Broker, ConfigError | SqliteOpenError> =>
  Layer.effect(Broker, Effect.flatMap(Effect.flatMap(read(options), decode), make))
