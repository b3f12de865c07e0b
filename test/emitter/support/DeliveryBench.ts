/**
 * A delivery of real parts, over a broker that does what it is told: the turns and outboxes of users, the delivery, and
 * the dispatcher over it. What is emitted are envelopes that are written already, so that a test knows them.
 */
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { DeadLetterStore } from "../../../src/emitter/fallback/DeadLetterStore.ts"
import * as Delivery from "../../../src/emitter/delivery/Delivery.ts"
import * as Dispatcher from "../../../src/emitter/dispatch/Dispatcher.ts"
import { Outbox } from "../../../src/emitter/dispatch/Outbox.ts"
import * as EmitterConfig from "../../../src/emitter/EmitterConfig.ts"
import {
  ChannelError,
  ChannelUnavailable,
  type FallbackChannel
} from "../../../src/emitter/fallback/FallbackChannel.ts"
import type { Envelope } from "../../../src/protocol/wire/Envelope.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { Turns } from "../../../src/emitter/user/Turns.ts"
import { ScriptedBroker } from "./ScriptedBroker.ts"

export const defaults = {
  name: "bench",
  isOwn: () => true,
  onRunsLost: () => {},
  retry: { attempts: 1, base: "1 millis", cap: "5 millis" },
  breaker: { failures: 3, openFor: { first: "1 second", cap: "10 seconds" } }
} as const

/** A channel that takes or refuses as told, and shows what it took. */
export class ScriptedChannel implements FallbackChannel {
  readonly name: string
  behaviour: "ok" | "fail" | "die" | "hang" = "ok"
  calls = 0
  readonly taken: Array<{ readonly user: UserId; readonly envelope: Envelope }> = []

  constructor(name: string) {
    this.name = name
  }

  readonly deliver = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Effect.Effect<void, ChannelError> =>
    Effect.suspend(() => {
      this.calls++
      switch (this.behaviour) {
        case "ok":
          this.taken.push(...batch.map((envelope) => ({ user, envelope })))
          return Effect.void
        case "fail": {
          const reason = new ChannelUnavailable({ cause: new Error(`${this.name} is down`) })
          return Effect.fail(new ChannelError({ channel: this.name, reason }))
        }
        case "die":
          return Effect.die(new Error(`a bug in ${this.name}`))
        case "hang":
          return Effect.never
      }
    })
}

export class DeliveryBench {
  readonly broker: ScriptedBroker
  readonly letters: DeadLetterStore
  readonly delivery: Delivery.DeliveryPipeline
  private readonly outboxes: Turns<Outbox>
  private readonly dispatcher: Dispatcher.Dispatcher
  private readonly settings: EmitterConfig.TierSettings
  private readonly flying: ReadonlyMap<UserId, Fiber.Fiber<unknown, unknown>>
  /** As when the engine's scope closes in a hurry: all that is in flight is interrupted, what is pending is kept. */
  readonly close: Effect.Effect<void>

  private constructor(parts: {
    readonly broker: ScriptedBroker
    readonly letters: DeadLetterStore
    readonly delivery: Delivery.DeliveryPipeline
    readonly outboxes: Turns<Outbox>
    readonly dispatcher: Dispatcher.Dispatcher
    readonly settings: EmitterConfig.TierSettings
    readonly flying: ReadonlyMap<UserId, Fiber.Fiber<unknown, unknown>>
    readonly scope: Scope.Closeable
  }) {
    this.broker = parts.broker
    this.letters = parts.letters
    this.delivery = parts.delivery
    this.outboxes = parts.outboxes
    this.dispatcher = parts.dispatcher
    this.settings = parts.settings
    this.flying = parts.flying
    this.close = Scope.close(parts.scope, Exit.void)
  }

  static make = Effect.fnUntraced(function*(
    options: Partial<Omit<Delivery.Options, "broker" | "exclusive">> & { readonly broker?: ScriptedBroker } = {}
  ) {
    const broker = options.broker ?? new ScriptedBroker()
    const letters = options.deadLetters ?? new DeadLetterStore()
    const settings = yield* Effect.orDie(EmitterConfig.decode({}))
    const outboxes = new Turns((user) => new Outbox(user, settings))
    const scope = yield* Scope.fork(yield* Effect.scope)
    const flying = new Map<UserId, Fiber.Fiber<unknown, unknown>>()
    const delivery = yield* Delivery.make({
      ...defaults,
      channels: [],
      ...options,
      broker,
      deadLetters: letters,
      exclusive: outboxes.exclusive
    }).pipe(Scope.provide(scope))
    const dispatcher = yield* Dispatcher.make({
      config: { ...settings, closeTimeout: Duration.zero },
      readers: () => Effect.succeed(1),
      delivery: {
        ...delivery,
        deliver: (user, batch) =>
          Effect.withFiber((fiber) => {
            flying.set(user, fiber)
            return delivery.deliver(user, batch)
          })
      },
      outboxes,
      observeWait: () => {}
    }).pipe(Scope.provide(scope))
    return new DeliveryBench({ broker, letters, delivery, outboxes, dispatcher, settings, flying, scope })
  })

  /** Delivers one batch in its user's turn, and waits for its outcome. */
  deliver(
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>
  ): Effect.Effect<Delivery.Outcome | Delivery.Divided> {
    return this.outboxes.exclusive(user, this.delivery.deliver(user, batch))
  }

  /** Accepts events, and sends the user's list as soon as none is in flight. */
  emit(user: UserId, batch: ReadonlyArray<Envelope>): Effect.Effect<void> {
    return Effect.sync(() => {
      const outbox = this.outboxes.find(user) ?? this.dispatcher.hold(user, this.settings)
      for (const envelope of batch) {
        outbox.push({ ...envelope, merging: undefined, isApart: false, onReceipt: undefined })
      }
      this.dispatcher.flush(outbox)
    })
  }

  /** Interrupts the delivery of this user that is in flight. */
  interrupt(user: UserId): Effect.Effect<void> {
    const fiber = this.flying.get(user)
    return fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
  }
}
