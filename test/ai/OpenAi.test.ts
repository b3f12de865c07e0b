/** An agent over the client of a real provider, against a server that speaks its API and has its faults. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Broker, EmitterLayer } from "effect-emitter"
import { EmitterAi } from "effect-emitter/ai"
import { TestBroker, TestDevice } from "effect-emitter/testing"
import { AiError, Tool, Toolkit } from "effect/ai"
import * as OpenAi from "../../src/demo/agent/OpenAi.ts"
import { until, untilEffect } from "../client/devices.ts"
import { type Answer, begin, chatServer, chunk, done, refuses, says, usage } from "./chatServer.ts"
import { agent, asAda, ofType, snapshot } from "./scripted.ts"

const Search = Tool.make("search", {
  description: "Searches the library",
  parameters: Schema.Struct({ query: Schema.String }),
  success: Schema.String,
  failureMode: "return"
})
const Tools = Toolkit.make(Search)
const handlers = Tools.toLayer({ search: ({ query }) => Effect.succeed(`all about ${query}`) })

const engine = EmitterLayer({ profile: "lowLatency" }).pipe(
  Layer.provideMerge(TestBroker.layer(Broker.layerMemory()))
)

/** Runs an agent over a server that answers so. */
const answered = (...answers: ReadonlyArray<Answer>) =>
  Effect.gen(function*() {
    const server = yield* chatServer(...answers)
    const model = yield* OpenAi.make({ baseUrl: server.baseUrl, model: "local-1", apiKey: "k", retries: 0 })
    const exit = yield* EmitterAi.runAgent({ ...agent, model, toolkit: Tools, prompt: "What are streams?" }).pipe(
      Effect.provide(handlers),
      Effect.exit
    )
    return { exit, server }
  })

const textsOf = Effect.map(
  snapshot,
  ({ parts }) =>
    parts.flatMap((part) => part.type === "text" || part.type === "thinking" ? [[part.type, part.text]] : [])
)

const calls = (...pieces: ReadonlyArray<readonly [index: number, id: string | undefined, text: string]>) =>
  pieces.map(([index, id, text]) =>
    chunk({
      tool_calls: [{
        index,
        ...(id === undefined ? {} : { id, type: "function" }),
        function: { ...(id === undefined ? {} : { name: "search" }), arguments: text }
      }]
    })
  ).join("")

describe("an agent over a real provider's client", () => {
  it.live("reads reasoning, text and calls in whatever pieces, answers them, and counts tokens", () =>
    Effect.gen(function*() {
      const text = "Ströme sind 漢字 👩‍🚀 – “pull-based”."
      const first = chunk({ role: "assistant", content: "" }) + chunk({ reasoning_content: "Look " }) +
        chunk({ reasoning_content: "it up." }) + chunk({ content: "One moment." }) +
        calls([0, "c0", "{\"que"], [1, "c1", ""], [0, undefined, "ry\":\"a\"}"], [1, undefined, "{\"query\":\"b\"}"]) +
        chunk({}, "tool_calls") + usage(10, 5) + done
      const second = [...text].map((content) => chunk({ content })).join("") + chunk({}, "stop") + usage(20, 7) + done
      const { exit, server } = yield* answered(says(first, 7), says(second, 11))
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) assert.deepInclude(exit.value, { text, steps: 2, finishReason: "stop" })
      assert.deepStrictEqual(yield* textsOf, [
        ["thinking", "Look it up."],
        ["text", "One moment."],
        ["text", text]
      ])
      assert.deepStrictEqual((yield* snapshot).usage, { inputTokens: 30, outputTokens: 12 })
      const [one, two] = server.asked
      assert.strictEqual(one?.authorization, "Bearer k")
      assert.deepStrictEqual(one?.tools?.map((tool) => tool["function"]), [{
        name: "search",
        description: "Searches the library",
        parameters: {
          type: "object",
          properties: { query: { type: "string" } },
          required: ["query"],
          additionalProperties: true
        }
      }])
      assert.deepStrictEqual(two?.messages.slice(1), [
        {
          role: "assistant",
          content: "One moment.",
          tool_calls: [
            { id: "c0", type: "function", function: { name: "search", arguments: "{\"query\":\"a\"}" } },
            { id: "c1", type: "function", function: { name: "search", arguments: "{\"query\":\"b\"}" } }
          ]
        },
        { role: "tool", tool_call_id: "c0", content: "\"all about a\"" },
        { role: "tool", tool_call_id: "c1", content: "\"all about b\"" }
      ])
      const inputs = yield* ofType("tool_input_delta")
      const written = (id: string) =>
        inputs.flatMap(({ delta, toolCallId }) => toolCallId === id ? [delta] : []).join("")
      assert.deepStrictEqual([written("call-1"), written("call-2")], ["{\"query\":\"a\"}", "{\"query\":\"b\"}"])
    }).pipe(asAda, Effect.provide(engine)))

  it.live("tells its model of input that is no JSON, and goes on", () =>
    Effect.gen(function*() {
      const { exit, server } = yield* answered(
        says(calls([0, "c0", "{\"query\":"]) + chunk({}, "stop") + done),
        says(chunk({ content: "Sorry." }) + chunk({}, "stop") + done)
      )
      assert.isTrue(Exit.isSuccess(exit))
      assert.include(String(server.asked[1]?.messages.at(-1)?.["content"]), "ToolParameterValidationError")
    }).pipe(asAda, Effect.provide(engine)))

  const half = chunk({ content: "Half " }) + chunk({ content: "an ans" })

  const faults: Record<string, { readonly answer: Answer; readonly reason: string; readonly text: string }> = {
    "is cut off in the middle of its response": {
      answer: async (response) => {
        begin(response).write(half)
        await new Promise((resolve) => setTimeout(resolve, 20))
        response.socket?.destroy()
      },
      reason: "NetworkError",
      text: "Half an ans"
    },
    "ends its response in the middle, as if it were done": {
      answer: says(half),
      reason: "ResponseTruncated",
      text: "Half an ans"
    },
    "sends what is no JSON": {
      answer: says(`${half}data: {"id": "chat-1", "cho\n\n${done}`),
      reason: "InvalidOutputError",
      text: "Half an ans"
    },
    "reports an error within its response": {
      answer: says(`${half}data: ${JSON.stringify({ error: { message: "overloaded" } })}\n\n`),
      reason: "InternalProviderError",
      text: "Half an ans"
    },
    "refuses for too many requests": { answer: refuses(429, "slow down"), reason: "RateLimitError", text: "" },
    "refuses the key": { answer: refuses(401, "bad key k"), reason: "AuthenticationError", text: "" },
    "fails": { answer: refuses(500, "oh no"), reason: "InternalProviderError", text: "" }
  }

  for (const [name, { answer, reason, text }] of Object.entries(faults)) {
    it.live(`fails, and keeps what was written, where the provider ${name}`, () =>
      Effect.gen(function*() {
        const { exit } = yield* answered(answer)
        const error = Exit.isFailure(exit) ? Exit.findErrorOption(exit) : undefined
        assert(error?._tag === "Some")
        const failure = error.value
        assert.isTrue(AiError.isAiError(failure) || failure._tag === "ResponseError", failure._tag)
        assert.strictEqual("reason" in failure ? failure.reason._tag : undefined, reason)
        const { error: shown, parts, status } = yield* snapshot
        assert.deepStrictEqual([status, shown], ["failed", "The run failed"])
        assert.deepStrictEqual(
          parts.flatMap((part) => part.type === "text" ? [[part.text, part.completed]] : []),
          text === "" ? [] : [[text, true]]
        )
      }).pipe(asAda, Effect.provide(engine)))
  }

  it.live("tries a request again that was refused before its answer", () =>
    Effect.gen(function*() {
      const server = yield* chatServer(
        (response) => void response.writeHead(503, { "retry-after-ms": "1" }).end(),
        says(chunk({ content: "Here." }) + chunk({}, "stop") + done)
      )
      const model = yield* OpenAi.make({ baseUrl: server.baseUrl, model: "local-1", retries: 1 })
      const { text } = yield* EmitterAi.runAgent({ ...agent, model, prompt: "?" })
      assert.strictEqual(text, "Here.")
    }).pipe(asAda, Effect.provide(engine)))

  it.live("shows a slow answer as it comes, and leaves the provider when a device stops it", () =>
    Effect.gen(function*() {
      const server = yield* chatServer((response) => void begin(response).write(half))
      const model = yield* OpenAi.make({ baseUrl: server.baseUrl, model: "local-1", retries: 0 })
      const running = yield* EmitterAi.runAgent({ ...agent, model, prompt: "?" }).pipe(Effect.exit, Effect.forkChild)
      const isShown = Effect.matchCause(Effect.provideService(textsOf, Broker.Broker, yield* Broker.Broker), {
        onFailure: () => false,
        onSuccess: (texts) => texts.join() === "text,Half an ans"
      })
      yield* untilEffect("shown", isShown, 20)
      assert.deepInclude(yield* TestDevice.of("ada", "r1").cancel(), { outcome: "accepted" })
      yield* Fiber.join(running)
      yield* until("left", () => server.left() === 1, 20)
      assert.deepInclude(yield* snapshot, { status: "cancelled", endedBy: "user" })
    }).pipe(asAda, Effect.provide(engine)))
})
