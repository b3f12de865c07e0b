/**
 * A fallback channel that fails when it is told to, and shows what it took.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Broker, EmitterLayer, FallbackChannel } from "effect-emitter"
 * import { TestBroker, TestChannel } from "effect-emitter/testing"
 *
 * const program = Effect.gen(function*() {
 *   const push = yield* TestChannel.make("push")
 *   yield* push.behave("fail")
 *   const layer = EmitterLayer().pipe(
 *     FallbackChannel.provide(Effect.succeed(push)),
 *     Layer.provideMerge(TestBroker.layer(Broker.layerMemory()))
 *   )
 *   // … provide the layer to what is tested, then look at what went through the channel
 *   return yield* push.taken
 * })
 * ```
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import {
  ChannelError,
  ChannelRefused,
  ChannelUnavailable,
  type FallbackChannel
} from "../emitter/fallback/FallbackChannel.ts"
import type { Envelope } from "../protocol/wire/Envelope.ts"
import type { UserId } from "../protocol/values/Identity.ts"
import { act, type Decide, decide } from "./Fault.ts"
import type { HandedOver } from "./Delivered.ts"

/**
 * One batch that was offered to a channel: the `number`th, from 1, with its time
 * in milliseconds since the Unix epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly number: number
  readonly user: UserId
  readonly batch: NonEmptyReadonlyArray<Envelope>
  readonly at: number
}

/**
 * A channel under test.
 *
 * - `behave` says what becomes of each batch from now on.
 * - `calls` are all batches that were offered, in order; `taken` are the events
 *   of those it took.
 *
 * @category models
 * @since 0.1.0
 */
export interface TestChannel extends FallbackChannel {
  readonly behave: (decide: Decide<Call>) => Effect.Effect<void>
  readonly calls: Effect.Effect<ReadonlyArray<Call>>
  readonly taken: Effect.Effect<ReadonlyArray<HandedOver>>
}

/**
 * Puts a channel under test. Without `inner` it takes everything and keeps a
 * record; with it, what it takes goes there too, such as to a spool.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  name: string,
  inner?: FallbackChannel
): Effect.fn.Return<TestChannel> {
  const clock = yield* Clock.Clock
  const calls: Array<Call> = []
  const taken: Array<HandedOver> = []
  let current: Decide<Call> = "ok"

  const take = ({ at, batch, user }: Call) =>
    Effect.andThen(
      inner === undefined ? Effect.void : inner.deliver(user, batch),
      Effect.sync(() => {
        for (const envelope of batch) taken.push({ user, channel: name, envelope, at })
      })
    )

  return {
    name,
    ...(inner?.spool === undefined ? {} : { spool: inner.spool }),
    deliver: (user, batch) =>
      Effect.suspend(() => {
        const call: Call = { number: calls.length + 1, user, batch, at: clock.currentTimeMillisUnsafe() }
        calls.push(call)
        const refused = Effect.failSync(() =>
          new ChannelError({ channel: name, reason: new ChannelRefused({ detail: "it was told to refuse" }) })
        )
        return act(decide(current, call), {
          name: `the channel "${name}"`,
          take: Effect.uninterruptible(take(call)),
          unavailable: Effect.failSync(() =>
            new ChannelError({
              channel: name,
              reason: new ChannelUnavailable({ cause: new Error("it was told to fail") })
            })
          ),
          refused,
          rejected: refused
        })
      }),
    behave: (decide) =>
      Effect.sync(() => {
        current = decide
      }),
    calls: Effect.sync(() => [...calls]),
    taken: Effect.sync(() => [...taken])
  }
})
