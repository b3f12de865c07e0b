/**
 * The transports of the AI SDK against the routes, over real sockets: its own over HTTP, and ours over a connection.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  type ChatTransport,
  DefaultChatTransport,
  isToolUIPart,
  readUIMessageStream,
  type UIMessage,
  type UIMessageChunk
} from "ai"
import { Deferred, Effect } from "effect"
import { AgentEvents, Broker, Emitter, Event, UserLog } from "effect-emitter"
import { AiSdk } from "effect-emitter/ai-sdk"
import { EmitterChatTransport } from "effect-emitter/ai-sdk/client"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { until } from "../../client/devices.ts"
import { envelope, token, user } from "../../gateway/server.ts"
import { patience } from "../../support/patience.ts"
import { seeded } from "../../support/random.ts"
import { type App, parseEvents, serveApp } from "../app.ts"

const say = (delta: string) => Emitter.emit(Event.critical(AgentEvents.TextDelta.make({ messageId: "m", delta })))

/** Says what was asked, and after `more` the rest. */
const makeChat = Effect.gen(function*() {
  const more = yield* Deferred.make<void>()
  const starts: Array<string> = []
  const chat = AiSdk.layer({
    path: "/api/chat",
    run: ({ id, messages }) =>
      Effect.gen(function*() {
        const asked = AiSdk.textOf(messages.at(-1))
        starts.push(`${id} ${asked}`)
        yield* say(`${asked} 👩`)
        yield* Deferred.await(more)
        yield* say(" and more")
      }).pipe(Emitter.run({ agentName: "echo" }))
  })
  return { app: yield* serveApp(chat, { origins: "any" }), more: Deferred.succeed(more, undefined), starts }
})

const question = (text: string, id = "q1"): UIMessage => ({ id, role: "user", parts: [{ type: "text", text }] })

const overHttp = (app: App) =>
  Effect.map(
    token("ada"),
    (text) =>
      new DefaultChatTransport<UIMessage>({ api: `${app.url}/api/chat`, headers: { authorization: `Bearer ${text}` } })
  )

const overEvents = (app: App, abort?: "leave") =>
  Effect.flatMap(token("ada"), (text) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        new EmitterChatTransport({ url: `${app.url}/events`, api: `${app.url}/api/chat`, token: text, abort })
      ),
      (transport) => Effect.sync(transport.close)
    ))

const send = (transport: ChatTransport<UIMessage>, abortSignal?: AbortSignal, text = "hello") =>
  Effect.promise(() =>
    transport.sendMessages({
      trigger: "submit-message",
      chatId: "t1",
      messageId: undefined,
      messages: [question(text)],
      abortSignal
    })
  )

const resume = (transport: ChatTransport<UIMessage>) =>
  Effect.promise(() => transport.reconnectToStream({ chatId: "t1" }))

const reading = (stream: ReadableStream<UIMessageChunk> | null) => {
  const shown: { message: UIMessage | undefined; readonly errors: Array<unknown>; isOver: boolean } = {
    message: undefined,
    errors: [],
    isOver: false
  }
  const read = async () => {
    for await (
      const message of readUIMessageStream({
        stream: stream ?? assert.fail("there is no stream"),
        onError: (error) => shown.errors.push(error)
      })
    ) shown.message = message
    shown.isOver = true
  }
  void read()
  return shown
}

const textOf = (message: UIMessage | undefined) =>
  (message?.parts ?? []).map((part) => part.type === "text" ? part.text : "").join("")

const stateOf = (app: App, run = "") =>
  Effect.map(
    Effect.provideService(UserLog.runs(user("ada")), Broker.Broker, app.broker),
    ({ runs }) => (runs.find((known) => known.run === run) ?? runs[0])?.state.status
  )

const transports: ReadonlyArray<
  readonly [string, (app: App) => ReturnType<typeof overHttp> | ReturnType<typeof overEvents>]
> = [
  ["the SDK's own transport", overHttp],
  ["the transport over a connection", (app) => overEvents(app)]
]

describe("a chat of the AI SDK", () => {
  for (const [name, make] of transports) {
    it.live(
      `${name}: shows an answer, and to who resumes in its middle all of it, and nothing after its end`,
      () =>
        Effect.gen(function*() {
          const { app, more, starts } = yield* makeChat
          const transport = yield* make(app)
          const first = reading(yield* send(transport))
          yield* until("the beginning", () => textOf(first.message) === "hello 👩", 20)
          const second = reading(yield* resume(yield* make(app)))
          yield* until("the beginning again", () => textOf(second.message) === "hello 👩", 20)
          yield* more
          yield* until("the end", () => first.isOver && second.isOver, 20)
          for (const { errors, message } of [first, second]) {
            assert.deepStrictEqual([errors, textOf(message)], [[], "hello 👩 and more"])
            assert.nestedPropertyVal(message, "metadata.run.status", "completed")
          }
          assert.strictEqual(first.message?.id, second.message?.id)
          assert.deepStrictEqual(starts, ["t1 hello"])
          assert.isNull(yield* resume(yield* make(app)))
        }),
      60_000
    )
  }

  it.live(
    "goes on when a client of HTTP leaves, and is the same when its message comes again",
    () =>
      Effect.gen(function*() {
        const { app, more, starts } = yield* makeChat
        const transport = yield* overHttp(app)
        const leaving = new AbortController()
        const first = reading(yield* send(transport, leaving.signal))
        yield* until("the beginning", () => textOf(first.message) !== "", 20)
        leaving.abort()
        const second = reading(yield* send(transport))
        yield* until("the beginning again", () => textOf(second.message) !== "", 20)
        assert.strictEqual(yield* stateOf(app), "active")
        yield* more
        yield* until("the end", () => second.isOver, 20)
        assert.deepStrictEqual([textOf(second.message), starts], ["hello 👩 and more", ["t1 hello"]])
      }),
    60_000
  )

  it.live(
    "ends for all when a page with a connection stops it, and goes on when it only leaves",
    () =>
      Effect.gen(function*() {
        const { app } = yield* makeChat
        const watching = yield* overHttp(app)
        const staying = new AbortController()
        const leaver = yield* overEvents(app, "leave")
        const left = reading(yield* send(leaver, staying.signal))
        yield* until("the beginning", () => textOf(left.message) !== "", 20)
        staying.abort()
        assert.strictEqual(yield* stateOf(app), "active")

        const stopper = yield* overEvents(app)
        const stop = new AbortController()
        const shown = reading(
          yield* Effect.promise(() => stopper.reconnectToStream({ chatId: "t1", abortSignal: stop.signal }))
        )
        const other = reading(yield* resume(watching))
        yield* until("both", () => textOf(shown.message) !== "" && textOf(other.message) !== "", 20)
        stop.abort()
        yield* until("the end", () => other.isOver, 20)
        assert.nestedPropertyVal(other.message, "metadata.run.status", "cancelled")
        assert.strictEqual(yield* stateOf(app), "cancelled")
      }),
    60_000
  )

  it.live(
    "goes on when a page resumes anew what it shows, and tells another page that a run began",
    () =>
      Effect.gen(function*() {
        const { app, more } = yield* makeChat
        const other = yield* overEvents(app)
        const begun: Array<string> = []
        other.watch("t1", () => begun.push("begun"))
        const transport = yield* overEvents(app)
        transport.watch("t1", () => begun.push("its own"))
        yield* until("live", () => other.connection.status.getSnapshot().state === "live", 20)
        yield* send(transport)
        yield* until("begun", () => begun.length > 0, 20)
        const before = new AbortController()
        yield* Effect.promise(() => other.reconnectToStream({ chatId: "t1", abortSignal: before.signal }))
        const again = Effect.promise(() => {
          before.abort()
          return other.reconnectToStream({ chatId: "t1" })
        })
        const shown = reading(yield* again)
        yield* until("the beginning", () => textOf(shown.message) !== "", 20)
        yield* more
        yield* until("the end", () => shown.isOver, 20)
        assert.deepStrictEqual([textOf(shown.message), begun], ["hello 👩 and more", ["begun"]])
      }),
    60_000
  )

  it.live("asks for approval of a tool call, and takes the answer", () =>
    Effect.gen(function*() {
      const chat = AiSdk.layer({
        path: "/api/chat",
        run: () =>
          Effect.succeed("sent").pipe(
            Emitter.tool("mail", { to: "bob" }, { approval: { title: "Send it?" } }),
            Emitter.run({ agentName: "mailer" })
          )
      })
      const app = yield* serveApp(chat, { origins: "any" })
      const transport = yield* overEvents(app)
      const shown = reading(yield* send(transport))
      const call = () => shown.message?.parts.find(isToolUIPart)
      yield* until("asked", () => call()?.state === "approval-requested", 20)
      const id = call()?.approval?.id ?? ""
      assert.strictEqual((yield* Effect.promise(() => transport.answer("t1", id, true))).outcome, "accepted")
      assert.strictEqual((yield* Effect.promise(() => transport.answer("t1", "other", true))).outcome, "refused")
      yield* until("the end", () => shown.isOver, 20)
      assert.deepInclude(call(), { type: "tool-mail", state: "output-available", input: { to: "bob" }, output: "sent" })
    }), 60_000)
})

describe("a chat whose stream is cut", () => {
  const text = "Streams are pull-based: 日本語 👩‍🚀\n\ndata: [DONE]\n"

  it.live("behind any byte has the same message once it comes back", () =>
    Effect.gen(function*() {
      const chat = AiSdk.layer({
        path: "/api/chat",
        run: () =>
          Effect.forEach(text, say, { discard: true }).pipe(
            Effect.andThen(Effect.succeed(["a"]).pipe(Emitter.tool("search", { q: "streams" }))),
            Emitter.run({ agentName: "a" })
          )
      })
      const app = yield* serveApp(chat)
      const draw = seeded(20_261_129)
      const cuts = Array.from({ length: 24 }, (_, index) => index === 0 ? 0 : index === 1 ? 1e9 : draw.below(6_000))
      const child = fileURLToPath(new URL("cut-child.ts", import.meta.url))
      const given = [child, `${app.url}/api/chat`, yield* token("ada"), ...cuts.map(String)]
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, given, { timeout: 60_000 * patience, killSignal: "SIGKILL" })
      )
      const lines = stdout.trim().split("\n")
      assert.lengthOf(lines, cuts.length)
      for (const [index, line] of lines.entries()) {
        const [id, message]: readonly [string, UIMessage] = JSON.parse(line)
        const calls = message.parts.filter(isToolUIPart).map(({ input, state, type }) => [type, state, input])
        assert.deepStrictEqual(
          [message.id, textOf(message), calls],
          [id, text, [["tool-search", "output-available", { q: "streams" }]]],
          `cut behind ${cuts[index]}`
        )
        assert.nestedPropertyVal(message, "metadata.run.status", "completed")
      }
    }), 90_000 * patience)
})

describe("a request to a chat", () => {
  it.live("that does not fit is refused, with all that is wrong, and starts nothing", () =>
    Effect.gen(function*() {
      const { app, starts } = yield* makeChat
      const refused = Effect.fnUntraced(function*(body: unknown, headers?: Record<string, string>) {
        const response = yield* app.post("/api/chat", body, { headers })
        const answer: unknown = yield* Effect.promise(() => response.json())
        return [response.status, JSON.stringify(answer)] as const
      })
      const messages = [question("hello")]
      assert.include((yield* refused({}))[1], "messages")
      for (
        const body of [
          "no json",
          [],
          { messages },
          { id: "", messages },
          { id: "null", messages },
          { id: "a b", messages },
          { id: "t1", messages: [{ id: "q1", role: "robot", parts: [] }] },
          { id: "t1", messages: [{ id: "q1", role: "user", parts: [{}] }] },
          { id: "t1", messages, trigger: "other" },
          { id: "t1", messages, runId: "\u200b" }
        ]
      ) assert.strictEqual((yield* refused(body))[0], 400, JSON.stringify(body))
      assert.strictEqual((yield* refused({ id: "t1", messages }, { authorization: "Bearer nonsense" }))[0], 401)
      assert.deepStrictEqual(starts, [])
    }), 60_000)

  it.live(
    "that is more than one run of an id is refused where it is another chat's; an unknown chat has nothing to resume",
    () =>
      Effect.gen(function*() {
        const { app, starts } = yield* makeChat
        const post = (id: string, accept = "application/json") =>
          app.post("/api/chat", { id, runId: "r1", messages: [question("hello")] }, { headers: { accept } })
        const [first, second, other] = [yield* post("t1"), yield* post("t1"), yield* post("t2")]
        assert.deepStrictEqual([first.status, second.status, other.status], [202, 202, 409])
        assert.deepStrictEqual<unknown>(yield* Effect.promise(() => first.json()), { run: "r1", thread: "t1" })
        yield* until("started", () => starts.length === 1, 20)
        const authorization = `Bearer ${yield* token("ada")}`
        const get = (path: string, headers: Record<string, string> = { authorization }) =>
          Effect.promise(() => fetch(`${app.url}/api/chat/${path}/stream`, { headers }))
        assert.strictEqual((yield* get("t9")).status, 204)
        assert.strictEqual((yield* get("%00")).status, 204)
        assert.strictEqual((yield* get("t1", {})).status, 401)
        const bob = `Bearer ${yield* token("bob")}`
        assert.strictEqual((yield* get("t1", { authorization: bob })).status, 204)
      }),
    60_000
  )

  it.live(
    "that names a place by Last-Event-ID, from wherever it is, is answered from the run's beginning",
    () =>
      Effect.gen(function*() {
        const { app, more, starts } = yield* makeChat
        const authorization = `Bearer ${yield* token("ada")}`
        const post = (headers = {}) => app.post("/api/chat", { id: "t1", messages: [question("hello")] }, { headers })
        const get = (headers: Record<string, string>) =>
          Effect.promise(() => fetch(`${app.url}/api/chat/t1/stream`, { headers: { authorization, ...headers } }))
        // A run of another chat, whose places are others.
        const other = yield* app.post("/api/chat", { id: "t2", messages: [question("other")] })
        const first = yield* post()
        yield* until("both", () => starts.length === 2, 20)
        const { epoch } = yield* app.broker.head(user("ada"))
        const answers = [first]
        for (const id of ["nonsense", "7", "another:1", `${epoch}:1`, `${epoch}:2.1`, `${epoch}:9999`]) {
          answers.push(yield* post({ "last-event-id": id }), yield* get({ "last-event-id": id }))
        }
        yield* more
        for (const [index, response] of answers.entries()) {
          assert.strictEqual(response.status, 200)
          const events = parseEvents(yield* Effect.promise(() => response.text()))
          assert.isTrue(events.every(({ id }) => id === undefined))
          assert.strictEqual(events.at(-1)?.data, "[DONE]")
          const parts: ReadonlyArray<UIMessageChunk> = events.slice(0, -1).map(({ data }) => JSON.parse(data))
          assert.strictEqual(parts[0]?.type, "start")
          const shown = parts.map((part) => part.type === "text-delta" ? part.delta : "").join("")
          assert.strictEqual(shown, "hello 👩 and more", `of answer ${index}`)
        }
        yield* Effect.promise(() => other.text())
        assert.deepStrictEqual(starts.toSorted(), ["t1 hello", "t2 other"])
      }),
    60_000
  )

  for (const [name, make] of transports) {
    it.live(
      `${name}: shows a run of a later version, with events, fields and words that nobody knows yet`,
      () =>
        Effect.gen(function*() {
          const { app } = yield* makeChat
          const emit = (type: string, data: Record<string, string | number>) =>
            app.broker.append(user("ada"), [envelope(data, { run: "r1", thread: "t1", type })])
          yield* emit("agent_started", { agentName: "a", mood: "good" })
          yield* emit("text_delta", { messageId: "m", delta: "one", tone: "low" })
          yield* emit("mood_changed", { mood: "bad" })
          const early = reading(yield* resume(yield* make(app)))
          yield* until("the beginning", () => textOf(early.message) === "one", 20)
          yield* emit("mood_changed", { mood: "good" })
          yield* emit("input_requested", { requestId: "q1", kind: "signature", title: "Sign it?" })
          yield* emit("text_delta", { messageId: "m", delta: " two", tone: "high" })
          const late = reading(yield* resume(yield* make(app)))
          yield* until("the beginning again", () => textOf(late.message) === "one two", 20)
          yield* emit("agent_completed", { agentName: "a", durationMs: 1, mood: "fine" })
          yield* until("the end", () => early.isOver && late.isOver, 20)
          for (const { errors, message } of [early, late]) {
            assert.deepStrictEqual([errors, textOf(message)], [[], "one two"])
            assert.nestedPropertyVal(message, "metadata.run.status", "completed")
          }
        }),
      60_000
    )
  }

  it.live("is answered in the form that the SDK wants", () =>
    Effect.gen(function*() {
      const { app, more } = yield* makeChat
      yield* more
      const response = yield* app.post("/api/chat", { id: "t1", messages: [question("hello")] })
      assert.strictEqual(response.headers.get("x-vercel-ai-ui-message-stream"), "v1")
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
      const events = parseEvents(yield* Effect.promise(() => response.text()))
      assert.deepStrictEqual([events.at(-1)?.data, JSON.parse(events.at(-2)?.data ?? "").type], ["[DONE]", "finish"])
    }), 60_000)
})
