import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { Authenticator } from "effect-emitter/gateway"
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2"
import { connect as connectTcp, type Socket } from "node:net"
import { until, untilEffect } from "../../client/devices.ts"
import { Room } from "../../../src/gateway/admission/Strangers.ts"
import { startProcess } from "../process.ts"
import { append, connect, dial, serve, token } from "../server.ts"

/** How a refused request looks on the wire: what it asks for, and the headers that make it one. */
const upgrade = (path: string, headers: ReadonlyArray<string>) =>
  [
    `GET ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: emitter.v1.json",
    ...headers,
    "",
    ""
  ].join("\r\n")

/** A peer that says this, and then neither reads to the end nor hangs up when it is told to. */
const stubborn = (port: number, says: string): Effect.Effect<Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true })
      socket.on("error", () => {})
      socket.on("connect", () => socket.write(says))
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const forged = "Authorization: Bearer forged"

const slow = Layer.succeed(Authenticator.Authenticator, { verify: () => Effect.never, recognize: () => Effect.never })

const kinds = ["silent", "unauthenticated", "refused"] as const

/** How many bytes a silent stranger and one without a hello send, of what they never finish. */
const bytesSent = 14_000

/** A WebSocket frame that never ends. */
const unfinished = Buffer.concat([
  Buffer.from([0x81, 0x80 | 126, 0x3f, 0xff, 0, 0, 0, 0]),
  Buffer.alloc(bytesSent, "x")
])

const answered = (peer: Socket) =>
  Effect.callback<void>((resume) => {
    peer.once("data", () => resume(Effect.void))
  })

/** Strangers come, so many of each kind, and stay. */
const flood = Effect.fnUntraced(function*(port: number, count: number) {
  // Few at a time, since each is silent before it says something.
  const times = Array.from({ length: count })
  yield* Effect.forEach(times, () =>
    Effect.gen(function*() {
      yield* answered(yield* stubborn(port, upgrade("/events", [forged])))
      const peer = yield* stubborn(port, upgrade("/events", []))
      yield* answered(peer)
      peer.write(unfinished)
    }), { concurrency: 8, discard: true })
  const half = `GET /events HTTP/1.1\r\nX: ${"x".repeat(bytesSent)}`
  const silent = yield* Effect.forEach(times, () => stubborn(port, half))
  yield* until("the flood", () => silent.every(({ bytesWritten, connecting }) => !connecting && bytesWritten > 0))
})

/** By how many bytes a gateway with such limits grows in a flood. Another flood came and went before. */
const memoryOfFlood = Effect.fnUntraced(function*(limit: number, count: number) {
  const child = yield* startProcess({
    env: {
      ...Object.fromEntries(kinds.map((kind) => [`GATEWAY_STRANGERS_${kind.toUpperCase()}`, String(limit)])),
      GATEWAY_SILENT_TIMEOUT: "1 hour",
      GATEWAY_HELLO_TIMEOUT: "1 hour",
      GATEWAY_REQUESTS_PER_ADDRESS: "100000"
    }
  })
  const metrics = Effect.promise(() => fetch(`${child.http}/metrics`).then((response) => response.text()))
  const metric = (text: string, name: string, kind: string) =>
    Number(text.split("\n").find((line) => line.startsWith(`emitter_gateway_${name}{kind="${kind}"}`))?.split(" ")[1])
  yield* connect(child, "ada")
  // Code that runs for the first time and what is made once are no part of it.
  yield* Effect.scoped(flood(child.port, count / 4))
  yield* untilEffect(
    "they are gone",
    Effect.map(metrics, (text) => kinds.every((kind) => metric(text, "strangers", kind) < 5))
  )
  const before = yield* child.held
  const cutBefore = yield* metrics
  yield* flood(child.port, count)
  yield* untilEffect(
    "all that are too many are cut",
    Effect.map(metrics, (text) =>
      kinds.every((kind) =>
        metric(text, "strangers", kind) <= limit
        && metric(text, "cut_total", kind) - metric(cutBefore, "cut_total", kind) >= count - limit
      ))
  )
  const text = yield* metrics
  // Each request of this test was silent for a moment, and took a place.
  assert.isAtLeast(metric(text, "strangers", "silent"), Math.min(limit, count) - 5)
  assert.strictEqual(metric(text, "strangers", "unauthenticated"), Math.min(limit, count))
  const grown = (yield* child.held) - before
  const bob = yield* connect(child, "bob")
  assert.strictEqual(bob.welcome.offset, 0)
  return grown
})

describe("Strangers", () => {
  it.live(
    "fault 14: hundreds of sockets that are refused or silent, and whose peers ignore the end, hold nobody up",
    () =>
      Effect.gen(function*() {
        const { alive, port } = yield* startProcess({
          descriptors: 400,
          env: {
            GATEWAY_STRANGERS_SILENT: "200",
            GATEWAY_SILENT_TIMEOUT: "1 hour",
            GATEWAY_HELLO_TIMEOUT: "1 hour",
            GATEWAY_REQUESTS_PER_ADDRESS: "100000"
          }
        })
        const floods = [
          ["a foreign origin (403)", upgrade("/events", ["Origin: https://evil.example"])],
          ["a forged token (401)", upgrade("/events", [forged])],
          ["a path that is not there (404)", upgrade("/nowhere", [])],
          ["another version of WebSocket (426)", upgrade("/events", []).replace("Version: 13", "Version: 8")],
          ["silence", ""],
          ["half a request", "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
        ] as const
        for (const [what, says] of floods) {
          const peers = yield* Effect.forEach(Array.from({ length: 500 }), () => stubborn(port, says))
          yield* until(`${what}: the flood`, () => peers.every(({ connecting }) => !connecting))
          // No time that passes makes room for others here: it is the limits alone.
          yield* untilEffect(`${what}: an answer`, Effect.map(alive, (status) => status === 200))
          const device = yield* connect({ url: `ws://127.0.0.1:${port}/events` }, "ada")
          device.socket.close()
          for (const peer of peers) peer.destroy()
        }
      }),
    300_000
  )

  it.live("fault 14: a refused upgrade is read by its device, and cut soon where that does not hang up", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const refused = yield* Effect.flip(dial(served.url, { origin: "https://evil.example" }))
      assert.deepStrictEqual([refused.status, JSON.parse(refused.body).code], [403, "originRefused"])
      yield* untilEffect("it has gone", Effect.map(served.gateway.stats, ({ strangers }) => strangers.refused === 0))
      assert.strictEqual((yield* served.gateway.stats).cut.refused, 0)

      const socket = yield* stubborn(served.port, upgrade("/events", [forged]))
      let answer = ""
      let cut = false
      socket.on("data", (data) => answer += data.toString())
      socket.on("close", () => cut = true)
      yield* until("the answer", () => answer.startsWith("HTTP/1.1 401"))
      // A write shows that the other side is gone.
      yield* until("the cut", () => {
        socket.write("x")
        return cut
      })
      assert.deepStrictEqual((yield* served.gateway.stats).strangers, { silent: 0, unauthenticated: 0, refused: 0 })
      assert.strictEqual((yield* served.gateway.stats).cut.refused, 1)
    }))

  it.live("fault 14: each kind has a limit, beyond which the oldest is cut", () =>
    Effect.gen(function*() {
      const served = yield* serve({
        strangers: { silent: 5, unauthenticated: 6, refused: 7 },
        silentTimeout: "1 minute",
        helloTimeout: "1 minute"
      })
      const ada = yield* connect(served, "ada")
      const limits = { silent: 5, unauthenticated: 6, refused: 7 }
      for (const says of [upgrade("/events", [forged]), upgrade("/events", []), ""]) {
        // One after the other, since each is silent before it says something.
        for (let n = 0; n < 20; n++) {
          yield* Effect.delay(stubborn(served.port, says), 10)
          const { strangers } = yield* served.gateway.stats
          for (const kind of ["silent", "unauthenticated", "refused"] as const) {
            assert.isAtMost(strangers[kind], limits[kind], kind)
          }
        }
      }
      yield* untilEffect(
        "all that are too many are cut",
        Effect.map(served.gateway.stats, ({ cut, strangers }) =>
          cut.silent >= 15 && cut.unauthenticated >= 14 && cut.refused >= 13 && strangers.silent === 5
          && strangers.unauthenticated === 6)
      )
      assert.strictEqual((yield* served.gateway.stats).connections, 1)
      assert.strictEqual(ada.socket.readyState, ada.socket.OPEN)
      const bob = yield* connect(served, "bob")
      assert.strictEqual(bob.welcome.offset, 0)
    }))

  it("fault 14: of one kind those that have been there for longest are cut, for their number and for their time", () => {
    const cut: Array<string> = []
    const room = new Room<{ readonly name: string }>({ count: 3, ms: 1_000 }, ({ name }) => void cut.push(name))
    const [a, b, c, d, e] = [{ name: "a" }, { name: "b" }, { name: "c" }, { name: "d" }, { name: "e" }] as const
    for (const [n, stranger] of [a, b, c, d].entries()) room.add(stranger, n * 100)
    assert.deepStrictEqual([cut, room.size, room.cutCount], [["a"], 3, 1])
    room.delete(b)
    room.add(e, 400)
    assert.deepStrictEqual(cut, ["a"])
    room.tick(1_199)
    assert.deepStrictEqual(cut, ["a"])
    room.tick(1_300)
    assert.deepStrictEqual([cut, room.size, room.cutCount], [["a", "c", "d"], 1, 3])
  })

  it.live("fault 14: silent sockets count before a server has had its first request", () =>
    Effect.gen(function*() {
      const served = yield* serve({ strangers: { silent: 5 }, silentTimeout: "1 minute" })
      for (let n = 0; n < 20; n++) yield* Effect.delay(stubborn(served.port, ""), 10)
      yield* untilEffect(
        "5 are left",
        Effect.map(served.gateway.stats, ({ cut, strangers }) => strangers.silent === 5 && cut.silent === 15)
      )
    }))

  it.live(
    "P5: strangers who fill every limit hold no more memory than the limits allow, and are counted in /metrics",
    () =>
      Effect.gen(function*() {
        const limit = 20
        const count = 400
        const bounded = yield* Effect.scoped(memoryOfFlood(limit, count))
        const unbounded = yield* Effect.scoped(memoryOfFlood(100_000, count))
        process.stdout.write(`a flood of strangers: ${bounded} bytes with limits, ${unbounded} without\n`)
        // What two kinds of strangers have sent is kept while there is room for them.
        assert.isAbove(unbounded, count * bytesSent)
        // The limits allow a twentieth of it. A process keeps things of its own, which come and go: they have their room here.
        assert.isBelow(bounded, 2 * limit * 2 * bytesSent + unbounded / 4)
      }),
    { tags: ["storm"], timeout: 300_000 }
  )

  it.live("fault 14: a socket on which no request comes is cut in time, and one with a device is not", () =>
    Effect.gen(function*() {
      const served = yield* serve({ silentTimeout: "300 millis", helloTimeout: "2 seconds" })
      const device = yield* connect(served, "ada")
      const silent = yield* stubborn(served.port, "")
      let cut = false
      silent.on("end", () => cut = true)
      silent.resume()
      yield* until("the cut", () => cut)
      assert.deepStrictEqual((yield* served.gateway.stats).cut, { silent: 1, unauthenticated: 0, refused: 0 })
      yield* device.send({ type: "token", token: yield* token("ada") })
      yield* Effect.sleep("50 millis")
      assert.strictEqual(device.socket.readyState, device.socket.OPEN)
    }))

  it.live("cut a connection of HTTP/2 that asks for nothing, and leave one alone that asked", () =>
    Effect.gen(function*() {
      const served = yield* serve({ silentTimeout: "300 millis" }, { server: () => createHttp2Server() })
      const open = Effect.acquireRelease(
        Effect.sync(() => connectHttp2(served.http).on("error", () => {})),
        (session) => Effect.sync(() => session.destroy())
      )
      const authorization = `Bearer ${yield* token("ada")}`
      const [asking, silent] = [yield* open, yield* open]
      let text = ""
      asking.request({ ":path": "/events", accept: "text/event-stream", authorization }).on("data", (bytes) => {
        text += String(bytes)
      })
      yield* until("the cut", () => silent.closed)
      yield* Effect.sleep("500 millis")
      yield* append(served, "ada", 1)
      yield* until("the event", () => text.includes(`{"n":1}`))
      assert.deepStrictEqual((yield* served.gateway.stats).cut, { silent: 1, unauthenticated: 0, refused: 0 })
    }))

  it.live("fault 14: requests that their authenticator is slow with are bounded as well", () =>
    Effect.gen(function*() {
      const served = yield* serve({ strangers: { unauthenticated: 3 } }, { authenticator: slow })
      yield* Effect.forEach(
        Array.from({ length: 10 }),
        () => stubborn(served.port, "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer any\r\n\r\n"),
        { discard: true }
      )
      yield* untilEffect(
        "3 are left",
        Effect.map(served.gateway.stats, ({ cut, strangers }) =>
          strangers.unauthenticated === 3 && cut.unauthenticated === 7)
      )
    }))
})
