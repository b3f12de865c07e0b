// @effect-diagnostics missingEffectContext:off
/** Agents: a model and its tools, again and again. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { Emitter, Emitters } from "effect-emitter"
import { EmitterAi } from "effect-emitter/ai"
import { TestBroker, TestDevice } from "effect-emitter/testing"
import { LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  ada,
  agent,
  asAda,
  call,
  engine,
  finish,
  logged,
  ofType,
  scripted,
  snapshot,
  text,
  typesLogged
} from "./scripted.ts"

class Away extends Data.TaggedError("Away")<{ readonly message: string }> {}

const Search = Tool.make("search", {
  parameters: Schema.Struct({ query: Schema.NonEmptyString }),
  success: Schema.Array(Schema.String),
  failure: Schema.Struct({ reason: Schema.String }),
  failureMode: "return"
})
const Send = Tool.make("send", {
  parameters: Schema.Struct({ to: Schema.String }),
  success: Schema.String,
  needsApproval: ({ to }) => Effect.succeed(to !== "me")
})
const Tools = Toolkit.make(Search, Send)

const handled = Tools.toLayer({
  search: ({ query }) =>
    query === "nothing" ? Effect.fail({ reason: "there is nothing" }) : Effect.succeed([`all about ${query}`]),
  send: ({ to }) => Effect.succeed(`sent to ${to}`)
})

const toolResults = (prompt: Prompt.Prompt | undefined) =>
  prompt?.content.flatMap((message) => message.role === "tool" ? message.content : []).map((part) =>
    part.type === "tool-result" ? [part.id, part.isFailure, part.result] : part.type
  )

const tools = Effect.map(
  snapshot,
  ({ parts }) =>
    parts.flatMap((part) => part.type === "tool" ? [[part.toolCallId, part.toolName, part.status, part.output]] : [])
)

/** Lets a device of Ada's do something while time passes. */
const device = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const doing = yield* Effect.forkChild(effect)
    yield* TestClock.adjust("1 second")
    return yield* Fiber.join(doing)
  })

const answer = (requestId: string, answer: Schema.Json) => device(TestDevice.of("ada", "r1").answer(requestId, answer))

describe("an agent", () => {
  it.effect("calls its model and its tools, step by step, until it has an answer", () =>
    Effect.gen(function*() {
      const { layer, prompts } = yield* scripted(
        [
          ...text("Let me see."),
          call("0", "search", { query: "streams" }),
          call("1", "search", { query: "fibers" }),
          finish("tool-calls", 10, 5)
        ],
        // Providers count anew with each response.
        [call("0", "search", { query: "scopes" }), finish("tool-calls", 20, 5)],
        [...text("They are ", "pull-based."), finish("stop", 30, 5)]
      )
      const answer = yield* EmitterAi.runAgent({ ...agent, toolkit: Tools, prompt: "What are streams?" }).pipe(
        Effect.provide([layer, handled])
      )
      assert.deepInclude(answer, { text: "They are pull-based.", finishReason: "stop", steps: 3 })
      assert.deepStrictEqual(toolResults(prompts[1]), [
        ["0", false, ["all about streams"]],
        ["1", false, ["all about fibers"]]
      ])
      assert.deepStrictEqual(answer.history.content.map(({ role }) => role), [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant"
      ])
      const { input, parts, result, status, usage } = yield* snapshot
      assert.deepStrictEqual<unknown>([status, input, result, usage], [
        "completed",
        "What are streams?",
        { finishReason: "stop", steps: 3 },
        { inputTokens: 60, outputTokens: 15 }
      ])
      const shown = parts.map((part) =>
        part.type === "step"
          ? part.name + part.status
          : part.type === "tool"
          ? part.toolCallId + part.status
          : part.type === "text"
          ? part.text
          : part.type
      )
      assert.deepStrictEqual(shown, [
        "step-1finished",
        "Let me see.",
        "call-1completed",
        "call-2completed",
        "step-2finished",
        "call-3completed",
        "step-3finished",
        "They are pull-based."
      ])
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("runs the tools of a step side by side, each as a call of its own", () =>
    Effect.gen(function*() {
      const both = yield* Deferred.make<void>()
      let running = 0
      const meeting = Toolkit.make(Tool.make("meet", { success: Schema.Boolean }))
      const { layer } = yield* scripted(
        [call("a", "meet", {}), call("b", "meet", {}), finish("tool-calls")],
        [...text("Met."), finish()]
      )
      const meet = Effect.suspend(() =>
        Effect.andThen(++running === 2 ? Deferred.succeed(both, undefined) : Effect.void, Deferred.await(both))
      )
      yield* EmitterAi.runAgent({ ...agent, toolkit: meeting, prompt: "?" }).pipe(
        Effect.provide([layer, meeting.toLayer({ meet: () => Effect.as(meet, true) })])
      )
      assert.deepStrictEqual(yield* tools, [
        ["call-1", "meet", "completed", true],
        ["call-2", "meet", "completed", true]
      ])
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("needs no tools, and takes a model of its own and the history of an answer", () =>
    Effect.gen(function*() {
      const { model, prompts } = yield* scripted([...text("One."), finish()], [...text("Two."), finish()])
      const first = yield* EmitterAi.runAgent({ ...agent, model, prompt: "Count" })
      const second = yield* EmitterAi.runAgent({ ...agent, model, prompt: Prompt.concat(first.history, "Go on") })
      assert.strictEqual(second.text, "Two.")
      assert.deepStrictEqual(prompts[1]?.content.map(({ role }) => role), ["user", "assistant", "user"])
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("asks before a tool that needs it, and tells the model who refused and why", () =>
    Effect.gen(function*() {
      const { layer, prompts } = yield* scripted(
        ["bob", "eve", "kim", "me"].map((to) => call(to, "send", { to })).concat(finish("tool-calls")),
        [...text("Done."), finish()]
      )
      const running = yield* EmitterAi.runAgent({
        ...agent,
        toolkit: Tools,
        prompt: "Send it",
        approval: ({ name, params }) => ({ title: `${name} ${JSON.stringify(params)}?`, timeout: "1 minute" })
      }).pipe(Effect.provide([layer, handled]), Effect.forkChild)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* ofType("input_requested")).map(({ title, toolCallId }) => [title, toolCallId]), [
        ["send {\"to\":\"bob\"}?", "call-1"],
        ["send {\"to\":\"eve\"}?", "call-2"],
        ["send {\"to\":\"kim\"}?", "call-3"]
      ])
      assert.deepInclude(yield* answer("request-1", true), { outcome: "accepted" })
      assert.deepInclude(yield* answer("request-2", { approved: false, reason: "not her" }), { outcome: "accepted" })
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(running)
      const expired = "The tool \"send\" did not run: nobody approved it in time"
      assert.deepStrictEqual(yield* tools, [
        ["call-1", "send", "completed", "sent to bob"],
        ["call-2", "send", "failed", "The tool \"send\" did not run: it was not approved: not her"],
        ["call-3", "send", "failed", expired],
        ["call-4", "send", "completed", "sent to me"]
      ])
      assert.deepStrictEqual(toolResults(prompts[1]), [
        ["bob", false, "sent to bob"],
        ["eve", true, { type: "execution-denied", reason: "not her" }],
        ["kim", true, { type: "execution-denied", reason: expired }],
        ["me", false, "sent to me"]
      ])
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("is cancelled by a device: while its model writes, while a tool runs, while it asks", () =>
    Effect.gen(function*() {
      const hanging = Toolkit.make(Tool.make("hang", {}), Tool.make("ask", { needsApproval: true }))
      const rounds = {
        model: Stream.concat(Stream.fromIterable(text("So f").slice(0, 2)), Stream.never),
        tool: [call("h", "hang", {}), finish("tool-calls")],
        approval: [call("a", "ask", {}), finish("tool-calls")]
      }
      for (const [name, round] of Object.entries(rounds)) {
        let interrupted = 0
        const { layer } = yield* scripted(round)
        const hang = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
        const running = yield* EmitterAi.runAgent({ ...agent, toolkit: hanging, prompt: "?" }).pipe(
          Effect.provide([layer, hanging.toLayer({ hang: () => hang, ask: () => hang })]),
          Effect.provide(Emitter.layerUser({ userId: "ada", runId: name })),
          Effect.exit,
          Effect.forkChild
        )
        yield* TestClock.adjust("1 second")
        assert.deepInclude(yield* device(TestDevice.of("ada", name).cancel()), { outcome: "accepted" }, name)
        const exit = yield* Fiber.join(running)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), name)
        assert.strictEqual(interrupted, name === "tool" ? 1 : 0, name)
      }
      assert.deepStrictEqual((yield* ofType("agent_error")).map(({ by, reason }) => [reason, by]), [
        ["cancelled", "user"],
        ["cancelled", "user"],
        ["cancelled", "user"]
      ])
      assert.deepStrictEqual((yield* ofType("tool_completed")).map(({ isError }) => isError), [true, true])
    }).pipe(Effect.provide(engine())))

  it.effect("tells its model of failures that the tool returns, of input that does not fit, and of tools that are not", () =>
    Effect.gen(function*() {
      const { layer, prompts } = yield* scripted(
        [
          call("a", "search", { query: "nothing" }),
          call("b", "search", { query: "" }),
          call("c", "no such tool", {}),
          finish("tool-calls")
        ],
        [...text("Sorry."), finish()]
      )
      yield* EmitterAi.runAgent({ ...agent, toolkit: Tools, prompt: "?" }).pipe(Effect.provide([layer, handled]))
      const results = toolResults(prompts[1]) ?? []
      assert.deepStrictEqual(results.map((result) => [result[0], result[1]]), [["a", true], ["b", true], ["c", true]])
      assert.deepStrictEqual(results[0]?.[2], { reason: "there is nothing" })
      assert.deepInclude(results[1]?.[2], { _tag: "AiError" })
      assert.deepInclude(results[2]?.[2], { type: "tool-not-found" })
      assert.deepStrictEqual(yield* tools, [
        ["call-1", "search", "failed", "The tool failed"],
        ["call-2", "search", "failed", "The tool failed"],
        ["call-3", "no such tool", "failed", "There is no such tool"]
      ])
      assert.strictEqual((yield* snapshot).status, "completed")
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("fails with a tool whose failures are errors, and stops those beside it", () =>
    Effect.gen(function*() {
      const failing = Toolkit.make(Tool.make("fail", { failure: Schema.instanceOf(Away) }), Tool.make("hang", {}))
      const { layer } = yield* scripted([call("f", "fail", {}), call("h", "hang", {}), finish("tool-calls")])
      const away = new Away({ message: "postgres://svc:hunter2@db" })
      const exit = yield* EmitterAi.runAgent({ ...agent, toolkit: failing, prompt: "?" }).pipe(
        Effect.provide([layer, failing.toLayer({ fail: () => Effect.fail(away), hang: () => Effect.never })]),
        Effect.exit
      )
      assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), away)
      assert.deepStrictEqual((yield* tools).map(([, ...rest]) => rest), [
        ["fail", "failed", "The tool failed"],
        ["hang", "failed", "The tool was cancelled"]
      ])
      assert.notInclude(JSON.stringify(yield* logged), "hunter2")
      assert.strictEqual((yield* snapshot).status, "failed")
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("runs no tool of a response that is not complete, and ends with its reason", () =>
    Effect.gen(function*() {
      const { layer } = yield* scripted([...text("I"), call("a", "search", { query: "x" }), finish("length")])
      const answer = yield* EmitterAi.runAgent({ ...agent, toolkit: Tools, prompt: "?" }).pipe(
        Effect.provide([layer, handled])
      )
      assert.deepInclude(answer, { text: "I", finishReason: "length", steps: 1 })
      assert.deepStrictEqual(yield* tools, [
        ["call-1", "search", "failed", "The tool did not run: the response was incomplete"]
      ])
      // Nothing in it is left for the next prompt to answer.
      assert.deepStrictEqual(toolResults(answer.history)?.map((result) => result[1]), [true])
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("goes on after a pause, and fails after as many steps as it may take", () =>
    Effect.gen(function*() {
      let searched = 0
      const search = () => Effect.as(Effect.sync(() => searched++), ["found"])
      const counted = Tools.toLayer({ search, send: () => Effect.succeed("") })
      const { layer } = yield* scripted(
        [...text("Wait."), finish("pause")],
        [call("a", "search", { query: "x" }), finish("tool-calls")],
        [call("b", "search", { query: "x" }), finish("tool-calls")]
      )
      const exit = yield* EmitterAi.runAgent({ ...agent, toolkit: Tools, prompt: "?", maxSteps: 3 }).pipe(
        Effect.provide([layer, counted]),
        Effect.exit
      )
      assert.deepStrictEqual(exit, Exit.fail(new EmitterAi.StepLimitReached({ maxSteps: 3 })))
      assert.strictEqual(searched, 1)
      assert.strictEqual((yield* snapshot).status, "failed")
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("refuses a number of steps that is none", () =>
    Effect.gen(function*() {
      const { model } = yield* scripted()
      for (const maxSteps of [0, 1.5, NaN]) {
        const exit = yield* Effect.exit(EmitterAi.runAgent({ ...agent, model, prompt: "?", maxSteps }))
        assert.instanceOf(Exit.isFailure(exit) && Cause.squash(exit.cause), RangeError)
      }
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("is a part of a run that does more, and has no run of its own", () =>
    Effect.gen(function*() {
      const { model } = yield* scripted([...text("One."), finish()], [...text("Two."), finish()])
      const texts = yield* Effect.gen(function*() {
        const first = yield* EmitterAi.agentLoop({ model, prompt: "Count" })
        const second = yield* EmitterAi.agentLoop({ model, prompt: first.history })
        return [first.text, second.text]
      }).pipe(Emitter.run(agent))
      assert.deepStrictEqual(texts, ["One.", "Two."])
      const types = yield* typesLogged
      assert.lengthOf(types.filter((type) => type === "agent_started"), 1)
      assert.lengthOf(types.filter((type) => type === "step_finished"), 2)
      assert.strictEqual(types.at(-1), "agent_completed")
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("does not begin where its start is refused", () =>
    Effect.gen(function*() {
      const { model, prompts } = yield* scripted([...text("One."), finish()])
      const emitter = yield* Effect.scoped(
        Effect.flatMap(Emitters, ({ forUser }) => forUser({ userId: "ada", runId: "r1" }))
      )
      const error = yield* EmitterAi.runAgent({ ...agent, model, prompt: "?" }).pipe(
        Effect.provideService(Emitter.Emitter, emitter),
        Effect.flip
      )
      assert.strictEqual(error._tag === "EmitError" ? error.reason._tag : error._tag, "EmitterClosed")
      assert.lengthOf(prompts, 0)
    }).pipe(Effect.provide(engine())))
})

describe("the stream of an agent", () => {
  it.effect("has the parts and the results, and is cancelled when its consumer leaves", () =>
    Effect.gen(function*() {
      const rounds = [
        [call("a", "search", { query: "x" }), finish("tool-calls")],
        [...text("Found."), finish()]
      ] as const
      const whole = yield* scripted(...rounds)
      const parts = yield* EmitterAi.streamAgent({ ...agent, toolkit: Tools, prompt: "?" }).pipe(
        Stream.runCollect,
        Effect.provide([whole.layer, handled])
      )
      assert.deepStrictEqual(parts.map(({ type }) => type), [
        "tool-call",
        "finish",
        "tool-result",
        "text-start",
        "text-delta",
        "text-end",
        "finish"
      ])
      assert.strictEqual((yield* typesLogged).at(-1), "agent_completed")
      const left = yield* scripted(...rounds)
      yield* EmitterAi.streamAgent({ ...agent, toolkit: Tools, prompt: "?" }).pipe(
        Stream.takeUntil(({ type }) => type === "tool-call"),
        Stream.runDrain,
        Effect.provide([left.layer, handled])
      )
      const log = yield* Effect.flatMap(TestBroker.TestBroker, (broker) => broker.log(ada))
      assert.deepInclude(log.at(-1)?.event.data, { reason: "cancelled" })
    }).pipe(asAda, Effect.provide(engine())))
})

/** What is written here is compiled, and never run. */
const assertCompiles = (..._examples: ReadonlyArray<() => unknown>) => assert.isAbove(_examples.length, 0)

declare const model: LanguageModel.LanguageModel
const options = { ...agent, toolkit: Tools, prompt: "?" }

type Handlers = Tool.HandlersFor<typeof Tools extends Toolkit.Toolkit<infer All> ? All : never>

describe("the compiler", () => {
  it("asks for the emitter, the handlers, and the model unless there is one", () =>
    assertCompiles(
      () =>
        EmitterAi.runAgent(options) satisfies Effect.Effect<
          EmitterAi.Answer,
          unknown,
          Emitter.Emitter | LanguageModel.LanguageModel | Handlers
        >,
      () =>
        EmitterAi.runAgent({ ...options, model }) satisfies Effect.Effect<unknown, unknown, Emitter.Emitter | Handlers>,
      // @ts-expect-error: the model is missing
      () => EmitterAi.runAgent(options) satisfies Effect.Effect<unknown, unknown, Emitter.Emitter | Handlers>,
      // @ts-expect-error: the handlers are missing
      () => EmitterAi.runAgent({ ...options, model }) satisfies Effect.Effect<unknown, unknown, Emitter.Emitter>,
      // @ts-expect-error: the emitter is missing
      () => EmitterAi.runAgent({ ...options, model }) satisfies Effect.Effect<unknown, unknown, Handlers>,
      () =>
        EmitterAi.runAgent({ ...agent, model, prompt: "?" }) satisfies Effect.Effect<
          unknown,
          EmitterAi.AgentFailure<{}>,
          Emitter.Emitter
        >
    ))

  it("knows the failures of tools that are errors, and forgets those that are returned", () =>
    assertCompiles(
      () => {
        const failing = Toolkit.make(Tool.make("fail", { failure: Schema.instanceOf(Away) }))
        return EmitterAi.runAgent({ ...agent, model, toolkit: failing, prompt: "?" }).pipe(
          Effect.catchTag("Away", ({ message }) => Effect.succeed(message))
        )
      },
      // @ts-expect-error: the tool returns its failures
      () => EmitterAi.runAgent({ ...options, model }).pipe(Effect.catchTag("Away", () => Effect.void)),
      // @ts-expect-error: no name of the agent
      () => EmitterAi.runAgent({ model, prompt: "?" })
    ))
})
