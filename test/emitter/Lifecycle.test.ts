import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { AgentEvents, Broker, DeadLetters, Emitter, EmitterLayer, Emitters, Identity, Spool } from "effect-emitter"
import { TestBroker, TestChannel } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { layer, note, notes, urgent, within } from "./support/emitting.ts"

const ada = Identity.UserId.make("ada")

/** Builds a layer that is closed by hand. */
const open = Effect.fnUntraced(function*<A, E>(layer: Layer.Layer<A, E>) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(layer, scope)
  return { context, close: Scope.close(scope, Exit.void) }
})

const child = (...args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const script = new URL("support/idle-child.ts", import.meta.url).pathname
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", script, ...args],
      { timeout: 110_000 }
    )
    return stdout
  })

describe("importing and describing", () => {
  it.live(
    "starts nothing: no timer, no handle, and the process ends by itself",
    () => Effect.map(child(), (alive) => assert.strictEqual(alive, "[]")),
    120_000
  )
})

describe("a layer that is built", () => {
  it.live(
    "leaves no timer and no handle when it is closed, and the process ends by itself",
    () => Effect.map(child("build"), (alive) => assert.strictEqual(alive, "[]")),
    120_000
  )

  it.effect("is built once, however many parts of a program need it", () =>
    Effect.gen(function*() {
      let built = 0
      const broker = Layer.effect(Broker.Broker, Effect.tap(Broker.Broker, () => Effect.sync(() => built++))).pipe(
        Layer.provide(Broker.layerMemory())
      )
      const engine = EmitterLayer().pipe(Layer.provide(broker))
      const one = Emitter.layerUser({ userId: "ada" }).pipe(Layer.provide(engine))
      const other = Layer.effectDiscard(Emitters).pipe(Layer.provide(engine))
      yield* Layer.build(Layer.mergeAll(one, other, engine))
      assert.strictEqual(built, 1)
    }))

  it.effect("shares nothing with another that is built from the same description", () =>
    Effect.gen(function*() {
      const description = layer()
      const first = yield* open(description)
      const second = yield* open(description)
      const emitter = yield* Context.get(first.context, Emitters).forUser({ userId: "ada" })
      yield* emitter.emit(urgent(1))
      assert.deepInclude(yield* Context.get(first.context, Emitters).stats, { appended: 1, users: 1, emitters: 1 })
      assert.deepInclude(yield* Context.get(second.context, Emitters).stats, { appended: 0, users: 0, emitters: 0 })
      assert.deepStrictEqual(yield* Context.get(second.context, TestBroker.TestBroker).log(ada), [])
      yield* first.close
      const other = yield* Context.get(second.context, Emitters).forUser({ userId: "ada" })
      assert.deepInclude(yield* other.emit(urgent(2)), { _tag: "Appended" })
      yield* second.close
    }))
})

describe("closing", () => {
  it.effect("delivers what is pending, ends runs, and refuses what comes later", () =>
    Effect.gen(function*() {
      const { close, context } = yield* open(layer())
      const broker = Context.get(context, TestBroker.TestBroker)
      const emitter = yield* Context.get(context, Emitters).forUser({ userId: "ada", runId: "r" })
      yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
      yield* emitter.emit(note(1))
      yield* close
      assert.deepStrictEqual((yield* broker.log(ada)).map(({ event }) => event.type), [
        "agent_started",
        "custom",
        "agent_error"
      ])
      assert.deepStrictEqual(
        yield* Effect.flip(emitter.emit(note(2))),
        new Emitter.EmitError({ reason: new Emitter.EmitterClosed() })
      )
      const calls = (yield* broker.calls).length
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* broker.calls).length, calls)
    }))

  it.effect("waits for a slow broker, but no longer than closeTimeout, and keeps the rest in the spool, in order", () =>
    Effect.gen(function*() {
      const spool = yield* TestChannel.make("spool", yield* Spool.memory())
      const { close, context } = yield* open(layer({ channels: [spool], config: { closeTimeout: "3 seconds" } }))
      const broker = Context.get(context, TestBroker.TestBroker)
      const emitter = yield* Context.get(context, Emitters).forUser({ userId: "ada" })
      yield* broker.behave("hang")
      yield* Effect.forkChild(emitter.emit(urgent(1)), { startImmediately: true })
      const later = yield* Effect.forkChild(emitter.emit(urgent(2)), { startImmediately: true })
      yield* emitter.emit(note(3))
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(closing.pollUnsafe())
      assert.deepStrictEqual((yield* spool.taken).map(({ envelope }) => envelope.data["data"]), [1, 2, 3])
      assert.deepStrictEqual(yield* Fiber.join(later), { _tag: "HandedOver", channel: "spool" })
    }))

  it.effect("turns into dead letters what nothing can keep, in order", () =>
    Effect.gen(function*() {
      const { close, context } = yield* open(layer({ config: { closeTimeout: "1 second" } }))
      const broker = Context.get(context, TestBroker.TestBroker)
      const emitter = yield* Context.get(context, Emitters).forUser({ userId: "ada" })
      yield* broker.behave("hang")
      yield* Effect.forkChild(emitter.emit(urgent(1)), { startImmediately: true })
      yield* emitter.emit(note(2))
      yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      const letters = yield* Context.get(context, DeadLetters.DeadLetters).list()
      assert.deepStrictEqual(letters.map(({ event, trigger }) => [event.data["data"], trigger]), [
        [1, "interrupted"],
        [2, "interrupted"]
      ])
    }))

  it.effect("lets callers that wait for room know", () =>
    Effect.gen(function*() {
      const { close, context } = yield* open(
        layer({ config: { closeTimeout: "1 second", batching: { maxSize: 1, capacity: 1 } } })
      )
      const broker = Context.get(context, TestBroker.TestBroker)
      const emitter = yield* Context.get(context, Emitters).forUser({ userId: "ada" })
      yield* broker.behave("hang")
      yield* Effect.forkChild(emitter.emit(urgent(1)), { startImmediately: true })
      yield* emitter.emit(note(2))
      const waiting = yield* Effect.forkChild(Effect.flip(emitter.emit(note(3))), { startImmediately: true })
      yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        yield* Fiber.join(waiting),
        new Emitter.EmitError({ reason: new Emitter.EmitterClosed() })
      )
    }))

  it.effect("waits for what stands behind a replay", () =>
    Effect.gen(function*() {
      const { close, context } = yield* open(layer())
      const broker = Context.get(context, TestBroker.TestBroker)
      const emitter = yield* Context.get(context, Emitters).forUser({ userId: "ada" })
      yield* broker.behave("die")
      yield* emitter.emit(urgent(1))
      yield* broker.behave({ after: "1 second", do: "ok" })
      yield* Effect.forkChild(Context.get(context, DeadLetters.DeadLetters).replay(), { startImmediately: true })
      yield* emitter.emit(note(2))
      yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(notes(yield* broker.log(ada)), [1, 2])
      assert.deepStrictEqual(yield* Context.get(context, DeadLetters.DeadLetters).list(), [])
    }))

  it.effect("does not wait for whoever has a user's turn", () =>
    Effect.gen(function*() {
      const spool = yield* TestChannel.make("spool", yield* Spool.memory())
      const { close, context } = yield* open(layer({ channels: [spool], config: { closeTimeout: "1 second" } }))
      const broker = Context.get(context, TestBroker.TestBroker)
      const emitter = yield* Context.get(context, Emitters).forUser({ userId: "ada" })
      yield* broker.behave("die")
      yield* spool.behave("fail")
      yield* emitter.emit(urgent(1))
      yield* spool.behave("ok")
      yield* broker.behave(({ user }) => user === ada ? "hang" : "fail")
      // A replay that never ends, and behind it the spool's drainer.
      yield* Effect.forkDetach(Context.get(context, DeadLetters.DeadLetters).replay(), { startImmediately: true })
      const [{ batch } = assert.fail("nothing was appended")] = yield* broker.calls
      yield* spool.deliver(ada, batch)
      const bob = yield* Context.get(context, Emitters).forUser({ userId: "bob" })
      assert.deepInclude(yield* within("100 millis", bob.emit(urgent(2))), { _tag: "HandedOver" })
      yield* TestClock.adjust("1 second")
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(closing.pollUnsafe())
    }))

  it.effect("leaves no fiber behind: nothing happens any more, whatever the time", () =>
    Effect.gen(function*() {
      const spool = yield* TestChannel.make("spool", yield* Spool.memory())
      const { close, context } = yield* open(layer({ channels: [spool] }))
      const broker = Context.get(context, TestBroker.TestBroker)
      const emitter = yield* Context.get(context, Emitters).forUser({ userId: "ada" })
      yield* broker.behave("fail")
      const emitting = yield* Effect.forkChild(emitter.emit(urgent(1)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(emitting)
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
      const before = (yield* broker.calls).length
      yield* broker.behave("ok")
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* broker.calls).length, before)
      assert.strictEqual(spool.spool?.depth().events, 1)
    }))
})

describe("a broker that throws instead of appending", () => {
  it.effect("does not keep its user's turn: the event is a dead letter, and the next goes", () =>
    Effect.gen(function*() {
      let broken = true
      const throwing = Layer.effect(
        Broker.Broker,
        Effect.map(Broker.Broker, (inner) => {
          const guard = <A extends ReadonlyArray<unknown>, B>(append: (...args: A) => B) => (...args: A): B => {
            if (broken) throw new Error("a bug in the broker")
            return append(...args)
          }
          return {
            ...inner,
            append: guard(inner.append),
            ...(inner.appendUnsafe === undefined ? {} : { appendUnsafe: guard(inner.appendUnsafe) })
          }
        })
      ).pipe(Layer.provide(Broker.layerMemory()))
      yield* Effect.gen(function*() {
        const emitter = yield* (yield* Emitters).forUser({ userId: "ada" })
        assert.deepInclude(yield* emitter.emit(urgent(1)), { _tag: "HandedOver" })
        broken = false
        yield* TestClock.adjust("1 second")
        assert.deepInclude(yield* emitter.emit(urgent(2)), { _tag: "Appended" })
        const { entries } = yield* (yield* Broker.Broker).pull(ada, { epoch: "", offset: 0 }, {
          maxEvents: 9,
          maxBytes: 9_999
        })
        assert.deepStrictEqual(entries.map(({ offset }) => offset), [1, 2])
      }).pipe(Effect.provide(EmitterLayer().pipe(Layer.provideMerge(throwing))))
    }))
})
