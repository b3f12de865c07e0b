/**
 * Devices that take compressed frames, over WebSocket or as server-sent events, and count what comes over the wire.
 */
import { once } from "node:events"
import { type IncomingMessage, request } from "node:http"
import type { Socket } from "node:net"
import { constants, createGunzip } from "node:zlib"
import { WebSocket } from "ws"
import { Frame } from "../../src/protocol/index.ts"
import { on, serve } from "../harness/process.ts"
import * as calls from "./calls.ts"
import { onCpu } from "./shared.ts"

interface Device {
  readonly socket: Socket
  /** How far it has come. */
  offset: number
}

const devices: Array<Device> = []

const placeOf = (device: Device, text: string, pattern: RegExp): void => {
  for (const [, offset = ""] of text.matchAll(pattern)) device.offset = Math.max(device.offset, Number(offset))
}

const openSocket = async (url: string, ticket: string): Promise<void> => {
  const socket = new WebSocket(url.replace("http", "ws"), Frame.subprotocol)
  const welcomed = Promise.withResolvers<void>()
  socket.on("error", welcomed.reject)
  socket.on("upgrade", ({ socket: tcp }) => {
    const device: Device = { socket: tcp, offset: 0 }
    devices.push(device)
    socket.on("message", (message) => {
      const text = String(message)
      placeOf(device, text, /"offset":(\d+)/gu)
      if (text.startsWith(`{"type":"welcome"`)) welcomed.resolve()
      else if (text.startsWith(`{"type":"ping"`)) socket.send(Frame.encode({ type: "pong" }))
    })
  })
  socket.on("open", () => socket.send(Frame.encode({ type: "hello", token: ticket })))
  await welcomed.promise
}

const openStream = async (url: string, ticket: string): Promise<void> => {
  const asked = request(url, {
    agent: false,
    headers: { accept: "text/event-stream", "accept-encoding": "gzip", authorization: `Bearer ${ticket}` }
  })
  asked.end()
  const [answered]: Array<IncomingMessage> = await once(asked, "response")
  if (answered?.statusCode !== 200) throw new Error(`a stream was refused with ${answered?.statusCode}`)
  const device: Device = { socket: answered.socket, offset: 0 }
  devices.push(device)
  const welcomed = Promise.withResolvers<void>()
  const texts = answered.headers["content-encoding"] === "gzip"
    ? answered.pipe(createGunzip({ flush: constants.Z_SYNC_FLUSH }))
    : answered
  // A line, and a character, may come in two parts.
  let begun = ""
  texts.setEncoding("utf8")
  texts.on("data", (more: string) => {
    const all = begun + more
    const end = all.lastIndexOf("\n") + 1
    const text = all.slice(0, end)
    begun = all.slice(end)
    placeOf(device, text, /^id: [^:]*:(\d+)$/gmu)
    if (text.includes("event: frame:welcome")) welcomed.resolve()
  })
  await welcomed.promise
}

const sumOf = (what: (device: Device) => number): number => devices.reduce((sum, device) => sum + what(device), 0)

serve(
  onCpu,
  on(calls.receive, async ({ over, tickets, url }) => {
    const open = over === "WebSocket" ? openSocket : openStream
    for (const ticket of tickets) await open(url, ticket)
    return {}
  }),
  on(calls.traffic, async ({ upTo }) => {
    const deadline = Date.now() + 60_000
    const place = () => sumOf(({ offset }) => offset)
    while (place() < upTo) {
      if (Date.now() > deadline) throw new Error(`all devices together came to ${place()} of ${upTo}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return { place: place(), bytes: sumOf(({ socket }) => socket.bytesRead) }
  })
)
