/**
 * Records what a program emits and what becomes of it, so that the promises can
 * be checked on it.
 *
 * `layer` stands around the layer of an engine: programs use it as they would
 * use that one. What runs and tool calls emit by themselves is seen where it
 * arrives, in the broker's log; what the program emits is recorded here.
 *
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { Effect, Layer } from "effect"
 * import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
 * import { Promises, Recorder, TestBroker } from "effect-emitter/testing"
 * import { TestClock } from "effect/testing"
 *
 * const answer = Effect.gen(function*() {
 *   const emitter = yield* Emitter.Emitter
 *   yield* emitter.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "Hello" }))
 *   yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "is that all?" }))
 * }).pipe(Emitter.run({ agentName: "greeter" }), Effect.provide(Emitter.layerUser({ userId: "ada" })))
 *
 * const layer = Recorder.layer(EmitterLayer()).pipe(Layer.provideMerge(TestBroker.layer(Broker.layerMemory())))
 *
 * it.effect("answers in order, though the broker is away for a moment", () =>
 *   Effect.gen(function*() {
 *     const broker = yield* TestBroker.TestBroker
 *     yield* broker.behave("fail")
 *     yield* Effect.forkChild(answer)
 *     yield* TestClock.adjust("1 second")
 *     yield* broker.behave("ok")
 *     yield* TestClock.adjust("10 seconds")
 *
 *     const trace = yield* Recorder.trace
 *     assert.deepStrictEqual(trace.logs.map(({ event }) => event.type), [
 *       "agent_started",
 *       "text_delta",
 *       "agent_thinking",
 *       "agent_completed"
 *     ])
 *     yield* Promises.assertKept(trace)
 *   }).pipe(Effect.provide(layer)))
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type DeadLetter, DeadLetters } from "../emitter/fallback/DeadLetters.ts"
import {
  type EmitError,
  type EmitOptions,
  Emitter,
  Emitters,
  type Receipt,
  type RunOptions
} from "../emitter/Emitter.ts"
import type { Stats } from "../emitter/observe/Stats.ts"
import type { Event } from "../protocol/event/Event.ts"
import type { UserId } from "../protocol/values/Identity.ts"
import type { HandedOver, Logged } from "./Delivered.ts"
import { type Call, TestBroker } from "./TestBroker.ts"
import type { TestChannel } from "./TestChannel.ts"

/**
 * One event that was emitted: the `number`th, from 1, by the `emitter`th emitter
 * that was made. `at` and `endedAt` are when `emit` was called and when it ended,
 * in milliseconds since the Unix epoch; `before` is how many calls had ended by
 * then. `outcome` is there once the call has ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Emitted {
  readonly number: number
  readonly emitter: number
  readonly user: UserId
  readonly event: Event
  readonly at: number
  readonly before: number
  readonly endedAt: number | undefined
  readonly endedAs: number | undefined
  readonly outcome: Exit.Exit<Receipt, EmitError> | undefined
}

/**
 * All that is known of what a program emitted.
 *
 * - `emitted`: the calls, in order;
 * - `logs`: what users' logs took, each user's in order, and `calls`: the appends
 *   that were asked for;
 * - `handedOver`: what the channels took that were given to `trace`;
 * - `deadLetters` and `stats`: those of the engine;
 * - `isClosed`: whether the engine's layer had closed, and `callsAtClose`: how
 *   many appends had been asked for by then.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trace {
  readonly emitted: ReadonlyArray<Emitted>
  readonly logs: ReadonlyArray<Logged>
  readonly calls: ReadonlyArray<Call>
  readonly handedOver: ReadonlyArray<HandedOver>
  readonly deadLetters: ReadonlyArray<DeadLetter>
  readonly stats: Stats
  readonly isClosed: boolean
  readonly callsAtClose: number | undefined
}

/**
 * The record of an engine. `trace` is what is known now; it may also be asked
 * for after the engine's layer has closed.
 *
 * @category services
 * @since 0.1.0
 */
export class Recorder extends Context.Service<Recorder, {
  readonly trace: (channels?: ReadonlyArray<TestChannel>) => Effect.Effect<Trace>
}>()("effect-emitter/testing/Recorder") {}

/**
 * What is known now, with what these channels took.
 *
 * @category operations
 * @since 0.1.0
 */
export const traceWith = (channels: ReadonlyArray<TestChannel>): Effect.Effect<Trace, never, Recorder> =>
  Effect.flatMap(Recorder, (recorder) => recorder.trace(channels))

/**
 * What is known now.
 *
 * @category operations
 * @since 0.1.0
 */
export const trace: Effect.Effect<Trace, never, Recorder> = traceWith([])

const make = Effect.fnUntraced(function*<E, R>(engine: Layer.Layer<Emitters | DeadLetters, E, R>) {
  const broker = yield* TestBroker
  const clock = yield* Clock.Clock
  let callsAtClose: number | undefined
  // Added before the engine is built, so that it runs when that has closed.
  yield* Effect.addFinalizer(() =>
    Effect.map(broker.calls, (calls) => {
      callsAtClose = calls.length
    })
  )
  const built = yield* Layer.build(engine)
  const inner = Context.get(built, Emitters)
  const deadLetters = Context.get(built, DeadLetters)
  const emitted: Array<{ -readonly [K in keyof Emitted]: Emitted[K] }> = []
  let emitters = 0
  let ended = 0

  const recordCall = (
    emitter: number,
    user: UserId,
    event: Event,
    call: Effect.Effect<Receipt, EmitError>
  ): Effect.Effect<Receipt, EmitError> =>
    Effect.suspend(() => {
      const record: (typeof emitted)[number] = {
        number: emitted.length + 1,
        emitter,
        user,
        event,
        at: clock.currentTimeMillisUnsafe(),
        before: ended,
        endedAt: undefined,
        endedAs: undefined,
        outcome: undefined
      }
      emitted.push(record)
      return Effect.onExit(call, (exit) =>
        Effect.sync(() => {
          record.outcome = exit
          record.endedAt = clock.currentTimeMillisUnsafe()
          record.endedAs = ++ended
        }))
    })

  const recording = (service: Emitter["Service"], number: number): Emitter["Service"] => {
    const { context: { userId } } = service
    return {
      context: service.context,
      emit: (event: Event, options: EmitOptions = {}) =>
        recordCall(number, userId, event, service.emit(event, options)),
      emitConfirmed: (event, options) =>
        Effect.flatMap(
          recordCall(
            number,
            userId,
            { ...event, delivery: "critical" },
            Effect.map(service.emitConfirmed(event, options), (position) => ({ _tag: "Appended", position }))
          ),
          (receipt) =>
            receipt._tag === "Appended" ? Effect.succeed(receipt.position) : Effect.die("a confirmed event is appended")
        ),
      run: dual(
        (args) => Effect.isEffect(args[0]),
        <A, E, R>(self: Effect.Effect<A, E, R>, options: RunOptions<A, E>) =>
          service.run(
            Effect.flatMap(Emitter, (child) => Effect.provideService(self, Emitter, recording(child, number))),
            options
          )
      ),
      tool: service.tool,
      toolCall: service.toolCall,
      ask: service.ask,
      commands: service.commands,
      usage: service.usage,
      snapshot: service.snapshot
    }
  }

  const emittersService = Emitters.of({
    forUser: (context) => Effect.map(inner.forUser(context), (service) => recording(service, ++emitters)),
    attach: (context) => Effect.map(inner.attach(context), (service) => recording(service, ++emitters)),
    stats: inner.stats
  })
  const recorder = Recorder.of({
    trace: Effect.fnUntraced(function*(channels = []): Effect.fn.Return<Trace> {
      const logs = yield* broker.logs
      return {
        emitted: emitted.map((record) => ({ ...record })),
        logs: [...logs.values()].flat(),
        calls: yield* broker.calls,
        handedOver: (yield* Effect.forEach(channels, ({ taken }) => taken)).flat(),
        deadLetters: yield* deadLetters.list(),
        stats: yield* inner.stats,
        isClosed: callsAtClose !== undefined,
        callsAtClose
      }
    })
  })
  return Context.make(Emitters, emittersService).pipe(
    Context.add(DeadLetters, deadLetters),
    Context.add(Recorder, recorder)
  )
})

/**
 * The same engine, recorded.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  engine: Layer.Layer<Emitters | DeadLetters, E, R>
): Layer.Layer<Emitters | DeadLetters | Recorder, E, Exclude<R, Scope.Scope> | TestBroker> =>
  Layer.effectContext(make(engine))

/**
 * The receipt of a call that succeeded.
 *
 * @category getters
 * @since 0.1.0
 */
export const receiptOf = ({ outcome }: Emitted): Receipt | undefined =>
  outcome === undefined ? undefined : Option.getOrUndefined(Exit.getSuccess(outcome))
