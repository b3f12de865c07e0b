/**
 * Gives what a spool holds back to the broker, each user's events in order.
 *
 * It waits until something is spooled and the broker's circuit breaker lets a
 * call through, the probe included. Where a broker has several breakers, each
 * has its own lanes of users, so that one that stays open holds up no others. A
 * user is drained while nothing else of this user is being delivered, so events
 * that come meanwhile stay behind. A batch leaves the spool only when the broker
 * has it, or has refused it for good.
 *
 * A user whose next batch is not taken, though others' are, is in trouble, and
 * costs no other user anything: it settles no breaker, has a lane of its own, and
 * waits between its tries while others are drained. After a few tries its batch is
 * halved until the event is alone that the broker does not take. That becomes a
 * dead letter, and what stands behind it goes on.
 *
 * When the broker was away and takes events again, it is told of each user who
 * still has something in the spool: their events are late.
 *
 * What an earlier process left belongs to runs that nobody runs any more: those
 * that are active when their user has nothing left in the spool end as lost.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Broker, BrokerError } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/Envelope.ts"
import type { UserId } from "../../protocol/Identity.ts"
import type { BrokerBreakers } from "../resilience/BrokerBreakers.ts"
import { BreakerOpen, type CircuitBreaker } from "../resilience/CircuitBreaker.ts"
import type { DeliveryCounters } from "../observe/DeliveryStats.ts"
import * as LostRuns from "./LostRuns.ts"
import { Orphans } from "./Orphans.ts"
import type { Chunk, ChunkLimits, SpoolFailure, SpoolStore } from "../fallback/SpoolStore.ts"
import { type Aside, Trouble } from "./Trouble.ts"
import { type Judge, OfUser, tellsOfBroker } from "./Verdict.ts"

/**
 * What a drainer works with. `deadLetter` is told of an event that the broker never
 * takes, `setAside` of events whose runs were ended as lost; both must keep them
 * elsewhere. `isOwn` tells the sources of this process from those of earlier ones.
 * `name` tells this engine from others that may hold events of a user.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name: string
  readonly store: SpoolStore
  readonly breakers: BrokerBreakers
  readonly broker: Pick<Broker["Service"], "append" | "endLost" | "late">
  readonly judge: Judge
  readonly isOwn: (source: string) => boolean
  readonly setAside: (user: UserId, late: ReadonlyArray<Envelope>, lost: LostRuns.Lost) => void
  readonly exclusive: <A, E>(user: UserId, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly deadLetter: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>, cause: Cause.Cause<BrokerError>) => void
  readonly counters: DeliveryCounters
}

/**
 * - `wake`: something of this user was spooled.
 * - `hurry`: what waits for this breaker has reason to try at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpoolDrainer {
  readonly wake: (user: UserId) => void
  readonly hurry: (breaker: CircuitBreaker) => void
}

// Who is next, those who wait longest first.
interface Lane {
  readonly users: Set<UserId>
  readonly work: Latch.Latch
}

// All who wait for one breaker. A user is in one lane, or is served, or rests between two tries.
interface Queue {
  readonly breaker: CircuitBreaker
  readonly well: Lane
  readonly troubled: Lane
  readonly busy: Set<UserId>
  /** Opened for a moment when there is reason not to wait any longer. */
  readonly hurried: Latch.Latch
}

// For how many milliseconds a user that was served must rest before it is served again, if it has anything left.
type RestMs = number

/**
 * Starts draining, with what the store holds already. It ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<SpoolDrainer, never, Scope.Scope> {
  const { breakers, broker, counters, exclusive, deadLetter, judge, setAside, store } = options
  const scope = yield* Effect.scope
  const queues = new Map<CircuitBreaker, Queue>(breakers.all.map((breaker) => [breaker, makeQueue(breaker)]))
  const troubles = new Map<UserId, Trouble>()
  const orphans = new Orphans(store.users(Number.POSITIVE_INFINITY), options.isOwn)
  // Of whom the broker was told that they are late.
  const late = new Set<UserId>()

  // Of runs that were ended as lost the broker takes nothing more; the rest it does.
  const appendPart = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId,
    part: NonEmptyReadonlyArray<Envelope>
  ): Effect.fn.Return<Drained | OfUser, BrokerError | BreakerOpen> {
    const aside: Array<Aside> = []
    let rest: ReadonlyArray<Envelope> = part
    while (isReadonlyArrayNonEmpty(rest)) {
      const batch = rest
      const append = Effect.suspend(() => LostRuns.asAnswer(broker.append(user, batch), batch))
      const answer = yield* breaker.run(judge(user, append), tellsOfBroker)
      if (answer instanceof OfUser) return answer
      if (!(answer instanceof LostRuns.Lost)) break
      const divided = answer.divide(batch)
      aside.push({ events: divided.late, lost: answer })
      rest = divided.rest
    }
    return { aside, taken: rest.length }
  })

  const noteTaken = ({ taken }: Drained): void => {
    counters.appendedBatches++
    counters.appendedEvents += taken
    counters.drainedEvents += taken
  }

  // What goes elsewhere is kept there before it leaves the spool: a process that dies in between loses none.
  const leave = (user: UserId, chunk: Chunk, aside: ReadonlyArray<Aside>): Effect.Effect<void, SpoolFailure> =>
    Effect.uninterruptible(Effect.suspend(() => {
      for (const one of aside) {
        if ("lost" in one) setAside(user, one.events, one.lost)
        else deadLetter(user, one.events, one.cause)
      }
      return Effect.map(store.remove(user, chunk), () => orphans.note(user, chunk.envelopes))
    }))

  const failed = (breaker: CircuitBreaker, cause: Cause.Cause<BrokerError | BreakerOpen>): RestMs => {
    // Whoever was only refused stays where it is; all wait for the breaker.
    if (cause.reasons.some(isRefusal)) return 0
    counters.appendFailures++
    return Math.max(breaker.retryAfterMsUnsafe(), failurePauseMs)
  }

  const endOrphans = Effect.fnUntraced(function*(breaker: CircuitBreaker, user: UserId): Effect.fn.Return<RestMs> {
    const end = judge(user, Effect.suspend(() => broker.endLost(user, orphans.of(user))))
    const exit = yield* Effect.exit(breaker.run(end, tellsOfBroker))
    if (Exit.isFailure(exit)) return failed(breaker, exit.cause)
    if (exit.value instanceof OfUser) {
      yield* Effect.logError(`Runs of user ${user} that were left in the spool cannot be ended`, exit.value.cause)
      return orphanRestMs
    }
    orphans.delete(user)
    counters.lostRuns += exit.value
    return 0
  })

  // A user who is well: as much at once as a turn allows.
  const drainWell = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId
  ): Effect.fn.Return<RestMs, SpoolFailure> {
    let left = eventsPerTurn
    while (left > 0) {
      const chunk = yield* store.peek(user, chunkLimits)
      if (chunk === undefined) return orphans.has(user) ? yield* endOrphans(breaker, user) : (orphans.delete(user), 0)
      const exit = yield* Effect.exit(appendPart(breaker, user, chunk.envelopes))
      if (Exit.isFailure(exit)) return failed(breaker, exit.cause)
      if (exit.value instanceof OfUser) {
        counters.appendFailures++
        troubles.set(user, new Trouble(chunk.batches))
        return failurePauseMs
      }
      noteTaken(exit.value)
      yield* leave(user, chunk, exit.value.aside)
      left -= chunk.envelopes.length
    }
    return 0
  })

  // A user in trouble: one try of a part of its next batch.
  const drainTroubled = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId,
    trouble: Trouble
  ): Effect.fn.Return<RestMs, SpoolFailure> {
    const chunk = yield* store.peek(user, oneBatch)
    const part = chunk === undefined ? [] : trouble.part(chunk.envelopes)
    if (chunk !== undefined && isReadonlyArrayNonEmpty(part)) {
      const exit = yield* Effect.exit(appendPart(breaker, user, part))
      if (Exit.isFailure(exit)) return failed(breaker, exit.cause)
      if (exit.value instanceof OfUser) {
        counters.appendFailures++
        const ms = trouble.failed(part, exit.value.cause)
        if (!trouble.isThrough(chunk.envelopes)) return ms
      } else {
        noteTaken(exit.value)
        trouble.taken(part, exit.value.aside)
        if (!trouble.isThrough(chunk.envelopes)) return 0
      }
    }
    if (chunk !== undefined) yield* leave(user, chunk, trouble.collect())
    if (chunk === undefined || trouble.next()) troubles.delete(user)
    return 0
  })

  const serve = (breaker: CircuitBreaker, user: UserId): Effect.Effect<RestMs> =>
    exclusive(
      user,
      Effect.suspend(() => {
        const trouble = troubles.get(user)
        return trouble === undefined ? drainWell(breaker, user) : drainTroubled(breaker, user, trouble)
      })
    ).pipe(
      Effect.catch((failure) =>
        Effect.as(Effect.logError(`The spool of user ${user} cannot be drained`, failure), spoolFailurePauseMs)
      )
    )

  const enter = (queue: Queue, user: UserId): void => {
    const lane = troubles.has(user) ? queue.troubled : queue.well
    lane.users.add(user)
    lane.work.openUnsafe()
  }

  const announceLate = (user: UserId, forMs: number): Effect.Effect<void> =>
    Effect.suspend(() => Effect.ignore(broker.late?.(user, options.name, forMs) ?? Effect.void))

  // Nobody serves the user any more: who still has something to drain stands last.
  const release = (queue: Queue, user: UserId): Effect.Effect<void> =>
    Effect.suspend(() => {
      queue.busy.delete(user)
      if (store.holds(user) || orphans.has(user)) {
        enter(queue, user)
        return Effect.void
      }
      troubles.delete(user)
      // Whether that is heard of or not: what is late no more is there.
      return late.delete(user) ? Effect.asVoid(Effect.forkIn(announceLate(user, 0), scope)) : Effect.void
    })

  const pause = (queue: Queue, ms: number): Effect.Effect<unknown> => Effect.timeoutOption(queue.hurried.await, ms)

  const rest = (queue: Queue, user: UserId, ms: RestMs): Effect.Effect<void> =>
    Effect.asVoid(Effect.forkIn(Effect.ensuring(pause(queue, ms), release(queue, user)), scope))

  // Who is in trouble tells little of the broker, and leaves the probe to others.
  const isKept = ({ breaker, troubled, well }: Queue, lane: Lane): boolean =>
    lane === troubled && breaker.admissionUnsafe() === "probe" && well.users.size > 0

  const work = (queue: Queue, lane: Lane): Effect.Effect<never> =>
    Effect.gen(function*() {
      while (true) {
        const [user] = lane.users
        if (user === undefined) {
          lane.work.closeUnsafe()
          yield* lane.work.await
          continue
        }
        const { breaker } = queue
        if (breaker.admissionUnsafe() === "refuse" || isKept(queue, lane)) {
          yield* pause(queue, Math.max(breaker.retryAfterMsUnsafe(), probePauseMs))
          continue
        }
        lane.users.delete(user)
        queue.busy.add(user)
        yield* serve(breaker, user).pipe(
          Effect.onExit((exit) =>
            Exit.isSuccess(exit) && exit.value > 0 ? rest(queue, user, exit.value) : release(queue, user)
          )
        )
      }
    })

  // In the order in which they wait; who was drained meanwhile is not late.
  const announce = (breaker: CircuitBreaker): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.forEach(
        store.users(Number.POSITIVE_INFINITY).filter((user) => breakers.of(user) === breaker),
        (user) =>
          Effect.suspend(() => {
            if (!store.holds(user)) return Effect.void
            late.add(user)
            return announceLate(user, lateForMs)
          }),
        { concurrency: announcedAtOnce, discard: true }
      )
    )

  const wake = (user: UserId): void => {
    const queue = queues.get(breakers.of(user))
    if (queue !== undefined && !queue.busy.has(user)) enter(queue, user)
  }

  for (const user of store.users(Number.POSITIVE_INFINITY)) wake(user)
  const goingOn = (loop: Effect.Effect<unknown>) =>
    loop.pipe(
      Effect.catchCause((cause) =>
        Effect.andThen(Effect.logError("The spool's drainer died and starts again", cause), Effect.sleep("1 second"))
      ),
      Effect.forever,
      Effect.forkScoped
    )
  for (const queue of queues.values()) {
    for (let n = 0; n < usersAtOnce; n++) yield* goingOn(work(queue, queue.well))
    for (let n = 0; n < troubledAtOnce; n++) yield* goingOn(work(queue, queue.troubled))
    if (broker.late === undefined) continue
    yield* queue.breaker.transitions.pipe(
      Stream.runForEach(({ event }) => event === "closed" ? announce(queue.breaker) : Effect.void),
      goingOn
    )
  }

  return {
    wake,
    hurry: (breaker) => {
      const queue = queues.get(breaker)
      queue?.hurried.openUnsafe()
      queue?.hurried.closeUnsafe()
    }
  }
})

// What became of a part: how many events the broker took, and those of lost runs.
interface Drained {
  readonly aside: ReadonlyArray<Aside>
  readonly taken: number
}

const makeLane = (): Lane => ({ users: new Set(), work: Latch.makeUnsafe() })

const makeQueue = (breaker: CircuitBreaker): Queue => ({
  breaker,
  well: makeLane(),
  troubled: makeLane(),
  busy: new Set(),
  hurried: Latch.makeUnsafe()
})

const chunkLimits: ChunkLimits = { maxBatches: 256, maxEvents: 512, maxBytes: 1024 * 1024 }
const oneBatch: ChunkLimits = { maxBatches: 1, maxEvents: 1, maxBytes: 1 }

// How much of one user goes before what was emitted meanwhile gets its turn, to queue behind.
const eventsPerTurn = 4096
const usersAtOnce = 8
const troubledAtOnce = 2
const announcedAtOnce = 64
// How long a user is late at most, as far as it is known here: as long as a device waits for it.
const lateForMs = 60_000
// The least time between two tries: while another's probe is under way, after a failure, after one of the disk.
const probePauseMs = 20
const failurePauseMs = 100
const spoolFailurePauseMs = 1_000
const orphanRestMs = 5_000

const isRefusal = <E>(reason: Cause.Reason<E | BreakerOpen>): reason is Cause.Fail<BreakerOpen> =>
  Cause.isFailReason(reason) && reason.error instanceof BreakerOpen
