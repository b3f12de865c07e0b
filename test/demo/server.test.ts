/**
 * What the demo's server answers to requests that the page would not make.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { HttpServer } from "effect/http"
import { request } from "node:http"
import { Broker } from "effect-emitter"
import * as Library from "../../src/demo/agent/Library.ts"
import * as Server from "../../src/demo/serving/server.ts"
import { handbook } from "./support.ts"

const server = Layer.unwrap(
  Effect.map(
    Library.fromText(handbook),
    (documents) => Server.layer({ port: 0, broker: Broker.layerMemory(), files: [], documents })
  )
)
  .pipe(Layer.provideMerge(NodeServices.layer))

const address = Effect.map(HttpServer.HttpServer, ({ address: bound }) => ({
  hostname: "127.0.0.1",
  port: "port" in bound ? bound.port : 0
}))

interface Answer {
  readonly status: number
  readonly body: { readonly [key: string]: unknown }
}

const post = Effect.fnUntraced(function*(path: string, body: unknown, headers: Record<string, string> = {}) {
  const { hostname, port } = yield* address
  const text = typeof body === "string" ? body : JSON.stringify(body)
  return yield* Effect.callback<Answer>((resume) => {
    const call = request({ hostname, port, path, method: "POST", headers }, (response) => {
      let answer = ""
      response.setEncoding("utf8").on("data", (chunk: string) => answer += chunk)
      response.on("end", () => {
        const json = response.headers["content-type"]?.includes("json") === true
        resume(Effect.succeed({ status: response.statusCode ?? 0, body: json ? JSON.parse(answer) : { text: answer } }))
      })
    })
    call.on("error", (error) => resume(Effect.die(error)))
    call.end(text)
  })
})

const tokenOf = Effect.fnUntraced(function*(user: string) {
  const { body } = yield* post("/api/token", { user })
  return { authorization: `Bearer ${String(body["token"])}` }
})

layer(server, { excludeTestServices: true })("the demo's server", (it) => {
  it.effect("gives tokens to its own users alone", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* post("/api/token", { user: "ada" })).status, 200)
      assert.strictEqual((yield* post("/api/token", { user: "eve" })).status, 400)
      assert.strictEqual((yield* post("/api/token", "not JSON")).status, 400)
    }))

  it.effect("answers nobody without a good token", () =>
    Effect.gen(function*() {
      const ada = yield* tokenOf("ada")
      const forged = { authorization: `${ada.authorization.slice(0, -4)}AAAA` }
      for (const path of ["/api/ask", "/api/logged", "/api/cut", "/api/slow", "/api/stats", "/api/outage"]) {
        assert.strictEqual((yield* post(path, {})).status, 401, path)
        assert.strictEqual((yield* post(path, {}, forged)).status, 401, path)
      }
      assert.strictEqual((yield* post("/api/stats", {}, ada)).status, 403)
      assert.strictEqual((yield* post("/api/outage", { ms: 10 }, ada)).status, 403)
    }))

  it.effect("refuses bad questions and texts with words for the user", () =>
    Effect.gen(function*() {
      const ada = yield* tokenOf("ada")
      const ask = (body: unknown) => post("/api/ask", body, ada)
      assert.strictEqual((yield* ask({ question: "  " })).status, 400)
      assert.strictEqual((yield* ask({ question: "x".repeat(501) })).status, 400)
      assert.strictEqual((yield* ask({ question: "what?", text: 5 })).status, 400)
      assert.deepStrictEqual(yield* ask({ question: "what?", text: " … " }), {
        status: 422,
        body: { error: "The text has no words in it." }
      })
      assert.deepStrictEqual(yield* ask({ question: "what?", text: "a".repeat(200_001) }), {
        status: 413,
        body: { error: "The text has 200,001 characters; 200,000 is the most. Paste a part of it." }
      })
      assert.deepStrictEqual(yield* ask("a".repeat(3_000_000)), {
        status: 413,
        body: { error: "The request is too large." }
      })
    }))

  it.effect("runs three at a time for one user", () =>
    Effect.gen(function*() {
      const ada = yield* tokenOf("ada")
      const grace = yield* tokenOf("grace")
      const runs = yield* Effect.forEach([1, 2, 3], () =>
        post("/api/ask", { question: "When does the oil arrive?" }, ada))
      assert.deepStrictEqual(
        runs.map(({ status }) =>
          status
        ),
        [202, 202, 202]
      )
      assert.strictEqual((yield* post("/api/ask", { question: "And the boat?" }, ada)).status, 429)
      assert.strictEqual((yield* post("/api/ask", { question: "And the boat?" }, grace)).status, 202)
    }))

  it.effect("tells a user what the log has of a run of theirs, and nobody else", () =>
    Effect.gen(function*() {
      const ada = yield* tokenOf("ada")
      const { body: { run } } = yield* post(
        "/api/ask",
        { question: "When does the oil arrive?" },
        yield* tokenOf("grace")
      )
      const offsets = (headers: Record<string, string>) =>
        Effect.map(post("/api/logged", { run }, headers), ({ body }) => body["offsets"])
      yield* Effect.repeat(offsets(yield* tokenOf("grace")), {
        until: (found) => Array.isArray(found) && found.length > 1 && found[0] < found[1],
        schedule: Schedule.spaced("10 millis")
      })
      assert.deepStrictEqual(yield* offsets(ada), [])
      assert.strictEqual((yield* post("/api/logged", { run: "" }, ada)).status, 400)
    }))

  it.effect("cuts only lines that are named as tabs name them, and for a bounded time", () =>
    Effect.gen(function*() {
      const ada = yield* tokenOf("ada")
      assert.deepStrictEqual(yield* post("/api/cut", { line: "no-such-line", holdMs: 0 }, ada), {
        status: 200,
        body: { lines: 0 }
      })
      assert.strictEqual((yield* post("/api/cut", { line: "../x", holdMs: 0 }, ada)).status, 400)
      assert.strictEqual((yield* post("/api/cut", { line: "no-such-line", holdMs: 60_000 }, ada)).status, 400)
      assert.strictEqual((yield* post("/api/slow", { line: "no-such-line", ms: -1 }, ada)).status, 400)
    }))

  it.effect("answers under its local names alone", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* post("/api/token", { user: "ada" }, { host: "demo.example:4321" })).status, 421)
      assert.strictEqual((yield* post("/api/token", { user: "ada" }, { host: "localhost:4321" })).status, 200)
    }))

  it.effect("tells the operator how it is doing", () =>
    Effect.gen(function*() {
      const { body, status } = yield* post("/api/stats", {}, yield* tokenOf("operator"))
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(
        [body["breaker"], body["brokerAway"], body["deadLettered"], body["draining"], body["connections"]],
        ["closed", false, 0, false, 0]
      )
    }))
})
