/**
 * The circuit breakers in front of a broker: one, or one for each part of it
 * that fails apart from the others.
 *
 * With a single breaker, a shard that is down would keep the users of all others
 * from their broker.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type { Domains } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as CircuitBreaker from "./CircuitBreaker.ts"

/**
 * - `of` gives the breaker that a user's events pass.
 * - `within` are those of a domain, or all of them.
 * - `all` are all of them. The only one is called `broker`, one of several
 *   `broker/` and the name of its domain.
 *
 * @category models
 * @since 0.1.0
 */
export interface BrokerBreakers {
  readonly of: (user: UserId) => CircuitBreaker.CircuitBreaker
  readonly within: (domain: string | undefined) => ReadonlyArray<CircuitBreaker.CircuitBreaker>
  readonly all: NonEmptyReadonlyArray<CircuitBreaker.CircuitBreaker>
}

/**
 * The names that breakers of these domains have.
 *
 * @category conversions
 * @since 0.1.0
 */
export const namesOf = (domains: Domains | undefined): ReadonlyArray<string> =>
  domains === undefined ? ["broker"] : domains.names.map(nameOf)

const nameOf = (domain: string): string => `broker/${domain}`

/**
 * Makes the breakers of a broker, one for each of its domains.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  domains: Domains | undefined,
  options: CircuitBreaker.Options,
  onTransition: (transition: CircuitBreaker.Transition) => void
): Effect.fn.Return<BrokerBreakers> {
  if (domains === undefined) {
    const only = yield* CircuitBreaker.make("broker", options, onTransition)
    return { of: () => only, within: () => [only], all: [only] }
  }
  const makeOne = (name: string) => CircuitBreaker.make(nameOf(name), options, onTransition)
  const [firstName, ...otherNames] = domains.names
  const first = yield* makeOne(firstName)
  const others = yield* Effect.forEach(otherNames, makeOne)
  const byName = new Map([[firstName, first], ...others.map((one, i) => [otherNames[i] ?? "", one] as const)])
  const all: BrokerBreakers["all"] = [first, ...others]
  return {
    of: (user) => byName.get(domains.of(user)) ?? first,
    within: (domain) => domain === undefined ? all : all.filter(({ name }) => name === nameOf(domain)),
    all
  }
})
