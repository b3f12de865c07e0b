/**
 * Ends the runs of processes that died, and keeps this process from being taken
 * for one.
 *
 * Each process holds a lease, and renews it three times within its time. Under
 * the lease it is written down which users have runs of this process, before the
 * first event of such a run is appended. A lease is a counter: renewing it counts
 * on. A process that saw the lease of another unchanged for a whole lease's time
 * claims it, once and for all, and ends those of its runs that are active.
 *
 * - That time is told by the monotonic clock of the process that looks. No wall
 *   clock, neither its own nor the store's, makes a live process lost or a dead
 *   one live on.
 * - It counts only while the process kept its own lease. So when the store was
 *   away, or all machines slept, nobody is taken for dead before everybody had
 *   the time to come back.
 * - A process that was taken for dead and lives learns of it when it renews, goes
 *   on under another lease, and takes along what has not been ended. One that did
 *   not renew for a lease's time may have been taken for dead, so it renews before
 *   it appends: what it appended under a lease that is gone would be nobody's to
 *   end, should it die then.
 * - It costs one call for each third of a lease's time, and one for the first run
 *   of a user in a while; nothing for each event.
 *
 * It rests on no step across users: an entry that is left over does no harm, and
 * everything may be done twice.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import { BrokerError, BrokerUnavailable } from "../Broker.ts"
import type { Beat, Counted, LeaseStore } from "./LeaseStore.ts"

/**
 * - `hold` runs an append of a user's runs. It gives the append the lease that the
 *   user is written down under, and keeps the user so meanwhile. The append calls
 *   `quiet` where no run of the user is left after it.
 * - `isCertain` tells whether nobody can have taken this process for dead yet;
 *   `makeCertain` renews the lease where that may be so.
 * - `whenLost` calls its listener when this process learns that it was, until the
 *   scope closes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Leases {
  readonly hold: <A>(
    user: UserId,
    append: (lease: string, quiet: () => void) => Effect.Effect<A, BrokerError>
  ) => Effect.Effect<A, BrokerError>
  readonly isCertain: () => boolean
  readonly makeCertain: Effect.Effect<void, BrokerError>
  readonly whenLost: (listener: () => void) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * What happens to leases, to be counted: runs that this process ended as lost,
 * renewals that failed, and leases of its own that it lost.
 *
 * @category models
 * @since 0.1.0
 */
export interface Notes {
  readonly runsEnded: (count: number) => void
  readonly renewalFailed: () => void
  readonly leaseLost: () => void
}

// A user with runs of this process.
interface Entry {
  mark: number
  /** The lease that the user is written down under. */
  under: string | undefined
  /** Appends under way. */
  appends: number
  /** No run is left, as the last append told. */
  isQuiet: boolean
  usedAt: number
}

interface Seen extends Counted {
  readonly since: number
}

const nothing: ReadonlyMap<string, Seen> = new Map()

const usersAtOnce = 16
const looksPerBeat = 64
const entriesPerCall = 256
// Of a user with nothing new for so many times of a lease it is asked whether a run is left.
const patience = 4

/**
 * Holds a lease until the scope closes. `name` is that of the process, unlike
 * any other's.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly name: string
  readonly lease: Duration.Duration
  readonly store: LeaseStore
  readonly notes: Notes
}): Effect.fn.Return<Leases, never, Scope.Scope> {
  const { name, notes, store } = options
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const leaseMs = Duration.toMillis(options.lease)
  const beatMs = leaseMs / 3
  const failurePauseMs = Math.min(1000, leaseMs / 15)
  const turn = Semaphore.makeUnsafe(1)
  // The leases that this process has claimed, as the last beat told.
  const claims = yield* Queue.sliding<ReadonlyArray<string>>(1)
  const entries = new Map<UserId, Entry>()
  const listeners = new Set<() => void>()
  let generation = 0
  let lease = `${name}.0`
  let marks = 0
  let beatAt = Number.NEGATIVE_INFINITY
  // The leases of others as they were last seen, and since when they have been the same.
  let seen: ReadonlyMap<string, Seen> = nothing
  // The tries to renew that failed in a row, and what the last of them failed with.
  let failures = 0
  let failure: BrokerError | undefined

  const now = (): number => Monotonic.millisUnsafe(clock)

  const unchanged = (askedAt: number): ReadonlyArray<Counted> =>
    Array.from(seen.values()).filter(({ since }) => askedAt - since >= leaseMs)

  const watch = (others: ReadonlyArray<Counted>): void => {
    const seenAt = now()
    seen = new Map(others.map(({ count, lease }) => {
      const known = seen.get(lease)
      return [lease, known?.count === count ? known : { lease, count, since: seenAt }]
    }))
  }

  // In how many milliseconds a lease of another will have been the same for too long.
  const nextOverMs = (): number => Math.min(...Array.from(seen.values(), ({ since }) => since + leaseMs)) - now()

  const renew: Effect.Effect<Beat, BrokerError> = Effect.gen(function*() {
    const askedAt = now()
    // Who was away knows nothing of what others could do meanwhile.
    if (askedAt - beatAt > 2 * beatMs) seen = nothing
    const found = yield* store.beat(lease, unchanged(askedAt))
    const isFirst = beatAt === Number.NEGATIVE_INFINITY
    if (found.state === "held") {
      beatAt = askedAt
    } else if (found.state === "taken") {
      seen = nothing
      beatAt = askedAt
      // A store that knows a lease no more knows nothing of its users either.
      if (!isFirst) yield* Effect.forkIn(moveAll(lease, undefined), scope)
    } else {
      const before = lease
      lease = `${name}.${++generation}`
      beatAt = Number.NEGATIVE_INFINITY
      seen = nothing
      notes.leaseLost()
      for (const listener of listeners) listener()
      yield* Effect.logWarning(
        `This process did not renew its lease of ${leaseMs} ms in time, so it was taken for dead: its runs end as lost`
      )
      yield* Effect.forkIn(moveAll(lease, before), scope)
      return yield* renew
    }
    watch(found.others)
    if (found.claimed.length > 0) Queue.offerUnsafe(claims, found.claimed)
    return found
  })

  const renewTold: Effect.Effect<Beat, BrokerError> = renew.pipe(
    Effect.tap(() => {
      const before = failures
      failures = 0
      failure = undefined
      return before === 0 ? Effect.void : Effect.logInfo("The lease of this process is renewed again")
    }),
    Effect.tapError((error) => {
      failure = error
      notes.renewalFailed()
      return failures++ === 0 ? Effect.logWarning("The lease of this process was not renewed", error) : Effect.void
    })
  )

  const beat: Effect.Effect<Beat, BrokerError> = turn.withPermit(renewTold)

  const mayBeClaimed = (): boolean => now() - beatAt >= leaseMs

  // One try answers all who wait for it: each would take its time where the store hangs.
  const renewIfLate: Effect.Effect<unknown, BrokerError> = Effect.suspend(() => {
    const before = failures
    return turn.withPermit(Effect.suspend((): Effect.Effect<unknown, BrokerError> => {
      if (!mayBeClaimed()) return Effect.void
      return failures > before && failure !== undefined ? Effect.fail(failure) : renewTold
    }))
  })

  const enter = (user: UserId, entry: Entry): Effect.Effect<string, BrokerError> =>
    Effect.gen(function*() {
      for (let attempt = 0; attempt < 3; attempt++) {
        if (mayBeClaimed()) yield* renewIfLate
        const wanted = lease
        if (entry.under === wanted) return wanted
        const mark = ++marks
        entry.mark = mark
        if (yield* store.enter(wanted, user, mark)) {
          entry.under = wanted
          if (wanted === lease) return wanted
        } else {
          yield* beat
        }
      }
      return yield* new BrokerError({
        reason: new BrokerUnavailable({
          operation: "enter",
          afterMs: 0,
          cause: new Error("The lease of this process is lost again and again")
        })
      })
    })

  // What was appended under a lease that is no more must not be left to nobody.
  const move = (user: UserId, entry: Entry, from: string | undefined): Effect.Effect<void, BrokerError> =>
    Effect.flatMap(
      enter(user, entry),
      (to) => from === undefined || from === to ? Effect.void : store.carryOver(user, from, to)
    )

  const moveAll = (to: string, from: string | undefined): Effect.Effect<void> =>
    Effect.suspend(() => {
      for (const [user, { appends, isQuiet }] of entries) if (isQuiet && appends === 0) entries.delete(user)
      const moved = Array.from(entries)
      for (const [, entry] of moved) if (entry.under === to) entry.under = undefined
      return Effect.forEach(moved, ([user, entry]) => persist(move(user, entry, from)), {
        concurrency: usersAtOnce,
        discard: true
      })
    })

  // For as long as it takes, or until the scope closes.
  const persist = (effect: Effect.Effect<void, BrokerError>): Effect.Effect<void> =>
    Effect.orDie(Effect.retry(effect, Schedule.spaced(failurePauseMs)))

  const hold: Leases["hold"] = (user, append) =>
    Effect.suspend(() => {
      let entry = entries.get(user)
      if (entry === undefined) {
        entry = { mark: 0, under: undefined, appends: 0, isQuiet: false, usedAt: 0 }
        entries.set(user, entry)
      }
      const own = entry
      own.appends++
      own.isQuiet = false
      const quiet = (): void => {
        if (own.appends === 1) own.isQuiet = true
      }
      let under: string | undefined
      const appending = Effect.flatMap(enter(user, own), (found) => {
        under = found
        return append(found, quiet)
      })
      return Effect.onExit(appending, () => {
        own.appends--
        own.usedAt = now()
        return under === undefined || under === lease
          ? Effect.void
          : Effect.asVoid(Effect.forkIn(persist(move(user, own, under)), scope))
      })
    })

  // Entries of users without runs go after a while: many come back at once.
  const tidy = Effect.gen(function*() {
    const lookedAt = now()
    const gone: Array<readonly [UserId, number]> = []
    const doubtful: Array<readonly [UserId, Entry]> = []
    for (const [user, entry] of entries) {
      if (entry.appends > 0 || lookedAt - entry.usedAt < leaseMs) continue
      // Nothing was appended under it.
      if (entry.under === undefined) entries.delete(user)
      if (entry.under !== lease) continue
      if (entry.isQuiet) gone.push([user, entry.mark])
      else if (lookedAt - entry.usedAt >= patience * leaseMs && doubtful.length < looksPerBeat) {
        doubtful.push([user, entry])
      }
      if (gone.length === entriesPerCall) break
    }
    for (const [user] of gone) entries.delete(user)
    if (gone.length > 0) yield* store.leave(lease, gone)
    for (const [user, entry] of doubtful) {
      entry.usedAt = lookedAt
      if (!(yield* store.hasRuns(user, lease)) && entry.appends === 0) entry.isQuiet = true
    }
  })

  // One beat, and how long until the next.
  const keep: Effect.Effect<number> = beat.pipe(
    // Where tidying fails, an entry is left over, and does no harm.
    Effect.andThen(Effect.ignore(tidy)),
    Effect.map(() => Math.min(beatMs, Math.max(nextOverMs(), failurePauseMs))),
    Effect.orElseSucceed(() => failurePauseMs)
  )

  const endRunsOf = (over: string): Effect.Effect<number, BrokerError> =>
    Effect.gen(function*() {
      let ended = 0
      while (true) {
        const users = yield* store.usersOf(over)
        const done: Array<UserId> = []
        yield* Effect.forEach(users, (user) =>
          Effect.map(store.endRuns(user, over), (count) => {
            ended += count
            notes.runsEnded(count)
            done.push(user)
          }).pipe(
            Effect.catchCause((cause) =>
              Effect.logWarning(`The runs of user ${user} are not ended yet, though their process died`, cause)
            )
          ), { concurrency: usersAtOnce, discard: true })
        if (yield* store.finish(over, done)) return ended
        // The next beat tries again.
        if (done.length === 0) return ended
      }
    })

  const endClaimed = Effect.flatMap(
    Queue.take(claims),
    (claimed) =>
      Effect.forEach(claimed, (over) =>
        endRunsOf(over).pipe(
          Effect.tap((ended) =>
            ended === 0
              ? Effect.void
              : Effect.logWarning(`The process ${over} died, and ${ended} runs of it were ended as lost`)
          ),
          // One that cannot be ended keeps no other waiting; the next beat tells of it again.
          Effect.catchCause((cause) =>
            Effect.logError(`The runs of the process ${over}, which died, are not ended yet`, cause)
          )
        ), { discard: true })
  )

  // Before the fibers, so that it comes after them. What has runs left runs out by itself, and another ends them.
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      const quiet = Array.from(entries).filter(([, { appends, isQuiet }]) => isQuiet && appends === 0)
      for (let start = 0; start < quiet.length; start += entriesPerCall) {
        yield* store.leave(lease, quiet.slice(start, start + entriesPerCall).map(([user, { mark }]) => [user, mark]))
      }
      yield* store.release(lease)
    }).pipe(Effect.ignore, Effect.timeoutOption(options.lease))
  )

  const supervise = (what: string, loop: Effect.Effect<unknown, BrokerError>) =>
    Effect.forever(loop).pipe(
      Effect.tapCause((cause) => Effect.logError(what, cause)),
      Effect.sandbox,
      Effect.retry(Schedule.spaced(failurePauseMs)),
      Effect.forkScoped
    )
  yield* supervise("Keeping the lease of this process failed, and goes on", Effect.flatMap(keep, Effect.sleep))
  yield* supervise("Ending the runs of a process that died failed, and goes on", endClaimed)
  return {
    hold,
    isCertain: () => !mayBeClaimed(),
    makeCertain: Effect.asVoid(renewIfLate),
    whenLost: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => void listeners.add(listener)),
        () => Effect.sync(() => void listeners.delete(listener))
      )
  }
})
