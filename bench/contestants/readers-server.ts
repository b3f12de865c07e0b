/**
 * Sends each event of a user to all of the user's connections, by hand: started with `ws` by `ws.send`, with `sse` by
 * writing server-sent events. It makes the text once for all of them, keeps nothing, checks nobody, and waits for nobody.
 */
import { createServer } from "node:http"
import { WebSocketServer } from "ws"
import { on, serve } from "../harness/process.ts"
import { wireEvents } from "../harness/wire.ts"
import * as calls from "./calls.ts"
import { listenOnLoopback, onCpu, onSpreadProbes, settledMemory } from "./shared.ts"

type Send = (text: string) => void

const isSse = process.argv[2] === "sse"
const readers = new Map<string, Set<Send>>()
const makers = new Map<string, ReturnType<typeof wireEvents>>()
let connections = 0

/** Adds a connection of the user whom the address names; the result takes it away. */
const add = (url: string | undefined, send: Send) => {
  const user = new URL(url ?? "/", "ws://localhost").searchParams.get("user") ?? ""
  const ofUser = readers.get(user) ?? new Set()
  readers.set(user, ofUser.add(send))
  connections++
  return () => {
    ofUser.delete(send)
    connections--
  }
}

const http = createServer((request, response) => {
  response.socket?.setNoDelay(true)
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" })
  response.write("event: frame:welcome\ndata: {}\n\n")
  response.on("close", add(request.url, (text) => void response.write(text)))
})

if (!isSse) {
  const server = new WebSocketServer({ server: http, perMessageDeflate: false })
  server.on("connection", (socket, request) => {
    socket.on("error", () => socket.terminate())
    socket.on("close", add(request.url, (text) => socket.send(text)))
  })
}

serve(
  onCpu,
  on(calls.listen, async ({ users }) => ({
    url: `ws://127.0.0.1:${await listenOnLoopback(http)}/`,
    tickets: users.map(() => "")
  })),
  onSpreadProbes((user, probe) => {
    const make = makers.get(user) ?? wireEvents(user, "bench_probe", "bench-probe-")
    makers.set(user, make)
    const event = make(probe)
    const text = isSse
      ? `id: bench-epoch:${event.offset}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
      : JSON.stringify({ type: "events", epoch: "bench-epoch", events: [event] })
    for (const send of readers.get(user) ?? []) send(text)
  }),
  on(calls.memory, async () => ({ ...await settledMemory(), connections }))
)
