/**
 * A broker that fails when it is told to: it wraps any other, and shows all that
 * was asked of it and all that it keeps.
 *
 * Otherwise it keeps a broker's promises, since the one it wraps does. It has no
 * `appendUnsafe`, so that every append can be made to fail.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { AgentEvents, Broker, EmitterLayer, Emitters } from "effect-emitter"
 * import { TestBroker } from "effect-emitter/testing"
 *
 * const program = Effect.gen(function*() {
 *   const broker = yield* TestBroker.TestBroker
 *   const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
 *
 *   yield* broker.behave("fail")
 *   const receipt = yield* ada.emit(AgentEvents.Custom.make({ name: "hello", data: null }))
 *   return { receipt, log: yield* broker.log(ada.context.userId) }
 * })
 *
 * const layer = EmitterLayer().pipe(Layer.provideMerge(TestBroker.layer(Broker.layerMemory())))
 * const runnable = Effect.scoped(Effect.provide(program, layer))
 * ```
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import {
  Broker,
  BrokerError,
  BrokerRefused,
  BrokerUnavailable,
  type Commands,
  type PullLimits,
  type SentCommand
} from "../broker/Broker.ts"
import type { Outcome } from "../protocol/command/Command.ts"
import type { Envelope } from "../protocol/wire/Envelope.ts"
import { EventId, UserId } from "../protocol/values/Identity.ts"
import type { Position } from "../protocol/values/Position.ts"
import { act, type Decide, decide } from "./Fault.ts"
import { fromEntry, type Logged } from "./Delivered.ts"

/**
 * One append that was asked for: the `number`th, from 1, with its time in
 * milliseconds since the Unix epoch. `outcome` is there once it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly number: number
  readonly user: UserId
  readonly batch: NonEmptyReadonlyArray<Envelope>
  readonly at: number
  readonly endedAt: number | undefined
  readonly outcome: Exit.Exit<Position, BrokerError> | undefined
}

/**
 * One command that was sent: the `number`th, from 1, with its time in milliseconds
 * since the Unix epoch. `exit` is there once it has an outcome, or failed.
 *
 * @category models
 * @since 0.2.0
 */
export interface CommandCall {
  readonly number: number
  readonly user: UserId
  readonly command: SentCommand
  readonly at: number
  readonly exit: Exit.Exit<Outcome, BrokerError> | undefined
}

/**
 * The controls of a broker under test.
 *
 * - `behave` says what becomes of each append from now on, until it is called
 *   again. It is asked once for each append, when that begins. To refuse one user
 *   for good, let it give `reject` for calls of that user. It is also asked for
 *   each canary (see `Broker`), as for an append of the user `canary`.
 * - `behaveOnCommands` says the same of each command that is sent; where it does not
 *   take one, that one never reaches its run.
 * - `calls` are all appends that were asked for, in order; `commandCalls` all commands.
 * - `log` is what a user's log has taken since the broker was made, in order;
 *   `logs` the same of all users. Events that the log has dropped meanwhile stay
 *   in this record.
 *
 * @category services
 * @since 0.1.0
 */
export class TestBroker extends Context.Service<TestBroker, {
  readonly behave: (decide: Decide<Call>) => Effect.Effect<void>
  readonly behaveOnCommands: (decide: Decide<CommandCall>) => Effect.Effect<void>
  readonly calls: Effect.Effect<ReadonlyArray<Call>>
  readonly commandCalls: Effect.Effect<ReadonlyArray<CommandCall>>
  readonly log: (user: UserId) => Effect.Effect<ReadonlyArray<Logged>>
  readonly logs: Effect.Effect<ReadonlyMap<UserId, ReadonlyArray<Logged>>>
}>()("effect-emitter/testing/TestBroker") {}

interface Record {
  readonly items: Array<Logged>
  readonly turn: Semaphore.Semaphore
  next: Position
}

/**
 * Puts a broker under test: the `broker` to use, and its `controls`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Broker } from "effect-emitter"
 * import { TestBroker } from "effect-emitter/testing"
 *
 * const refusing = Effect.gen(function*() {
 *   const { broker, controls } = yield* TestBroker.make(yield* Broker.Broker)
 *   yield* controls.behave("fail")
 *   return broker
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  inner: Broker["Service"]
): Effect.fn.Return<{ readonly broker: Broker["Service"]; readonly controls: TestBroker["Service"] }> {
  const clock = yield* Clock.Clock
  const calls: Array<Writable<Call>> = []
  const records = new Map<UserId, Record>()
  let current: Decide<Call> = "ok"
  const commandCalls: Array<Writable<CommandCall>> = []
  let onCommands: Decide<CommandCall> = "ok"

  const recordOf = Effect.fnUntraced(function*(user: UserId): Effect.fn.Return<Record, BrokerError> {
    const found = records.get(user)
    if (found !== undefined) return found
    const next = yield* inner.head(user)
    const made: Record = { items: [], turn: Semaphore.makeUnsafe(1), next }
    // Another caller may have been quicker.
    const record = records.get(user) ?? made
    records.set(user, record)
    return record
  })

  // Reads on from where it stopped, so that events are recorded as devices get them.
  const follow = (user: UserId, record: Record): Effect.Effect<void, BrokerError> =>
    record.turn.withPermit(Effect.gen(function*() {
      while (true) {
        const { entries, head, next } = yield* inner.pull(user, record.next, everything)
        const at = clock.currentTimeMillisUnsafe()
        for (const entry of entries) record.items.push(fromEntry(user, next.epoch, entry, at))
        record.next = next
        if (next.offset >= head) return
      }
    }))

  const take = (user: UserId, batch: Call["batch"]): Effect.Effect<Position, BrokerError> =>
    Effect.gen(function*() {
      const record = yield* recordOf(user)
      const position = yield* inner.append(user, batch)
      yield* follow(user, record)
      return position
    })

  const append: Broker["Service"]["append"] = (user, batch) =>
    Effect.suspend(() => {
      const call: Writable<Call> = {
        number: calls.length + 1,
        user,
        batch,
        at: clock.currentTimeMillisUnsafe(),
        endedAt: undefined,
        outcome: undefined
      }
      calls.push(call)
      const done = act(decide(current, call), {
        name: "the broker",
        take: Effect.uninterruptible(take(user, batch)),
        ...failuresOf("append")
      })
      return Effect.onExit(done, (outcome) =>
        Effect.sync(() => {
          call.outcome = outcome
          call.endedAt = clock.currentTimeMillisUnsafe()
        }))
    })

  const canary: Broker["Service"]["canary"] = (user) =>
    Effect.suspend(() => {
      const at = clock.currentTimeMillisUnsafe()
      const call: Call = { number: 0, user: nobody, batch: [nothing], at, endedAt: undefined, outcome: undefined }
      return act(decide(current, call), {
        name: "the broker",
        take: inner.canary?.(user) ?? Effect.void,
        ...failuresOf("append")
      })
    })

  const sendBy = (send: Commands["send"]): Commands["send"] => (user, command, within) =>
    Effect.suspend(() => {
      const call: Writable<CommandCall> = {
        number: commandCalls.length + 1,
        user,
        command,
        at: clock.currentTimeMillisUnsafe(),
        exit: undefined
      }
      commandCalls.push(call)
      const done = act(decide(onCommands, call), {
        name: "the broker",
        take: send(user, command, within),
        ...failuresOf("command")
      })
      return Effect.onExit(done, (exit) =>
        Effect.sync(() => {
          call.exit = exit
        }))
    })

  const { appendUnsafe: _, commands, ...others } = inner
  return {
    broker: {
      ...others,
      append,
      canary,
      ...(commands === undefined ? {} : { commands: { ...commands, send: sendBy(commands.send) } })
    },
    controls: {
      behave: (decide) =>
        Effect.sync(() => {
          current = decide
        }),
      behaveOnCommands: (decide) =>
        Effect.sync(() => {
          onCommands = decide
        }),
      calls: Effect.sync(() => calls.map((call) => ({ ...call }))),
      commandCalls: Effect.sync(() => commandCalls.map((call) => ({ ...call }))),
      log: (user) => Effect.sync(() => [...records.get(user)?.items ?? []]),
      logs: Effect.sync(() => new Map(Array.from(records, ([user, { items }]) => [user, [...items]])))
    }
  }
})

/**
 * Puts the broker of a layer under test.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(broker: Layer.Layer<Broker, E, R>): Layer.Layer<Broker | TestBroker, E, R> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const made = yield* make(yield* Broker)
      return Context.make(Broker, made.broker).pipe(Context.add(TestBroker, made.controls))
    })
  ).pipe(Layer.provide(broker))

type Writable<A> = { -readonly [K in keyof A]: A[K] }

const everything: PullLimits = { maxEvents: 1024, maxBytes: 16 * 1024 * 1024 }

// Of whom a canary is, and what it would append.
const nobody = UserId.make("canary")
const nothing: Envelope = {
  id: EventId.make("canary-1"),
  source: "canary-",
  sequence: 1,
  type: "canary",
  delivery: "volatile",
  at: 0,
  run: undefined,
  thread: undefined,
  confirm: false,
  body: "",
  bytes: 0,
  data: {}
}

// An error is made once a call fails: most do not.
const failuresOf = (operation: string) => ({
  unavailable: Effect.failSync(() =>
    new BrokerError({
      reason: new BrokerUnavailable({ operation, afterMs: 0, cause: new Error("it was told to fail") })
    })
  ),
  rejected: Effect.failSync(() =>
    new BrokerError({ reason: new BrokerRefused({ operation, detail: "it was told to reject", blame: "user" }) })
  ),
  refused: Effect.failSync(() =>
    new BrokerError({ reason: new BrokerRefused({ operation, detail: "it was told to refuse" }) })
  )
})
