/**
 * Socket.IO over Redis: one of several processes that share users through `@socket.io/redis-streams-adapter`. Each user
 * is a room, one `emit` per event.
 *
 * The settings were chosen in its favour from its source: WebSocket alone, plain JSON (`onlyPlaintext`), reads of 1,000
 * entries instead of 100, RESP 2, no timer for each command, no recovery of missed events. The stream keeps 100,000
 * entries instead of 10,000, so that a reader that is behind loses none.
 */
import { createAdapter } from "@socket.io/redis-streams-adapter"
import { createServer } from "node:http"
import { createClient } from "redis"
import { Server } from "socket.io"
import { seconds } from "../harness/clock.ts"
import { on, serve } from "../harness/process.ts"
import { numbered, wireEvents } from "../harness/wire.ts"
import { payloadOf } from "../harness/workload.ts"
import * as calls from "./calls.ts"
import { atRates, listenOnLoopback, onCpu } from "./shared.ts"

const [url = ""] = process.argv.slice(2)
const eventsPerTurn = 256

const redis = createClient({ url, RESP: 2, commandOptions: { timeout: 0 } })
// Whether all events arrive is checked by the receiver.
redis.on("error", () => undefined)
await redis.connect()
const http = createServer()
const server = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  adapter: createAdapter(redis, { maxLen: 100_000, readCount: 1_000, onlyPlaintext: true })
})

server.on("connection", (socket) => void socket.join(String(socket.handshake.auth["user"])))

const event = "event"
let all: ReadonlyArray<string> = []

serve(
  onCpu,
  on(calls.listen, async ({ users }) => {
    all = users
    return { url: `ws://127.0.0.1:${await listenOnLoopback(http)}/`, tickets: users.map(() => "") }
  }),
  on(calls.spread, async ({ count, from, users }) => {
    const makers = users.map((user) => ({ room: user, make: numbered(user, "agent_thinking") }))
    const startedAt = seconds()
    for (let sent = 0; sent < count; sent++) {
      const maker = makers[sent % makers.length]
      if (maker !== undefined) server.to(maker.room).emit(event, maker.make(from + sent))
      // No more on its way to Redis than a turn's events: without it they pile up, and it takes longer.
      if (sent % eventsPerTurn === eventsPerTurn - 1) await redis.ping()
    }
    return { startedAt }
  }),
  on(calls.pace, async (rates) => {
    const makers = all.map((user) => ({ room: user, make: numbered(user, "bench_noted") }))
    const [room = ""] = all
    const probe = wireEvents(room, "bench_probe", "bench-probe-")
    let step = 0
    return atRates(
      rates,
      (count) => {
        for (let index = 0; index < count; index++) {
          const maker = makers[step % makers.length]
          if (maker !== undefined) server.to(maker.room).emit(event, maker.make(step++))
        }
      },
      (sequence) => {
        server.to(room).emit(event, probe({ ...payloadOf(sequence), sentAt: seconds() }))
      }
    )
  })
)
