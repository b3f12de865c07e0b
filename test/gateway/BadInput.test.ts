import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { CloseCode } from "effect-emitter/events"
import { Frame } from "effect-emitter/protocol"
import { request } from "node:http"
import { untilEffect } from "../client/devices.ts"
import { append, connect, type Device, dial, Refused, serve, type Served, token } from "./server.ts"

const { closeCodes } = CloseCode

/** Runs `misbehave` beside a device of another user, which must notice nothing. */
const beside = <E, R>(
  options: Parameters<typeof serve>[0],
  misbehave: (served: Served) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function*() {
    const served = yield* serve(options)
    const other = yield* connect(served, "bob")
    yield* append(served, "bob", 1)
    yield* misbehave(served)
    yield* append(served, "bob", 2, 3)
    yield* other.received(3)
    assert.deepStrictEqual(other.numbers(), [1, 2, 3])
    assert.strictEqual(other.frames.filter(({ type }) => type !== "welcome" && type !== "events").length, 0)
    assert.strictEqual(other.socket.readyState, other.socket.OPEN)
    const response = yield* Effect.promise(() => fetch(`${served.http}/hello`))
    assert.strictEqual(response.status, 200)
  })

const endsWith = (device: Device, expected: CloseCode.CloseCode) =>
  Effect.gen(function*() {
    const closed = yield* device.closed
    assert.deepStrictEqual(closed, { code: expected.code, reason: expected.name })
    const last = device.frames.at(-1)
    assert.strictEqual(last?.type, "error")
    assert.strictEqual((last as typeof Frame.ErrorFrame.Type).code, expected.name)
  })

const refused = (dialed: Effect.Effect<Device, Refused, Scope.Scope>) =>
  Effect.flatMap(Effect.exit(dialed), (exit) => {
    if (Exit.isSuccess(exit)) return Effect.die(new Error("the socket was opened"))
    return Effect.flip(exit)
  })

const threads = (count: number) => Array.from({ length: count }, (_, n) => `t${n}`)

describe("Bad input", () => {
  for (
    const [what, garbage] of [
      ["text that is no JSON", "}{"],
      ["JSON that is no frame", "[1,2,3]"],
      ["a frame type nobody knows", `{"type":"subscribe"}`],
      ["fields that break the schema", `{"type":"hello","token":7}`],
      ["more threads than a device may follow", JSON.stringify({ type: "hello", threads: threads(65) })],
      ["a binary message", new Uint8Array([1, 2, 3])],
      ["a frame before hello", `{"type":"pong"}`]
    ] as const
  ) {
    it.live(`${what} instead of hello ends the connection with 4400`, () =>
      beside({}, (served) =>
        Effect.gen(function*() {
          const device = yield* dial(served.url)
          yield* device.send(garbage)
          yield* endsWith(device, closeCodes.badFrame)
        })))
  }

  it.live("garbage after the welcome ends the connection with 4400, and says why without repeating it", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const device = yield* connect(served, "ada")
        yield* device.send(`{"type":"ack","offset":"s3cret"}`)
        yield* endsWith(device, closeCodes.badFrame)
        assert.notInclude(JSON.stringify(device.frames), "s3cret")
      })))

  it.live("bytes that are no WebSocket frame end the connection", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const device = yield* connect(served, "ada")
        const tcp = Reflect.get(device.socket, "_socket")
        assert.isTrue(typeof tcp === "object")
        tcp.write(Buffer.from([0xff, 0xff, 0xff, 0xff]))
        const closed = yield* device.closed
        assert.strictEqual(closed.code, 1002)
      })))

  it.live("an oversized frame ends the connection with 4413 before it is read", () =>
    beside({ maxFrameBytesIn: 2048 }, (served) =>
      Effect.gen(function*() {
        const device = yield* connect(served, "ada")
        yield* device.send(JSON.stringify({ type: "token", token: "x".repeat(4 * 1024 * 1024) }))
        yield* endsWith(device, closeCodes.frameTooLarge)
      })))

  it.live("more frames than allowed end the connection with 4429", () =>
    beside({ framesPerSecond: 20 }, (served) =>
      Effect.gen(function*() {
        const device = yield* connect(served, "ada")
        for (let sent = 0; sent < 40; sent++) yield* device.send({ type: "pong" })
        yield* endsWith(device, closeCodes.tooManyFrames)
      })))

  it.live("as many frames as allowed do not", () =>
    beside({ framesPerSecond: 20 }, (served) =>
      Effect.gen(function*() {
        const device = yield* connect(served, "ada")
        for (let sent = 0; sent < 15; sent++) yield* device.send({ type: "pong" })
        yield* append(served, "ada", 1)
        yield* device.received(1)
        assert.strictEqual(device.socket.readyState, device.socket.OPEN)
      })))

  it.live("a device that says nothing is closed with 4408", () =>
    beside({ helloTimeout: "2 seconds" }, (served) =>
      Effect.gen(function*() {
        const device = yield* dial(served.url)
        yield* endsWith(device, closeCodes.helloTimeout)
      })))

  it.live("a hello without a token is closed with 4401", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const device = yield* dial(served.url)
        yield* device.send({ type: "hello" })
        yield* endsWith(device, closeCodes.unauthenticated)
        assert.strictEqual(device.frames.length, 1)
      })))

  const badTokens = {
    "signed with another secret": token("bob", { secret: "another secret, of 32 characters or more" }),
    "that has expired": token("bob", { expiresIn: -60 }),
    "of another issuer": token("bob", { issuer: "somebody else" }),
    "that names no user": token("null"),
    "that is no token": Effect.succeed("bob"),
    "that claims to need no signature": Effect.succeed(
      `${Buffer.from(`{"alg":"none"}`).toString("base64url")}.${Buffer.from(`{"sub":"bob"}`).toString("base64url")}.`
    )
  }

  for (const [what, bad] of Object.entries(badTokens)) {
    it.live(`a token ${what} is refused with 4401 in hello, and shows in no message`, () =>
      beside({}, (served) =>
        Effect.gen(function*() {
          const device = yield* dial(served.url)
          const shown = yield* bad
          yield* device.send({ type: "hello", token: shown })
          yield* endsWith(device, closeCodes.unauthenticated)
          assert.strictEqual(device.frames.length, 1)
          assert.notInclude(JSON.stringify(device.frames), shown.slice(0, 20))
        })))

    it.live(`a token ${what} in the header is refused with 401, before the upgrade`, () =>
      beside({}, (served) =>
        Effect.gen(function*() {
          const shown = yield* bad
          const error = yield* refused(dial(served.url, { authorization: `Bearer ${shown}` }))
          assert.strictEqual(error.status, 401)
          assert.strictEqual(JSON.parse(error.body).code, "unauthenticated")
          assert.notInclude(error.body, shown.slice(0, 20))
        })))
  }

  it.live("an Authorization header of another kind is refused with 401", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const error = yield* refused(dial(served.url, { authorization: "Basic Ym9iOmJvYg==" }))
        assert.strictEqual(error.status, 401)
      })))

  it.live("a hello whose token belongs to another user than the header's is closed with 4401", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const device = yield* dial(served.url, { authorization: `Bearer ${yield* token("ada")}` })
        yield* device.send({ type: "hello", token: yield* token("bob") })
        yield* endsWith(device, closeCodes.unauthenticated)
      })))

  it.live("a page of a foreign origin is refused with 403, before the upgrade and before its token is looked at", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        for (const origin of ["https://evil.example", "null", `http://127.0.0.1:${served.port + 1}`, "no origin"]) {
          const error = yield* refused(dial(served.url, { origin, authorization: `Bearer ${yield* token("ada")}` }))
          assert.strictEqual(error.status, 403, origin)
        }
      })))

  it.live("pages of the same host, and of listed origins, may connect", () =>
    Effect.gen(function*() {
      const same = yield* serve()
      yield* dial(same.url, { origin: `http://127.0.0.1:${same.port}` })
      const listed = yield* serve({ origins: ["https://app.example"] })
      yield* dial(listed.url, { origin: "https://app.example" })
      const error = yield* refused(dial(listed.url, { origin: `http://127.0.0.1:${listed.port}` }))
      assert.strictEqual(error.status, 403)
    }))

  it.live("a second hello ends the connection with 4400", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const device = yield* connect(served, "ada")
        yield* device.send({ type: "hello", token: yield* token("ada") })
        yield* endsWith(device, closeCodes.badFrame)
      })))

  it.live("a second hello right behind the first, while the token is being checked, does too", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const device = yield* dial(served.url)
        const hello = { type: "hello", token: yield* token("ada") }
        yield* device.send(hello)
        yield* device.send(hello)
        yield* endsWith(device, closeCodes.badFrame)
      })))

  it.live("a connection too many of one user is closed with 4409", () =>
    beside({ connections: { perUser: 2 } }, (served) =>
      Effect.gen(function*() {
        const first = yield* connect(served, "ada")
        const second = yield* connect(served, "ada")
        for (const { socket } of [first, second]) {
          socket.on("message", (data) => {
            if (String(data).includes(`"ping"`)) socket.send(`{"type":"pong"}`)
          })
        }
        const third = yield* dial(served.url)
        yield* third.send({ type: "hello", token: yield* token("ada") })
        assert.deepStrictEqual(yield* third.closed, { code: 4409, reason: "tooManyConnections" })
        assert.strictEqual(third.frames.at(-1)?.type, "goodbye")
        first.socket.close()
        yield* first.closed
        yield* connect(served, "ada")
      })))

  it.live("a device that vanishes while its token is checked leaves nothing behind", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const device = yield* dial(served.url)
        yield* device.send({ type: "hello", token: yield* token("ada") })
        device.socket.terminate()
        yield* untilEffect(
          "one is left",
          Effect.map(served.gateway.stats, ({ connections, sessions, users }) =>
            users === 1 && connections === 1 && sessions === 1)
        )
      })))

  it.live("a plain request to the path is told to upgrade, and a broken handshake is refused", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const plain = yield* Effect.promise(() => fetch(`${served.http}/events`))
        assert.strictEqual(plain.status, 426)
        const statusOf = (more: Record<string, string>) =>
          Effect.callback<number | undefined>((resume) => {
            const headers = { connection: "upgrade", upgrade: "websocket", ...more }
            request(`${served.http}/events`, { headers }, (response) => {
              response.resume()
              resume(Effect.succeed(response.statusCode))
            }).end()
          })
        assert.strictEqual(yield* statusOf({}), 400)
        assert.strictEqual(yield* statusOf({ "sec-websocket-version": "7" }), 426)
        const known = { "sec-websocket-version": "13", "sec-websocket-protocol": Frame.subprotocol }
        assert.strictEqual(yield* statusOf(known), 400)
      })))

  it.live("a taken port is a typed error, and the server that has it stays up", () =>
    beside({}, (served) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(serve({}, { port: served.port }))
        assert.strictEqual(error._tag, "ServeError")
        assert.include(String(error.cause), "EADDRINUSE")
      })))

  it.live("unknown and conflicting options fail the layer, with every problem listed", () =>
    Effect.gen(function*() {
      const options = {
        path: "events",
        hartbeat: "1 second",
        helloTimeout: "0 seconds",
        connections: { perUser: 0 },
        origins: ["https://app.example/"]
      } as const
      const error = yield* Effect.flip(serve(options))
      assert.strictEqual(error._tag, "ConfigError")
      if (error._tag !== "ConfigError") return
      assert.deepStrictEqual(
        error.issues.map(({ path }) => path).toSorted(),
        ["connections.perUser", "hartbeat", "helloTimeout", "origins.0", "path"]
      )
      const conflict = yield* Effect.flip(
        serve({ connections: { perUser: 5, perNode: 4 }, maxFrameBytesOut: 10 })
      )
      assert.strictEqual(conflict._tag, "ConfigError")
      if (conflict._tag !== "ConfigError") return
      assert.deepStrictEqual(conflict.issues.map(({ path }) => path).toSorted(), [
        "connections.perUser",
        "maxFrameBytesOut"
      ])
    }))
})
