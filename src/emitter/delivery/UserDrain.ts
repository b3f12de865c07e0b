/**
 * Gives the broker what a spool holds of one user, a turn at a time.
 *
 * A user who is well gets as much at once as a turn allows. A user whose next
 * batch is not taken, though others' are, is in trouble: then a turn is one try of
 * a part of that batch (see `Trouble`).
 *
 * An event leaves the spool only when the broker has it, or when it is kept
 * elsewhere since the broker does not take it; and it leaves before anything that
 * stands behind it is tried. So whatever ends the process in between, what is left
 * in the spool is what follows.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Broker, BrokerError } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Chunk, ChunkLimits, SpoolFailure, SpoolStore } from "../fallback/SpoolStore.ts"
import { DrainCounters } from "../observe/Counters.ts"
import { BreakerOpen, type CircuitBreaker } from "../resilience/CircuitBreaker.ts"
import * as LostRuns from "./LostRuns.ts"
import { type IsOwn, Orphans } from "./Orphans.ts"
import { Trouble } from "./Trouble.ts"
import { type Judge, OfUser, tellsOfBroker } from "./Verdict.ts"

/**
 * - `deadLetter` is told of an event that the broker never takes, `setAside` of
 *   events whose runs were ended as lost; both must keep them elsewhere.
 * - `isOwn` tells the events of this process from those of earlier ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly store: SpoolStore
  readonly broker: Pick<Broker["Service"], "append" | "endLost">
  readonly judge: Judge
  readonly isOwn: IsOwn
  readonly setAside: (user: UserId, late: ReadonlyArray<Envelope>, lost: LostRuns.Lost) => void
  readonly deadLetter: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>, cause: Cause.Cause<BrokerError>) => void
}

/**
 * For how many milliseconds a user rests after a turn, before the next.
 *
 * @category models
 * @since 0.1.0
 */
export type RestMs = number

/**
 * - `drain` is one turn of a user, behind this breaker. It must be the user's only
 *   delivery.
 * - `isInTrouble`: the broker does not take the user's next batch, and others' it
 *   does.
 * - `isDone`: nothing is left to do for the user. Then nothing of the user is
 *   remembered.
 *
 * @category models
 * @since 0.1.0
 */
export interface UserDrain {
  readonly counters: DrainCounters
  readonly drain: (breaker: CircuitBreaker, user: UserId) => Effect.Effect<RestMs, SpoolFailure>
  readonly isInTrouble: (user: UserId) => boolean
  readonly isDone: (user: UserId) => boolean
}

/**
 * Makes the drain of all users over one store.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): UserDrain => {
  const { broker, deadLetter, judge, setAside, store } = options
  const counters = new DrainCounters()
  const troubles = new Map<UserId, Trouble>()
  const orphans = new Orphans(store.users(Number.POSITIVE_INFINITY), options.isOwn)

  // Of runs that were ended as lost the broker takes nothing more; the rest it does.
  const append = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId,
    part: NonEmptyReadonlyArray<Envelope>
  ): Effect.fn.Return<Drained | OfUser, BrokerError | BreakerOpen> {
    const aside: Array<Aside> = []
    let rest: ReadonlyArray<Envelope> = part
    while (isReadonlyArrayNonEmpty(rest)) {
      const batch = rest
      const call = Effect.suspend(() => LostRuns.asAnswer(broker.append(user, batch), batch))
      const answer = yield* breaker.run(judge(user, call), tellsOfBroker)
      if (answer instanceof OfUser) {
        counters.failures++
        return answer
      }
      if (!(answer instanceof LostRuns.Lost)) break
      const divided = answer.divide(batch)
      aside.push({ events: divided.late, lost: answer })
      rest = divided.rest
    }
    counters.batches++
    counters.events += rest.length
    return { aside }
  })

  // The first part of a chunk, or all of it. What goes elsewhere is kept there before it leaves the spool: a process that
  // dies in between loses none.
  const leave = (
    user: UserId,
    chunk: Chunk,
    part: NonEmptyReadonlyArray<Envelope>,
    aside: ReadonlyArray<Aside>
  ): Effect.Effect<void, SpoolFailure> =>
    Effect.uninterruptible(Effect.suspend(() => {
      for (const one of aside) {
        if ("lost" in one) setAside(user, one.events, one.lost)
        else deadLetter(user, one.events, one.cause)
      }
      const rest = chunk.envelopes.slice(part.length)
      const left = isReadonlyArrayNonEmpty(rest) ? store.shrink(user, chunk, rest) : store.remove(user, chunk)
      return Effect.map(left, () => orphans.note(user, part))
    }))

  const failed = (breaker: CircuitBreaker, cause: Cause.Cause<BrokerError | BreakerOpen>): RestMs => {
    // Nobody rests because of a refusal: all wait for the breaker.
    if (cause.reasons.some(isRefusal)) return 0
    counters.failures++
    return Math.max(breaker.retryAfterMsUnsafe(), failureRestMs)
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

  const drainWell = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId
  ): Effect.fn.Return<RestMs, SpoolFailure> {
    let left = eventsPerTurn
    while (left > 0) {
      const chunk = yield* store.peek(user, chunkLimits)
      if (chunk === undefined) return orphans.has(user) ? yield* endOrphans(breaker, user) : (orphans.delete(user), 0)
      const exit = yield* Effect.exit(append(breaker, user, chunk.envelopes))
      if (Exit.isFailure(exit)) return failed(breaker, exit.cause)
      if (exit.value instanceof OfUser) {
        troubles.set(user, new Trouble(chunk.batches))
        return failureRestMs
      }
      yield* leave(user, chunk, chunk.envelopes, exit.value.aside)
      left -= chunk.envelopes.length
    }
    return 0
  })

  const drainTroubled = Effect.fnUntraced(function*(
    breaker: CircuitBreaker,
    user: UserId,
    trouble: Trouble
  ): Effect.fn.Return<RestMs, SpoolFailure> {
    const chunk = yield* store.peek(user, oneBatch)
    if (chunk === undefined) {
      troubles.delete(user)
      return 0
    }
    const part = trouble.part(chunk.envelopes)
    const exit = yield* Effect.exit(append(breaker, user, part))
    if (Exit.isFailure(exit)) return failed(breaker, exit.cause)
    if (exit.value instanceof OfUser) {
      const ms = trouble.failed(part)
      if (ms !== undefined) return ms
      yield* leave(user, chunk, part, [{ events: part, cause: exit.value.cause }])
    } else {
      trouble.taken()
      yield* leave(user, chunk, part, exit.value.aside)
    }
    if (part.length === chunk.envelopes.length && trouble.next()) troubles.delete(user)
    return 0
  })

  return {
    counters,
    drain: (breaker, user) =>
      Effect.suspend(() => {
        const trouble = troubles.get(user)
        return trouble === undefined ? drainWell(breaker, user) : drainTroubled(breaker, user, trouble)
      }),
    isInTrouble: (user) => troubles.has(user),
    isDone: (user) => {
      if (store.holds(user) || orphans.has(user)) return false
      troubles.delete(user)
      return true
    }
  }
}

// Events that are kept elsewhere: of runs that were ended as lost, or refused for good.
type Aside =
  | { readonly events: ReadonlyArray<Envelope>; readonly lost: LostRuns.Lost }
  | { readonly events: NonEmptyReadonlyArray<Envelope>; readonly cause: Cause.Cause<BrokerError> }

// A part of which the broker took all but these, whose runs were ended as lost.
interface Drained {
  readonly aside: ReadonlyArray<Aside>
}

const chunkLimits: ChunkLimits = { maxBatches: 256, maxEvents: 512, maxBytes: 1024 * 1024 }
const oneBatch: ChunkLimits = { maxBatches: 1, maxEvents: 1, maxBytes: 1 }

// How much of one user goes before what was emitted meanwhile gets its turn, to queue behind.
const eventsPerTurn = 4096
const failureRestMs = 100
const orphanRestMs = 5_000

const isRefusal = <E>(reason: Cause.Reason<E | BreakerOpen>): reason is Cause.Fail<BreakerOpen> =>
  Cause.isFailReason(reason) && reason.error instanceof BreakerOpen
