/**
 * Socket.IO, over WebSocket alone and without its slower polling transport: one `emit` per event.
 *
 * Started with `recovery` it remembers what those missed who come back, as connection state recovery does by default.
 */
import { createServer } from "node:http"
import { Server, type Socket } from "socket.io"
import { seconds } from "../harness/clock.ts"
import { on, serve } from "../harness/process.ts"
import { numbered, wireEvents } from "../harness/wire.ts"
import * as calls from "./calls.ts"
import { listenOnLoopback, onCpu, onSpreadProbes, settledMemory } from "./shared.ts"

const http = createServer()
const isRecovering = process.argv[2] === "recovery"
const server = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  ...(isRecovering ? { connectionStateRecovery: {} } : {})
})
const sockets = new Map<string, Socket>()
const makers = new Map<string, ReturnType<typeof wireEvents>>()

server.on("connection", (socket) => {
  const user = String(socket.handshake.auth["user"] ?? socket.handshake.query["user"])
  sockets.set(user, socket)
  // What is sent to a room is kept for those of it who are away.
  if (isRecovering && !socket.recovered) void socket.join(user)
  socket.on("disconnect", () => {
    if (sockets.get(user) === socket) sockets.delete(user)
  })
})

const eventsPerTurn = 256

serve(
  onCpu,
  on(calls.listen, async ({ users }) => ({
    url: `ws://127.0.0.1:${await listenOnLoopback(http)}/`,
    tickets: users.map(() => "")
  })),
  on(calls.send, async ({ count, from, user }) => {
    const socket = sockets.get(user)
    if (socket === undefined) throw new Error(`${user} is not connected`)
    const event = numbered(user, "agent_thinking")
    const startedAt = seconds()
    for (let step = from; step < from + count; step++) {
      socket.emit("event", event(step))
      // Lets the transport write what has gathered: without it all events pile up first, and it takes longer.
      if ((step - from) % eventsPerTurn === eventsPerTurn - 1) await new Promise(setImmediate)
    }
    return { startedAt }
  }),
  onSpreadProbes((user, probe) => {
    const make = makers.get(user) ?? wireEvents(user, "bench_probe", "bench-probe-")
    makers.set(user, make)
    server.to(user).emit("event", make(probe))
  }),
  on(calls.memory, async () => ({ ...await settledMemory(), connections: sockets.size }))
)
