/** How runs are stopped from outside: by whom they were started, and by what becomes of them. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Scope, Tracer } from "effect"
import { AgentEvents, Broker, Emitter, Emitters, Identity } from "effect-emitter"
import { type Delivered, TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, shown } from "../support/emitting.ts"

const ada = Identity.UserId.make("ada")
const agent = { agentName: "a" }

/** An emitter whose scope is closed by hand. */
const open = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const emitter = yield* Scope.provide((yield* Emitters).forUser({ userId: "ada", runId: "r1" }), scope)
  return { emitter, close: Scope.close(scope, Exit.void) }
})

const endings = (log: ReadonlyArray<Delivered.Logged>) =>
  log.filter(({ event }) => event.type === "agent_error" || event.type === "agent_completed").map(({ event }) => [
    event.run === "r1" ? "r1" : "nested",
    event.data["reason"] ?? "completed"
  ])

const logOfAda = Effect.flatMap(TestBroker.TestBroker, ({ log }) => log(ada))

/** Takes a step a second, and tells how far it came. */
const steps = (taken: Array<number>, last: number) =>
  Effect.forEach(
    Array.from({ length: last }, (_, index) => index + 1),
    (step) => Effect.andThen(Effect.sync(() => taken.push(step)), Effect.sleep("1 second")),
    { discard: true }
  )

describe("a run that is cancelled", () => {
  it.effect("fault 39c: stops though its caller cannot be interrupted, who sees an interrupted exit and goes on", () =>
    Effect.gen(function*() {
      const { close, emitter } = yield* open
      const taken: Array<number> = []
      const caller = yield* Effect.forkChild(
        Effect.uninterruptible(Effect.map(Effect.exit(emitter.run(steps(taken, 5), agent)), (exit) => ({ exit })))
      )
      yield* TestClock.adjust("1500 millis")
      yield* close
      const { exit } = yield* Fiber.join(caller)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(taken, [1, 2])
      assert.deepStrictEqual(endings(yield* logOfAda), [["r1", "cancelled"]])
    }).pipe(Effect.provide(layer())))

  it.effect("fault 39c: stops nested runs with it, on whatever fiber, and those first that began last", () =>
    Effect.gen(function*() {
      const { close, emitter } = yield* open
      const taken: Array<number> = []
      const nested = Emitter.run({ agentName: "child" })(steps(taken, 5))
      yield* Effect.forkChild(emitter.run(
        Effect.uninterruptible(
          Effect.andThen(Effect.forkDetach(Effect.uninterruptible(nested)), Effect.uninterruptible(nested))
        ),
        agent
      ))
      yield* TestClock.adjust("1500 millis")
      yield* close
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(taken, [1, 1, 2, 2])
      assert.deepStrictEqual(endings(yield* logOfAda), [
        ["nested", "cancelled"],
        ["nested", "cancelled"],
        ["r1", "cancelled"]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("fault 39c: begins no further tool and no further run, where interruption does not reach it", () =>
    Effect.gen(function*() {
      const { close, emitter } = yield* open
      const began: Array<string> = []
      const attempts: Array<boolean> = []
      const note = (what: string) => Effect.sync(() => began.push(what))
      const attempt = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.map(Effect.exit(effect), (exit) => {
          attempts.push(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        })
      const caller = yield* Effect.forkChild(Effect.exit(emitter.run(
        Effect.uninterruptible(Effect.gen(function*() {
          const { tool } = yield* Emitter.Emitter
          yield* tool("first", null)(Effect.andThen(note("first"), Effect.sleep("1 second")))
          yield* attempt(tool("second", null)(note("second")))
          yield* attempt(Emitter.run({ agentName: "child" })(note("child")))
          yield* attempt(Emitter.run({ agentName: "child", onEmitError: "log" })(note("child")))
        })),
        agent
      )))
      yield* TestClock.adjust("500 millis")
      yield* close
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(caller)
      assert.deepStrictEqual(attempts, [true, true, true])
      assert.deepStrictEqual(began, ["first"])
      assert.deepStrictEqual(endings(yield* logOfAda), [["r1", "cancelled"]])
    }).pipe(Effect.provide(layer())))

  it.effect("fault 39c: does not begin a tool whose start was still on its way", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { close, emitter } = yield* open
      let ran = false
      const program = Effect.gen(function*() {
        const { tool } = yield* Emitter.Emitter
        yield* broker.behave({ after: "1 second", do: "ok" })
        return yield* tool("charge", { cents: 100 })(Effect.uninterruptible(Effect.sync(() => ran = true)))
      })
      const caller = yield* Effect.forkChild(Effect.exit(emitter.run(program, agent)))
      yield* TestClock.adjust("500 millis")
      yield* Effect.forkChild(close)
      yield* TestClock.adjust("10 seconds")
      const exit = yield* Fiber.join(caller)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.isFalse(ran)
      assert.deepStrictEqual(endings(yield* logOfAda), [["r1", "cancelled"]])
    }).pipe(Effect.provide(layer())))

  it.effect("fault 39c: does not begin where its own start was still on its way", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { close, emitter } = yield* open
      let ran = false
      yield* broker.behave({ after: "1 second", do: "ok" })
      const caller = yield* Effect.forkChild(
        Effect.exit(emitter.run(Effect.uninterruptible(Effect.sync(() => ran = true)), agent))
      )
      yield* TestClock.adjust("500 millis")
      yield* Effect.forkChild(close)
      yield* TestClock.adjust("10 seconds")
      const exit = yield* Fiber.join(caller)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.isFalse(ran)
      assert.deepStrictEqual(endings(yield* logOfAda), [["r1", "cancelled"]])
    }).pipe(Effect.provide(layer())))

  it.effect("fault 39c: begins no run within it whose start was still on its way", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { emitter } = yield* open
      let ran = false
      const nested = Emitter.run({ agentName: "child" })(Effect.uninterruptible(Effect.sync(() => ran = true)))
      const caller = yield* Effect.forkChild(emitter.run(
        Effect.gen(function*() {
          yield* broker.behave({ after: "1 second", do: "ok" })
          yield* Effect.forkDetach(nested, { startImmediately: true })
          return yield* Effect.never
        }),
        agent
      ))
      yield* TestClock.adjust("500 millis")
      yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* TestClock.adjust("10 seconds")
      assert.isFalse(ran)
      assert.sameDeepMembers(endings(yield* logOfAda), [["r1", "cancelled"], ["nested", "cancelled"]])
    }).pipe(Effect.provide(layer())))

  it.effect("waits for what it has to clean up before it ends, where its caller is interrupted", () =>
    Effect.gen(function*() {
      const { emitter } = yield* open
      const cleaned = yield* Deferred.make<void>()
      const caller = yield* Effect.forkChild(
        emitter.run(
          Effect.onInterrupt(Effect.never, () =>
            Effect.andThen(
              Deferred.await(cleaned),
              Effect.orDie(emitter.emit(AgentEvents.AgentThinking.make({ text: "cleaning up" })))
            )),
          agent
        ),
        { startImmediately: true }
      )
      const stopping = yield* Effect.forkChild(Fiber.interrupt(caller), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.isUndefined(caller.pollUnsafe())
      yield* Deferred.succeed(cleaned, undefined)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(shown(yield* logOfAda).slice(1), [
        ["agent_thinking", { text: "cleaning up" }],
        ["agent_error", { reason: "cancelled", message: "The run was cancelled", retryable: true, by: "program" }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("can close its own emitter, and ends once", () =>
    Effect.gen(function*() {
      const { close, emitter } = yield* open
      const taken: Array<number> = []
      const exit = yield* Effect.exit(emitter.run(Effect.andThen(close, steps(taken, 1)), agent))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(taken, [])
      assert.deepStrictEqual(endings(yield* logOfAda), [["r1", "cancelled"]])
    }).pipe(Effect.provide(layer())))
})

describe("a run that was lost", () => {
  it.effect("fault 39c: is interrupted, with what runs within it, and begins no further tool", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const { emitter } = yield* open
      const taken: Array<number> = []
      const began: Array<string> = []
      const note = (what: string) => Effect.sync(() => began.push(what))
      const program = Effect.gen(function*() {
        const { emit, tool } = yield* Emitter.Emitter
        yield* Effect.forkDetach(Emitter.run({ agentName: "child" })(steps(taken, 5)), { startImmediately: true })
        yield* Effect.sleep("1500 millis")
        yield* broker.endLost(ada, [Identity.RunId.make("r1")])
        // It learns of it by what it emits next.
        yield* Effect.exit(emit(AgentEvents.AgentThinking.make({ text: "still here" })))
        yield* tool("t", null)(note("tool"))
        yield* note("step")
      })
      const exit = yield* Effect.forkChild(Effect.exit(emitter.run(program, agent)))
      yield* TestClock.adjust("10 seconds")
      const ended = yield* Fiber.join(exit)
      assert.isTrue(Exit.isFailure(ended) && Cause.hasInterruptsOnly(ended.cause))
      assert.deepStrictEqual(began, [])
      assert.deepStrictEqual(taken, [1, 2])
      assert.deepStrictEqual(endings(yield* logOfAda), [["r1", "lost"], ["nested", "cancelled"]])
    }).pipe(Effect.provide(layer())))
})

describe("a run on a fiber of its own", () => {
  class Tenant extends Context.Service<Tenant, string>()("test/Tenant") {}

  it.effect("has its caller's context, references and span, and ends the children it forked", () =>
    Effect.gen(function*() {
      const { emitter } = yield* open
      const stopped = yield* Deferred.make<void>()
      const seen = yield* emitter.run(
        Effect.gen(function*() {
          yield* Effect.forkChild(Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, undefined)), {
            startImmediately: true
          })
          return [yield* Tenant, yield* Emitter.DescribeFailure, (yield* Effect.currentParentSpan).spanId] as const
        }),
        agent
      ).pipe(
        Effect.provideService(Tenant, "acme"),
        Effect.provideService(Emitter.DescribeFailure, describeAs),
        Effect.provideService(Tracer.ParentSpan, Tracer.externalSpan({ spanId: "s1", traceId: "t1" }))
      )
      assert.deepStrictEqual(seen, ["acme", describeAs, "s1"])
      yield* Deferred.await(stopped)
    }).pipe(Effect.provide(layer())))

  it.effect("costs no turn of the event loop where nothing in it waits", () =>
    Effect.gen(function*() {
      const { emitter } = yield* open
      const ran = Effect.runSyncExit(emitter.run(Effect.succeed(42), agent))
      assert.deepStrictEqual(ran, Exit.succeed(42))
    }).pipe(Effect.provide(layer())))
})

const describeAs = () => "as told"

describe("fault 25: a layer that closes", () => {
  it.effect("ends its runs and delivers their endings before what it stands on closes, tools first", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer(), scope)
      const { log } = Context.get(context, TestBroker.TestBroker)
      const atClose: Array<unknown> = []
      // What a gateway would do when it closes, as it does after the emitters.
      yield* Effect.gen(function*() {
        const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" }).pipe(Scope.provide(scope))
        const program = Effect.flatMap(Emitter.Emitter, ({ tool }) => tool("search", { q: 1 })(Effect.never))
        yield* Effect.forkDetach(Effect.uninterruptible(emitter.run(program, agent)), { startImmediately: true })
      }).pipe(Effect.provideContext(context))
      yield* Scope.close(scope, Exit.void)
      atClose.push(...shown(yield* log(ada)))
      assert.deepStrictEqual(atClose, [
        ["agent_started", { agentName: "a", commands: ["cancel"] }],
        ["tool_executing", { toolCallId: "call-1", toolName: "search", input: { q: 1 } }],
        ["tool_completed", {
          toolCallId: "call-1",
          toolName: "search",
          output: "The tool was cancelled",
          isError: true,
          durationMs: 0
        }],
        ["agent_error", { reason: "cancelled", message: "The run was cancelled", retryable: true, by: "program" }]
      ])
    }))
})
