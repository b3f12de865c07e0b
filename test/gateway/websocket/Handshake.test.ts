import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Frame } from "effect-emitter/protocol"
import { connect as connectTcp, type Socket } from "node:net"
import { WebSocket } from "ws"
import { until, untilEffect } from "../../client/devices.ts"
import { serve, type Served, token } from "../server.ts"

const request = (headers: Record<string, string>) =>
  [
    "GET /events HTTP/1.1",
    "Host: 127.0.0.1",
    ...Object.entries({
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Protocol": Frame.subprotocol,
      ...headers
    }).map(([name, value]) => `${name}: ${value}`),
    "",
    ""
  ].join("\r\n")

/** A text frame as a client sends it, masked with zeros, which leave it as it is. */
const frame = (text: string): Buffer => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(text.length)
  return Buffer.concat([Buffer.from([0x81, 0x80 | 126]), length, Buffer.alloc(4), Buffer.from(text)])
}

interface Device {
  readonly socket: Socket
  text: string
  ended: boolean
}

/** A device by hand: what it has received so far, and whether the server has hung up. */
const byHand = (served: Served, ...says: ReadonlyArray<string | Buffer>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = connectTcp({ port: served.port, host: "127.0.0.1", allowHalfOpen: true })
      const device: Device = { socket, text: "", ended: false }
      socket.on("error", () => {})
      socket.on("data", (data) => device.text += data.toString("latin1"))
      socket.on("end", () => device.ended = true)
      socket.write(Buffer.concat(says.map((part) => Buffer.from(part))))
      return device
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

describe("The handshake", () => {
  it.live("fault 46: for another version of WebSocket is refused, and says which is spoken", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      for (const version of ["8", "12", "13, 8"]) {
        const device = yield* byHand(served, request({ "Sec-WebSocket-Version": version }))
        yield* until("the answer", () => device.ended)
        assert.match(device.text, /^HTTP\/1.1 426 [^]*sec-websocket-version: 13/iu)
        assert.include(device.text, `"code":"upgradeRequired"`)
      }
    }))

  it.live("fault 46: without the subprotocol is refused with 400", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      for (const protocols of [[], ["emitter.v2.json"], ["graphql-ws", "mqtt"]]) {
        const status = yield* Effect.callback<number>((resume) => {
          const socket = new WebSocket(served.url, protocols)
          socket.on("error", () => {})
          socket.on("open", () => resume(Effect.succeed(101)))
          socket.on("unexpected-response", (_, response) => resume(Effect.succeed(response.statusCode ?? 0)))
        })
        assert.strictEqual(status, 400)
      }
      const device = yield* byHand(served, request({ "Sec-WebSocket-Protocol": `mqtt , ${Frame.subprotocol}` }))
      yield* until("the answer", () => device.text.includes("\r\n\r\n"))
      assert.match(device.text, /^HTTP\/1.1 101 [^]*Sec-WebSocket-Protocol: emitter\.v1\.json\r\n/u)
    }))

  it.live("fault 46: a hello in the packet of the handshake is answered, also of a server's first request", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const hello = frame(JSON.stringify({ type: "hello", token: yield* token("ada") }))
      const device = yield* byHand(served, request({}), hello)
      yield* until("the welcome", () => device.text.includes(`"type":"welcome"`))
    }))

  it.live("fault 46: a device that half closes its connection is let go, over WebSocket and SSE", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const bearer = `Bearer ${yield* token("ada")}`
      const device = yield* byHand(served, request({ Authorization: bearer }))
      yield* until("the answer", () => device.text.includes("\r\n\r\n"))
      device.socket.write(frame(JSON.stringify({ type: "hello" })))
      const stream = yield* byHand(
        served,
        `GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: ${bearer}\r\n\r\n`
      )
      yield* until("the welcomes", () => device.text.includes("welcome") && stream.text.includes("welcome"))
      assert.strictEqual((yield* served.gateway.stats).connections, 2)
      device.socket.end()
      stream.socket.end()
      yield* until("the end of both", () => device.ended && stream.ended)
      yield* untilEffect(
        "both are let go",
        Effect.map(served.gateway.stats, ({ connections, sessions }) => connections + sessions === 0)
      )
    }))
})
