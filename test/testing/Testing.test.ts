import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer, Emitters, Event, FallbackChannel, Identity } from "effect-emitter"
import { Command } from "effect-emitter/events"
import { Fault, Promises, Recorder, TestBroker, TestChannel } from "effect-emitter/testing"
import { TestClock } from "effect/testing"

const ada = Identity.UserId.make("ada")
const note = (data: number) => AgentEvents.Custom.make({ name: "note", data })
const urgent = (data: number) => Event.critical(note(data))

const layer = (channels: ReadonlyArray<FallbackChannel.FallbackChannel> = []) =>
  Recorder.layer(
    EmitterLayer({ retry: { attempts: 1 } }).pipe(
      FallbackChannel.provide(...channels.map((_) => Effect.succeed(_)))
    )
  ).pipe(Layer.provideMerge(TestBroker.layer(Broker.layerMemory())))

const forAda = Effect.flatMap(Emitters, ({ forUser }) => forUser({ userId: "ada" }))

describe("a broker under test", () => {
  it.effect("does what it is told, one call after the other", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { append } = yield* Broker.Broker
      const emitter = yield* forAda
      yield* emitter.emit(urgent(0))
      const [{ batch } = assert.fail()] = yield* broker.calls
      yield* broker.behave(
        Fault.sequence("fail", "refuse", "die", "loseAnswer", "interrupt", { after: "1 second", do: "ok" })
      )
      const tags: Array<string> = []
      for (let n = 0; n < 6; n++) {
        const fiber = yield* Effect.forkChild(Effect.exit(append(Identity.UserId.make(`u${n}`), batch)))
        yield* TestClock.adjust("1 second")
        const exit = yield* Fiber.join(fiber)
        tags.push(Exit.isSuccess(exit) ? "ok" : exit.cause.reasons.map(({ _tag }) => _tag).join())
      }
      assert.deepStrictEqual(tags, ["Fail", "Fail", "Die", "Fail", "Interrupt", "ok"])
      const logs = yield* broker.logs
      assert.deepStrictEqual([...logs.keys()], ["ada", "u3", "u4", "u5"])
      const [, , , , , , last] = yield* broker.calls
      assert.deepInclude(last, { number: 7, at: 5_000, endedAt: 6_000 })
    }).pipe(Effect.scoped, Effect.provide(layer())))

  it.effect("hangs until it is interrupted", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitter = yield* forAda
      yield* emitter.emit(urgent(0))
      const [{ batch } = assert.fail()] = yield* broker.calls
      yield* broker.behave("hang")
      const fiber = yield* Effect.forkChild((yield* Broker.Broker).append(ada, batch), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
      yield* broker.behave("ok")
    }).pipe(Effect.scoped, Effect.provide(layer())))

  it.effect("does with commands what it is told", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { commands = assert.fail("it takes no commands") } = yield* Broker.Broker
      let seen = 0
      yield* commands.receive(() =>
        Effect.sync(() => {
          seen++
          return Command.accepted
        })
      )
      yield* broker.behaveOnCommands(Fault.sequence("fail", "refuse", "die", "loseAnswer", "interrupt"))
      const command = { run: Identity.RunId.make("r"), name: "cancel" }
      const tags: Array<string> = []
      for (let n = 0; n < 6; n++) {
        const id = Command.CommandId.make(`c${n}`)
        const fiber = yield* Effect.forkChild(Effect.exit(commands.send(ada, { ...command, id }, Duration.seconds(1))))
        const exit = yield* Fiber.join(fiber)
        tags.push(Exit.isSuccess(exit) ? exit.value.outcome : exit.cause.reasons.map(({ _tag }) => _tag).join())
      }
      assert.deepStrictEqual(tags, ["Fail", "Fail", "Die", "Fail", "Interrupt", "accepted"])
      assert.strictEqual(seen, 3)
      const calls = yield* broker.commandCalls
      assert.deepStrictEqual(calls.map(({ number }) => number), [1, 2, 3, 4, 5, 6])
      assert.deepInclude(calls.at(-1), { user: ada, exit: Exit.succeed(Command.accepted) })
    }).pipe(Effect.scoped, Effect.provide(layer())))

  it.effect("follows a schedule of times", () =>
    Effect.gen(function*() {
      const behave = yield* Fault.schedule([
        { during: "1 second", behave: "ok" },
        { during: "2 seconds", behave: "fail" },
        { during: "1 second", behave: { after: "1 millis", do: "ok" } }
      ])
      const seen: Array<Fault.Fault> = []
      for (let second = 0; second < 6; second++) {
        seen.push(behave())
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(seen, ["ok", "fail", "fail", { after: "1 millis", do: "ok" }, "ok", "ok"])
    }))
})

describe("a channel under test", () => {
  it.effect("shows what it was offered and what it took", () =>
    Effect.gen(function*() {
      const push = yield* TestChannel.make("push")
      yield* push.behave(Fault.sequence("fail", "ok"))
      yield* Effect.gen(function*() {
        const broker = yield* TestBroker.TestBroker
        const emitter = yield* forAda
        yield* broker.behave("die")
        assert.deepInclude(yield* emitter.emit(urgent(1)), { _tag: "DeadLettered" })
        assert.deepStrictEqual(yield* emitter.emit(urgent(2)), { _tag: "HandedOver", channel: "push" })
        assert.deepStrictEqual((yield* push.calls).map(({ number, user }) => [number, user]), [[1, "ada"], [2, "ada"]])
        assert.deepStrictEqual((yield* push.taken).map(({ channel, envelope }) => [channel, envelope.data["data"]]), [
          ["push", 2]
        ])
        yield* Promises.assertKept(yield* Recorder.traceWith([push]))
      }).pipe(Effect.scoped, Effect.provide(layer([push])))
    }))
})

/** What a program that does a bit of everything leaves behind, its layer closed at the end. */
const recorded = Effect.gen(function*() {
  const push = yield* TestChannel.make("push")
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(layer([push]), scope)
  yield* Effect.gen(function*() {
    const broker = yield* TestBroker.TestBroker
    const bob = yield* (yield* Emitters).forUser({ userId: "bob" })
    const emitter = yield* forAda
    yield* emitter.run(
      Effect.flatMap(Emitter.Emitter, ({ emit }) =>
        Effect.gen(function*() {
          yield* emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "x" }))
          yield* emit(AgentEvents.AgentThinking.make({ text: "hm" }))
          yield* bob.emit(urgent(1))
        })),
      { agentName: "a" }
    )
    yield* emitter.emit(urgent(2))
    yield* broker.behave("die")
    yield* emitter.emit(urgent(3))
    yield* push.behave("fail")
    yield* emitter.emit(urgent(4))
    yield* broker.behave("ok")
    yield* emitter.emit(note(5))
  }).pipe(Effect.scoped, Effect.provideContext(context))
  yield* Scope.close(scope, Exit.void)
  return yield* Context.get(context, Recorder.Recorder).trace([push])
})

describe("the promises", () => {
  it.effect("hold on what the package does", () =>
    Effect.gen(function*() {
      const trace = yield* recorded
      assert.deepStrictEqual(trace.emitted.map(({ event, user }) => [user, event.type]), [
        ["ada", "text_delta"],
        ["ada", "agent_thinking"],
        ["bob", "custom"],
        ["ada", "custom"],
        ["ada", "custom"],
        ["ada", "custom"],
        ["ada", "custom"]
      ])
      assert.deepStrictEqual(Promises.check(trace, { capacity: 4096 }), [])
      assert.isTrue(trace.isClosed)
    }))

  type Spoil = (trace: Recorder.Trace) => Partial<Recorder.Trace>
  const spoilt: Record<string, Spoil> = {
    P1: ({ logs }) => ({ logs: logs.map((logged) => logged.user === "bob" ? { ...logged, user: ada } : logged) }),
    P2: ({ logs }) => ({ logs: logs.filter(({ event }) => event.type !== "text_delta") }),
    P3: ({ deadLetters }) => ({ deadLetters: deadLetters.slice(1), logs: [] }),
    P4: ({ logs }) => ({ logs: [...logs, ...logs.slice(0, 1)] }),
    P5: ({ stats }) => ({ stats: { ...stats, pending: 9_000 } }),
    P6: ({ calls }) => ({ calls: calls.map((call) => ({ ...call, at: call.at + 20, endedAt: call.at + 20 })) }),
    P7: ({ calls }) => ({ callsAtClose: calls.length - 1 }),
    P8: ({ logs }) => ({ logs: logs.filter(({ event }) => event.type !== "agent_completed") })
  }
  for (const [promise, spoil] of Object.entries(spoilt)) {
    it.effect(`are found broken where they are: ${promise}`, () =>
      Effect.gen(function*() {
        const trace = yield* recorded
        const found = Promises.check({ ...trace, ...spoil(trace) }, { capacity: 4096 })
        assert.include(found.map((violation) => violation.promise), promise)
        const error = yield* Effect.flip(Promises.assertKept({ ...trace, ...spoil(trace) }, { capacity: 4096 }))
        assert.deepStrictEqual(error, new Promises.PromisesBroken({ violations: found }))
      }))
  }

  it.effect("of order are found broken where a call that came later stands first", () =>
    Effect.gen(function*() {
      const trace = yield* recorded
      const [first, second] = trace.emitted.filter((call) =>
        Recorder.receiptOf(call)?._tag === "Appended" && call.user === ada
      )
      const swapped = trace.emitted.map((call) =>
        call === first
          ? { ...call, outcome: second?.outcome }
          : call === second
          ? { ...call, outcome: first?.outcome }
          : call
      )
      assert.include(Promises.check({ ...trace, emitted: swapped }).map(({ promise }) => promise), "P2")
    }))
})
