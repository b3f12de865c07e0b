/**
 * What every broker promises, written against its interface alone: run over each implementation.
 */
import { afterAll, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Broker } from "effect-emitter"
import { acknowledging } from "./suite/acknowledging.ts"
import { appending } from "./suite/appending.ts"
import { claiming } from "./suite/claiming.ts"
import { commanding } from "./suite/commanding.ts"
import { bounds } from "./suite/bounds.ts"
import { lateness } from "./suite/lateness.ts"
import { losing } from "./suite/losing.ts"
import { pulling } from "./suite/pulling.ts"
import { reading } from "./suite/reading.ts"
import { repeating } from "./suite/repeating.ts"
import { snapshots } from "./suite/snapshots.ts"
import { takingOver } from "./suite/takingOver.ts"
import { revoking } from "./suite/revoking.ts"
import { userLog } from "./suite/userLog.ts"
import { waking } from "./suite/waking.ts"
import { patience } from "../support/patience.ts"

/** The bounds of a user's log; what is left out is large enough not to matter. */
export interface Limits {
  readonly maxEvents?: number
  readonly maxBytes?: number
  readonly maxRuns?: number
}

export type BrokerService = Broker.Broker["Service"]

/** Defines one test over the broker under test. Brokers take real time, so tests do too. */
export type BrokerTest = <E>(
  name: string,
  body: (broker: BrokerService) => Effect.Effect<void, E, Scope.Scope>,
  limits?: Limits
) => void

/**
 * With `isShared` the tests of the same limits share one broker, since connecting takes longer than most tests: each has
 * users of its own.
 */
export const brokerSuite = <E>(
  name: string,
  makeLayer: (limits: Limits) => Layer.Layer<Broker.Broker, E>,
  { isShared = false }: { readonly isShared?: boolean } = {}
): void => {
  const scope = Scope.makeUnsafe()
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const brokers = new Map<string, BrokerService>()
  const shared = Effect.fnUntraced(function*(limits: Limits) {
    const key = JSON.stringify(limits)
    const found = brokers.get(key)
    if (found !== undefined) return found
    const made = Context.get(yield* Layer.buildWithScope(makeLayer(limits), scope), Broker.Broker)
    brokers.set(key, made)
    return made
  })

  const test: BrokerTest = (title, body, limits = {}) =>
    it.live(title, () => (isShared
      ? Effect.scoped(Effect.flatMap(shared(limits), body)).pipe(Effect.timeout(9_000 * patience))
      : Effect.flatMap(Broker.Broker, body).pipe(
        Effect.timeout(9_000 * patience),
        Effect.provide(makeLayer(limits))
      )))

  const parts: Record<string, (test: BrokerTest) => void> = {
    append: appending,
    "append, repeated": repeating,
    bounds,
    pull: pulling,
    subscribe: waking,
    read: reading,
    snapshots,
    acknowledge: acknowledging,
    endLost: losing,
    "takeOver, letGo": takingOver,
    claim: claiming,
    revoke: revoking,
    late: lateness,
    "read by a program": userLog,
    commands: commanding
  }
  for (const [part, define] of Object.entries(parts)) {
    describe(`Broker, ${name}: ${part}`, () => void define(test))
  }
}
