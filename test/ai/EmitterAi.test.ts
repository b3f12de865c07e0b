// @effect-diagnostics missingEffectError:off
/** What models stream, as a run's events. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { Broker, Emitter } from "effect-emitter"
import { EmitterAi } from "effect-emitter/ai"
import { TestBroker, TestDevice } from "effect-emitter/testing"
import { AiError, Chat, LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { within } from "../emitter/support/emitting.ts"
import { forSeeds } from "../support/random.ts"
import {
  agent,
  asAda,
  call,
  type Encoded,
  engine,
  finish,
  logged,
  ofType,
  type Round,
  scripted,
  snapshot,
  text,
  typesLogged
} from "./scripted.ts"

class Unreachable extends Data.TaggedError("Unreachable")<{ readonly url: string }> {}

const Search = Tool.make("search", {
  parameters: Schema.Struct({ query: Schema.String }),
  success: Schema.Array(Schema.String)
})
const Fetch = Tool.make("fetch", {
  parameters: Schema.Struct({ url: Schema.String }),
  success: Schema.String,
  failure: Schema.Struct({ secret: Schema.String }),
  failureMode: "return"
})
const Send = Tool.make("send", {
  parameters: Schema.Struct({ to: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
const Web = Tool.providerDefined({
  id: "test.web",
  customName: "web",
  providerName: "web",
  parameters: Schema.Struct({ q: Schema.String }),
  success: Schema.String
})()
const Tools = Toolkit.make(Search, Fetch, Send, Web)

const handlers = Tools.toLayer({
  search: ({ query }, { preliminary }) => Effect.as(preliminary(["soon"]), [`all about ${query}`]),
  fetch: () => Effect.fail({ secret: "hunter2" }),
  send: ({ to }) => Effect.succeed(`sent to ${to}`)
})

/** A response, as a run reads it. */
const respond = (round: Round) =>
  Effect.gen(function*() {
    const { layer } = yield* scripted(round)
    return yield* LanguageModel.streamText({ prompt: "?", toolkit: Tools }).pipe(
      EmitterAi.emitParts,
      Stream.runCollect,
      Emitter.run(agent),
      Effect.provide([layer, handlers])
    )
  })

const every: ReadonlyArray<Encoded> = [
  { type: "response-metadata", id: "resp-1", modelId: "test-1", timestamp: "2026-01-01T00:00:00.000Z" },
  { type: "reasoning-start", id: "0" },
  { type: "reasoning-delta", id: "0", delta: "I shall " },
  { type: "reasoning-delta", id: "0", delta: "look" },
  { type: "reasoning-end", id: "0" },
  ...text("Let me", " see."),
  { type: "tool-params-start", id: "c1", name: "search" },
  { type: "tool-params-delta", id: "c1", delta: "{\"query\":" },
  { type: "tool-params-delta", id: "c1", delta: "\"streams\"}" },
  { type: "tool-params-end", id: "c1" },
  call("c1", "search", { query: "streams" }),
  { type: "tool-call", id: "p1", name: "web", params: { q: "pull" }, providerExecuted: true },
  { type: "tool-result", id: "p1", name: "web", result: "found", isFailure: false, providerExecuted: true },
  call("c2", "fetch", { url: "x" }),
  call("c3", "send", { to: "bob" }),
  { type: "source", sourceType: "url", id: "s1", url: "https://example.org/a", title: "An example" },
  { type: "source", sourceType: "document", id: "s2", mediaType: "text/plain", title: "Notes" },
  { type: "file", mediaType: "image/png", data: "AQID" },
  finish("tool-calls", 12, 34)
]

describe("emitParts", () => {
  it.effect("emits all kinds of parts, and passes them on unchanged", () =>
    Effect.gen(function*() {
      const { layer } = yield* scripted(every)
      const plain = yield* LanguageModel.streamText({ prompt: "?", toolkit: Tools }).pipe(
        Stream.runCollect,
        Effect.provide([layer, handlers])
      )
      const parts = yield* respond(every)
      const known = (all: ReadonlyArray<Response.AnyPart>) =>
        all.map((part) => part.type === "tool-approval-request" ? { ...part, approvalId: "" } : part)
      assert.sameDeepMembers(known(parts), known(plain))
      const kinds = new Set(parts.map(({ type }) => type))
      // All but "error", which ends a response.
      assert.strictEqual(kinds.size, 16, [...kinds].join(" "))

      const { parts: shown, usage } = yield* snapshot
      const ids = shown.map((part) => "messageId" in part ? part.messageId : undefined).filter((id) => id !== undefined)
      assert.strictEqual(new Set(ids).size, 2)
      const tool = (id: number, toolName: string, rest: object) => ({
        type: "tool",
        toolCallId: `call-${id}`,
        toolName,
        durationMs: 0,
        ...rest
      })
      const done = shown.map((part) => {
        if ("messageId" in part) {
          const { messageId: _, ...rest } = part
          return rest
        }
        if (part.type === "source") {
          const { sourceId: _, ...rest } = part
          return rest
        }
        if (part.type === "file") {
          const { fileId: _, ...rest } = part
          return rest
        }
        return part
      })
      assert.deepStrictEqual<unknown>(done, [
        { type: "thinking", text: "I shall look", completed: true },
        { type: "text", text: "Let me see.", completed: true },
        tool(1, "search", { status: "completed", input: { query: "streams" }, output: ["all about streams"] }),
        tool(2, "web", { status: "completed", input: { q: "pull" }, output: "found" }),
        tool(3, "fetch", { status: "failed", input: { url: "x" }, output: "The tool failed" }),
        // It waits for an answer that never comes: the run's end closes it.
        tool(4, "send", { status: "failed", input: { to: "bob" }, output: "the tool call was never completed" }),
        { type: "source", title: "An example", url: "https://example.org/a" },
        { type: "source", title: "Notes" },
        { type: "file", mediaType: "image/png", data: "AQID" }
      ])
      assert.deepStrictEqual(usage, { inputTokens: 12, outputTokens: 34 })
      assert.deepStrictEqual(
        (yield* ofType("tool_input_delta")).map(({ delta }) => delta).join(""),
        "{\"query\":\"streams\"}"
      )
      assert.deepStrictEqual(yield* ofType("custom"), [
        { name: "tool_preliminary", data: { toolCallId: "call-1", toolName: "search", output: ["soon"] } },
        {
          name: "model_finished",
          data: {
            reason: "tool-calls",
            model: "test-1",
            response: "resp-1",
            inputTokens: { total: 12 },
            outputTokens: { total: 34 }
          }
        }
      ])
      // Nothing that a program's failure says reaches devices by itself.
      assert.notInclude(JSON.stringify(yield* logged), "hunter2")
    }).pipe(asAda, Effect.provide(engine())))

  it.effect(
    "says what was written, character by character, however it is cut",
    () =>
      forSeeds({ count: 40 }, (draw, seed) =>
        Effect.gen(function*() {
          const alphabet = ["a", "é", "漢", "👩‍🚀", "\u{10ffff}", "\"", "\\", "\n", "\u0000", "{", "\u2028"]
          const written = (length: number) => Array.from({ length }, () => draw.pick(alphabet)).join("")
          const cut = (whole: string) => {
            const pieces: Array<string> = []
            for (let at = 0; at < whole.length;) {
              const length = draw.below(7)
              pieces.push(whole.slice(at, at + length))
              at += length
            }
            return pieces
          }
          const texts = Array.from({ length: 1 + draw.below(3) }, () => written(1 + draw.below(300)))
          // Several messages at once, and ids that come again.
          const queues = texts.map((whole, n) => {
            const id = String(draw.chance(0.5) ? n : `m${n}`)
            const kind = draw.chance(0.3) ? "reasoning" : "text"
            const parts: Array<Encoded> = [
              ...(draw.chance(0.9) ? [{ type: `${kind}-start`, id } as const] : []),
              ...cut(whole).map((delta) => ({ type: `${kind}-delta`, id, delta }) as const),
              ...(draw.chance(0.9) ? [{ type: `${kind}-end`, id } as const] : [])
            ]
            return { kind, whole, parts }
          })
          const order: Array<Encoded> = []
          const left = queues.map(({ parts }) => [...parts])
          while (left.some((parts) => parts.length > 0)) {
            const [next] = draw.pick(left.filter((parts) => parts.length > 0)).splice(0, 1)
            if (next !== undefined) order.push(next)
          }
          const round = Stream.fromIterable([...order, finish()]).pipe(Stream.rechunk(1 + draw.below(5)))
          yield* respond(round)
          const shown = (yield* snapshot).parts.flatMap((part) =>
            part.type === "text" || part.type === "thinking" ? [[part.type, part.text, part.completed] as const] : []
          )
          assert.sameDeepMembers(
            shown,
            queues.map(({ kind, whole }) => [kind === "text" ? "text" : "thinking", whole, true] as const),
            `seed ${seed}`
          )
        }).pipe(asAda, Effect.provide(engine({ config: { maxEventBytes: 2_000 } })))),
    60_000
  )

  it.effect("tells a text that is too long for an event in several", () =>
    Effect.gen(function*() {
      const long = "漢字".repeat(5_000)
      yield* respond([...text(long), finish()])
      assert.strictEqual((yield* ofType("text_delta")).map(({ delta }) => delta).join(""), long)
    }).pipe(asAda, Effect.provide(engine({ config: { maxEventBytes: 2_000 } }))))

  it.effect("tells of a file that is too large for an event without what is in it", () =>
    Effect.gen(function*() {
      const file = (bytes: number): Encoded => ({
        type: "file",
        mediaType: "image/png",
        data: Buffer.alloc(bytes).toString("base64")
      })
      yield* respond([file(3_000), file(200_000), file(30), finish()])
      const files = yield* ofType("file_produced")
      assert.deepStrictEqual(files.map(({ data }) => data), [undefined, undefined, "A".repeat(40)])
      assert.strictEqual(new Set(files.map(({ fileId }) => fileId)).size, 3)
    }).pipe(asAda, Effect.provide(engine({ config: { maxEventBytes: 2_000 } }))))

  it.effect("fails behind the last part where the provider reported an error, and tells devices nothing of it", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const { layer } = yield* scripted([...text("So far"), { type: "error", error: "key sk-secret" }, finish("error")])
      const exit = yield* LanguageModel.streamText({ prompt: "?" }).pipe(
        EmitterAi.emitParts,
        Stream.runForEach((part) => Effect.sync(() => seen.push(part.type))),
        Emitter.run(agent),
        Effect.exit,
        Effect.provide(layer)
      )
      const reason = new EmitterAi.ProviderFailed({ error: "key sk-secret" })
      assert.deepStrictEqual(exit, Exit.fail(new EmitterAi.ResponseError({ reason })))
      assert.deepStrictEqual(seen.slice(-2), ["error", "finish"])
      assert.notInclude(JSON.stringify(yield* logged), "sk-secret")
      assert.notInclude(String(reason), "sk-secret")
      const { error, parts, status } = yield* snapshot
      assert.deepInclude(parts[0], { text: "So far", completed: true })
      assert.deepStrictEqual([status, error], ["failed", "The run failed"])
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("fails where the response was cut off, and not where it ended for want of tokens", () =>
    Effect.gen(function*() {
      const cut = yield* Effect.exit(respond(text("Half a").slice(0, 2)))
      assert.deepStrictEqual(
        cut,
        Exit.fail(new EmitterAi.ResponseError({ reason: new EmitterAi.ResponseTruncated() }))
      )
      assert.deepStrictEqual((yield* ofType("agent_error")).map(({ reason }) => reason), ["failed"])
      assert.lengthOf(yield* ofType("message_completed"), 1)
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("completes with a response that ended for want of tokens, and says so", () =>
    Effect.gen(function*() {
      yield* respond([...text("Half a"), finish("length")])
      assert.strictEqual((yield* snapshot).status, "completed")
      assert.deepInclude((yield* ofType("custom"))[0]?.["data"], { reason: "length" })
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("ends the calls of tools that fail the stream, with what the program says of failures", () =>
    Effect.gen(function*() {
      const failing = Toolkit.make(
        Tool.make("search", { failure: Schema.Unknown }),
        Tool.make("slow", {})
      )
      const { layer } = yield* scripted([call("a", "search", {}), call("b", "slow", {}), finish("tool-calls")])
      const failure = new Unreachable({ url: "postgres://svc:hunter2@db" })
      const exit = yield* LanguageModel.streamText({ prompt: "?", toolkit: failing }).pipe(
        EmitterAi.emitParts,
        Stream.runDrain,
        Emitter.run(agent),
        Effect.exit,
        Effect.provideService(
          Emitter.DescribeFailure,
          (cause) => Cause.hasInterruptsOnly(cause) ? undefined : "The database is away"
        ),
        Effect.provide([
          layer,
          failing.toLayer({ search: () => Effect.fail(failure), slow: () => Effect.never })
        ])
      )
      assert.deepStrictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), failure)
      assert.deepStrictEqual((yield* ofType("tool_completed")).map(({ isError, output }) => [isError, output]), [
        [true, "The database is away"],
        [true, "The database is away"]
      ])
      assert.strictEqual((yield* snapshot).error, "The database is away")
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("is interrupted in the middle as its stream is: nothing stays open, and the provider's request ends", () =>
    Effect.gen(function*() {
      let released = false
      const hanging = Stream.concat(
        Stream.fromIterable([...text("So f").slice(0, 2), call("c1", "search", { query: "a" })]),
        Stream.never
      ).pipe(Stream.rechunk(1), Stream.ensuring(Effect.sync(() => released = true)))
      const running = yield* respond(hanging).pipe(Effect.exit, Effect.forkChild)
      yield* TestClock.adjust("1 second")
      const cancelling = yield* Effect.forkChild(TestDevice.of("ada", "r1").cancel())
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(cancelling), { outcome: "accepted" })
      const exit = yield* Fiber.join(running)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.isTrue(released)
      const { endedBy, parts: shown, status } = yield* snapshot
      assert.deepStrictEqual([status, endedBy], ["cancelled", "user"])
      assert.deepInclude(shown[0], { type: "text", text: "So f", completed: true })
      assert.deepInclude(shown[1], { type: "tool", status: "failed", output: "The tool was cancelled" })
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("ends what it began where its consumer leaves before the end", () =>
    Effect.gen(function*() {
      const { layer } = yield* scripted(every)
      yield* LanguageModel.streamText({ prompt: "?", toolkit: Tools, disableToolCallResolution: true }).pipe(
        EmitterAi.emitParts,
        Stream.takeUntil(({ type }) => type === "tool-call"),
        Stream.runDrain,
        Emitter.run(agent),
        Effect.provide([layer, handlers])
      )
      assert.deepStrictEqual((yield* ofType("tool_completed")).map(({ output }) => output), ["The tool was cancelled"])
      assert.strictEqual((yield* snapshot).status, "completed")
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("pulls nothing ahead of its consumer, and waits where an emit waits for room", () =>
    Effect.gen(function*() {
      let pulled = 0
      const pieces = Stream.fromIterable([...text(..."abcdefghij"), finish()]).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sync(() => pulled++))
      )
      const { layer } = yield* scripted(pieces)
      yield* LanguageModel.streamText({ prompt: "?" }).pipe(
        EmitterAi.emitParts,
        Stream.take(3),
        Stream.runDrain,
        Emitter.run(agent),
        Effect.provide(layer)
      )
      assert.isAtMost(pulled, 4)
    }).pipe(asAda, Effect.provide(engine())))

  it.effect("loses no character where the user's list is full: it waits", () =>
    Effect.gen(function*() {
      const pieces = Array.from({ length: 40 }, (_, n) => `${n} `)
      // Two messages in turn, so that no piece is merged into the one before.
      const turns = pieces.flatMap((delta, n): ReadonlyArray<Encoded> => [
        { type: "text-delta", id: n % 2 === 0 ? "a" : "b", delta },
        { type: "reasoning-delta", id: `r${n}`, delta }
      ])
      yield* (yield* TestBroker.TestBroker).behave({ after: "100 millis", do: "ok" })
      yield* within("1 minute", respond([...turns, finish()]))
      const texts = (yield* snapshot).parts.flatMap((part) => part.type === "text" ? [part.text] : [])
      const ofParity = (parity: number) => pieces.filter((_, n) => n % 2 === parity).join("")
      assert.deepStrictEqual(texts, [ofParity(0), ofParity(1)])
    }).pipe(asAda, Effect.provide(engine({ config: { batching: { capacity: 4, maxSize: 4, overflow: "suspend" } } }))))

  it.effect("fails with the emit's error where the user's list is full and nothing may wait", () =>
    Effect.gen(function*() {
      const turns = Array.from({ length: 40 }, (_, n): Encoded => ({ type: "text-delta", id: `m${n}`, delta: "x" }))
      yield* (yield* TestBroker.TestBroker).behave({ after: "100 millis", do: "ok" })
      const error = yield* within("1 minute", Effect.flip(respond([...turns, finish()])))
      assert.strictEqual(error._tag === "EmitError" ? error.reason._tag : error._tag, "Overflow")
      assert.strictEqual((yield* snapshot).status, "failed")
    }).pipe(asAda, Effect.provide(engine({ config: { batching: { capacity: 4, maxSize: 4, overflow: "fail" } } }))))

  it.effect("fails outside of a run", () =>
    Effect.gen(function*() {
      const { layer } = yield* scripted([...text("a"), finish()])
      const error = yield* LanguageModel.streamText({ prompt: "?" }).pipe(
        EmitterAi.emitParts,
        Stream.runDrain,
        Effect.flip,
        Effect.provide(layer)
      )
      assert.strictEqual(error._tag === "EmitError" ? error.reason._tag : error._tag, "NoRun")
    }).pipe(Effect.provide(Emitter.layerUser({ userId: "ada" }).pipe(Layer.provide(engine())))))

  it.effect("passes on the failure of the provider, whatever it is", () =>
    Effect.gen(function*() {
      const failure = AiError.make({
        module: "Test",
        method: "streamText",
        reason: new AiError.RateLimitError({})
      })
      const exit = yield* Effect.exit(respond(Stream.concat(Stream.fromIterable(text("So")), Stream.fail(failure))))
      assert.deepStrictEqual(exit, Exit.fail(failure))
      assert.deepStrictEqual((yield* typesLogged).slice(-2), ["message_completed", "agent_error"])
    }).pipe(asAda, Effect.provide(engine())))
})

describe("askApprovals", () => {
  it.effect("asks with the call that waits, and the next response ends the same call", () =>
    Effect.gen(function*() {
      const { layer } = yield* scripted(
        [call("c1", "send", { to: "bob" }), call("c2", "send", { to: "eve" }), finish("tool-calls")],
        [...text("Done."), finish()]
      )
      const running = yield* Effect.gen(function*() {
        const chat = yield* Chat.empty
        const ask = (prompt: Parameters<typeof chat.streamText>[0]["prompt"]) =>
          chat.streamText({ prompt, toolkit: Tools }).pipe(EmitterAi.emitParts, Stream.runCollect)
        const answers = yield* EmitterAi.askApprovals(
          yield* ask("Send it"),
          ({ name }) => ({ title: `May I ${name}?` })
        )
        yield* ask(answers)
      }).pipe(Emitter.run(agent), Effect.provide([layer, handlers]), Effect.forkChild)
      yield* TestClock.adjust("1 second")
      const requested = yield* ofType("input_requested")
      assert.deepStrictEqual(
        requested.map(({ title, toolCallId }) => [title, toolCallId]),
        [["May I send?", "call-1"], ["May I send?", "call-2"]]
      )
      const device = TestDevice.of("ada", "r1")
      const answering = yield* Effect.forkChild(Effect.andThen(
        device.answer("request-1", true),
        device.answer("request-2", { approved: false, reason: "not her" })
      ))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(answering)
      yield* Fiber.join(running)
      const tools = (yield* snapshot).parts.flatMap((part) => part.type === "tool" ? [[part.status, part.output]] : [])
      assert.deepStrictEqual(tools, [
        ["completed", "sent to bob"],
        ["failed", "The tool \"send\" did not run: it was not approved: not her"]
      ])
      assert.lengthOf(yield* ofType("tool_executing"), 2)
    }).pipe(asAda, Effect.provide(engine())))
})

/** What is written here is compiled, and never run. */
const assertCompiles = (..._examples: ReadonlyArray<() => unknown>) => assert.isAbove(_examples.length, 0)

declare const parts: Stream.Stream<Response.StreamPart<{}>, Unreachable, Broker.Broker>

describe("the compiler", () => {
  it("keeps what a stream may fail with and what it needs, and asks for the emitter", () =>
    assertCompiles(
      () => {
        const emitted = parts.pipe(EmitterAi.emitParts)
        return emitted satisfies Stream.Stream<
          Response.StreamPart<{}>,
          Unreachable | Emitter.EmitError | EmitterAi.ResponseError,
          Broker.Broker | Emitter.Emitter
        >
      },
      // @ts-expect-error: the emitter is missing
      () => parts.pipe(EmitterAi.emitParts) satisfies Stream.Stream<unknown, unknown, Broker.Broker>,
      // @ts-expect-error: what it needs is not forgotten
      () => parts.pipe(EmitterAi.emitParts) satisfies Stream.Stream<unknown, unknown, Emitter.Emitter>,
      // @ts-expect-error: what it fails with is not forgotten
      () => parts.pipe(EmitterAi.emitParts) satisfies Stream.Stream<unknown, Unreachable, unknown>,
      // @ts-expect-error: no stream of parts
      () => Stream.make(1).pipe(EmitterAi.emitParts)
    ))
})
