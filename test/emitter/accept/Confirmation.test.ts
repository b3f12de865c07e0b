import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer, Emitters, type Event } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, note, shown, urgent } from "../support/emitting.ts"

const forAda = Effect.flatMap(Emitters, ({ forUser }) => forUser({ userId: "ada" }))

/** A device that is connected as long as the scope is open. */
const connect = Effect.gen(function*() {
  const broker = yield* Broker.Broker
  const { context: { userId } } = yield* forAda
  yield* broker.subscribe(userId, () => {})
  return { acknowledge: Effect.flatMap(broker.head(userId), (head) => broker.acknowledge(userId, head)) }
})

const notConfirmed = (fields: ConstructorParameters<typeof Emitter.NotConfirmed>[0]) =>
  Exit.fail(new Emitter.EmitError({ reason: new Emitter.NotConfirmed(fields) }))

describe("emitConfirmed", () => {
  it.effect("gives the position once a device has acknowledged the event", () =>
    Effect.gen(function*() {
      const { acknowledge } = yield* connect
      const ada = yield* forAda
      const fiber = yield* Effect.forkChild(ada.emitConfirmed(note("read me"), { within: "5 seconds" }), {
        startImmediately: true
      })
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* acknowledge
      const position = yield* Fiber.join(fiber)
      const [logged] = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(position, logged?.position)
      assert.deepInclude(logged?.event, { confirm: true, type: "custom" })
    }).pipe(Effect.provide(layer())))

  it.effect("is not satisfied by the acknowledgement of what came before", () =>
    Effect.gen(function*() {
      const { acknowledge } = yield* connect
      const ada = yield* forAda
      yield* ada.emit(urgent(1))
      yield* acknowledge
      const fiber = yield* Effect.forkChild(Effect.exit(ada.emitConfirmed(note(2), { within: "1 second" })))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        notConfirmed({ event: "custom", progress: "notAcknowledged", attempts: 1, withinMs: 1_000 })
      )
    }).pipe(Effect.provide(layer())))

  it.effect("goes out at once, behind what was pending", () =>
    Effect.gen(function*() {
      yield* connect
      const ada = yield* forAda
      yield* ada.emit(note(1))
      yield* Effect.forkChild(Effect.exit(ada.emitConfirmed(note(2), { within: "1 second" })), {
        startImmediately: true
      })
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(log.map(({ event }) => event.data["data"]), [1, 2])
      yield* TestClock.adjust("1 second")
    }).pipe(Effect.provide(layer())))

  it.effect("fails as notConnected when no device is there, and the event stays in the log", () =>
    Effect.gen(function*() {
      const ada = yield* forAda
      const fiber = yield* Effect.forkChild(
        Effect.exit(ada.emitConfirmed(note("x"), { within: "1 second", attempts: 3 }))
      )
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        notConfirmed({ event: "custom", progress: "notConnected", attempts: 3, withinMs: 1_000 })
      )
      assert.strictEqual((yield* (yield* TestBroker.TestBroker).log(ada.context.userId)).length, 1)
      assert.deepInclude((yield* (yield* Emitters).stats).rejected, { NotConfirmed: 1 })
    }).pipe(Effect.provide(layer())))

  it.effect("fails as notAppended when the log could not take it, having tried that often", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      yield* broker.behave("fail")
      const ada = yield* forAda
      const fiber = yield* Effect.forkChild(
        Effect.exit(ada.emitConfirmed(note("x"), { within: "1 second", attempts: 2 }))
      )
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        notConfirmed({ event: "custom", progress: "notAppended", attempts: 2, withinMs: 1_000 })
      )
    }).pipe(Effect.provide(layer({ config: { breaker: { failures: 100 } } }))))

  it.effect("appends the event in a later attempt, with the id it had, when the broker is back", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { acknowledge } = yield* connect
      yield* broker.behave("fail")
      const ada = yield* forAda
      const fiber = yield* Effect.forkChild(ada.emitConfirmed(note("x"), { within: "1 second", attempts: 3 }))
      yield* TestClock.adjust("500 millis")
      yield* broker.behave("ok")
      yield* TestClock.adjust("700 millis")
      yield* acknowledge
      const position = yield* Fiber.join(fiber)
      const log = yield* broker.log(ada.context.userId)
      assert.deepStrictEqual(log.map(({ position }) => position), [position])
      const ids = new Set((yield* broker.calls).map(({ batch: [{ id }] }) => id))
      assert.deepStrictEqual([...ids], log.map(({ event }) => event.id))
    }).pipe(Effect.provide(layer())))

  it.effect("does not append twice what the log holds, however often it waits", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { acknowledge } = yield* connect
      const ada = yield* forAda
      const fiber = yield* Effect.forkChild(ada.emitConfirmed(note("x"), { within: "1 second", attempts: 5 }))
      yield* TestClock.adjust("3500 millis")
      yield* acknowledge
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* broker.calls).length, 1)
    }).pipe(Effect.provide(layer())))

  it.effect("fault 45: waits for the event in the new epoch, when its log began anew, and puts it there again", () =>
    Effect.gen(function*() {
      const memory = Effect.map(Layer.build(Broker.layerMemory()), Context.get(Broker.Broker))
      const { appendUnsafe: _, ...first } = yield* memory
      const second = yield* memory
      let current: Broker.Broker["Service"] = first
      const forgetful = Layer.succeed(Broker.Broker, {
        ...first,
        append: (user, batch) => current.append(user, batch),
        head: (user) => current.head(user),
        acknowledged: (user, position) => current.acknowledged(user, position),
        readers: (user) => current.readers(user)
      })
      yield* Effect.gen(function*() {
        const ada = yield* forAda
        const user = ada.context.userId
        const fiber = yield* Effect.forkChild(ada.emitConfirmed(note("x"), { within: "10 seconds", attempts: 3 }), {
          startImmediately: true
        })
        const before = yield* first.head(user)
        yield* TestClock.adjust("5 seconds")
        current = second
        yield* TestClock.adjust("5 seconds")
        const after = yield* second.head(user)
        assert.deepStrictEqual([before.offset, after.offset], [1, 1])
        // What was acknowledged in the old epoch says nothing of the new one.
        yield* second.acknowledge(user, before)
        yield* TestClock.adjust("1 second")
        assert.isUndefined(fiber.pollUnsafe())
        yield* second.acknowledge(user, after)
        assert.deepStrictEqual(yield* Fiber.join(fiber), after)
      }).pipe(Effect.provide(EmitterLayer().pipe(Layer.provide(forgetful))))
    }))

  it.effect("fault 45: makes no further attempt once its emitter has closed", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const scope = yield* Scope.make()
      const ada = yield* forAda.pipe(Scope.provide(scope))
      yield* broker.behave("fail")
      const fiber = yield* Effect.forkChild(
        Effect.exit(ada.emitConfirmed(note("x"), { within: "10 seconds", attempts: 5 }))
      )
      yield* TestClock.adjust("5 seconds")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* broker.behave("ok")
      const calls = (yield* broker.calls).length
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        notConfirmed({ event: "custom", progress: "notAppended", attempts: 1, withinMs: 10_000 })
      )
      assert.strictEqual((yield* broker.calls).length, calls)
    }).pipe(Effect.provide(layer({ config: { breaker: { failures: 100 } } }))))

  it.effect("is given up by interrupting it, and the event stays", () =>
    Effect.gen(function*() {
      const ada = yield* forAda
      const fiber = yield* Effect.forkChild(ada.emitConfirmed(note("x"), { within: "1 second" }), {
        startImmediately: true
      })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* (yield* TestBroker.TestBroker).log(ada.context.userId)).length, 1)
    }).pipe(Effect.provide(layer())))
})

describe("auth events", () => {
  const all: ReadonlyArray<Event.Event> = [
    AgentEvents.AuthStarted.make({ provider: "github" }),
    AgentEvents.AuthValidating.make({}),
    AgentEvents.AuthCompleted.make({ provider: "github" }),
    AgentEvents.AuthFailed.make({ reason: "denied" })
  ]

  it.effect("wait for a device's acknowledgement when they are emitted like any other event", () =>
    Effect.gen(function*() {
      const { acknowledge } = yield* connect
      const ada = yield* forAda
      for (const event of all) {
        const fiber = yield* Effect.forkChild(ada.emit(event), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        assert.isUndefined(fiber.pollUnsafe())
        yield* acknowledge
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Appended" })
      }
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(shown(log), [
        ["auth_started", { provider: "github" }],
        ["auth_validating", {}],
        ["auth_completed", { provider: "github" }],
        ["auth_failed", { reason: "denied" }]
      ])
      assert.deepStrictEqual(log.map(({ event }) => event.confirm), [true, true, true, true])
    }).pipe(Effect.provide(layer())))

  it.effect("get 5 attempts of 2 seconds", () =>
    Effect.gen(function*() {
      const ada = yield* forAda
      const [event = assert.fail()] = all
      const fiber = yield* Effect.forkChild(Effect.exit(ada.emit(event)))
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        notConfirmed({ event: "auth_started", progress: "notConnected", attempts: 5, withinMs: 2_000 })
      )
    }).pipe(Effect.provide(layer())))
})
