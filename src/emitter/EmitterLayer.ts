/**
 * Builds what emits: turns and outboxes of users, the delivery, the dispatcher over
 * it, the acceptor over that, and the emitters over all.
 *
 * `EmitterLayer(options)` takes plain options. `EmitterLayer.layerConfig()` reads
 * the same from the environment (`EMITTER_PROFILE`, …), and
 * `EmitterLayer.layerConfig({ … })` from the `Config` of each field. Both need a
 * `Broker`, fail with a `ConfigError` that lists every problem, and start nothing
 * before. When the layer's scope closes,
 * active runs end as `cancelled` and what is pending is delivered within
 * `closeTimeout`.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { AgentEvents, Broker, Emitter, EmitterLayer, Emitters } from "effect-emitter"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const emitters = yield* Emitters
 *   const emitter = yield* emitters.forUser({ userId: "ada" })
 *   return yield* emitter.emit(AgentEvents.Custom.make({ name: "hello", data: null }))
 * })).pipe(Effect.provide(EmitterLayer({ profile: "lowLatency" }).pipe(Layer.provide(Broker.layerMemory()))))
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker } from "../broker/Broker.ts"
import * as Endings from "../broker/Endings.ts"
import type { ConfigError } from "../protocol/settings/ConfigError.ts"
import * as Names from "../protocol/values/Names.ts"
import * as Monotonic from "../protocol/values/Monotonic.ts"
import { Acceptor } from "./accept/Acceptor.ts"
import * as Confirmation from "./accept/Confirmation.ts"
import * as LoggedRun from "./accept/LoggedRun.ts"
import * as TraceContext from "./accept/TraceContext.ts"
import * as Delivery from "./delivery/Delivery.ts"
import * as Dispatcher from "./dispatch/Dispatcher.ts"
import { Outbox } from "./dispatch/Outbox.ts"
import * as BoundEmitter from "./BoundEmitter.ts"
import { Emitters } from "./Emitter.ts"
import * as EmitterConfig from "./EmitterConfig.ts"
import { DeadLetters } from "./fallback/DeadLetters.ts"
import { DeadLetterStore } from "./fallback/DeadLetterStore.ts"
import { Channels } from "./fallback/Channel.ts"
import * as Spool from "./fallback/Spool.ts"
import * as Alerts from "./observe/Alerts.ts"
import * as Metrics from "./observe/Metrics.ts"
import * as Attachment from "./run/Attachment.ts"
import * as CommandReceiver from "./run/CommandReceiver.ts"
import * as Spans from "./run/Spans.ts"
import { type BreakerState, type Stats, view } from "./observe/Stats.ts"
import { Reporter } from "./run/Reporting.ts"
import { Turns } from "./user/Turns.ts"

// Each part needs only those before it. What is made first ends last: the dispatcher closes while its delivery still works.
const build = Effect.fnUntraced(function*(config: EmitterConfig.EmitterConfig) {
  const broker = yield* Broker
  const clock = yield* Clock.Clock
  const isTraced = yield* Effect.withFiber((fiber) => Effect.succeed(TraceContext.isTraced(fiber)))
  const startedAt = Monotonic.millisUnsafe(clock)
  const alert = yield* Alerts.Current
  // Names the layer among all that there are, so that a count tells its emitters apart.
  const name = yield* Names.next
  const outboxes = new Turns((user) => new Outbox(user, config))
  const delivery = yield* Delivery.make({
    name,
    broker,
    // What is emitted once for its key is named alike by all processes.
    isOwn: (user, { run, source }) =>
      source.startsWith(name) || (run !== undefined && outboxes.find(user)?.runs.isActive(run) === true),
    onRunsLost: (user, runs) => outboxes.find(user)?.runs.lose(runs),
    retry: config.retry,
    breaker: {
      failures: config.breaker.failures,
      openFor: { first: config.breaker.openFor, cap: config.breaker.maxOpenFor }
    },
    channels: (yield* Channels) ?? [yield* Spool.memory()],
    deadLetters: new DeadLetterStore(),
    exclusive: outboxes.exclusive,
    ...(alert === undefined ? {} : { alert })
  })
  const attachment = yield* Attachment.make({ broker, outboxes, isLate: delivery.isLate })
  const dispatcher = yield* Dispatcher.make({
    config,
    readers: broker.readers,
    delivery: config.spans && isTraced ? Spans.ofDelivery(delivery) : delivery,
    outboxes,
    observeWait: yield* Metrics.observeWait
  })
  const acceptor = new Acceptor(dispatcher, clock, config.lifecycle)
  const reporter = new Reporter(acceptor, clock, config.spans)
  const stats = Effect.zipWith(
    delivery.stats,
    statesOf(delivery.breakers),
    (delivered, breakers): Stats =>
      view(acceptor.counters, dispatcher.counters, reporter.counters, {
        delivery: delivered,
        breakers,
        users: outboxes.size,
        pending: dispatcher.pending,
        uptimeMs: Monotonic.elapsedUnsafe(clock, startedAt)
      })
  )
  const emitters = BoundEmitter.make({
    name,
    config,
    dispatcher,
    acceptor,
    confirm: Confirmation.make(acceptor, dispatcher, broker),
    reporter,
    snapshots: broker.snapshots,
    takeUp: LoggedRun.make(broker),
    attachment,
    stats
  })
  yield* Endings.register(broker, dispatcher.close)
  yield* broker.watchLost?.((user, runs) => outboxes.find(user)?.runs.lose(new Set(runs))) ?? Effect.void
  if (broker.commands !== undefined) {
    yield* broker.commands.receive(CommandReceiver.make({
      runsOf: (user) => outboxes.find(user)?.runs,
      broker,
      cancelTimeout: config.cancelTimeout,
      scope: yield* Effect.scope
    }))
  }
  yield* Metrics.publish(stats)
  return Context.make(Emitters, emitters).pipe(Context.add(DeadLetters, delivery.deadLetters))
})

const breakerStates = { Closed: "closed", Open: "open", HalfOpen: "halfOpen" } as const

const statesOf = (
  breakers: Delivery.DeliveryPipeline["breakers"]
): Effect.Effect<Readonly<Record<string, BreakerState>>> =>
  Effect.map(
    Effect.forEach(breakers, ({ name, state }) => Effect.map(state, ({ _tag }) => [name, breakerStates[_tag]])),
    (states) => Object.fromEntries(states)
  )

const fromOptions = (
  options: EmitterConfig.Options = {}
): Layer.Layer<Emitters | DeadLetters, ConfigError, Broker> =>
  Layer.effectContext(Effect.flatMap(EmitterConfig.decode(options), build))

const fromConfig = (
  options: Config.Wrap<EmitterConfig.Options> = EmitterConfig.config
): Layer.Layer<Emitters | DeadLetters, ConfigError, Broker> =>
  Layer.effectContext(Effect.flatMap(EmitterConfig.read(options), build))

/**
 * Gives `Emitters`, and the `DeadLetters` of the same layer.
 *
 * `FallbackChannel.provide` and `OperatorAlert.provide` change what the layer does
 * with events that the broker does not take.
 *
 * A program may have two of them, each made by a call of its own. Both give the same
 * services, so each is provided to the part of the program that is meant to use it:
 * where both are merged, the later one is taken. Each has outboxes, circuit breakers,
 * fallback channels and dead letters of its own. The events of a user that go through
 * two layers come in the order in which the broker takes them, so a user whose order
 * matters has one layer. In the metrics the counters of both are added up, and a gauge
 * shows the layer that published last.
 *
 * @category layers
 * @since 0.1.0
 */
export const EmitterLayer: {
  (
    options?: EmitterConfig.Options
  ): Layer.Layer<Emitters | DeadLetters, ConfigError, Broker>
  /** The same, with options from `Config`: from the environment where none is given. */
  readonly layerConfig: (
    options?: Config.Wrap<EmitterConfig.Options>
  ) => Layer.Layer<Emitters | DeadLetters, ConfigError, Broker>
} = Object.assign(fromOptions, { layerConfig: fromConfig })
