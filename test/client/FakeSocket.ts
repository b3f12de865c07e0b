/**
 * A WebSocket class without a network: each test decides what the server does.
 */
import type { SocketConstructor } from "effect-emitter/client"

type Listener = (event: { readonly data: unknown; readonly code: number; readonly reason: string }) => void

/** One socket that a client opened. */
export class FakeSocket {
  readonly url: string
  readonly protocol: string
  /** What the client sent, parsed. */
  readonly sent: Array<{ readonly type: string; readonly [key: string]: unknown }> = []
  /** How the client closed it, if it did. */
  closedBy: { readonly code: number | undefined; readonly reason: string | undefined } | undefined
  private readonly listeners = new Map<string, Array<Listener>>()

  constructor(url: string, protocol: string) {
    this.url = url
    this.protocol = protocol
  }

  addEventListener(type: string, listener: Listener): void {
    this.listeners.set(type, [...(this.listeners.get(type) ?? []), listener])
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data))
  }

  close(code?: number, reason?: string): void {
    this.closedBy ??= { code, reason }
  }

  /** The connection is up. */
  open(): void {
    this.emit("open", {})
  }

  /** The server sends frames. */
  push(...frames: ReadonlyArray<object | string>): void {
    for (const frame of frames) {
      this.emit("message", { data: typeof frame === "string" ? frame : JSON.stringify(frame) })
    }
  }

  /** The server or the network ends it. */
  drop(code = 1006, reason = ""): void {
    this.emit("close", { code, reason })
  }

  private emit(type: string, event: { data?: unknown; code?: number; reason?: string }): void {
    const full = { data: undefined, code: 0, reason: "", ...event }
    for (const listener of this.listeners.get(type) ?? []) listener(full)
  }
}

/** A class for `webSocket`, and the sockets made of it. */
export const fakeSockets = () => {
  const sockets: Array<FakeSocket> = []
  class Recorded extends FakeSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol)
      sockets.push(this)
    }
  }
  const WebSocket: SocketConstructor = Recorded
  const last = (): FakeSocket => {
    const socket = sockets.at(-1)
    if (socket === undefined) throw new Error("the client has opened no socket")
    return socket
  }
  return { WebSocket, sockets, last }
}

export const welcome = (fields: object = {}) => ({
  type: "welcome",
  connection: "c-1",
  epoch: "E1",
  offset: 0,
  recovered: true,
  snapshots: 0,
  heartbeatMs: 25_000,
  retentionMs: 60_000,
  ...fields
})

/** An event of the log `epoch`, as a server writes it. */
export const wireEvent = (offset: number, fields: object = {}) => ({
  offset,
  id: `e-${offset}`,
  type: "custom",
  at: 1_000 + offset,
  data: { name: "n", data: offset },
  ...fields
})

export const events = (offsets: ReadonlyArray<number>, fields: object = {}) => ({
  type: "events",
  epoch: "E1",
  events: offsets.map((offset) => wireEvent(offset)),
  ...fields
})
