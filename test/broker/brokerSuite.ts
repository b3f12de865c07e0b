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

/** A broker that tests of the same limits share, and how many of them have not run yet. */
interface Shared {
  readonly scope: Scope.Closeable
  broker?: BrokerService
  left: number
}

/**
 * With `isShared` the tests of the same limits share one broker, since connecting takes longer than most tests: each has
 * users of its own. It closes after the last of them, for each broker that listens hears what all others tell.
 */
export const brokerSuite = <E>(
  name: string,
  makeLayer: (limits: Limits) => Layer.Layer<Broker.Broker, E>,
  { isShared = false }: { readonly isShared?: boolean } = {}
): void => {
  const all = new Map<string, Shared>()
  const close = ({ scope }: Shared) => Scope.close(scope, Exit.void)
  // Those of tests that were left out.
  afterAll(() => Effect.runPromise(Effect.forEach(all.values(), close)))

  const share = (limits: Limits) => {
    const key = JSON.stringify(limits)
    const shared = all.get(key) ?? { scope: Scope.makeUnsafe(), left: 0 }
    all.set(key, shared)
    shared.left++
    const broker = Effect.gen(function*() {
      return shared.broker ??= Context.get(yield* Layer.buildWithScope(makeLayer(limits), shared.scope), Broker.Broker)
    })
    return { broker, done: Effect.suspend(() => --shared.left === 0 ? close(shared) : Effect.void) }
  }

  const test: BrokerTest = (title, body, limits = {}) => {
    if (!isShared) {
      return it.live(title, () =>
        Effect.flatMap(Broker.Broker, body).pipe(
          Effect.timeout(9_000 * patience),
          Effect.provide(makeLayer(limits))
        ))
    }
    const { broker, done } = share(limits)
    it.live(
      title,
      () => Effect.scoped(Effect.flatMap(broker, body)).pipe(Effect.timeout(9_000 * patience), Effect.ensuring(done))
    )
  }

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
