/**
 * Programs as users write them: short, without a cast, of public names alone. Each is run over real sockets.
 */
import { HttpAgent } from "@ag-ui/client"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Deferred, Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { Broker, Emitter, EmitterLayer, Identity } from "effect-emitter"
import { connect } from "effect-emitter/client"
import { DurableStreams } from "effect-emitter/durable-streams"
import { FetchHttpClient } from "effect/http"
import { RpcClient, RpcSerialization } from "effect/rpc"
import { readdirSync, readFileSync } from "node:fs"
import { until } from "../client/devices.ts"
import { envelope, secret, serve, token, user } from "../gateway/server.ts"
import { serveApp } from "../interop/app.ts"
import { freePort } from "../support/freePort.ts"
import { call, finish, scripted, text } from "../ai/scripted.ts"
import * as AgUiProgram from "./agUi.ts"
import * as Agent from "./ai.ts"
import * as Api from "./api.ts"
import * as DurableProgram from "./durableStreams.ts"
import * as Orders from "./client.ts"
import * as Answer from "./rpc.ts"
import * as TanStackProgram from "./tanStackAi.ts"
import * as Charging from "./workflow.ts"

const environment = (variables: Record<string, string>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env: variables }))

const bearer = (name: string) => Effect.map(token(name), (text) => `Bearer ${text}`)

/** Starts a program's server, and gives where it listens. */
const started = <E>(server: Layer.Layer<never, E>) =>
  Effect.gen(function*() {
    const port = yield* freePort
    const variables = { PORT: String(port), JWT_SECRET: secret, JWT_ISSUER: "tests", JWT_AUDIENCE: "events" }
    yield* Layer.build(Layer.provide(server, environment(variables)))
    return `http://127.0.0.1:${port}`
  })

/** A device of a user: the types of its events up to the ending of a run. */
const watch = (base: string, name: string) =>
  Effect.gen(function*() {
    const live = yield* Deferred.make<void>()
    const connection = connect({
      url: `${base}/events`,
      token: yield* token(name),
      onStatus: ({ state }) => {
        if (state === "live") Deferred.doneUnsafe(live, Effect.void)
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(connection.close))
    const types = async () => {
      const seen: Array<string> = []
      for await (const { type } of connection.events) {
        seen.push(type)
        if (type === "agent_completed" || type === "agent_error") break
      }
      return seen
    }
    const watching = yield* Effect.forkChild(Effect.promise(types))
    yield* Deferred.await(live)
    return Fiber.join(watching)
  })

describe("programs as users write them", () => {
  it.live("an agent for the clients of AG-UI answers who signed in, and their device sees the run", () =>
    Effect.gen(function*() {
      const base = yield* started(AgUiProgram.server)
      const seen = yield* watch(base, "ada")
      const messages = [{ id: "u1", role: "user" as const, content: "streams" }]
      const headers = { authorization: yield* bearer("ada") }
      const agent = new HttpAgent({ url: `${base}/agent`, headers, initialMessages: messages })
      const { newMessages } = yield* Effect.promise(() => agent.runAgent())
      assert.include(newMessages.map(({ content }) => content), "All about streams")
      assert.deepStrictEqual((yield* seen).at(-1), "agent_completed")
    }))

  it("are under 40 lines, without a cast, and import nothing but public names", () => {
    const folder = new URL(".", import.meta.url)
    const programs = readdirSync(folder).filter((file) => !file.endsWith(".test.ts"))
    assert.deepStrictEqual(programs, [
      "agUi.ts",
      "agUiPage.ts",
      "ai.ts",
      "aiSdk.tsx",
      "api.ts",
      "client.ts",
      "durableStreams.ts",
      "rpc.ts",
      "signedIn.ts",
      "tanStackAi.ts",
      "workflow.ts"
    ])
    for (const file of programs) {
      const text = readFileSync(new URL(file, folder), "utf8")
      assert.isBelow(text.trimEnd().split("\n").length, 40, file)
      assert.notMatch(text.replaceAll(/^import .*$|\/\*\*.*\*\/|\/\/.*$/gm, ""), /\bas\b|\bany\b|!\.|@ts-/, file)
      const imported = Array.from(text.matchAll(/from "([^"]+)"/g), ([, name = ""]) => name)
      assert.deepStrictEqual(
        imported.filter((name) =>
          !/^(effect|effect-emitter|@effect\/platform-node|@ai-sdk\/react|@durable-streams\/client|@tanstack\/ai-client|react|react-dom|ai|@ag-ui\/client)(\/|$)|^node:/
            .test(name)
        ),
        [],
        file
      )
    }
  })

  it.live(
    "durableStreams: a client of that protocol follows a run to its end, and has what was emitted",
    () =>
      Effect.gen(function*() {
        const app = yield* serveApp(DurableStreams.layer({ path: "/streams" }))
        const emit = (type: string, data: Record<string, string | number>) =>
          app.broker.append(user("ada"), [envelope(data, { run: "r1", type })])
        yield* emit("agent_started", { agentName: "a" })
        yield* emit("text_delta", { messageId: "m1", delta: "one 日本語\n" })
        let shown = ""
        const show = (text: string) => {
          shown += text
        }
        const following = yield* Effect.forkChild(
          Effect.flatMap(token("ada"), (text) => Effect.promise(() => DurableProgram.follow(app.url, "r1", text, show)))
        )
        yield* until("the first text", () => shown.length > 0, 60)
        yield* emit("text_delta", { messageId: "m1", delta: "two 👩‍🚀" })
        yield* emit("agent_completed", { agentName: "a", durationMs: 1 })
        yield* Fiber.join(following)
        assert.strictEqual(shown, "one 日本語\ntwo 👩‍🚀")
      }),
    120_000
  )

  it.live("tanStackAi: a chat has what was emitted, also after a reload", () =>
    Effect.gen(function*() {
      const base = yield* started(AgUiProgram.server)
      const shown = yield* token("ada")
      const open = () =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const page = { text: "" }
            const show = (text: string) => {
              page.text = text
            }
            return Object.assign(page, TanStackProgram.open(base, shown, "t1", show))
          }),
          ({ chat, close }) =>
            Effect.sync(() => {
              chat.dispose()
              close()
            })
        )
      const first = yield* open()
      yield* Effect.promise(() => first.chat.sendMessage("streams"))
      assert.include(first.text, "All about streams")
      const second = yield* open()
      yield* until("the answer after a reload", () => second.text.includes("All about streams"), 10)
    }), 120_000)

  it("for other protocols stand in the README of these, in up to 25 lines", () => {
    const readme = readFileSync(new URL("../../src/interop/README.md", import.meta.url), "utf8")
    for (const file of ["durableStreams.ts", "signedIn.ts", "tanStackAi.ts"]) {
      const text = readFileSync(new URL(file, import.meta.url), "utf8")
      assert.isAtMost(text.trimEnd().split("\n").length, 25)
      assert.include(readme, `\`\`\`ts\n${text}\`\`\``, file)
    }
  })

  it.live("api: an HttpApi runs an agent for whoever signed in, and nobody else", () =>
    Effect.gen(function*() {
      const base = yield* started(Api.server)
      const types = yield* watch(base, "ada")
      const ask = (headers: Record<string, string>) =>
        Effect.promise(() =>
          fetch(`${base}/ask`, {
            method: "POST",
            headers: { "content-type": "application/json", ...headers },
            body: JSON.stringify({ question: "streams" })
          })
        )
      assert.strictEqual((yield* ask({})).status, 401)
      const answer = yield* ask({ authorization: yield* bearer("ada") })
      assert.deepStrictEqual([answer.status, yield* Effect.promise(() => answer.json())], [200, "All about streams"])
      assert.deepStrictEqual(yield* types, [
        "agent_started",
        "tool_executing",
        "tool_completed",
        "text_delta",
        "agent_completed"
      ])
    }), 30_000)

  it.live(
    "ai: a model's text and tools are seen by the user's devices, and a page approves of a tool",
    () =>
      Effect.gen(function*() {
        const model = yield* scripted(
          [...text("I'll ", "send it."), call("0", "mail", { to: "bob" }), finish("tool-calls")],
          [...text("Sent."), finish()]
        )
        const base = yield* started(Layer.provide(Agent.server, model.layer))
        const connection = connect({ url: `${base}/events`, token: yield* token("ada") })
        yield* Effect.addFinalizer(() => Effect.sync(connection.close))
        const { getSnapshot, subscribe } = connection.runs
        const unsubscribe = subscribe(() => {
          for (const { id, parts } of getSnapshot()) {
            for (const part of parts) {
              if (part.type === "request" && part.status === "open") {
                void connection.run(id).answer(part.requestId, true)
              }
            }
          }
        })
        yield* Effect.addFinalizer(() => Effect.sync(unsubscribe))
        const headers = { authorization: yield* bearer("ada") }
        const answer = yield* Effect.promise(() =>
          fetch(`${base}/ask`, { method: "POST", headers, body: "Write to Bob" })
        )
        assert.deepStrictEqual([answer.status, yield* Effect.promise(() => answer.text())], [200, "Sent."])
        yield* until("completed", () => getSnapshot()[0]?.status === "completed", 20)
        const texts = getSnapshot().flatMap(({ parts }) =>
          parts.flatMap((part) =>
            part.type === "text" ? [part.text] : part.type === "tool" ? [part.toolName, part.status] : []
          )
        )
        assert.deepStrictEqual(texts, ["I'll send it.", "mail", "completed", "Sent."])
      }),
    30_000
  )

  it.live("rpc: a streaming answer is a run that the user's devices see", () =>
    Effect.gen(function*() {
      const base = yield* started(Answer.server)
      const types = yield* watch(base, "ada")
      const protocol = RpcClient.layerProtocolHttp({ url: `${base}/rpc` }).pipe(
        Layer.provide([FetchHttpClient.layer, RpcSerialization.layerNdjson])
      )
      const words = yield* Effect.gen(function*() {
        const client = yield* RpcClient.make(Answer.Agent)
        const headers = { authorization: yield* bearer("ada") }
        const refused = yield* Effect.flip(Stream.runDrain(client.answer({ question: "streams" })))
        assert.deepInclude(refused, { _tag: "NotSignedIn", reason: "missing" })
        return yield* Stream.runCollect(client.answer({ question: "streams" }, { headers }))
      }).pipe(Effect.provide(protocol))
      assert.deepStrictEqual(words, ["All ", "about ", "streams"])
      const seen = yield* types
      assert.deepStrictEqual([seen[0], seen.at(-1)], ["agent_started", "agent_completed"])
      assert.include(seen, "text_delta")
    }), 30_000)

  it.live("client: a service of the program's own events, and a page without Effect", () =>
    Effect.gen(function*() {
      const { broker, url } = yield* serve()
      const text = yield* token("ada")
      const sum = yield* Effect.forkChild(
        Effect.provide(Orders.sumOf(2), environment({ EVENTS_URL: url, TOKEN: text }))
      )
      const shown: Array<string> = []
      const left = new AbortController()
      const page = yield* Effect.forkChild(
        Effect.promise(() => Orders.page(url, text, (line) => shown.push(line), left.signal))
      )
      // Whoever comes at any time sees the orders that follow.
      const order = Orders.Placed.make({ total: 21, at: new Date(0) })
      yield* Emitter.emit(order).pipe(
        Effect.repeat(Schedule.spaced("20 millis")),
        Effect.provide(
          Emitter.layerUser({ userId: "ada" }).pipe(
            Layer.provide(EmitterLayer()),
            Layer.provide(Layer.succeed(Broker.Broker, broker))
          )
        ),
        Effect.forkChild
      )
      assert.deepStrictEqual(yield* Fiber.join(sum), { sum: 42, year: 1970 })
      yield* until("shown", () => shown.length >= 2, 20)
      left.abort()
      yield* Fiber.join(page)
      assert.deepStrictEqual(new Set(shown), new Set(["21 at 1970-01-01T00:00:00.000Z"]))
    }), 30_000)

  it.live(
    "workflow: tells of a charge once, also when it is run anew, and the audit reads it",
    () =>
      Effect.gen(function*() {
        const { broker, url } = yield* serve()
        const log = Layer.succeed(Broker.Broker, broker)
        const userId = Identity.UserId.make("ada")
        const charge = (order: string) =>
          Charging.Charge.execute({ userId, order, cents: 250 }).pipe(
            // An engine of its own each time, as after a crash.
            Effect.provide(Layer.provide(Layer.fresh(Charging.layer), log))
          )
        yield* charge("o-1")
        yield* charge("o-1")
        yield* charge("o-2")
        const lines = yield* Effect.provide(Charging.audit(userId), log)
        assert.deepStrictEqual(lines.map(({ cents, order }) => [order, cents]), [["o-1", 250], ["o-2", 250]])
        assert.deepStrictEqual(yield* Effect.provide(Charging.audit(Identity.UserId.make("bob")), log), [])
        const offsets: Array<number> = []
        const connection = connect({
          url,
          token: yield* token("ada"),
          start: "earliest",
          onEvent: ({ offset }) => offsets.push(offset)
        })
        yield* until("seen", () => offsets.length === 2, 20)
        connection.close()
      }),
    30_000
  )
})
