/**
 * Appends a user's batch to the broker's log, behind retries and a circuit breaker.
 *
 * Nothing that comes of it is a failure to its caller: each try ends in an answer,
 * also one that is interrupted. A first try that succeeds pays for no retry.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Broker, BrokerError } from "../../broker/Broker.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { Reason, Trigger } from "../fallback/DeadLetters.ts"
import { AppendCounters } from "../observe/Counters.ts"
import type { BrokerBreakers } from "../resilience/BrokerBreakers.ts"
import * as CircuitBreaker from "../resilience/CircuitBreaker.ts"
import * as LostRuns from "./LostRuns.ts"
import type { Appended } from "./Outcome.ts"
import * as Retry from "../resilience/Retry.ts"
import * as Verdict from "./Verdict.ts"

/**
 * The broker did not take the batch, and that says nothing of the batch: the
 * broker failed, its breaker refused the call, or the try was interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export class NotTaken {
  readonly trigger: Extract<Trigger, "brokerFailed" | "breakerOpen" | "interrupted">
  readonly reasons: () => ReadonlyArray<Reason>

  constructor(trigger: NotTaken["trigger"], cause: () => Reason["cause"]) {
    this.trigger = trigger
    // Most often nobody asks: a spool takes the batch.
    this.reasons = () => [{ outlet: "broker", cause: cause() }]
  }
}

/**
 * What the broker did with a batch: it has it, some of its runs were ended as
 * lost, it does not take it from this user, or it was not asked to the end.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer = Appended | LostRuns.Lost | Verdict.OfUser | NotTaken

/**
 * - `append` tries until there is an answer. It must be run where nothing can
 *   interrupt it; what takes time in it can be interrupted all the same.
 * - `appendUnsafe` appends within the call, where the broker can do that and its
 *   breaker is closed; else it does nothing and gives `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Appender {
  readonly counters: AppendCounters
  readonly append: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Answer>
  readonly appendUnsafe: ((user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Appended | undefined) | undefined
}

/**
 * Makes an appender over a broker and its breakers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly broker: Pick<Broker["Service"], "append" | "appendUnsafe">
  readonly breakers: BrokerBreakers
  readonly judge: Verdict.Judge
  readonly retry: Retry.Options
}): Appender => {
  const { breakers, broker, judge, retry } = options
  const counters = new AppendCounters()

  const count = (batch: NonEmptyReadonlyArray<Envelope>): void => {
    counters.batches++
    counters.events += batch.length
  }

  const appended = (batch: NonEmptyReadonlyArray<Envelope>, position: Position): Exit.Exit<Answer> => {
    count(batch)
    return Exit.succeed({ _tag: "Appended", position })
  }

  // A broker that throws instead of failing must not break the promise that there is always an answer.
  const call = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Effect.Effect<Position, BrokerError> => {
    try {
      return broker.append(user, batch)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  const onRetry = (): void => {
    counters.failures++
    counters.retries++
  }

  const interrupted = (
    breaker: CircuitBreaker.CircuitBreaker,
    permit: CircuitBreaker.Permit,
    cause: Cause.Cause<BrokerError>
  ): Exit.Exit<Answer> => {
    breaker.releaseUnsafe(permit)
    return Exit.succeed(new NotTaken("interrupted", () => cause))
  }

  const retried = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    breaker: CircuitBreaker.CircuitBreaker,
    permit: CircuitBreaker.Permit,
    cause: Cause.Cause<BrokerError>
  ): Effect.Effect<Answer> => {
    if (Cause.hasInterruptsOnly(cause)) return interrupted(breaker, permit, cause)
    const again = Effect.suspend(() => LostRuns.asAnswer(call(user, batch), batch))
    const judged = judge(user, Retry.afterFailure(again, retry, cause, onRetry, Verdict.isForGood))
    return Effect.matchCauseEffect(Effect.interruptible(judged), {
      onSuccess: (answer) => {
        if (answer instanceof Verdict.OfUser) {
          breaker.releaseUnsafe(permit)
          counters.failures++
          return Exit.succeed<Answer>(answer)
        }
        breaker.settleUnsafe(permit, true)
        return answer instanceof LostRuns.Lost ? Exit.succeed<Answer>(answer) : appended(batch, answer)
      },
      onFailure: (last) => {
        if (Cause.hasInterruptsOnly(last)) return interrupted(breaker, permit, last)
        counters.failures++
        breaker.settleUnsafe(permit, false)
        return Exit.succeed<Answer>(new NotTaken("brokerFailed", () => last))
      }
    })
  }

  const refusal = (breaker: CircuitBreaker.CircuitBreaker): NotTaken => {
    const retryAfterMs = breaker.retryAfterMsUnsafe()
    return new NotTaken(
      "breakerOpen",
      () => Cause.fail(new CircuitBreaker.BreakerOpen({ breaker: breaker.name, retryAfterMs }))
    )
  }

  // The way of nearly every batch: no generator, no fiber, and nothing made but what the answer needs.
  const append: Appender["append"] = (user, batch) => {
    const breaker = breakers.of(user)
    const permit = breaker.admitUnsafe()
    if (permit === undefined) return Exit.succeed(refusal(breaker))
    return Effect.matchCauseEffect(Effect.interruptible(call(user, batch)), {
      onSuccess: (position) => {
        breaker.settleUnsafe(permit, true)
        return appended(batch, position)
      },
      onFailure: (cause): Effect.Effect<Answer> => {
        const lost = LostRuns.find(cause, batch)
        if (lost === undefined) return retried(user, batch, breaker, permit, cause)
        breaker.settleUnsafe(permit, true)
        return Exit.succeed(lost)
      }
    })
  }

  const { appendUnsafe } = broker
  return {
    counters,
    append,
    appendUnsafe: appendUnsafe === undefined ? undefined : (user, batch) => {
      const breaker = breakers.of(user)
      const permit = breaker.admitClosedUnsafe()
      const position = permit === undefined ? undefined : appendUnsafe(user, batch)
      if (permit === undefined || position === undefined) return undefined
      breaker.settleUnsafe(permit, true)
      count(batch)
      return { _tag: "Appended", position }
    }
  }
}
