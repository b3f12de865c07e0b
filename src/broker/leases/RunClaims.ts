/**
 * Who begins a run: of many that ask at once, in one process or in several, one.
 *
 * A claim is written down under its process's lease. It is given back when its scope
 * closes; one whose lease is dead is anybody's, so a process that died before it began a
 * run bars nobody from it. A process that was taken for dead and lives makes sure that its
 * claim still stands before it appends the beginning of the run.
 *
 * @since 0.2.0
 */
import { isReadonlyArrayNonEmpty } from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { Broker } from "../Broker.ts"
import { BrokerError, RunLost } from "../BrokerError.ts"
import type { Leases } from "./Leases.ts"
import type { LeaseStore } from "./LeaseStore.ts"

/**
 * Where all processes keep their claims.
 *
 * - `claim` writes a claim down under a lease, where what stands there is `over`: a lease,
 *   or nothing (`""`). It gives what stands there then, and may be repeated.
 * - `giveBack` takes away a claim that is under any lease of a process.
 *
 * @category models
 * @since 0.2.0
 */
export interface ClaimStore {
  readonly claim: (user: UserId, run: RunId, lease: string, over: string) => Effect.Effect<string, BrokerError>
  readonly giveBack: (user: UserId, run: RunId, process: string) => Effect.Effect<void, BrokerError>
}

/**
 * - `claim` is that of a broker.
 * - `confirm` makes sure, before a batch is appended under a lease, that the claims of
 *   runs which it begins still stand. It fails with `RunLost` where others have them.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunClaims extends Pick<Broker["Service"], "claim"> {
  readonly confirm: (
    user: UserId,
    batch: ReadonlyArray<Envelope>,
    lease: string
  ) => Effect.Effect<void, BrokerError>
}

// A claim of this process, and the lease that it is written down under: none before it is.
interface Own {
  readonly run: RunId
  readonly user: UserId
  lease: string | undefined
}

// No id has a space.
const keyOf = (user: UserId, run: RunId): string => `${user} ${run}`

const nothing = ""
const giveBackAgain = "1 second"

/**
 * Claims where no other process can have a run.
 *
 * @category constructors
 * @since 0.2.0
 */
export const within = (): Broker["Service"]["claim"] => {
  const claimed = new Set<string>()
  return (user, run) =>
    Effect.uninterruptible(Effect.suspend(() => {
      const key = keyOf(user, run)
      if (claimed.has(key)) return Effect.succeed(false)
      claimed.add(key)
      return Effect.as(Effect.addFinalizer(() => Effect.sync(() => claimed.delete(key))), true)
    }))
}

/**
 * Claims among processes. `node` names this one. Where what stands in the store expires,
 * it is renewed every `renewEvery`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly node: string
  readonly leases: Pick<Leases, "hold">
  readonly countOf: LeaseStore["countOf"]
  readonly store: ClaimStore
  readonly renewEvery?: Duration.Duration
}): Effect.fn.Return<RunClaims, never, Scope.Scope> {
  const { countOf, leases, node, renewEvery, store } = parts
  const scope = yield* Effect.scope
  const held = new Map<string, Own>()

  // What this process left under an earlier lease of its own is nobody's: whoever has it here is among `held`.
  const isNobodys = (lease: string): Effect.Effect<boolean, BrokerError> =>
    lease.startsWith(`${node}.`)
      ? Effect.succeed(true)
      : Effect.map(countOf(lease), (count) => count === undefined)

  const take = (own: Own): Effect.Effect<boolean, BrokerError> =>
    leases.hold(own.user, (lease) =>
      Effect.gen(function*() {
        let over = nothing
        while (true) {
          const found = yield* store.claim(own.user, own.run, lease, over)
          if (found === lease) {
            own.lease = lease
            return true
          }
          if (found !== nothing && !(yield* isNobodys(found))) return false
          over = found
        }
      }))

  // Until it is given back, it is nobody's here either.
  const giveBack = (own: Own): Effect.Effect<void> => {
    const back = Effect.map(
      store.giveBack(own.user, own.run, node),
      () => void held.delete(keyOf(own.user, own.run))
    )
    return Effect.catch(
      back,
      (error) =>
        Effect.logWarning(`That run ${own.run} of user ${own.user} is not claimed any more is not noted yet`, error)
          .pipe(
            Effect.andThen(Effect.forkIn(Effect.retry(back, Schedule.spaced(giveBackAgain)), scope)),
            Effect.asVoid
          )
    )
  }

  if (renewEvery !== undefined) {
    const renew = ({ lease, run, user }: Own) =>
      lease === undefined ? Effect.void : store.claim(user, run, lease, lease)
    // What cannot be renewed now is with the next turn.
    yield* Effect.suspend(() => Effect.forEach(Array.from(held.values()), (own) => Effect.ignore(renew(own)))).pipe(
      Effect.delay(renewEvery),
      Effect.forever,
      Effect.forkScoped
    )
  }

  return {
    claim: (user, run) =>
      Effect.uninterruptible(Effect.suspend(() => {
        const key = keyOf(user, run)
        if (held.has(key)) return Effect.succeed(false)
        const own: Own = { run, user, lease: undefined }
        held.set(key, own)
        return Effect.flatMap(Effect.onError(take(own), () => giveBack(own)), (isOurs) => {
          if (isOurs) return Effect.as(Effect.addFinalizer(() => giveBack(own)), true)
          held.delete(key)
          return Effect.succeed(false)
        })
      })),
    confirm: (user, batch, lease) =>
      Effect.suspend(() => {
        if (held.size === 0) return Effect.void
        const moved = batch.flatMap(({ run, type }) => {
          const own = run !== undefined && RunEvents.isStart(type) ? held.get(keyOf(user, run)) : undefined
          return own?.lease === undefined || own.lease === lease ? [] : [{ own, from: own.lease }]
        })
        if (moved.length === 0) return Effect.void
        return Effect.gen(function*() {
          const lost: Array<RunId> = []
          for (const { from, own } of moved) {
            if ((yield* store.claim(user, own.run, lease, from)) === lease) own.lease = lease
            else lost.push(own.run)
          }
          if (isReadonlyArrayNonEmpty(lost)) return yield* new BrokerError({ reason: new RunLost({ runs: lost }) })
        })
      })
  }
})
