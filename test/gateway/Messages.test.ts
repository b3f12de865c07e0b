/** What people read who set up a gateway, or a client of one, and got something wrong: the cause, the remedy, no secret. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted } from "effect"
import { Authenticator, GatewayConfig } from "effect-emitter/gateway"
import { FetchHttpClient } from "effect/http"
import { inspect } from "node:util"
import { connect, serve, type Served, token } from "./server.ts"

/** What is logged as a warning or worse, one line each. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel === "Warn" || logLevel === "Error") lines.push(String(Array.isArray(message) ? message[0] : message))
    })
    return Effect.as(Effect.provide(effect, Logger.layer([logger])), lines)
  })

const ask = Effect.fnUntraced(function*(served: Served, init: RequestInit = {}, query = "") {
  const answer = yield* Effect.promise(() =>
    fetch(`${served.http}/events${query}`, {
      ...init,
      headers: { accept: "text/event-stream", ...init.headers }
    })
  )
  const text = yield* Effect.promise(() => answer.text())
  return {
    status: answer.status,
    retryAfter: answer.headers.get("retry-after"),
    message: text === "" ? "" : String(JSON.parse(text).message)
  }
})

const bearer = (name: string) => Effect.map(token(name), (shown) => ({ authorization: `Bearer ${shown}` }))

describe("A message about", () => {
  it.effect("fault 31: settings names each field, what it needs and what it got", () =>
    Effect.gen(function*() {
      const remedy = "correct it, or leave it out to have the default"
      const error = yield* Effect.flip(
        GatewayConfig.decode({ path: "events", origins: ["app.example.com"], name: "a b", addressHeader: "x real" })
      )
      assert.deepStrictEqual(
        error.message.split("\n").slice(1).map((line) => line.trim().split("; ")).toSorted(([a = ""], [b = ""]) =>
          a < b ? -1 : 1
        ),
        [
          [`addressHeader: the name of a header such as "x-real-ip" is needed, got "x real"`, remedy],
          [`name: a name of 1 to 32 letters, digits, - or _ is needed, got "a b"`, remedy],
          [`origins.0: an origin such as "https://app.example.com" is needed, got "app.example.com"`, remedy],
          [`path: a path that starts with "/" is needed, got "events"`, remedy]
        ]
      )
    }))

  it.effect("fault 31: an authenticator's options names one that is misspelt, which would accept any issuer", () =>
    Effect.gen(function*() {
      const misspelt = { isuer: "https://login.example.com" }
      const secret = Redacted.make("a secret of at least 32 characters")
      const layers = [
        Authenticator.layerJwt({ secret, ...misspelt }),
        Authenticator.layerJwks({ url: "https://id.example/jwks.json", cooldown: "1 second", ...misspelt }).pipe(
          Layer.provide(FetchHttpClient.layer)
        )
      ]
      for (const layer of layers) {
        const error = yield* Effect.flip(Layer.build(layer))
        assert.include(error.message, "isuer: there is no such option: there are issuer, ")
      }
    }))

  it.live("fault 31: a key set that gives no answer names its address and why, and nothing that may be secret in it", () =>
    Effect.gen(function*() {
      const header = Buffer.from(JSON.stringify({ alg: "ES256", kid: "k1" })).toString("base64url")
      for (const user of ["", "operator:hunter2@"]) {
        const url = `http://${user}127.0.0.1:1/jwks.json?key=hunter2`
        const error = yield* Effect.flatMap(
          Authenticator.Authenticator,
          ({ verify }) => Effect.flip(verify(Redacted.make(`${header}.e30.c2ln`)))
        ).pipe(
          Effect.provide(Layer.provide(Authenticator.layerJwks({ url }), FetchHttpClient.layer))
        )
        assert.match(
          error.message,
          /the key set at http:\/\/127\.0\.0\.1:1\/jwks\.json gives no answer that can be used: ./u
        )
        for (const text of [error.message, inspect(error, { depth: 10 })]) assert.notInclude(text, "hunter2")
      }
    }))

  it.live("fault 31: an origin tells the page which it is, and the operator what to do, since a browser shows neither", () =>
    Effect.gen(function*() {
      const lines = yield* logged(Effect.gen(function*() {
        const served = yield* serve()
        const evil = yield* ask(served, { headers: { origin: "http://localhost:5173" } })
        assert.deepStrictEqual([evil.status, evil.message], [
          403,
          `the page's origin "http://localhost:5173" is not allowed`
        ])
        const sibling = yield* ask(served, { headers: { "sec-fetch-site": "same-site" } })
        assert.deepStrictEqual([sibling.status, sibling.message], [
          403,
          "a page of another site may not connect without naming its origin"
        ])
      }))
      assert.strictEqual(lines.length, 1)
      assert.match(
        lines[0] ?? "",
        /^A page of "http:\/\/localhost:5173" was refused\. Accepted is that of the server itself, "127\.0\.0\.1:\d+"; if the page is yours, list its origin in "origins"$/u
      )
    }))

  it.live("fault 31: too many requests of one address tells the operator of the header that a proxy sets", () =>
    Effect.gen(function*() {
      const lines = yield* logged(Effect.gen(function*() {
        const served = yield* serve({ requestsPerAddress: 1 })
        const answers = yield* Effect.forEach(Array.from({ length: 10 }), () => ask(served), {
          concurrency: "unbounded"
        })
        const refused = answers.find(({ status }) => status === 429)
        assert.deepStrictEqual([refused?.message, refused?.retryAfter], [
          "too many requests came at once from this address",
          "1"
        ])
      }))
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0], `"addressHeader"`)
    }))

  it.live("fault 31: a request for a stream names the parameter that makes no sense", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const headers = yield* bearer("ada")
      const form = "a position has the form <epoch>:<offset>, as an event's id has"
      const many = Array.from({ length: 65 }, (_, n) => `thread=t${n}`).join("&")
      for (
        const [query, more, message] of [
          ["?resume=nowhere", {}, `resume: ${form}`],
          ["", { "last-event-id": "nowhere" }, `Last-Event-ID: ${form}`],
          [`?${many}`, {}, "thread: a device may follow 64 threads, this one asks for 65"],
          [`?thread=${"x".repeat(200)}`, {}, "thread: an id may have 128 characters at most, this one has 200"]
        ] as const
      ) {
        const answer = yield* ask(served, { headers: { ...headers, ...more } }, query)
        assert.deepStrictEqual([answer.status, answer.message], [400, message])
      }
    }))

  it.live("fault 31: a user's limit on connections names it, and what to do", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perUser: 1 } })
      const { socket } = yield* connect(served, "ada")
      socket.on("message", (data) => {
        if (String(data).includes(`"ping"`)) socket.send(`{"type":"pong"}`)
      })
      const answer = yield* ask(served, { headers: yield* bearer("ada") })
      assert.deepStrictEqual([answer.status, answer.message], [
        429,
        "a user may have 1 connections to this server: close one, or come back later"
      ])
    }))

  it.live("fault 31: a frame that is too large, or one too many, names the limit, over WebSocket and by POST", () =>
    Effect.gen(function*() {
      const served = yield* serve({ maxFrameBytesIn: 2_048, framesPerSecond: 3 })
      const large = yield* connect(served, "ada")
      yield* large.send("x".repeat(3_000))
      yield* large.closed
      assert.deepStrictEqual(large.frames.at(-1), {
        type: "error",
        code: "frameTooLarge",
        message: "a frame may have 2048 bytes"
      })
      const fast = yield* connect(served, "ada")
      for (let n = 0; n < 10; n++) yield* fast.send({ type: "pong" })
      yield* fast.closed
      assert.deepStrictEqual(fast.frames.at(-1), {
        type: "error",
        code: "tooManyFrames",
        message: "more than 3 frames per second"
      })
      const post = (body: string) =>
        Effect.flatMap(bearer("bob"), (headers) => ask(served, { method: "POST", headers, body }))
      const posted = yield* post("x".repeat(3_000))
      assert.deepStrictEqual([posted.status, posted.message], [413, "a frame may have 2048 bytes"])
      const many = yield* Effect.forEach(Array.from({ length: 30 }), () => post("{}"), { concurrency: "unbounded" })
      assert.deepInclude(many, { status: 429, message: "more than 3 frames per second", retryAfter: "1" })
    }))
})
