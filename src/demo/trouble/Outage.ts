/**
 * A broker that can be taken away for a while, to show what the rest does then: emitters go over to their spool, devices
 * keep their connections and are told that events may be late, and both go on where they were once it is back.
 */
import { Clock, Context, Duration, Effect, Layer, Schedule } from "effect"
import { Broker } from "../../index.ts"

/**
 * - `begin` takes the broker away for so long.
 * - `isUnder` tells whether it is away.
 */
export class Outage extends Context.Service<Outage, {
  readonly begin: (time: Duration.Duration) => Effect.Effect<void>
  readonly isUnder: Effect.Effect<boolean>
}>()("effect-emitter/demo/Outage") {}

/** Begins with a broker that is there. */
export const layer: Layer.Layer<Outage> = Layer.sync(Outage, () => {
  let until = 0
  return {
    begin: (time) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        until = now + Duration.toMillis(time)
      }),
    isUnder: Effect.map(Clock.currentTimeMillis, (now) => now < until)
  }
})

/** The broker underneath, as long as it is not away. */
export const broker: Layer.Layer<Broker.Broker, never, Broker.Broker | Outage> = Layer.effect(
  Broker.Broker,
  Effect.gen(function*() {
    // A plain call cannot be refused, so all appends go the other way.
    const { appendUnsafe: _, subscribeUnscoped: __, ...inner } = yield* Broker.Broker
    const { isUnder } = yield* Outage
    const readers = new Set<(news?: Broker.Signal) => void>()
    let wasUnder = false
    const tell = Effect.map(isUnder, (away) => {
      if (away === wasUnder) return
      wasUnder = away
      for (const wake of readers) wake(away ? "down" : "up")
    })
    yield* Effect.forkScoped(Effect.repeat(tell, Schedule.spaced("100 millis")))
    const guard = (operation: string) => <A, R>(effect: Effect.Effect<A, Broker.BrokerError, R>) =>
      Effect.flatMap(isUnder, (away) =>
        away
          ? Effect.fail(
            new Broker.BrokerError({
              reason: new Broker.BrokerUnavailable({ operation, afterMs: 0, cause: "taken away by the operator" })
            })
          )
          : effect)
    return {
      ...inner,
      append: (user, batch) => guard("append")(inner.append(user, batch)),
      canary: () => guard("canary")(Effect.void),
      subscribe: (user, wake) =>
        Effect.andThen(
          Effect.acquireRelease(Effect.sync(() => readers.add(wake)), () => Effect.sync(() => readers.delete(wake))),
          guard("subscribe")(inner.subscribe(user, wake))
        ),
      pull: (user, after, limits) => guard("pull")(inner.pull(user, after, limits)),
      head: (user) => guard("head")(inner.head(user)),
      snapshots: (user, since, recent) => guard("snapshots")(inner.snapshots(user, since, recent)),
      snapshot: (user, run) => guard("snapshot")(inner.snapshot(user, run))
    }
  })
)
