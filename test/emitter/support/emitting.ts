/**
 * Programs that emit through a whole layer over a broker under test, and what they look at.
 */
import { type Duration, Effect, Fiber, Layer } from "effect"
import { Broker, EmitterConfig, EmitterLayer, FallbackChannel } from "effect-emitter"
import { type Delivered, TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"

export interface Setting {
  readonly config?: EmitterConfig.Options
  readonly broker?: Parameters<typeof Broker.layerMemory>[0]
  /** None by default: what the broker does not take is a dead letter. */
  readonly channels?: ReadonlyArray<FallbackChannel.FallbackChannel>
}

/** The engine over a memory broker under test. */
export const layer = ({ broker, channels = [], config }: Setting = {}) =>
  EmitterLayer(config).pipe(
    FallbackChannel.provide(...channels.map((_) => Effect.succeed(_))),
    Layer.provideMerge(TestBroker.layer(Broker.layerMemory(broker)))
  )

export { note, urgent } from "./events.ts"

/** What left, in short: the type and the encoded payload. */
export const shown = (log: ReadonlyArray<Delivered.Logged>) => log.map(({ event }) => [event.type, event.data])

/** The data of notes that left, in order. */
export const notes = (log: ReadonlyArray<Delivered.Logged>) => log.map(({ event }) => event.data["data"])

/** Forks an effect, lets time pass, and gives what it ended with by then. */
export const within = <A, E, R>(duration: Duration.Input, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* TestClock.adjust(duration)
    return yield* Fiber.join(fiber)
  })
