import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Fiber, Option, type Schema, Scope } from "effect"
import { AgentEvents, Broker, Emitter, Emitters, Identity } from "effect-emitter"
import { RunState } from "effect-emitter/events"
import { type Delivered, TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, note, shown, urgent } from "../support/emitting.ts"

class Refused extends Data.TaggedError("Refused")<{ readonly why: string }> {
  override get message() {
    return `refused: ${this.why}`
  }
}

const ada = Identity.UserId.make("ada")
const agent = { agentName: "a" }

/** Runs an effect as ada's run, and gives how it ended and what left. */
const running = <A, E>(
  effect: Effect.Effect<A, E, Emitter.Emitter>,
  options: Emitter.RunOptions<A, E> = agent
) =>
  Effect.gen(function*() {
    const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
    const exit = yield* Effect.exit(ada.run(effect, options))
    const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
    return { exit, log }
  })

const cancelled = ["agent_error", {
  reason: "cancelled",
  message: "The run was cancelled",
  retryable: true,
  by: "program"
}]
const started = ["agent_started", { agentName: "a", commands: ["cancel"] }]
const completed = ["agent_completed", { agentName: "a", durationMs: 0 }]
const error = (reason: string, message: string, retryable: boolean) => ["agent_error", { reason, message, retryable }]

const endings = (log: ReadonlyArray<Delivered.Logged>) => {
  const ends: Record<string, Array<unknown>> = {}
  for (const { event } of log) {
    if (event.run === undefined || !RunState.isTerminal(event.type)) continue
    const ofRun = ends[event.run] ??= []
    ofRun.push(event.data["reason"] ?? "completed")
  }
  return ends
}

describe("a run", () => {
  it.effect("begins and completes with its effect", () =>
    Effect.gen(function*() {
      const effect = Effect.gen(function*() {
        const { context, emit } = yield* Emitter.Emitter
        assert.strictEqual(context.runId, "r1")
        yield* emit(AgentEvents.AgentThinking.make({ text: "well" }))
        return 42
      })
      const { exit, log } = yield* running(effect, {
        agentName: "a",
        input: { question: "what?" },
        result: (value) => ({ answer: value })
      })
      assert.deepStrictEqual(exit, Exit.succeed(42))
      assert.deepStrictEqual(shown(log), [
        ["agent_started", { agentName: "a", input: { question: "what?" }, commands: ["cancel"] }],
        ["agent_thinking", { text: "well" }],
        ["agent_completed", { agentName: "a", durationMs: 0, result: { answer: 42 } }]
      ])
      assert.deepStrictEqual(log.map(({ event }) => String(event.run)), ["r1", "r1", "r1"])
    }).pipe(Effect.provide(layer())))

  it.effect("ends as failed, with the message of a typed error where its program says so", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.fail(new Refused({ why: "closed" })), {
        ...agent,
        describe: Emitter.errorMessage
      })
      assert.deepStrictEqual(exit, Exit.fail(new Refused({ why: "closed" })))
      assert.deepStrictEqual(shown(log), [started, error("failed", "refused: closed", false)])
    }).pipe(Effect.provide(layer())))

  it.effect("fault 34: tells devices nothing of a typed error by default, since it may quote a secret", () =>
    Effect.gen(function*() {
      const secret = new Refused({ why: "postgres://svc:hunter2@db.internal:5432/agents" })
      const { exit, log } = yield* running(
        Effect.flatMap(
          Emitter.Emitter,
          ({ tool }) => Effect.andThen(Effect.exit(tool("query", null)(Effect.fail(secret))), Effect.fail(secret))
        )
      )
      assert.deepStrictEqual(exit, Exit.fail(secret))
      assert.notInclude(JSON.stringify(shown(log)), "hunter2")
      assert.deepStrictEqual(shown(log).slice(2), [
        ["tool_completed", {
          toolCallId: "call-1",
          toolName: "query",
          output: "The tool failed",
          isError: true,
          durationMs: 0
        }],
        error("failed", "The run failed", false)
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("fault 34: tells what the program's own description makes of a failure, in runs and tools alike", () =>
    Effect.gen(function*() {
      const { log } = yield* running(
        Effect.flatMap(Emitter.Emitter, ({ tool }) =>
          Effect.all([
            tool("a", null)(Effect.fail(new Refused({ why: "quota" }))),
            tool("b", null, { describe: () => "b's own words" })(Effect.fail(new Refused({ why: "quota" }))),
            tool("c", null)(Effect.fail("some secret"))
          ], { mode: "result" })).pipe(Effect.andThen(Effect.fail(new Refused({ why: "quota" }))))
      ).pipe(
        Effect.provideService(Emitter.DescribeFailure, (cause) => {
          const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
          return failure instanceof Refused ? failure.message : undefined
        })
      )
      const outputs = log.filter(({ event }) => event.type === "tool_completed").map(({ event }) =>
        event.data["output"]
      )
      assert.deepStrictEqual(outputs, ["refused: quota", "b's own words", "The tool failed"])
      assert.deepStrictEqual(shown(log).at(-1), error("failed", "refused: quota", false))
    }).pipe(Effect.provide(layer())))

  it.effect("ends as failed after a defect, and tells nothing of it", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.die(new Error("password=hunter2")))
      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(shown(log), [started, error("failed", "An internal error occurred", false)])
    }).pipe(Effect.provide(layer())))

  it.effect("ends as cancelled when it is interrupted", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const fiber = yield* Effect.forkChild(ada.run(Effect.never, agent), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(shown(log), [started, cancelled])
    }).pipe(Effect.provide(layer())))

  it.effect("ends as timeout when its time is over, and fails with TimeoutError", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const fiber = yield* Effect.forkChild(ada.run(Effect.timeout(Effect.never, "3 seconds"), agent))
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const failure = Option.getOrThrow(Exit.findErrorOption(yield* Fiber.await(fiber)))
      assert.isTrue(Cause.isTimeoutError(failure))
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(endings(log), { r1: ["timeout"] })
    }).pipe(Effect.provide(layer())))

  it.effect("ends as cancelled when the scope of its emitter closes first, and only then", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const scope = yield* Scope.make()
      const ada = yield* Scope.provide(forUser({ userId: "ada", runId: "r1" }), scope)
      const fiber = yield* Effect.forkChild(ada.run(Effect.never, agent), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.interrupt(fiber)
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(shown(log), [started, cancelled])
    }).pipe(Effect.provide(layer())))

  it.effect("ends with its emitter also when so many others began since its emitter was first asked for it", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const broker = yield* TestBroker.TestBroker
      const scope = yield* Scope.make()
      const ada = yield* forUser({ userId: "ada", runId: "r" }).pipe(Scope.provide(scope))
      yield* Effect.flip(ada.emit(AgentEvents.AgentThinking.make({ text: "too early" })))
      for (let n = 0; n < 100; n++) {
        const other = yield* forUser({ userId: "ada", runId: `other-${n}` })
        yield* other.emit(AgentEvents.AgentStarted.make({ agentName: "other" }))
        yield* other.emit(AgentEvents.AgentCompleted.make({ agentName: "other", durationMs: 1 }))
      }
      yield* ada.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
      yield* Scope.close(scope, Exit.void)
      const last = (yield* broker.log(ada.context.userId)).at(-1)
      assert.deepStrictEqual([last?.event.run, last?.event.type], ["r", "agent_error"])
    }).pipe(Effect.provide(layer())))

  it.effect("ends once also where its program has ended it already", () =>
    Effect.gen(function*() {
      const effect = Effect.flatMap(Emitter.Emitter, ({ emit }) =>
        emit(AgentEvents.AgentError.make({ reason: "failed", message: "by hand", retryable: false })))
      const { exit, log } = yield* running(effect)
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(shown(log), [started, error("failed", "by hand", false)])
    }).pipe(Effect.provide(layer())))

  it.effect("ends once also where its program has ended it and then fails, whatever order is enforced", () =>
    Effect.gen(function*() {
      const effect = Effect.flatMap(Emitter.Emitter, ({ emit }) =>
        Effect.andThen(
          emit(AgentEvents.AgentError.make({ reason: "failed", message: "by hand", retryable: false })),
          Effect.fail("later")
        ))
      const { exit, log } = yield* running(effect)
      assert.deepStrictEqual(exit, Exit.fail("later"))
      assert.deepStrictEqual(shown(log), [started, error("failed", "by hand", false)])
    }).pipe(Effect.provide(layer({ config: { lifecycle: "observe" } }))))

  it.effect("completes, with a note in its place, when its result is too large for an event", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.succeed("x".repeat(10_000)), { ...agent, result: (value) => value })
      assert.isTrue(Exit.isSuccess(exit))
      const omitted = "the result is too large for an event, which may have 8192 bytes (maxEventBytes)"
      assert.deepStrictEqual(shown(log), [
        started,
        ["agent_completed", { agentName: "a", durationMs: 0, result: { omitted } }]
      ])
    }).pipe(Effect.provide(layer({ config: { maxEventBytes: 8192 } }))))

  it.effect("fault 26: completes, and gives what its effect gave, when its result cannot be made", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.succeed(1), {
        ...agent,
        result: () => {
          throw new Error("a bug in result")
        }
      })
      assert.deepStrictEqual(exit, Exit.succeed(1))
      assert.deepStrictEqual(shown(log), [
        started,
        ["agent_completed", { agentName: "a", durationMs: 0, result: { omitted: "the result could not be made" } }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("ends as it would have, when describing the failure throws", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.fail("no"), {
        ...agent,
        describe: () => {
          throw new Error("a bug in describe")
        }
      })
      assert.deepStrictEqual(shown(log), [started, error("failed", "The run failed", false)])
      assert.deepStrictEqual(exit, Exit.fail("no"))
    }).pipe(Effect.provide(layer())))

  it.effect("cuts a message that is too long to show", () =>
    Effect.gen(function*() {
      const { log } = yield* running(Effect.fail("no"), { ...agent, describe: () => "x".repeat(100_000) })
      assert.deepStrictEqual(shown(log), [started, error("failed", "x".repeat(1_000), false)])
    }).pipe(Effect.provide(layer({ config: { maxEventBytes: 8192 } }))))

  it.effect("does not begin when its start is not accepted", () =>
    Effect.gen(function*() {
      let ran = false
      const { exit, log } = yield* running(Effect.sync(() => ran = true), { agentName: "" })
      assert.deepInclude(Option.getOrThrow(Exit.findErrorOption(exit)), { _tag: "EmitError" })
      assert.deepStrictEqual([ran, log], [false, []])
    }).pipe(Effect.provide(layer())))
})

describe("nested and parallel runs", () => {
  const startsOf = Effect.gen(function*() {
    const log = yield* (yield* TestBroker.TestBroker).log(ada)
    return log.filter(({ event }) => event.type === "agent_started").map(({ event }) => ({
      run: event.run,
      agent: event.data["agentName"],
      parent: event.data["parentRunId"]
    }))
  })

  it.effect("fault 27: of one emitter beside each other are no children of each other", () =>
    Effect.gen(function*() {
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      yield* Effect.forEach(["a", "b", "c"], (agentName) => emitter.run(Effect.yieldNow, { agentName }), {
        concurrency: "unbounded"
      })
      const starts = yield* startsOf
      assert.deepStrictEqual(starts.map(({ agent, parent }) => [agent, parent]), [
        ["a", undefined],
        ["b", undefined],
        ["c", undefined]
      ])
      assert.strictEqual(starts[0]?.run, "r1")
      assert.strictEqual(new Set(starts.map(({ run }) => run)).size, 3)
    }).pipe(Effect.provide(layer())))

  it.effect("fault 27: of one emitter each have an id of their own, also while the first waits for room to start", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      yield* broker.behave({ after: "1 second", do: "ok" })
      yield* Effect.forkChild(emitter.emit(urgent(1)), { startImmediately: true })
      yield* emitter.emit(note(2))
      const runs = yield* Effect.forkChild(
        Effect.forEach(["a", "b"], (agentName) => emitter.run(Effect.void, { agentName }), { concurrency: 2 })
      )
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(runs)
      const starts = yield* startsOf
      assert.deepStrictEqual(starts.map(({ agent, parent }) => [agent, parent]), [["a", undefined], ["b", undefined]])
    }).pipe(Effect.provide(layer({ config: { batching: { maxSize: 1, capacity: 1 } } }))))

  it.effect("fault 27: are children where they begin in the fiber of a run, whatever emitter of the user they use", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const emitter = yield* forUser({ userId: "ada", runId: "r1" })
      const other = yield* forUser({ userId: "ada" })
      const bob = yield* forUser({ userId: "bob" })
      yield* emitter.run(
        Effect.gen(function*() {
          yield* emitter.run(Effect.void, { agentName: "same emitter" })
          yield* other.run(Effect.void, { agentName: "other emitter" })
          yield* Effect.forkChild(Emitter.run({ agentName: "forked" })(Effect.void)).pipe(Effect.flatMap(Fiber.join))
          yield* bob.run(Effect.void, { agentName: "of bob" })
        }),
        { agentName: "outer" }
      )
      const [, ...nested] = yield* startsOf
      assert.deepStrictEqual(nested.map(({ agent, parent }) => [agent, parent]), [
        ["same emitter", "r1"],
        ["other emitter", "r1"],
        ["forked", "r1"]
      ])
      const [ofBob] = yield* (yield* TestBroker.TestBroker).log(Identity.UserId.make("bob"))
      assert.deepStrictEqual(ofBob?.event.data, { agentName: "of bob", commands: ["cancel"] })
    }).pipe(Effect.provide(layer())))

  it.effect("fault 45: name as their parent only a run that is active", () =>
    Effect.gen(function*() {
      const { exit } = yield* running(Effect.gen(function*() {
        const { emit } = yield* Emitter.Emitter
        yield* emit(AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 0 }))
        yield* Emitter.run({ agentName: "late" })(Effect.void)
        return yield* Effect.forkDetach(
          Effect.andThen(Effect.sleep("1 second"), Emitter.run({ agentName: "later" })(Effect.void))
        )
      }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(Exit.isSuccess(exit) ? exit.value : assert.fail())
      const [, ...nested] = yield* startsOf
      assert.deepStrictEqual(nested.map(({ agent, parent }) => [agent, parent]), [["late", undefined], [
        "later",
        undefined
      ]])
    }).pipe(Effect.provide(layer())))

  it.effect("have ids and endings of their own, and name their parents", () =>
    Effect.gen(function*() {
      const child = (n: number) => n === 2 ? Effect.fail("no") : Effect.void
      const { log } = yield* running(
        Effect.forEach([1, 2, 3], (n) => Effect.exit(Emitter.run({ agentName: `child ${n}` })(child(n))), {
          concurrency: "unbounded"
        })
      )
      const starts = log.filter(({ event }) => event.type === "agent_started")
      assert.deepStrictEqual(starts.map(({ event }) => event.data), [
        { agentName: "a", commands: ["cancel"] },
        { agentName: "child 1", parentRunId: "r1", commands: ["cancel"] },
        { agentName: "child 2", parentRunId: "r1", commands: ["cancel"] },
        { agentName: "child 3", parentRunId: "r1", commands: ["cancel"] }
      ])
      const [r1, first = "", second = "", third = ""] = starts.map(({ event }) => event.run)
      assert.strictEqual(new Set([r1, first, second, third]).size, 4)
      assert.deepStrictEqual(endings(log), {
        r1: ["completed"],
        [first]: ["completed"],
        [second]: ["failed"],
        [third]: ["completed"]
      })
    }).pipe(Effect.provide(layer())))

  it.effect("end one by one, the inner first, when the outer is interrupted", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const nested = Emitter.run({ agentName: "child" })(Effect.never)
      const fiber = yield* Effect.forkChild(ada.run(nested, agent), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      const [, child] = log.map(({ event }) => event.run)
      assert.deepStrictEqual(log.map(({ event }) => [event.type, event.run]), [
        ["agent_started", "r1"],
        ["agent_started", child],
        ["agent_error", child],
        ["agent_error", "r1"]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("end each, the inner first, when the layer closes around them", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      yield* Effect.forkDetach(ada.run(Emitter.run({ agentName: "child" })(Effect.never), agent), {
        startImmediately: true
      })
      return yield* Broker.Broker
    }).pipe(
      Effect.provide(layer()),
      Effect.flatMap((broker) => broker.pull(ada, { epoch: "", offset: 0 }, { maxEvents: 99, maxBytes: 99_999 })),
      Effect.map(({ entries }) => {
        const [, child] = entries.map(({ run }) => run)
        assert.deepStrictEqual(entries.map(({ run, type }) => [type, run]), [
          ["agent_started", "r1"],
          ["agent_started", child],
          ["agent_error", child],
          ["agent_error", "r1"]
        ])
      })
    ))
})

describe("a tool call", () => {
  it.effect("begins and completes with its effect, also in parallel", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.gen(function*() {
        const { tool } = yield* Emitter.Emitter
        return yield* Effect.all([
          Effect.succeed({ hits: 2 }).pipe(tool("search", { q: "one" })),
          Effect.fail(new Refused({ why: "quota" })).pipe(tool("search", { q: "two" }), Effect.exit),
          Effect.die(new Error("secret")).pipe(tool("search", { q: "three" }), Effect.exit)
        ], { concurrency: "unbounded" })
      }))
      assert.isTrue(Exit.isSuccess(exit))
      const executing = (id: string, q: string) => ["tool_executing", {
        toolCallId: id,
        toolName: "search",
        input: { q }
      }]
      const done = (id: string, output: Schema.Json, isError: boolean) => ["tool_completed", {
        toolCallId: id,
        toolName: "search",
        output,
        isError,
        durationMs: 0
      }]
      assert.deepStrictEqual(shown(log).toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))), [
        completed,
        started,
        done("call-1", { hits: 2 }, false),
        done("call-2", "The tool failed", true),
        done("call-3", "An internal error occurred", true),
        executing("call-1", "one"),
        executing("call-2", "two"),
        executing("call-3", "three")
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("completes whatever its effect gives, and says what it could not show", () =>
    Effect.gen(function*() {
      const circular: { self?: unknown } = {}
      circular.self = circular
      const outputs = [undefined, new Date(0), 10n, circular, Object.create(null), () => 1, "x".repeat(9_000)]
      const { exit, log } = yield* running(
        Effect.flatMap(Emitter.Emitter, ({ tool }) =>
          Effect.forEach(outputs, (output) => tool("t", null)(Effect.succeed(output))))
      )
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(endings(log), { r1: ["completed"] })
      const shownOutputs = log.filter(({ event }) =>
        event.type === "tool_completed"
      ).map(({ event }) => event.data["output"])
      assert.deepStrictEqual(shownOutputs.slice(0, 3), [null, "1970-01-01T00:00:00.000Z", "10"])
      assert.strictEqual(shownOutputs.length, outputs.length)
      assert.deepStrictEqual(shownOutputs.slice(3), [
        { omitted: "the output cannot be written as JSON" },
        {},
        { omitted: "the output is a function" },
        { omitted: "the output is too large for an event, which may have 8192 bytes (maxEventBytes)" }
      ])
    }).pipe(Effect.provide(layer({ config: { maxEventBytes: 8192 } }))))

  it.effect("that its program left open is closed before its run completes", () =>
    Effect.gen(function*() {
      const { log } = yield* running(
        Effect.flatMap(Emitter.Emitter, ({ emit }) =>
          emit(AgentEvents.ToolExecuting.make({ toolCallId: "x", toolName: "t", input: null })))
      )
      assert.deepStrictEqual(
        log.map(({ event }) =>
          event.type
        ),
        [
          "agent_started",
          "tool_executing",
          "tool_completed",
          "agent_completed"
        ]
      )
    }).pipe(Effect.provide(layer())))
})

describe("fault 26: what a tool takes and gives", () => {
  const circular: { self?: unknown } = {}
  circular.self = circular
  class Throws {
    toJSON(): never {
      throw new Error("secret of toJSON")
    }
  }
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  let deep: unknown = 0
  for (let level = 0; level < 20_000; level++) deep = [deep]
  const getter = Object.defineProperty({}, "field", {
    enumerable: true,
    get: () => {
      throw new Error("secret of a getter")
    }
  })

  const noJson = (role: string) => ({ omitted: `the ${role} cannot be written as JSON` })
  const tooLarge = (role: string) => ({
    omitted: `the ${role} is too large for an event, which may have 8192 bytes (maxEventBytes)`
  })

  /** Values, with how they are shown. */
  const values: ReadonlyArray<readonly [unknown, (role: string) => Schema.Json]> = [
    [undefined, () => null],
    [{ n: Number.NaN, i: Number.POSITIVE_INFINITY, z: -0 }, () => ({ n: null, i: null, z: 0 })],
    [{ at: new Date(0), none: undefined, big: 2n ** 70n }, () => ({
      at: "1970-01-01T00:00:00.000Z",
      big: "1180591620717411303424"
    })],
    [[undefined, () => 1, Symbol("s")], () => [null, null, null]],
    [() => 1, (role) => ({ omitted: `the ${role} is a function` })],
    [Symbol("s"), (role) => ({ omitted: `the ${role} is a symbol` })],
    [new Date(Number.NaN), () => null],
    [Option.some({ q: 1 }), () => ({ _id: "Option", _tag: "Some", value: { q: 1 } })],
    [circular, noJson],
    [new Throws(), noJson],
    [{ inner: new Throws() }, noJson],
    [getter, noJson],
    [revoked.proxy, noJson],
    [deep, noJson],
    ["x".repeat(9_000), tooLarge],
    [{ [`${"k".repeat(9_000)}`]: 1 }, tooLarge],
    ["\u0000".repeat(3_000), tooLarge],
    ["ä".repeat(5_000), tooLarge],
    [Array.from({ length: 5_000 }, () => 1), tooLarge]
  ]

  it.effect("does not decide whether it runs, nor what it gives its program", () =>
    Effect.gen(function*() {
      const given: Array<unknown> = []
      const { exit, log } = yield* running(
        Effect.flatMap(Emitter.Emitter, ({ tool }) =>
          Effect.forEach(values, ([value]) =>
            Effect.map(
              tool("t", value)(Effect.sync(() => value)),
              (output) => given.push(output)
            ))),
        { ...agent, input: Number.NaN }
      )
      assert.isTrue(Exit.isSuccess(exit))
      assert.isTrue(values.every(([value], index) => Object.is(given[index], value)))
      assert.deepStrictEqual(endings(log), { r1: ["completed"] })
      const of = (type: string, field: string) =>
        log.filter(({ event }) => event.type === type).map(({ event }) => event.data[field])
      assert.deepStrictEqual(of("tool_executing", "input"), values.map(([, as]) => as("input")))
      assert.deepStrictEqual(of("tool_completed", "output"), values.map(([, as]) => as("output")))
      assert.notInclude(JSON.stringify(shown(log)), "secret")
      assert.deepInclude(yield* (yield* Emitters).stats, { unreported: 0 })
    }).pipe(Effect.provide(layer({ config: { maxEventBytes: 8192 } }))))

  it.effect("is no other for a run", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      for (const [index, [value, as]] of values.entries()) {
        const emitter = yield* forUser({ userId: `u${index}`, runId: "r" })
        const given = yield* emitter.run(Effect.succeed(value), {
          agentName: "a",
          input: value,
          result: (value) => value
        })
        assert.isTrue(Object.is(given, value))
        const log = yield* (yield* TestBroker.TestBroker).log(emitter.context.userId)
        assert.deepStrictEqual(shown(log), [
          ["agent_started", {
            agentName: "a",
            commands: ["cancel"],
            ...(value === undefined ? {} : { input: as("input") })
          }],
          ["agent_completed", {
            agentName: "a",
            durationMs: 0,
            ...(value === undefined ? {} : { result: as("result") })
          }]
        ])
      }
    }).pipe(Effect.provide(layer({ config: { maxEventBytes: 8192 } }))))

  it.effect("is shown as it was, whatever its program does with it later", () =>
    Effect.gen(function*() {
      const input = { q: ["one"] }
      const { log } = yield* running(
        Effect.flatMap(Emitter.Emitter, ({ tool }) =>
          tool("t", input)(Effect.sync(() => {
            input.q.push("two")
            return input
          }))),
        { ...agent, input, result: (value) => value }
      )
      input.q.push("three")
      assert.deepStrictEqual(log.map(({ event: { data } }) => data["input"] ?? data["output"] ?? data["result"]), [
        { q: ["one"] },
        { q: ["one"] },
        { q: ["one", "two"] },
        { q: ["one", "two"] }
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("is not lost where its ending finds no room: it ends without what it gave", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const program = Effect.gen(function*() {
        const { emit, tool } = yield* Emitter.Emitter
        return yield* tool("charge", { cents: 100 })(Effect.gen(function*() {
          yield* broker.behave({ after: "1 second", do: "ok" })
          yield* Effect.forkChild(emit(urgent(1)), { startImmediately: true })
          yield* emit(note(2))
          return "receipt"
        }))
      })
      const fiber = yield* Effect.forkChild(emitter.run(program, agent))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "receipt")
      const log = yield* broker.log(ada)
      assert.deepStrictEqual(endings(log), { r1: ["completed"] })
      const completed = log.find(({ event }) => event.type === "tool_completed")
      assert.deepStrictEqual(completed?.event.data["output"], {
        omitted: "the output was left out, since too many events are pending (batching.capacity)"
      })
      assert.deepInclude(yield* (yield* Emitters).stats, { unreported: 0 })
    }).pipe(Effect.provide(layer({ config: { batching: { maxSize: 1, capacity: 1, overflow: "fail" } } }))))

  it.effect("is not lost where its ending cannot be told at all: that is counted, and the run ends", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(
        Effect.flatMap(Emitter.Emitter, ({ emit, tool }) =>
          tool("t", 1)(Effect.as(
            emit(AgentEvents.ToolCompleted.make({
              toolCallId: "call-1",
              toolName: "t",
              output: "by hand",
              isError: false,
              durationMs: 0
            })),
            "receipt"
          )))
      )
      assert.deepStrictEqual(exit, Exit.succeed("receipt"))
      assert.deepStrictEqual(endings(log), { r1: ["completed"] })
      assert.deepInclude(yield* (yield* Emitters).stats, { unreported: 1 })
    }).pipe(Effect.provide(layer())))

  it.effect("is nothing where its start is refused: it does not run, and fails for it", () =>
    Effect.gen(function*() {
      let ran = 0
      const count = Effect.sync(() => ran++)
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const refused = Effect.fnUntraced(function*(name: string) {
        const call = count.pipe(emitter.tool(name, 1))
        return (yield* Effect.flip(call)).reason._tag
      })
      assert.strictEqual(yield* refused("t"), "IllegalEvent")
      yield* emitter.emit(AgentEvents.AgentStarted.make(agent))
      assert.strictEqual(yield* refused(""), "InvalidPayload")
      yield* emitter.emit(AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 0 }))
      assert.strictEqual(yield* refused("t"), "IllegalEvent")
      assert.strictEqual(ran, 0)
    }).pipe(Effect.provide(layer())))
})

describe("a run whose start is refused", () => {
  it.effect("fault 26: runs without its events, and fails with nothing of its own, where it is to log only", () =>
    Effect.gen(function*() {
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const run: Effect.Effect<number> = emitter.run(Effect.succeed(42), { agentName: "", onEmitError: "log" })
      assert.strictEqual(yield* run, 42)
      const piped: Effect.Effect<number> = Effect.succeed(42).pipe(
        Emitter.run({ agentName: "", onEmitError: "log" }),
        Effect.provideService(Emitter.Emitter, emitter)
      )
      assert.strictEqual(yield* piped, 42)
      assert.deepStrictEqual(yield* (yield* TestBroker.TestBroker).log(ada), [])
      assert.deepInclude(yield* (yield* Emitters).stats, { unreported: 2 })
    }).pipe(Effect.provide(layer())))

  it.effect("leaves its id to the next", () =>
    Effect.gen(function*() {
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      yield* Effect.flip(emitter.run(Effect.void, { agentName: "" }))
      yield* emitter.run(Effect.void, agent)
      const [first] = yield* (yield* TestBroker.TestBroker).log(ada)
      assert.strictEqual(first?.event.run, "r1")
    }).pipe(Effect.provide(layer())))
})

type Program = Effect.Effect<void, Cause.TimeoutError | Emitter.EmitError, Emitter.Emitter>

describe("the ending of a run", () => {
  it.effect("fault 26: is told barely, where what its program reported cannot be", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.gen(function*() {
        const { emit } = yield* Emitter.Emitter
        const report = AgentEvents.UsageReported.make({ inputTokens: 1, outputTokens: 1, cost: Number.MAX_VALUE })
        yield* emit(report)
        yield* emit(report)
        return 42
      }))
      assert.deepStrictEqual(exit, Exit.succeed(42))
      assert.deepStrictEqual(shown(log).at(-1), completed)
      assert.deepInclude(yield* (yield* Emitters).stats, { unreported: 1 })
    }).pipe(Effect.provide(layer())))

  it.effect("fault 27: is a timeout only when the run's own time was over", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const slow = Effect.timeout(Effect.never, "1 second")
      const own: Record<string, Program> = {
        whole: slow,
        step: Effect.andThen(Effect.void, slow)
      }
      const others: Record<string, Program> = {
        tool: Effect.flatMap(Emitter.Emitter, ({ tool }) => tool("t", 1)(slow)),
        nested: Emitter.run({ agentName: "child" })(slow),
        deeper: Emitter.run({ agentName: "child" })(
          Effect.flatMap(Emitter.Emitter, ({ tool }) => tool("t", 1)(slow))
        ),
        defect: Effect.ensuring(slow, Effect.die("a bug"))
      }
      const reasonOf = Effect.fnUntraced(
        function*(name: string, effect: Program) {
          const emitter = yield* forUser({ userId: "ada", runId: name })
          const fiber = yield* Effect.forkChild(Effect.exit(emitter.run(effect, agent)))
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(fiber)
          return endings(yield* (yield* TestBroker.TestBroker).log(ada))[name]
        }
      )
      for (const [name, effect] of Object.entries(own)) {
        assert.deepStrictEqual(yield* reasonOf(name, effect), ["timeout"])
      }
      for (const [name, effect] of Object.entries(others)) {
        assert.deepStrictEqual(yield* reasonOf(name, effect), ["failed"], name)
      }
      const log = yield* (yield* TestBroker.TestBroker).log(ada)
      const reasons = log.filter(({ event }) => event.type === "agent_error").map(({ event }) => event.data["reason"])
      assert.deepStrictEqual(reasons, [
        "timeout",
        "timeout",
        "failed",
        // A nested run that ran out of its own time has, though the run around it has not.
        "timeout",
        "failed",
        "failed",
        "failed",
        "failed"
      ])
    }).pipe(Effect.provide(layer())))
})

describe("an event that is illegal where its run stands", () => {
  const illegal = Effect.gen(function*() {
    const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
    return [
      yield* Effect.exit(ada.emit(AgentEvents.AgentThinking.make({ text: "early" }))),
      yield* Effect.exit(ada.emit(AgentEvents.AgentStarted.make(agent))),
      yield* Effect.exit(ada.emit(AgentEvents.AgentStarted.make(agent))),
      yield* Effect.exit(
        ada.emit(
          AgentEvents.ToolCompleted.make({ toolCallId: "x", toolName: "t", output: 1, isError: false, durationMs: 0 })
        )
      ),
      yield* Effect.exit(ada.emit(AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 0 }))),
      yield* Effect.exit(ada.emit(AgentEvents.AgentThinking.make({ text: "late" })))
    ].map((exit) => {
      const failure = Exit.findErrorOption(exit)
      if (Option.isNone(failure)) return "accepted"
      const { reason } = failure.value
      return reason._tag === "IllegalEvent" ? [reason.event, reason.state, reason.problem] : reason
    })
  })

  it.effect("is refused with the rule it breaks, and changes nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* illegal, [
        ["agent_thinking", "Idle", "notStarted"],
        "accepted",
        ["agent_started", "Active", "alreadyStarted"],
        ["tool_completed", "Active", "toolNotOpen"],
        "accepted",
        ["agent_thinking", "Ended", "alreadyEnded"]
      ])
      assert.deepInclude(yield* (yield* Emitters).stats, {
        rejected: { IllegalEvent: 4 },
        accepted: { agent_started: 1, agent_completed: 1 },
        illegal: 0
      })
    }).pipe(Effect.provide(layer())))

  it.effect("passes and is counted with lifecycle observe", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* illegal, Array.from({ length: 6 }, () => "accepted"))
      assert.deepInclude(yield* (yield* Emitters).stats, { rejected: {}, illegal: 4 })
    }).pipe(Effect.provide(layer({ config: { lifecycle: "observe" } }))))

  it.effect("is refused also with lifecycle observe where it would write down the answer to a sensitive request", () =>
    Effect.gen(function*() {
      const { emit } = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r" })
      yield* emit(AgentEvents.AgentStarted.make(agent))
      yield* emit(
        AgentEvents.InputRequested.make({ requestId: "q", kind: "text", title: "The password?", sensitive: true })
      )
      const answered = { requestId: "q", outcome: "answered" } as const
      yield* emit(AgentEvents.InputResolved.make(answered))
      const error = yield* Effect.flip(emit(AgentEvents.InputResolved.make({ ...answered, answer: "hunter2" })))
      assert.deepInclude(error.reason, { _tag: "IllegalEvent", problem: "sensitiveAnswer", requestId: "q" })
      assert.notInclude(error.message, "hunter2")
    }).pipe(Effect.provide(layer({ config: { lifecycle: "observe" } }))))

  it.effect("is refused after any number of runs of the same user came and went", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const outer = yield* forUser({ userId: "ada", runId: "outer" })
      yield* outer.emit(AgentEvents.AgentStarted.make(agent))
      for (let n = 0; n < 200; n++) {
        const other = yield* forUser({ userId: "ada", runId: `other${n}` })
        yield* other.emit(AgentEvents.Custom.make({ name: "note", data: n }))
      }
      const error = yield* Effect.flip(outer.emit(AgentEvents.AgentStarted.make(agent)))
      assert.deepInclude(error.reason, { _tag: "IllegalEvent", problem: "alreadyStarted" })
    }).pipe(Effect.provide(layer())))
})

describe("usage", () => {
  it.effect("is totalled for the run, readable while it runs, and told when it completes", () =>
    Effect.gen(function*() {
      const report = (inputTokens: number, outputTokens: number, cost?: number) =>
        Effect.flatMap(Emitter.Emitter, ({ emit }) =>
          emit(
            AgentEvents.UsageReported.make({ inputTokens, outputTokens, ...(cost === undefined ? {} : { cost }) })
          ))
      const { exit, log } = yield* running(Effect.gen(function*() {
        yield* report(10, 1)
        yield* report(20, 2, 0.5)
        yield* Emitter.run({ agentName: "child" })(report(1_000, 1_000))
        return yield* (yield* Emitter.Emitter).usage
      }))
      assert.deepStrictEqual(exit, Exit.succeed({ inputTokens: 30, outputTokens: 3, cost: 0.5 }))
      const usages = log.filter(({ event }) => event.type === "agent_completed").map(({ event }) => event.data["usage"])
      assert.deepStrictEqual(usages, [
        { inputTokens: 1_000, outputTokens: 1_000 },
        { inputTokens: 30, outputTokens: 3, cost: 0.5 }
      ])
    }).pipe(Effect.provide(layer())))
})

describe("a snapshot", () => {
  it.effect("is the state of the run as the log has it, while the run is active", () =>
    Effect.gen(function*() {
      const { exit } = yield* running(Effect.gen(function*() {
        const { emit, snapshot } = yield* Emitter.Emitter
        yield* emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "hel" }))
        yield* emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "lo" }))
        yield* emit(AgentEvents.AgentThinking.make({ text: "hm" }))
        return yield* snapshot
      }))
      assert.deepStrictEqual(
        exit,
        Exit.succeed(Option.some({
          status: "active",
          agentName: "a",
          commands: ["cancel"],
          startedAt: 0,
          thinking: "hm",
          parts: [{ type: "text", messageId: "m", text: "hello" }, { type: "thinking", text: "hm" }],
          usage: { inputTokens: 0, outputTokens: 0 }
        }))
      )
    }).pipe(Effect.provide(layer())))
})
