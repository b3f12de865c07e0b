/**
 * The ways in which a receiver speaks with a server. All but Socket.IO's own client and this package's own client stand
 * on the same `ws` package, so that the difference lies in the servers.
 */
import { once } from "node:events"
import { get, type IncomingMessage } from "node:http"
import { io } from "socket.io-client"
import { WebSocket } from "ws"
import { type AnyEvent, connect } from "../../src/client/index.ts"
import { Frame } from "../../src/protocol/index.ts"
import type { Payload } from "../harness/workload.ts"
import type { Dialect } from "./calls.ts"

/**
 * An event as it was read. `sentAt` is on probes only.
 */
export interface Received {
  readonly offset: number
  readonly type: string
  readonly data: Payload & { readonly sentAt?: number }
}

export type Receive = (events: ReadonlyArray<Received>) => void

export interface Address {
  readonly url: string
  readonly user: string
  readonly ticket: string
  readonly resume: { readonly epoch: string; readonly offset: number } | undefined
}

export interface Connection {
  readonly close: () => Promise<void>
}

/**
 * Opens a connection, and is done when it is ready to receive.
 */
export type Open = (address: Address, receive: Receive) => Promise<Connection>

type ServerFrame =
  | { readonly type: "events"; readonly events: ReadonlyArray<Received> }
  | { readonly type: "welcome" | "snapshot" | "status" | "ping" }
  | { readonly type: "gap" | "goodbye" | "error" }

const readFrame = (message: WebSocket.RawData): ServerFrame => JSON.parse(message.toString())

const closing = (socket: WebSocket): Connection => ({
  close: async () => {
    const closed = once(socket, "close")
    socket.close()
    await closed
  }
})

const options = { perMessageDeflate: false }

const ws: Open = async ({ resume, url, user }, receive) => {
  const after = resume === undefined ? "" : `&after=${resume.offset}`
  const socket = new WebSocket(`${url}?user=${user}${after}`, options)
  socket.on("message", (message) => {
    const frame = readFrame(message)
    if (frame.type === "events") receive(frame.events)
  })
  await once(socket, "open")
  return closing(socket)
}

const ackEveryMs = 500

const emitter: Open = async ({ resume, ticket, url }, receive) => {
  const socket = new WebSocket(url, Frame.subprotocol, options)
  const welcomed = Promise.withResolvers<void>()
  let last = 0
  let acknowledging = false

  const acknowledge = () => {
    acknowledging = false
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", offset: last }))
  }

  socket.on("error", welcomed.reject)
  socket.on("close", (code, reason) => welcomed.reject(new Error(`closed with ${code} ${reason.toString()}`)))
  socket.on("open", () => socket.send(Frame.encode({ type: "hello", token: ticket, ...(resume ? { resume } : {}) })))
  socket.on("message", (message) => {
    const frame = readFrame(message)
    switch (frame.type) {
      case "events": {
        last = frame.events.at(-1)?.offset ?? last
        if (!acknowledging) {
          acknowledging = true
          setTimeout(acknowledge, ackEveryMs)
        }
        return receive(frame.events)
      }
      case "welcome":
        return welcomed.resolve()
      case "snapshot":
      case "status":
        return
      case "ping":
        return socket.send(JSON.stringify({ type: "pong" }))
      default:
        throw new Error(`the server sent ${message.toString()}`)
    }
  })
  await welcomed.promise
  return closing(socket)
}

const sse: Open = async ({ ticket, url, user }, receive) => {
  const address = new URL(url.replace(/^ws/u, "http"))
  address.searchParams.set("user", user)
  const request = get(address, {
    // Each of them has a socket of its own.
    agent: false,
    headers: { accept: "text/event-stream", ...(ticket === "" ? {} : { authorization: `Bearer ${ticket}` }) }
  })
  const welcomed = Promise.withResolvers<void>()
  const read = (block: string) => {
    const fields = new Map(
      block.split("\n").map((line): [string, string] => {
        const colon = line.indexOf(":")
        return [line.slice(0, colon), line.slice(colon + 1).trimStart()]
      })
    )
    const data = fields.get("data")
    if (fields.get("event") === "frame:welcome") welcomed.resolve()
    else if (data !== undefined && fields.get("event")?.startsWith("frame:") === false) receive([JSON.parse(data)])
  }
  request.on("error", welcomed.reject)
  request.on("response", (response: IncomingMessage) => {
    if (response.statusCode !== 200) welcomed.reject(new Error(`the server answered ${response.statusCode}`))
    let rest = ""
    response.on("error", welcomed.reject)
    response.setEncoding("utf8").on("data", (text: string) => {
      const blocks = (rest + text).split("\n\n")
      rest = blocks.pop() ?? ""
      blocks.forEach(read)
    })
  })
  await welcomed.promise
  return { close: async () => void request.destroy() }
}

const client: Open = async ({ resume, ticket, url }, receive) => {
  const live = Promise.withResolvers<void>()
  const connection = connect({
    url,
    token: ticket,
    ...(resume === undefined ? {} : { start: resume }),
    onEvent: (event) => {
      const { sentAt, step, text }: AnyEvent["payload"] = event.payload
      const { offset } = event
      const type = event.type === "$unknown" ? event.name : event.type
      if (typeof step !== "number" || typeof text !== "string") return
      receive([{ offset, type, data: { step, text, ...(typeof sentAt === "number" ? { sentAt } : {}) } }])
    },
    onStatus: (status) => {
      if (status.state === "live") live.resolve()
      else if (status.state === "stopped") live.reject(new Error(`the client stopped: ${status.reason._tag}`))
    },
    onGap: (gap) => {
      throw new Error(`events are missing: ${JSON.stringify(gap)}`)
    }
  })
  await live.promise
  return { close: async () => connection.close() }
}

const socketIo = (reconnection: boolean): Open => async ({ url, user }, receive) => {
  const socket = io(url, { transports: ["websocket"], reconnection, auth: { user }, forceNew: true })
  socket.on("event", (event: Received) => receive([event]))
  const connected = Promise.withResolvers<void>()
  socket.on("connect", connected.resolve)
  socket.on("connect_error", connected.reject)
  await connected.promise
  return { close: async () => void socket.close() }
}

const engineIo: Open = async ({ url, user }) => {
  const socket = new WebSocket(`${url}socket.io/?EIO=4&transport=websocket`, options)
  const connected = Promise.withResolvers<void>()
  socket.on("error", connected.reject)
  socket.on("message", (message) => {
    const packet = message.toString()
    if (packet.startsWith("0")) socket.send(`40${JSON.stringify({ user })}`)
    else if (packet.startsWith("40")) connected.resolve()
    else if (packet === "2") socket.send("3")
  })
  await connected.promise
  return closing(socket)
}

export const openers: Record<Dialect, Open> = {
  ws,
  emitter,
  sse,
  client,
  "socket.io": socketIo(false),
  "socket.io, reconnecting": socketIo(true),
  "engine.io": engineIo
}
