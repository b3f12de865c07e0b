/**
 * Gives what a spool holds back to the broker, each user's events in order.
 *
 * It waits until something is spooled and the broker's circuit breaker lets a
 * call through, the probe included. Where a broker has several breakers, each
 * has its own queue of users, so that one that stays open holds up no others. A
 * user is drained while nothing else of
 * this user is being delivered, so events that come meanwhile stay behind. A
 * batch leaves the spool only when the broker has it; one that made the broker
 * die several times in a row is given up, so that it cannot keep its user
 * waiting for ever.
 *
 * What an earlier process left belongs to runs that nobody runs any more: those
 * that are active when their user has nothing left in the spool end as lost.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { Broker, BrokerError } from "../broker/Broker.ts"
import type { Envelope } from "../protocol/Envelope.ts"
import type { RunId, UserId } from "../protocol/Identity.ts"
import * as RunState from "../protocol/RunState.ts"
import type { BrokerBreakers } from "./BrokerBreakers.ts"
import { BreakerOpen, type CircuitBreaker } from "./CircuitBreaker.ts"
import type { DeliveryCounters } from "./DeliveryStats.ts"
import * as LostRuns from "./LostRuns.ts"
import type { Chunk, ChunkLimits, SpoolFailure, SpoolStore } from "./SpoolStore.ts"

/**
 * What a drainer works with. `giveUp` is told of a batch that the broker died
 * of, `setAside` of events whose runs were ended as lost; both must keep them
 * elsewhere. `isOwn` tells the sources of this process from those of earlier ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly store: SpoolStore
  readonly breakers: BrokerBreakers
  readonly append: Broker["Service"]["append"]
  readonly endLost: Broker["Service"]["endLost"]
  readonly isOwn: (source: string) => boolean
  readonly setAside: (user: UserId, late: ReadonlyArray<Envelope>, lost: LostRuns.Lost) => void
  readonly exclusive: <A, E>(user: UserId, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly giveUp: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>, cause: Cause.Cause<BrokerError>) => void
  readonly counters: DeliveryCounters
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SpoolDrainer {
  /** Something of this user was spooled. */
  readonly wake: (user: UserId) => void
}

// Who waits for one breaker, those who wait longest first. A user is taken out before it is drained.
interface Queue {
  readonly breaker: CircuitBreaker
  readonly users: Set<UserId>
  readonly work: Latch.Latch
}

/**
 * Starts draining, with what the store holds already. It ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<SpoolDrainer, never, Scope.Scope> {
  const { append, breakers, counters, endLost, exclusive, giveUp, setAside, store } = options
  const queues = new Map<CircuitBreaker, Queue>(
    breakers.all.map((breaker) => [breaker, { breaker, users: new Set(), work: Latch.makeUnsafe() }])
  )
  // Users whose next batches made the broker die, with how often in a row. Theirs then go one by one, to find the guilty.
  const deaths = new Map<UserId, number>()
  const orphans = new Orphans(store.users(Number.POSITIVE_INFINITY), options.isOwn)

  const bury = Effect.fnUntraced(function*(
    user: UserId,
    chunk: Chunk,
    cause: Cause.Cause<BrokerError>
  ): Effect.fn.Return<void, SpoolFailure> {
    const died = (deaths.get(user) ?? 0) + 1
    deaths.set(user, died)
    if (died < maxDeaths) return
    yield* Effect.uninterruptible(Effect.andThen(
      // They are kept elsewhere before they leave the spool: a process that dies in between loses none.
      Effect.sync(() => giveUp(user, chunk.envelopes, cause)),
      Effect.andThen(store.remove(user, chunk), Effect.sync(() => deaths.delete(user)))
    ))
  })

  // Of runs that were ended as lost the broker takes nothing more; the rest it does.
  const appendChunk = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId,
    envelopes: NonEmptyReadonlyArray<Envelope>
  ): Effect.fn.Return<Drained, BrokerError | BreakerOpen> {
    const late: Array<Drained["late"][number]> = []
    let rest: ReadonlyArray<Envelope> = envelopes
    while (isReadonlyArrayNonEmpty(rest)) {
      const batch = rest
      const answer = yield* breaker.run(Effect.suspend(() => LostRuns.asAnswer(append(user, batch), batch)))
      if (!(answer instanceof LostRuns.Lost)) break
      const divided = answer.divide(batch)
      late.push({ events: divided.late, lost: answer })
      rest = divided.rest
    }
    return { late, taken: rest.length }
  })

  const endOrphans = (user: UserId): Effect.Effect<Drained, BrokerError> =>
    Effect.map(Effect.suspend(() => endLost(user, orphans.of(user))), (ended) => {
      orphans.delete(user)
      counters.lostRuns += ended
      return { late: [], taken: 0 }
    })

  // Returns how long to wait before the next try, in milliseconds; 0 when the broker took all it was given.
  const drainSome = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId
  ): Effect.fn.Return<number, SpoolFailure> {
    let left = eventsPerTurn
    while (left > 0) {
      const chunk = yield* store.peek(user, deaths.has(user) ? oneBatch : chunkLimits)
      if (chunk === undefined && !orphans.has(user)) {
        orphans.delete(user)
        return 0
      }
      const exit = yield* Effect.exit(
        chunk === undefined ? breaker.run(endOrphans(user)) : appendChunk(breaker, user, chunk.envelopes)
      )
      if (Exit.isSuccess(exit)) {
        if (chunk === undefined) return 0
        const { late, taken } = exit.value
        yield* Effect.uninterruptible(Effect.andThen(
          Effect.sync(() => {
            for (const { events, lost } of late) setAside(user, events, lost)
          }),
          store.remove(user, chunk)
        ))
        orphans.note(user, chunk.envelopes)
        deaths.delete(user)
        counters.appendedBatches++
        counters.appendedEvents += taken
        counters.drainedEvents += taken
        left -= chunk.envelopes.length
        continue
      }
      const refusal = exit.cause.reasons.find(isRefusal)
      if (refusal !== undefined) return Math.max(refusal.error.retryAfterMs, probePauseMs)
      counters.appendFailures++
      if (chunk !== undefined && Cause.hasDies(exit.cause)) yield* bury(user, chunk, withoutRefusals(exit.cause))
      return Math.max(breaker.retryAfterMsUnsafe(), failurePauseMs)
    }
    return 0
  })

  const drain = (breaker: CircuitBreaker, user: UserId): Effect.Effect<number> =>
    Effect.suspend(() => {
      // Others may have found out meanwhile that the broker does not answer.
      if (breaker.outlookUnsafe() === "refuse") {
        return Effect.succeed(Math.max(breaker.retryAfterMsUnsafe(), probePauseMs))
      }
      return exclusive(user, drainSome(breaker, user)).pipe(
        Effect.catch((failure) =>
          Effect.as(Effect.logError(`The spool of user ${user} cannot be drained`, failure), spoolFailurePauseMs)
        )
      )
    })

  const loop = (queue: Queue) =>
    Effect.gen(function*() {
      while (true) {
        queue.work.closeUnsafe()
        const users = takeSome(queue.users)
        if (users.length === 0) {
          yield* queue.work.await
          continue
        }
        const waits = yield* Effect.forEach(users, (user) => drain(queue.breaker, user), {
          concurrency: usersAtOnce
        }).pipe(Effect.ensuring(Effect.sync(() => {
          for (const user of users) if (store.holds(user) || orphans.has(user)) queue.users.add(user)
        })))
        const wait = Math.max(...waits)
        if (wait > 0) yield* Effect.sleep(Duration.millis(wait))
      }
    })

  const wake = (user: UserId): void => {
    const queue = queues.get(breakers.of(user))
    queue?.users.add(user)
    queue?.work.openUnsafe()
  }

  for (const user of store.users(Number.POSITIVE_INFINITY)) wake(user)
  for (const queue of queues.values()) {
    yield* loop(queue).pipe(
      Effect.catchCause((cause) =>
        Effect.andThen(Effect.logError("The spool's drainer died and starts again", cause), Effect.sleep("1 second"))
      ),
      Effect.forever,
      Effect.forkScoped
    )
  }

  return { wake }
})

// What became of a chunk: how many events the broker took, and those of lost runs.
interface Drained {
  readonly late: ReadonlyArray<{ readonly events: ReadonlyArray<Envelope>; readonly lost: LostRuns.Lost }>
  readonly taken: number
}

/** The runs that were drained without an ending, and whose process is gone. */
class Orphans {
  // Only what was there at the beginning can be an earlier process's.
  private readonly inherited: Set<UserId>
  private readonly isOwn: (source: string) => boolean
  private readonly runs = new Map<UserId, Set<RunId>>()

  constructor(inherited: ReadonlyArray<UserId>, isOwn: (source: string) => boolean) {
    this.inherited = new Set(inherited)
    this.isOwn = isOwn
  }

  note(user: UserId, drained: ReadonlyArray<Envelope>): void {
    if (!this.inherited.has(user)) return
    const runs = this.runs.get(user) ?? new Set()
    for (const { run, source, type } of drained) {
      if (run === undefined) continue
      if (this.isOwn(source) || RunState.isTerminal(type)) runs.delete(run)
      else runs.add(run)
    }
    if (runs.size > 0) this.runs.set(user, runs)
    else this.runs.delete(user)
  }

  has(user: UserId): boolean {
    return this.runs.has(user)
  }

  of(user: UserId): ReadonlyArray<RunId> {
    return [...this.runs.get(user) ?? []]
  }

  delete(user: UserId): void {
    this.runs.delete(user)
    this.inherited.delete(user)
  }
}

const takeSome = (users: Set<UserId>): ReadonlyArray<UserId> => {
  const taken: Array<UserId> = []
  for (const user of users) {
    if (taken.length === usersPerRound) break
    users.delete(user)
    taken.push(user)
  }
  return taken
}

const chunkLimits: ChunkLimits = { maxBatches: 256, maxEvents: 512, maxBytes: 1024 * 1024 }
const oneBatch: ChunkLimits = { maxBatches: 1, maxEvents: 1, maxBytes: 1 }

// How much of one user goes before what was emitted meanwhile gets its turn, to queue behind.
const eventsPerTurn = 4096
const usersPerRound = 64
const usersAtOnce = 8
const maxDeaths = 5
// The least time between two tries: while another's probe is under way, after a failure, after one of the disk.
const probePauseMs = 20
const failurePauseMs = 100
const spoolFailurePauseMs = 1_000

const isRefusal = <E>(reason: Cause.Reason<E | BreakerOpen>): reason is Cause.Fail<BreakerOpen> =>
  Cause.isFailReason(reason) && reason.error instanceof BreakerOpen

const withoutRefusals = <E>(cause: Cause.Cause<E | BreakerOpen>): Cause.Cause<E> =>
  Cause.fromReasons(cause.reasons.filter((reason): reason is Cause.Reason<E> => !isRefusal(reason)))
