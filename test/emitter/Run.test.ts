import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Fiber, Option, type Schema, Scope } from "effect"
import { AgentEvents, Broker, Emitter, Emitters, Identity, RunState } from "effect-emitter"
import { type Left, TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, shown } from "./support/emitting.ts"

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
    const exit = yield* Effect.exit(ada.run(options, effect))
    const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
    return { exit, log }
  })

const started = ["agent_started", { agentName: "a" }]
const completed = ["agent_completed", { agentName: "a", durationMs: 0 }]
const error = (reason: string, message: string, retryable: boolean) => ["agent_error", { reason, message, retryable }]

const endings = (log: ReadonlyArray<Left.Logged>) => {
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
        ["agent_started", { agentName: "a", input: { question: "what?" } }],
        ["agent_thinking", { text: "well" }],
        ["agent_completed", { agentName: "a", durationMs: 0, result: { answer: 42 } }]
      ])
      assert.deepStrictEqual(log.map(({ event }) => String(event.run)), ["r1", "r1", "r1"])
    }).pipe(Effect.provide(layer())))

  it.effect("ends as failed, with the message of a typed error", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.fail(new Refused({ why: "closed" })))
      assert.deepStrictEqual(exit, Exit.fail(new Refused({ why: "closed" })))
      assert.deepStrictEqual(shown(log), [started, error("failed", "refused: closed", false)])
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
      const fiber = yield* Effect.forkChild(ada.run(agent, Effect.never), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(shown(log), [started, error("cancelled", "The run was cancelled", true)])
    }).pipe(Effect.provide(layer())))

  it.effect("ends as timeout when its time is over, and fails with TimeoutError", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r1" })
      const fiber = yield* Effect.forkChild(ada.run({ ...agent, timeout: "3 seconds" }, Effect.never))
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
      const fiber = yield* Effect.forkChild(ada.run(agent, Effect.never), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.interrupt(fiber)
      const log = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      assert.deepStrictEqual(shown(log), [started, error("cancelled", "The run was cancelled", true)])
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
      const [, [type, data] = []] = shown(log)
      assert.strictEqual(type, "agent_completed")
      assert.match(JSON.stringify(data), /"omitted":"the result has 10\d\d\d bytes, 8192 are allowed"/)
    }).pipe(Effect.provide(layer({ config: { maxEventBytes: 8192 } }))))

  it.effect("ends as failed when its result is no JSON or cannot be made, and says so to its program", () =>
    Effect.gen(function*() {
      const notJson = yield* running(Effect.succeed(1), { ...agent, result: () => Number.NaN })
      assert.deepStrictEqual(shown(notJson.log), [started, error("failed", "An internal error occurred", false)])
      assert.isTrue(Exit.isFailure(notJson.exit))
    }).pipe(Effect.provide(layer())))

  it.effect("ends as it would have, when describing the failure throws", () =>
    Effect.gen(function*() {
      const { exit, log } = yield* running(Effect.fail("no"), {
        ...agent,
        describe: () => {
          throw new Error("a bug in describe")
        }
      })
      assert.deepStrictEqual(shown(log), [started, error("failed", "An internal error occurred", false)])
      assert.deepStrictEqual(Exit.findErrorOption(exit), Option.some("no"))
      assert.isTrue(Exit.hasDies(exit))
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
        { agentName: "a" },
        { agentName: "child 1", parentRunId: "r1" },
        { agentName: "child 2", parentRunId: "r1" },
        { agentName: "child 3", parentRunId: "r1" }
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
      const fiber = yield* Effect.forkChild(ada.run(agent, nested), { startImmediately: true })
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
      yield* Effect.forkDetach(ada.run(agent, Emitter.run({ agentName: "child" })(Effect.never)), {
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
        done("call-2", "refused: quota", true),
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
      assert.match(JSON.stringify(shownOutputs.at(-1)), /"omitted":"the output has 9\d\d\d bytes, 8192 are allowed"/)
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
          startedAt: 0,
          thinking: "hm",
          messages: [{ messageId: "m", kind: "text", text: "hello" }],
          tools: [],
          usage: { inputTokens: 0, outputTokens: 0 }
        }))
      )
    }).pipe(Effect.provide(layer())))
})
