/** Compression as devices meet it: real sockets, and the peers that people use. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker } from "effect-emitter"
import type { GatewayConfig } from "effect-emitter/gateway"
import { Frame } from "effect-emitter/protocol"
import { EventSource } from "eventsource"
import { randomBytes } from "node:crypto"
import { type IncomingMessage, request } from "node:http"
import type { Socket } from "node:net"
import { constants, createGunzip, deflateRawSync, gunzipSync } from "node:zlib"
import { WebSocket } from "ws"
import { devices, live, until, untilEffect, upTo } from "../../client/devices.ts"
import { append, connect, envelope, serve, type Served, token, user } from "../server.ts"

const kibi = 1024
const enabled: GatewayConfig.Options = { compression: { enabled: true } }
const withContext: GatewayConfig.Options = { compression: { enabled: true, contextTakeover: true } }
const ways = { "each frame by itself": enabled, "with context takeover": withContext }
const patient = { bytes: 1024 * kibi * kibi, after: "1 hour" } as const

/** Appends texts, and with each the number that comes next. */
const say = (served: Pick<Served, "broker">, from: number, ...texts: ReadonlyArray<string>) =>
  Effect.forEach(texts, (text, at) => served.broker.append(user("ada"), [envelope({ n: from + at, text })]), {
    discard: true
  })

/** What the answer to a handshake says of extensions. */
const handshake = (served: Served, offer: string | undefined) =>
  Effect.callback<{ readonly status: number | undefined; readonly answer: string | undefined }>((resume) => {
    const asked = request(`${served.http}/events`, {
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": Frame.subprotocol,
        ...(offer === undefined ? {} : { "sec-websocket-extensions": offer })
      }
    })
    const take = (answered: IncomingMessage) => {
      asked.destroy()
      resume(Effect.succeed({
        status: answered.statusCode,
        answer: answered.headers["sec-websocket-extensions"]
      }))
    }
    asked.on("error", () => {}).on("upgrade", take).on("response", take).end()
    return Effect.sync(() => asked.destroy())
  })

/** A frame of a client, masked with zeros, which leave it as it is. */
const frame = (first: number, payload: Buffer): Buffer => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(payload.length)
  return Buffer.concat([Buffer.from([first, 0x80 | 126]), length, Buffer.alloc(4), payload])
}

const compressed = (text: string) =>
  frame(0xc1, deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4))

/** A device by hand, and the code with which the server closed it. */
const byHand = (served: Served, offer: string, ...says: ReadonlyArray<Buffer>) =>
  Effect.callback<number>((resume) => {
    const asked = request(`${served.http}/events`, {
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": Frame.subprotocol,
        "sec-websocket-extensions": offer
      }
    })
    let socket: Socket | undefined
    let read = Buffer.alloc(0)
    asked.on("error", () => {}).end()
    asked.on("upgrade", (_, tcp: Socket) => {
      socket = tcp
      tcp.on("error", () => {})
      tcp.on("data", (more: Buffer) => {
        read = Buffer.concat([read, more])
        // A close is a frame of its own, with a code and a name.
        const at = read.lastIndexOf(0x88)
        if (at !== -1 && read.length >= at + 4) resume(Effect.succeed(read.readUInt16BE(at + 2)))
      })
      for (const said of says) tcp.write(said)
    })
    return Effect.sync(() => {
      asked.destroy()
      socket?.destroy()
    })
  })

const stream = (served: Served, headers: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.gen(function*() {
      const authorization = `Bearer ${yield* token("ada")}`
      return yield* Effect.callback<IncomingMessage>((resume) => {
        const asked = request(`${served.http}/events`, {
          headers: { accept: "text/event-stream", authorization, ...headers }
        })
        asked.on("error", () => {}).on("response", (answered) => resume(Effect.succeed(answered))).end()
      })
    }),
    (answered) => Effect.sync(() => answered.destroy())
  )

describe("permessage-deflate at a gateway", () => {
  it.live("is answered as was agreed, not where it is off, and refuses no device for what it cannot have", () =>
    Effect.gen(function*() {
      const [off, on, taking] = [yield* serve(), yield* serve(enabled), yield* serve(withContext)]
      const deflate = "permessage-deflate"
      const client = "client_no_context_takeover"
      const offer = `${deflate}; client_max_window_bits`
      assert.deepStrictEqual(yield* handshake(off, offer), { status: 101, answer: undefined })
      for (
        const [served, offered, answer] of [
          [on, undefined, undefined],
          [on, offer, `${deflate}; server_no_context_takeover; ${client}`],
          [taking, offer, `${deflate}; ${client}`],
          [
            taking,
            `${deflate}; server_max_window_bits=8, ${deflate}; server_max_window_bits=10; client_max_window_bits=9`,
            `${deflate}; ${client}; server_max_window_bits=10`
          ],
          [taking, `${deflate}; server_max_window_bits=8`, undefined],
          [taking, `${deflate}; server_max_window_bits=16, mux`, undefined],
          [taking, `${deflate}; unheard_of`, undefined]
        ] as const
      ) assert.deepStrictEqual(yield* handshake(served, offered), { status: 101, answer }, offered)
      assert.strictEqual((yield* handshake(on, `${deflate}; =`)).status, 400)
    }))

  for (const [how, options] of Object.entries(ways)) {
    it.live(`${how}: the ws package, Node's own WebSocket and the package's client read every frame, in order`, () =>
      Effect.gen(function*() {
        const served = yield* serve(options)
        const ours = yield* connect(served, "ada")
        assert.strictEqual(ours.socket.extensions, "permessage-deflate")
        const ada = yield* token("ada")
        const client = yield* devices.connect({ url: served.url, token: () => ada })
        yield* live(client)

        // This one compresses nothing that it sends.
        const seen: Array<string> = []
        const native = yield* Effect.acquireRelease(
          Effect.sync(() => new globalThis.WebSocket(served.url, Frame.subprotocol)),
          (socket) => Effect.sync(() => socket.close())
        )
        native.addEventListener("message", ({ data }) => seen.push(String(data)))
        native.addEventListener("open", () => native.send(JSON.stringify({ type: "hello", token: ada })))
        yield* until("the welcome", () => seen.some((text) => text.includes(`"welcome"`)))
        assert.include(native.extensions, "permessage-deflate")

        const texts = upTo(60).map((n) => "so ".repeat(n % 7 === 0 ? 20_000 : n))
        yield* say(served, 1, ...texts)
        yield* ours.received(texts.length)
        yield* until("all at the client", () => client.offsets.length === texts.length)
        const numbers = () =>
          seen.flatMap((text) => {
            const read = Frame.decodeServer(text)
            return read._tag === "Success" && read.success.type === "events"
              ? read.success.events.map(({ data }) => data["n"])
              : []
          })
        yield* until("all at the other", () => numbers().length === texts.length)
        assert.deepStrictEqual(ours.numbers(), upTo(texts.length))
        assert.deepStrictEqual(numbers(), upTo(texts.length))
        assert.deepStrictEqual(client.offsets, upTo(texts.length))
        const { compression } = yield* served.gateway.stats
        assert.isAbove(compression.frames, 0)
        assert.isBelow(compression.after, compression.before / 10)
      }))
  }

  it.live("a device that does not offer it gets plain frames, beside others", () =>
    Effect.gen(function*() {
      const served = yield* serve(withContext)
      const seen: Array<string> = []
      const ada = yield* token("ada")
      const plain = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const socket = new WebSocket(served.url, Frame.subprotocol, { perMessageDeflate: false })
          socket.on("message", (data) => seen.push(String(data)))
          socket.on("open", () => socket.send(JSON.stringify({ type: "hello", token: ada })))
          return socket
        }),
        (socket) => Effect.sync(() => socket.terminate())
      )
      const other = yield* connect(served, "ada")
      yield* until("the welcome", () => seen.some((text) => text.includes("\"welcome\"")))
      assert.strictEqual(plain.extensions, "")
      yield* say(served, 1, "so ".repeat(30_000))
      yield* other.received(1)
      yield* until("the event", () => seen.some((text) => text.includes("so so so")))
    }))

  it.live("a device may compress what it sends, up to the limit of a frame; without an agreement it may not", () =>
    Effect.gen(function*() {
      const [off, on] = [yield* serve(), yield* serve(enabled)]
      const hello = JSON.stringify({ type: "hello", token: yield* token("ada") })
      const bomb = JSON.stringify({ type: "hello", token: "x".repeat(300 * kibi) })
      const offer = "permessage-deflate"
      assert.isBelow(compressed(bomb).length, kibi)
      // A frame that is no frame of the protocol is told by its own code: what was compressed has been read.
      assert.strictEqual(yield* byHand(on, offer, compressed(hello), compressed("{")), 4400)
      assert.strictEqual(yield* byHand(on, offer, compressed(bomb)), 4413)
      assert.strictEqual(yield* byHand(on, offer, frame(0xc1, Buffer.from("no deflate data"))), 1007)
      assert.strictEqual(yield* byHand(off, offer, compressed(hello)), 1002)
      assert.strictEqual(yield* byHand(on, "mux", compressed(hello)), 1002)
      yield* untilEffect("all are gone", Effect.map(on.gateway.stats, ({ sessions }) => sessions === 0))
    }))

  it.live("keeps nothing to read compressed messages with, between them", () =>
    Effect.gen(function*() {
      const served = yield* serve(enabled)
      const device = yield* connect(served, "ada")
      const { socket } = device
      for (const n of upTo(20)) {
        socket.send(JSON.stringify({ type: "pong", padding: "x".repeat(2 * kibi) }), { compress: true })
        yield* append(served, "ada", n)
        yield* device.received(n)
      }
      assert.strictEqual((yield* served.gateway.stats).compression.memory, 0)
    }))
})

describe("A device that does not read, with compression,", () => {
  it.live("does not grow the server, and gets everything once it reads again", () =>
    Effect.gen(function*() {
      const broker = Layer.orDie(Broker.layerMemory({ maxBytes: 64 * kibi * kibi }))
      const served = yield* serve({
        ...withContext,
        // The one that reads shares this process, and may be busy for longer than a heartbeat.
        heartbeat: "10 minutes",
        maxFrameBytesOut: 64 * kibi,
        slow: { volatile: patient, batched: patient, close: patient }
      }, { broker })
      const other = yield* connect(served, "ada")
      const stuck = yield* connect(served, "ada")
      stuck.socket.pause()
      // 16 MiB of what takes three quarters of it, compressed: more than the kernel's buffers hold back.
      const count = 250
      let largest = 0
      for (let n = 1; n <= count; n++) {
        yield* say(served, n, randomBytes(48 * kibi).toString("base64"))
        yield* Effect.sleep(0)
        largest = Math.max(largest, (yield* served.gateway.stats).backlog)
      }
      yield* other.received(count)
      const stats = yield* served.gateway.stats
      assert.strictEqual(stats.behind, 1)
      assert.isAbove(stats.backlog, 0)
      // Both devices together: a frame that is compressed, one that was, and what a socket holds before it says that it is full.
      assert.isAtMost(largest, 2 * (65 + 65 + 64) * kibi)
      stuck.socket.resume()
      yield* stuck.received(count)
      assert.deepStrictEqual(stuck.numbers(), upTo(count))
      assert.strictEqual((yield* served.gateway.stats).behind, 0)
    }))

  it.live("is closed where too much waits for it, and what waits is free once it has gone", () =>
    Effect.gen(function*() {
      const served = yield* serve({
        ...enabled,
        maxFrameBytesOut: 64 * kibi,
        slow: { volatile: patient, batched: patient, close: patient },
        backlog: { perConnection: 300 * kibi, perNode: 4 * kibi * kibi }
      })
      const stuck = yield* Effect.forEach(upTo(4), () => connect(served, "ada"))
      // One event that is larger than a device may have waiting counts before it is compressed, however small it becomes.
      yield* say(served, 1, "x".repeat(400 * kibi))
      yield* untilEffect(
        "all are closed",
        Effect.map(served.gateway.stats, ({ overfull }) => overfull === stuck.length)
      )
      for (const { closed } of stuck) assert.strictEqual((yield* closed).code, 4502)
      yield* untilEffect(
        "all is free",
        Effect.map(
          served.gateway.stats,
          ({ backlog, compression, connections }) => backlog + connections + compression.memory === 0
        )
      )
    }))
})

describe("The end of a connection, with compression,", () => {
  for (const [how, options] of Object.entries(ways)) {
    it.live(`${how}: comes after what was being compressed, in a goodbye and a close code`, () =>
      Effect.gen(function*() {
        const served = yield* serve(options)
        const device = yield* connect(served, "ada")
        const gunzip = createGunzip({ flush: constants.Z_SYNC_FLUSH })
        let text = ""
        let ended = false
        const streamed = yield* stream(served, { "accept-encoding": "gzip" })
        streamed.pipe(gunzip).setEncoding("utf8").on("data", (more: string) => text += more).on(
          "end",
          () => ended = true
        )
        yield* until("the welcome of the stream", () => text.includes("welcome"))
        // In one turn: the last large event, and the end.
        yield* Effect.andThen(say(served, 1, "so ".repeat(60_000)), Effect.forkChild(served.gateway.drain))
        const { code } = yield* device.closed
        assert.strictEqual(code, 4500)
        assert.deepStrictEqual(device.numbers(), [1])
        assert.strictEqual(device.frames.at(-1)?.type, "goodbye")
        yield* until("the end of the stream", () => ended)
        assert.match(text, /"n":1,[^]*frame:goodbye/u)
      }))
  }
})

describe("Server-sent events in gzip", () => {
  for (const [how, options] of Object.entries(ways)) {
    it.live(`${how}: come as they are emitted, to whoever takes them, and are the same as without`, () =>
      Effect.gen(function*() {
        const served = yield* serve({ origins: ["https://app.example.com"], ...options })
        const origin = "https://app.example.com"
        const [zipped, plain] = [
          yield* stream(served, { "accept-encoding": "br, gzip", origin }),
          yield* stream(served, { "accept-encoding": "identity" })
        ]
        assert.strictEqual(zipped.headers["content-encoding"], "gzip")
        assert.strictEqual(zipped.headers["vary"], "Origin, Accept-Encoding")
        assert.strictEqual(plain.headers["content-encoding"], undefined)
        assert.strictEqual(plain.headers["vary"], "Accept-Encoding")
        const read = [Buffer.alloc(0), Buffer.alloc(0)]
        for (const [at, answered] of [zipped, plain].entries()) {
          answered.on("data", (more: Buffer) => read[at] = Buffer.concat([read[at] ?? more, more]))
        }
        const texts = () => [
          gunzipSync(read[0] ?? "", { finishFlush: constants.Z_SYNC_FLUSH }).toString(),
          String(read[1])
        ]
        yield* until("both welcomes", () => texts().every((text) => text.includes("welcome")))
        const events = (text: string) => text.slice(text.indexOf("event: custom"))
        for (const n of upTo(12)) {
          // The next comes once this one is here, so that nothing can push it out of a buffer.
          yield* say(served, n, "so ".repeat(n % 4 === 0 ? 20_000 : n))
          yield* until(`event ${n}`, () => texts().every((text) => text.includes(`"n":${n},`)))
        }
        const [one = "", other = ""] = texts()
        assert.strictEqual(events(one), events(other))
        assert.isBelow(read[0]?.length ?? Infinity, (read[1]?.length ?? 0) / 10)
      }))
  }

  it.live("are read by fetch and by EventSource, and a HEAD says that they vary", () =>
    Effect.gen(function*() {
      const served = yield* serve(withContext)
      const headers = { authorization: `Bearer ${yield* token("ada")}` }
      let encoding: string | null = null
      const seen: Array<string> = []
      const source = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new EventSource(`${served.http}/events`, {
            fetch: async (input, init) => {
              const answer = await fetch(input, { ...init, headers: { ...init.headers, ...headers } })
              encoding = answer.headers.get("content-encoding")
              return answer
            }
          })
        ),
        (opened) => Effect.sync(() => opened.close())
      )
      source.addEventListener("custom", ({ lastEventId }) => seen.push(lastEventId))
      yield* until("it is open", () => source.readyState === source.OPEN)
      yield* append(served, "ada", ...upTo(5))
      yield* until("all events", () => seen.length === 5)
      assert.strictEqual(encoding, "gzip")
      const head = yield* Effect.promise(() =>
        fetch(`${served.http}/events`, { method: "HEAD", headers: { accept: "text/event-stream", ...headers } })
      )
      assert.deepStrictEqual([head.status, head.headers.get("vary")], [200, "Accept-Encoding"])
    }))

  it.live("are cut off a device that does not read, and let go of", () =>
    Effect.gen(function*() {
      const served = yield* serve({
        ...enabled,
        slow: { volatile: patient, batched: patient, close: patient },
        backlog: { perConnection: 300 * kibi, perNode: 600 * kibi }
      })
      const stuck = yield* stream(served, { "accept-encoding": "gzip" })
      stuck.pause()
      yield* say(served, 1, "x".repeat(400 * kibi))
      yield* untilEffect("it is closed", Effect.map(served.gateway.stats, ({ overfull }) => overfull === 1))
      stuck.resume()
      yield* untilEffect(
        "all is free",
        Effect.map(
          served.gateway.stats,
          ({ backlog, compression, connections, sessions }) =>
            backlog + connections + sessions + compression.memory === 0
        )
      )
    }))
})
