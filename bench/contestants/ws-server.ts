/**
 * Raw `ws`: what a program would do by hand. Started with `plain` it makes one `ws.send` per event; with `corked` it
 * puts `perFrame` events into a frame and hands the socket many frames at once.
 */
import { once } from "node:events"
import { createServer } from "node:http"
import type { Socket } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import { seconds } from "../harness/clock.ts"
import { on, serve } from "../harness/process.ts"
import { numbered, type WireEvent, wireEvents } from "../harness/wire.ts"
import { payloadOf } from "../harness/workload.ts"
import * as calls from "./calls.ts"
import { atRates, inTurns, listenOnLoopback, onCpu, settledMemory } from "./shared.ts"
import { onTurns } from "./turns.ts"

interface Connection {
  readonly webSocket: WebSocket
  readonly socket: Socket
}

const corked = process.argv[2] === "corked"
const epoch = "bench-epoch"
const highWater = 1024 * 1024
const framesPerCork = 16

const connections = new Map<string, Connection>()
const kept = new Map<string, ReadonlyArray<string>>()

const frameOf = (events: ReadonlyArray<WireEvent>) => JSON.stringify({ type: "events", epoch, events })

const connectionOf = (user: string): Connection => {
  const connection = connections.get(user)
  if (connection === undefined) throw new Error(`${user} is not connected`)
  return connection
}

/** Waits, if much is on its way already, until it is gone. */
const room = async (socket: Socket) => {
  if (socket.writableLength > highWater && socket.writableNeedDrain) await once(socket, "drain")
}

const sendPlain = async (user: string, from: number, count: number) => {
  const { socket, webSocket } = connectionOf(user)
  const event = numbered(user, "agent_thinking")
  for (let step = from; step < from + count; step++) {
    webSocket.send(frameOf([event(step)]))
    if ((step & 63) === 0) await room(socket)
  }
}

const sendCorked = async (user: string, from: number, count: number, perFrame: number) => {
  const { socket, webSocket } = connectionOf(user)
  const event = numbered(user, "bench_noted")
  for (let step = from; step < from + count;) {
    socket.cork()
    for (let frame = 0; frame < framesPerCork && step < from + count; frame++) {
      const events: Array<WireEvent> = []
      while (events.length < perFrame && step < from + count) events.push(event(step++))
      webSocket.send(frameOf(events))
    }
    socket.uncork()
    await room(socket)
  }
}

/** Sends kept events past `offset`, in frames of 64 KiB. */
const sendKept = async ({ socket, webSocket }: Connection, events: ReadonlyArray<string>, offset: number) => {
  let frame: Array<string> = []
  let size = 0
  const flush = () => {
    if (frame.length > 0) webSocket.send(`{"type":"events","epoch":"${epoch}","events":[${frame.join(",")}]}`)
    frame = []
    size = 0
  }
  for (let at = offset; at < events.length; at++) {
    const text = events[at] ?? ""
    frame.push(text)
    size += text.length
    if (size < 64 * 1024) continue
    flush()
    await room(socket)
  }
  flush()
}

const http = createServer()
const server = new WebSocketServer({ server: http, perMessageDeflate: false })

server.on("connection", (webSocket, request) => {
  const query = new URL(request.url ?? "/", "ws://localhost").searchParams
  const user = query.get("user") ?? ""
  const connection = { webSocket, socket: request.socket }
  connections.set(user, connection)
  webSocket.on("error", () => webSocket.terminate())
  webSocket.on("close", () => {
    if (connections.get(user) === connection) connections.delete(user)
  })
  webSocket.on("message", () => undefined)
  const after = query.get("after")
  if (after !== null) void sendKept(connection, kept.get(user) ?? [], Number(after))
})

serve(
  onCpu,
  onTurns,
  on(calls.listen, async ({ users }) => ({
    url: `ws://127.0.0.1:${await listenOnLoopback(http)}/`,
    tickets: users.map(() => "")
  })),
  on(calls.send, async ({ count, from, perFrame, user }) => {
    const startedAt = seconds()
    await (corked ? sendCorked(user, from, count, perFrame) : sendPlain(user, from, count))
    return { startedAt }
  }),
  on(calls.pace, async (rates) => {
    const receivers = Array.from(connections, ([user, { webSocket }]) => ({
      webSocket,
      background: numbered(user, "bench_noted"),
      probe: wireEvents(user, "bench_probe", "bench-probe-")
    }))
    const [first] = receivers
    if (first === undefined) throw new Error("nobody is connected")
    let step = 0
    return atRates(
      rates,
      (count) => {
        for (let index = 0; index < count; index++) {
          const receiver = receivers[step % receivers.length] ?? first
          receiver.webSocket.send(frameOf([receiver.background(step++)]))
        }
      },
      (sequence) => first.webSocket.send(frameOf([first.probe({ ...payloadOf(sequence), sentAt: seconds() })]))
    )
  }),
  on(calls.window, async ({ inTurn }) => {
    const receivers = Array.from(connections, ([user, { webSocket }]) => ({
      webSocket,
      event: numbered(user, "bench_noted")
    }))
    await inTurns(receivers, inTurn, (some) => {
      for (const { event, webSocket } of some) webSocket.send(frameOf([event(0)]))
    })
    return { background: receivers.length }
  }),
  on(calls.memory, async () => ({ ...await settledMemory(), connections: server.clients.size })),
  on(calls.keep, async ({ count, user }) => {
    const event = numbered(user, "bench_noted")
    kept.set(user, Array.from({ length: count }, (_, step) => JSON.stringify(event(step))))
    return { epoch, head: count }
  })
)
