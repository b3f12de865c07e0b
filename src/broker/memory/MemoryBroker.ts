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

const nobody: ReadonlyArray<() => void> = []

interface UserRecord {
  readonly log: MemoryLog
  // Replaced, not changed, since a wake-up may end its reader, or bring another.
  readers: ReadonlyArray<(signal?: Signal) => void>
  waiters: Set<Waiter> | undefined
  // The last events that were acknowledged, in the order in which they were.
  acknowledged: Set<number> | undefined
  usedSinceLook: boolean
}

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
      log: new MemoryLog(`${life}-${(epochs++).toString(36)}`, limits),
      readers: nobody,
      waiters: undefined,
      acknowledged: undefined,
      usedSinceLook: true
    }
    users.set(user, found)
    idle.set(user, found)
    count(found, 0)
    return found
  }
  // What of a log's memory has changed since it took `before`.
  const count = (found: UserRecord, before: number): void => {
    totalBytes += found.log.held - before
    if (totalBytes > options.maxTotalBytes) makeRoom(found)
    gauges.set(totalBytes, users.size)
  }

  const use = (user: UserId): UserRecord => {
    const found = record(user)
    idle.delete(user)
    return found
  }

  const isIdle = ({ log, readers, waiters }: UserRecord): boolean =>
    readers.length === 0 && !log.isActive && (waiters === undefined || waiters.size === 0)

  const unuse = (user: UserId, found: UserRecord): void => {
    if (isIdle(found) && users.get(user) === found) idle.set(user, found)
  }

  const forget = (user: UserId, found: UserRecord): void => {
    totalBytes -= found.log.held
    users.delete(user)
    idle.delete(user)
  }

  const hasRoom = (): boolean => totalBytes <= options.maxTotalBytes

  const reduce = ({ log }: UserRecord, by: (log: MemoryLog) => void): void => {
    const before = log.held
    by(log)
    totalBytes += log.held - before
  }

  const shrink = (found: UserRecord): void => {
    const { log } = found
    const before = totalBytes - log.held
    reduce(found, () => log.shrink(() => before + log.held <= options.maxTotalBytes))
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
    standing: (user, run) => users.get(user)?.log.standing(run) ?? "unknown",
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
      const runs = record(user).log.refusedOf(batch)
      return isReadonlyArrayNonEmpty(runs)
        ? Effect.fail(new BrokerError({ reason: new RunLost({ runs }) }))
        : append(user, batch)
    })

  const appendUnsafe = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Position | undefined => {
    const found = record(user)
    if (found.log.refusedOf(batch).length > 0) return undefined
    return take(user, found, batch)
  }

  const take = (user: UserId, found: UserRecord, batch: NonEmptyReadonlyArray<Envelope>): Position => {
    const { held, isActive } = found.log
    const waited = waitingRuns(user, batch)
    const position = waited.length === 0
      ? found.log.append(batch, now())
      : takeSettling(user, found.log, batch, waited)
    if (found.log.isActive !== isActive) {
      if (isActive) unuse(user, found)
      else idle.delete(user)
    }
    count(found, held)
    if (found.readers.length > 0) {
      const signal = signalOf(batch)
      for (const wake of found.readers) wake(signal)
    }
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
      const active = found?.log.activeOf(runs) ?? []
      const at = clock.currentTimeMillisUnsafe()
      const endings = active.map((one) => LostRun.ending({ ...one, at, source: `${life}-lost-${endingsMade++}-` }))
      if (found === undefined || !isReadonlyArrayNonEmpty(endings)) return 0
      take(user, found, endings)
      found.log.close(active.map(({ run }) => run))
      return endings.length
    })

  const pull: Broker["Service"]["pull"] = (user, after, pullLimits) =>
    Effect.sync(() => {
      const found = record(user)
      const { held } = found.log
      found.log.expire(now())
      const slice = found.log.pull(after, pullLimits)
      totalBytes += found.log.held - held
      // What is read moves to pages, which what is given has already. To read costs no other reader an event.
      if (!hasRoom()) makeRoomBy(found)
      return slice
    })

  const subscribeUnscoped: Unscoped = {
    add: (user, wake) => {
      const found = use(user)
      found.readers = found.readers.concat(wake)
      const known = revoked.get(user)
      if (known !== undefined) wake({ revokedAt: known.at, isNew: false })
      const lateMs = lateUsers.lateMs(user, now())
      if (lateMs > 0) wake({ lateMs })
    },
    // One wake function may be given twice: each subscription takes one of them away.
    delete: (user, wake) => {
      const found = users.get(user)
      const index = found?.readers.indexOf(wake) ?? -1
      if (found === undefined || index < 0) return
      found.readers = found.readers.toSpliced(index, 1)
      unuse(user, found)
    }
  }

  const subscribe: Broker["Service"]["subscribe"] = (user, wake) =>
    Effect.acquireRelease(
      Effect.sync(() => subscribeUnscoped.add(user, wake)),
      () => Effect.sync(() => subscribeUnscoped.delete(user, wake))
    )

  const acknowledge: Broker["Service"]["acknowledge"] = (user, position) =>
    Effect.sync(() => {
      const found = users.get(user)
      if (found === undefined || position.epoch !== found.log.epoch) return
      const { offset } = position
      if (offset > found.log.head.offset) return
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
      if (found === undefined || position.epoch !== found.log.epoch) return
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
      for (const wake of users.get(user)?.readers ?? []) wake({ revokedAt, isNew: true })
    })

  const late: Broker["Service"]["late"] = (user, by, forMs) =>
    Effect.sync(() => {
      const lateMs = lateUsers.note(user, by, forMs, now())
      for (const wake of users.get(user)?.readers ?? []) wake({ lateMs })
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
      if (found.log.size === 0 && idle.has(user)) forget(user, found)
    }
    gauges.set(totalBytes, users.size)
  })
  yield* sweep.pipe(
    Effect.repeat(Schedule.spaced(Duration.millis(Math.max(1000, maxAgeMs / 4)))),
    Effect.delay(Duration.millis(Math.max(1000, maxAgeMs / 4))),
    Effect.forkScoped
  )

  const head: Broker["Service"]["head"] = (user) => Effect.sync(() => record(user).log.head)

  const snapshot: Broker["Service"]["snapshot"] = (user, run) =>
    Effect.sync(() => {
      const { log } = record(user)
      return { position: log.head, snapshot: log.snapshot(run) }
    })

  return {
    append,
    appendUnsafe,
    pull,
    subscribe,
    head,
    subscribeUnscoped,
    snapshots: (user, since = Number.POSITIVE_INFINITY, recent) =>
      Effect.sync(() => {
        const { log } = record(user)
        return { position: log.head, snapshots: log.snapshots(since, recent) }
      }),
    snapshot,
    readers: (user) => Effect.sync(() => users.get(user)?.readers.length ?? 0),
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
