/**
 * A delivery with everything around it that an emitting engine has: one list of pending events a user, at most one of
 * them in flight, and `exclusive`.
 */
import { Effect, Exit, Fiber, Scope, Semaphore } from "effect"
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import { DeadLetterStore } from "../../../src/emitter/fallback/DeadLetters.ts"
import * as Delivery from "../../../src/emitter/delivery/Delivery.ts"
import {
  ChannelError,
  ChannelUnavailable,
  type FallbackChannel
} from "../../../src/emitter/fallback/FallbackChannel.ts"
import type { Envelope } from "../../../src/protocol/Envelope.ts"
import type { UserId } from "../../../src/protocol/Identity.ts"
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

interface User {
  readonly id: UserId
  readonly turn: Semaphore.Semaphore
  pending: Array<Envelope>
  flying: Fiber.Fiber<Delivery.Outcome | Delivery.Divided> | undefined
  pumping: boolean
}

export class DeliveryBench {
  readonly broker: ScriptedBroker
  readonly letters: DeadLetterStore
  readonly outcomes: Array<
    { readonly batch: ReadonlyArray<Envelope>; readonly outcome: Delivery.Outcome | Delivery.Divided }
  > = []
  readonly delivery: Delivery.DeliveryPipeline
  private readonly users: Map<UserId, User>
  private readonly scope: Scope.Closeable

  private constructor(
    broker: ScriptedBroker,
    letters: DeadLetterStore,
    delivery: Delivery.DeliveryPipeline,
    users: Map<UserId, User>,
    scope: Scope.Closeable
  ) {
    this.broker = broker
    this.letters = letters
    this.delivery = delivery
    this.users = users
    this.scope = scope
  }

  static make = Effect.fnUntraced(function*(
    options: Partial<Omit<Delivery.Options, "broker" | "exclusive">> & { readonly broker?: ScriptedBroker } = {}
  ) {
    const broker = options.broker ?? new ScriptedBroker()
    const deadLetters = options.deadLetters ?? new DeadLetterStore()
    const users = new Map<UserId, User>()
    const scope = yield* Scope.fork(yield* Effect.scope)
    const delivery = yield* Delivery.make({
      ...defaults,
      channels: [],
      ...options,
      broker,
      deadLetters,
      exclusive: (user, effect) => userOf(users, user).turn.withPermit(effect)
    }).pipe(Scope.provide(scope))
    return new DeliveryBench(broker, deadLetters, delivery, users, scope)
  })

  /** Delivers one batch as the engine would, and waits for its outcome. */
  deliver(user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Effect.Effect<Delivery.Outcome | Delivery.Divided> {
    return userOf(this.users, user).turn.withPermit(this.delivery.deliver(user, batch))
  }

  /** Accepts events, and sends the user's list as soon as none is in flight. */
  emit(user: UserId, batch: ReadonlyArray<Envelope>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const state = userOf(this.users, user)
      state.pending.push(...batch)
      return state.pumping ? Effect.void : this.pump(state)
    })
  }

  /** Interrupts the delivery of this user that is in flight. */
  interrupt(user: UserId): Effect.Effect<void> {
    const { flying } = userOf(this.users, user)
    return flying === undefined ? Effect.void : Fiber.interrupt(flying)
  }

  /** As when the engine's scope closes in a hurry: all that is in flight is interrupted, what is pending is kept. */
  readonly close: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(this.users.values(), (state) => {
      const left = state.pending.splice(0)
      const keep = isReadonlyArrayNonEmpty(left) ? this.delivery.keep(state.id, left) : Effect.void
      return Effect.andThen(this.interrupt(state.id), keep)
    }, { discard: true }).pipe(Effect.andThen(Scope.close(this.scope, Exit.void)))
  )

  // The list is taken once it is its turn, outside of the delivery, so that an interruption finds one that has begun.
  private readonly pump = (state: User): Effect.Effect<void> => {
    const flight = Effect.gen({ self: this }, function*() {
      while (true) {
        const batch = state.pending.splice(0)
        if (!isReadonlyArrayNonEmpty(batch)) break
        const delivery = Effect.interruptible(this.delivery.deliver(state.id, batch))
        state.flying = yield* Effect.forkDetach(delivery, { startImmediately: true })
        const exit = yield* Fiber.await(state.flying)
        if (Exit.isSuccess(exit)) this.outcomes.push({ batch, outcome: exit.value })
      }
      state.flying = undefined
      state.pumping = false
    })
    state.pumping = true
    return Effect.asVoid(
      Effect.forkDetach(Effect.uninterruptible(state.turn.withPermit(flight)), { startImmediately: true })
    )
  }
}

const userOf = (users: Map<UserId, User>, id: UserId): User => {
  let user = users.get(id)
  if (user === undefined) {
    user = { id, turn: Semaphore.makeUnsafe(1), pending: [], flying: undefined, pumping: false }
    users.set(id, user)
  }
  return user
}
