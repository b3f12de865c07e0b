/**
 * A broker that keeps the logs in this process.
 *
 * For one process, for development and for tests. Logs are lost when the
 * process ends: a new one starts new epochs, and devices are told so.
 *
 * Memory is bounded per user (count, bytes, age) and in total. Where
 * `maxTotalBytes` is passed, this is forgotten, in this order, until there is room:
 *
 * 1. whole logs of users who have no active run, and whom nobody reads or waits
 *    for; those that were not used for longest come first;
 * 2. of the user who asked for more: the oldest events, then runs that have ended;
 * 3. the same of other users, who take turns;
 * 4. of the texts of active runs: all but their end.
 *
 * A log that has an active run, a reader, or somebody who waits for a confirmation
 * is never forgotten as a whole. What must be kept of such logs may pass the bound.
 * The gauge `emitter_memory_bytes` tells how much is held, `emitter_memory_users`
 * of how many users.
 *
 * Commands and what became of them are counted as well, and take an eighth of
 * `maxTotalBytes` at most: what would pass it is refused as `tooMany`.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import * as Names from "../../protocol/values/Names.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { Broker, type Signal, type Unscoped } from "../Broker.ts"
import { BrokerError, RunLost } from "../BrokerError.ts"
import { LateUsers } from "../LateUsers.ts"
import * as LostRun from "../leases/LostRun.ts"
import * as RunClaims from "../leases/RunClaims.ts"
import * as Readers from "../subscriptions/Readers.ts"
import { signalOf } from "../subscriptions/WakeUp.ts"
import * as TakeOver from "../TakeOver.ts"
import * as MemoryCommands from "./MemoryCommands.ts"
import * as MemoryMetrics from "./MemoryMetrics.ts"
import { config, decode, type Options, read } from "./Options.ts"
import { type LogLimits, MemoryLog } from "./MemoryLog.ts"

interface Waiter {
  readonly offset: number
  readonly resume: () => void
}

// Of how many users at most room is made at once, besides those that nobody reads.
const usersInTurn = 64

// Which part of the memory for all users commands and their outcomes may take.
const shareOfCommands = 1 / 8

// How many acknowledged events are remembered of a user.
const maxAcknowledged = 128

interface UserRecord {
  readonly epoch: string
  // Made with the first event: most users wait for one.
  log: MemoryLog | undefined
  readers: Readers.Readers
  waiters: Set<Waiter> | undefined
  // The last events that were acknowledged, in the order in which they were.
  acknowledged: Set<number> | undefined
  usedSinceLook: boolean
}

/**
 * What a user takes in memory besides the log, in bytes, as measured in V8.
 *
 * @category constants
 * @since 0.2.0
 */
export const userOverhead = 400

const heldFor = ({ log }: UserRecord): number => userOverhead + (log === undefined ? 0 : log.held)

/**
 * Makes a broker in memory. Its scope ends the fiber that lets old events go.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: typeof Options.Type
): Effect.fn.Return<Broker["Service"], never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const maxAgeMs = Duration.toMillis(options.maxAge)
  const limits: LogLimits = {
    maxEvents: options.maxEvents,
    maxBytes: options.maxBytes,
    maxAgeMs,
    maxRuns: options.maxRuns
  }
  const life = yield* Names.next
  const users = new Map<UserId, UserRecord>()
  // Those of them that nobody reads and nobody waits for, in the order they will be looked at when room is short.
  const idle = new Map<UserId, UserRecord>()
  // When each user's access was last revoked, the oldest first: on the wall clock, as tokens tell it, and on the monotonic one.
  const revoked = new Map<UserId, { readonly at: number; readonly since: number }>()
  const lateUsers = new LateUsers()
  const revocationMs = Duration.toMillis(options.revocationMemory)
  const now = () => Monotonic.millisUnsafe(clock)
  let epochs = 0
  let endingsMade = 0
  let totalBytes = 0
  const gauges = yield* MemoryMetrics.make

  const record = (user: UserId): UserRecord => {
    const known = users.get(user)
    if (known !== undefined) {
      known.usedSinceLook = true
      return known
    }
    const found: UserRecord = {
      epoch: `${life}-${(epochs++).toString(36)}`,
      log: undefined,
      readers: Readers.nobody,
      waiters: undefined,
      acknowledged: undefined,
      usedSinceLook: true
    }
    users.set(user, found)
    idle.set(user, found)
    count(found, 0)
    return found
  }

  // What a user's log is for a reader: an empty one, while there is none.
  const logOf = ({ epoch, log }: UserRecord): MemoryLog => log ?? new MemoryLog(epoch, limits)

  // What of a user's memory has changed since it took `before`.
  const count = (found: UserRecord, before: number): void => {
    totalBytes += heldFor(found) - before
    if (totalBytes > options.maxTotalBytes) makeRoom(found)
    gauges.set(totalBytes, users.size)
  }

  const use = (user: UserId): UserRecord => {
    const found = record(user)
    idle.delete(user)
    return found
  }

  const isIdle = ({ log, readers, waiters }: UserRecord): boolean =>
    Readers.count(readers) === 0 && log?.isActive !== true && (waiters === undefined || waiters.size === 0)

  const unuse = (user: UserId, found: UserRecord): void => {
    if (isIdle(found) && users.get(user) === found) idle.set(user, found)
  }

  const forget = (user: UserId, found: UserRecord): void => {
    totalBytes -= heldFor(found)
    users.delete(user)
    idle.delete(user)
  }

  const hasRoom = (): boolean => totalBytes <= options.maxTotalBytes

  const reduce = ({ log }: UserRecord, by: (log: MemoryLog) => void): void => {
    if (log === undefined) return
    const before = log.held
    by(log)
    totalBytes += log.held - before
  }

  const shrink = (found: UserRecord): void => {
    const before = totalBytes - (found.log?.held ?? 0)
    reduce(found, (log) => log.shrink(() => before + log.held <= options.maxTotalBytes))
  }

  // At the cost of whoever asked for more, and of those whom nobody reads.
  const makeRoomBy = (wanted: UserRecord | undefined): void => {
    forgetIdle(wanted)
    if (!hasRoom() && wanted !== undefined) shrink(wanted)
  }

  const makeRoom = (wanted?: UserRecord): void => {
    makeRoomBy(wanted)
    if (hasRoom()) return
    const others = nextInTurn()
    for (const found of others) {
      if (hasRoom()) return
      shrink(found)
    }
    for (const found of wanted === undefined ? others : [wanted, ...others]) {
      if (hasRoom()) return
      reduce(found, (log) => log.shorten())
    }
  }

  // A second chance for each log: one that was used since the last look moves to the end, and goes when met again.
  const forgetIdle = (wanted: UserRecord | undefined): void => {
    for (const [user, found] of idle) {
      if (hasRoom()) return
      if (found === wanted) continue
      if (found.usedSinceLook) {
        found.usedSinceLook = false
        idle.delete(user)
        idle.set(user, found)
      } else {
        forget(user, found)
      }
    }
  }

  // Some users at a time, so that making room takes nobody long; whoever has had a turn comes again after all others.
  const nextInTurn = (): ReadonlyArray<UserRecord> => {
    const next: Array<UserRecord> = []
    const most = Math.min(usersInTurn, users.size)
    for (const [user, found] of users) {
      if (next.length === most) break
      next.push(found)
      users.delete(user)
      users.set(user, found)
    }
    return next
  }

  const { commands, settle, sweep: sweepCommands, waitingRuns } = yield* MemoryCommands.make({
    clock,
    maxTotalBytes: options.maxTotalBytes * shareOfCommands,
    standing: (user, run) => users.get(user)?.log?.standing(run) ?? "unknown",
    count: (bytes) => {
      totalBytes += bytes
      if (bytes > 0 && !hasRoom()) makeRoom()
      gauges.set(totalBytes, users.size)
    }
  })

  const append: Broker["Service"]["append"] = (user, batch) =>
    Effect.suspend(() => {
      const position = appendUnsafe(user, batch)
      if (position !== undefined) return Effect.succeed(position)
      const runs = logOf(record(user)).refusedOf(batch)
      return isReadonlyArrayNonEmpty(runs)
        ? Effect.fail(new BrokerError({ reason: new RunLost({ runs }) }))
        : append(user, batch)
    })

  const appendUnsafe = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Position | undefined => {
    const found = record(user)
    if (found.log !== undefined && found.log.refusedOf(batch).length > 0) return undefined
    return take(user, found, batch)
  }

  const take = (user: UserId, found: UserRecord, batch: NonEmptyReadonlyArray<Envelope>): Position => {
    const held = heldFor(found)
    const log = found.log ??= logOf(found)
    const { isActive } = log
    const waited = waitingRuns(user, batch)
    const position = waited.length === 0 ? log.append(batch, now()) : takeSettling(user, log, batch, waited)
    if (log.isActive !== isActive) {
      if (isActive) unuse(user, found)
      else idle.delete(user)
    }
    count(found, held)
    if (Readers.count(found.readers) > 0) Readers.wake(found.readers, signalOf(batch))
    return position
  }

  // What waits for a run that the batch ends is decided with it.
  const takeSettling = (
    user: UserId,
    log: MemoryLog,
    batch: NonEmptyReadonlyArray<Envelope>,
    waited: ReadonlyArray<RunId>
  ): Position => {
    const endings = waited.map((run) => log.endings(run))
    const position = log.append(batch, now())
    settle(user, waited.filter((run, n) => log.endings(run) !== endings[n]))
    return position
  }

  // All who emit over this broker are in its process, so a run is lost only if an earlier one left it in a spool.
  const endLost: Broker["Service"]["endLost"] = (user, runs) =>
    Effect.sync(() => {
      const found = users.get(user)
      const active = found?.log?.activeOf(runs) ?? []
      const at = clock.currentTimeMillisUnsafe()
      const endings = active.map((one) => LostRun.ending({ ...one, at, source: `${life}-lost-${endingsMade++}-` }))
      if (found === undefined || !isReadonlyArrayNonEmpty(endings)) return 0
      take(user, found, endings)
      found.log?.close(active.map(({ run }) => run))
      return endings.length
    })

  const pull: Broker["Service"]["pull"] = (user, after, pullLimits) =>
    Effect.sync(() => {
      const found = record(user)
      const log = logOf(found)
      const { held } = log
      log.expire(now())
      const slice = log.pull(after, pullLimits)
      totalBytes += log.held - held
      // What is read moves to pages, which what is given has already. To read costs no other reader an event.
      if (!hasRoom()) makeRoomBy(found)
      return slice
    })

  const readersOf = (user: UserId): Readers.Readers => users.get(user)?.readers ?? Readers.nobody
  const wakeAll = (user: UserId, signal: Signal): void => Readers.wake(readersOf(user), signal)

  const subscribeUnscoped: Unscoped = {
    add: (user, reader) => {
      const found = use(user)
      found.readers = Readers.add(found.readers, reader)
      const known = revoked.get(user)
      if (known !== undefined) reader.wake({ revokedAt: known.at, isNew: false })
      const lateMs = lateUsers.lateMs(user, now())
      if (lateMs > 0) reader.wake({ lateMs })
    },
    delete: (user, reader) => {
      const found = users.get(user)
      if (found === undefined) return
      found.readers = Readers.remove(found.readers, reader)
      unuse(user, found)
    }
  }

  const acknowledge: Broker["Service"]["acknowledge"] = (user, position) =>
    Effect.sync(() => {
      const found = users.get(user)
      if (found === undefined || position.epoch !== found.epoch) return
      const { offset } = position
      if (offset > logOf(found).head.offset) return
      found.acknowledged ??= new Set()
      found.acknowledged.add(offset)
      const [oldest] = found.acknowledged
      if (found.acknowledged.size > maxAcknowledged && oldest !== undefined) found.acknowledged.delete(oldest)
      for (const waiter of found.waiters ?? []) {
        if (waiter.offset === offset) waiter.resume()
      }
    })

  const acknowledged: Broker["Service"]["acknowledged"] = (user, position) =>
    Effect.callback<void>((resume) => {
      const found = users.get(user)
      if (found === undefined || position.epoch !== found.epoch) return
      if (found.acknowledged?.has(position.offset) === true) return resume(Effect.void)
      const leave = () => {
        found.waiters?.delete(waiter)
        unuse(user, found)
      }
      const waiter: Waiter = {
        offset: position.offset,
        resume: () => {
          leave()
          resume(Effect.void)
        }
      }
      idle.delete(user)
      found.waiters ??= new Set()
      found.waiters.add(waiter)
      return Effect.sync(leave)
    })

  const revoke: Broker["Service"]["revoke"] = (user) =>
    Effect.sync(() => {
      // After the one before, also where the wall clock has stepped back since.
      const revokedAt = Math.max(clock.currentTimeMillisUnsafe(), (revoked.get(user)?.at ?? 0) + 1)
      revoked.delete(user)
      revoked.set(user, { at: revokedAt, since: now() })
      wakeAll(user, { revokedAt, isNew: true })
    })

  const late: Broker["Service"]["late"] = (user, by, forMs) =>
    Effect.sync(() => {
      const lateMs = lateUsers.note(user, by, forMs, now())
      wakeAll(user, { lateMs })
    })

  const sweep = Effect.sync(() => {
    const sweptAt = now()
    lateUsers.sweep(sweptAt)
    sweepCommands()
    for (const [user, { since }] of revoked) {
      if (sweptAt - since < revocationMs) break
      revoked.delete(user)
    }
    for (const [user, found] of users) {
      reduce(found, (log) => log.expire(sweptAt))
      if ((found.log?.size ?? 0) === 0 && idle.has(user)) forget(user, found)
    }
    gauges.set(totalBytes, users.size)
  })
  yield* sweep.pipe(
    Effect.repeat(Schedule.spaced(Duration.millis(Math.max(1000, maxAgeMs / 4)))),
    Effect.delay(Duration.millis(Math.max(1000, maxAgeMs / 4))),
    Effect.forkScoped
  )

  const head: Broker["Service"]["head"] = (user) => Effect.sync(() => logOf(record(user)).head)

  const snapshot: Broker["Service"]["snapshot"] = (user, run) =>
    Effect.sync(() => {
      const log = logOf(record(user))
      return { position: log.head, snapshot: log.snapshot(run) }
    })

  return {
    append,
    appendUnsafe,
    pull,
    subscribe: Readers.subscribeBy(subscribeUnscoped),
    head,
    subscribeUnscoped,
    snapshots: (user, since = Number.POSITIVE_INFINITY, recent) =>
      Effect.sync(() => {
        const log = logOf(record(user))
        return { position: log.head, snapshots: log.snapshots(since, recent) }
      }),
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
    canary: () => Effect.void,
    commands,
    retentionMs: maxAgeMs
  }
})

/**
 * A broker that keeps the logs in this process, bounded per user and in total.
 * For its options and their defaults see `Options`; a wrong or unknown option
 * fails the layer with every problem listed.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Broker, EmitterLayer } from "effect-emitter"
 *
 * const emitters = EmitterLayer().pipe(Layer.provide(Broker.layerMemory({ maxAge: "10 minutes" })))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Broker, ConfigError> =>
  Layer.effect(Broker, Effect.flatMap(decode(options), make))

/**
 * The same, with options from `Config`, one for all of them or one a field. Without
 * any they are read from the environment: `BROKER_MAX_AGE`, …
 *
 * ```ts
 * import { Config } from "effect"
 * import { Broker } from "effect-emitter"
 *
 * const fromEnvironment = Broker.layerMemoryConfig()
 * const named = Broker.layerMemoryConfig({ maxEvents: Config.Int("EVENTS_PER_USER") })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options> = config): Layer.Layer<Broker, ConfigError> =>
  Layer.effect(Broker, Effect.flatMap(read(options), make))
