/**
 * Finds out whose trouble a failed append is: the user's, whose next batch will
 * fail as well whoever else is served, or the broker's, which all users share.
 *
 * Most failures say it themselves (see `Blame`); a defect is the user's. What is
 * undecided, such as a call without an answer, is the user's if the broker's canary
 * succeeds meanwhile, and else the broker's. While many ask at once, one canary
 * answers them all.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type Broker, BrokerError } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * An append failed, and the trouble is this user's alone. It is an answer like any
 * other to whoever asks how the broker is.
 *
 * @category models
 * @since 0.1.0
 */
export class OfUser {
  readonly cause: Cause.Cause<BrokerError>

  constructor(cause: Cause.Cause<BrokerError>) {
    this.cause = cause
  }
}

/**
 * Gives `OfUser` where the failure of the user's append is the user's trouble, and
 * fails as the append did where it is the broker's.
 *
 * @category models
 * @since 0.1.0
 */
export type Judge = <A>(user: UserId, append: Effect.Effect<A, BrokerError>) => Effect.Effect<A | OfUser, BrokerError>

/**
 * `domainOf` names the part of the broker that keeps a user's log.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (canary: Broker["Service"]["canary"], domainOf: (user: UserId) => string): Judge => {
  const asking = new Map<string, Deferred.Deferred<boolean>>()

  const ask = (user: UserId, isWell: NonNullable<Broker["Service"]["canary"]>): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const domain = domainOf(user)
      const under = asking.get(domain)
      if (under !== undefined) return Deferred.await(under)
      const answer = Deferred.makeUnsafe<boolean>()
      asking.set(domain, answer)
      return Effect.suspend(() => isWell(user)).pipe(
        Effect.timeout(deadlineMs),
        Effect.exit,
        Effect.map(({ _tag }) => _tag === "Success"),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            asking.delete(domain)
            Deferred.doneUnsafe(answer, Effect.succeed(exit._tag === "Success" && exit.value))
          })
        )
      )
    })

  return (user, append) =>
    Effect.catchCause(append, (cause): Effect.Effect<OfUser, BrokerError> => {
      const blame = blameOf(cause)
      if (blame === "user") return Effect.succeed(new OfUser(cause))
      if (blame === "broker" || canary === undefined) return Effect.failCause(cause)
      return Effect.flatMap(
        ask(user, canary),
        (isWell) => isWell ? Effect.succeed(new OfUser(cause)) : Effect.failCause(cause)
      )
    })
}

/**
 * Whether the failure says that trying again is in vain.
 *
 * @category checks
 * @since 0.1.0
 */
export const isForGood = (cause: Cause.Cause<unknown>): boolean => blameOf(cause) === "user"

/**
 * For a breaker: whether an outcome tells of the health of what it guards.
 *
 * @category checks
 * @since 0.1.0
 */
export const tellsOfBroker = (exit: Exit.Exit<unknown, unknown>): boolean =>
  !(Exit.isSuccess(exit) && exit.value instanceof OfUser)

const blameOf = (cause: Cause.Cause<unknown>): "user" | "broker" | "undecided" => {
  if (Cause.hasInterrupts(cause)) return "broker"
  const blames = cause.reasons.map((reason) =>
    Cause.isFailReason(reason) && reason.error instanceof BrokerError ? reason.error.blame : "user"
  )
  return blames.find((blame) => blame === "broker") ?? blames.find((blame) => blame === "undecided") ?? "user"
}

// A canary without an answer is none; brokers have deadlines of their own, which are shorter.
const deadlineMs = 1_000
