/**
 * The HTTP servers that a gateway serves.
 *
 * A router does not know its server, so each is found by the first request that
 * comes from it, and is watched from then on.
 *
 * @since 0.1.0
 */
import { IncomingMessage } from "node:http"
import { Server, type Socket } from "node:net"
import { Server as TlsServer } from "node:tls"
import type { Strangers } from "./Strangers.ts"

/**
 * @category models
 * @since 0.1.0
 */
export class Servers {
  private readonly all = new Set<Server>()
  private readonly heads = new WeakMap<IncomingMessage, Buffer>()
  private readonly strangers: Strangers
  // One function for all sockets, told apart by `this`: a closure for each would cost every device.
  private readonly onClose: () => void

  constructor(strangers: Strangers) {
    this.strangers = strangers
    this.onClose = function(this: Socket) {
      strangers.silent.delete(this)
    }
  }

  /** Whether each of them still listens. */
  get allListen(): boolean {
    for (const server of this.all) {
      if (!server.listening) return false
    }
    return true
  }

  /** Watches the server that a request came from. */
  watch({ socket }: IncomingMessage): void {
    if (!("server" in socket) || !(socket.server instanceof Server) || this.all.has(socket.server)) return
    const { server } = socket
    this.all.add(server)
    server.on(connectionOf(server), this.onConnection)
    server.on("request", this.onRequest)
    server.on("checkContinue", this.onRequest)
    server.on("upgrade", this.onUpgrade)
  }

  /** What came behind the head of an upgrade, in the same packet. It is given once. */
  headOf(request: IncomingMessage): Buffer {
    const head = this.heads.get(request)
    this.heads.delete(request)
    return head ?? noBytes
  }

  /** Watches none of them any more. */
  close(): void {
    for (const server of this.all) {
      server.off(connectionOf(server), this.onConnection)
      server.off("request", this.onRequest)
      server.off("checkContinue", this.onRequest)
      server.off("upgrade", this.onUpgrade)
    }
    this.all.clear()
  }

  private readonly onConnection = (socket: Socket): void => {
    this.strangers.accept(socket)
    socket.once("close", this.onClose)
  }

  private readonly onRequest = ({ socket }: IncomingMessage): void => {
    this.strangers.silent.delete(socket)
    socket.off("close", this.onClose)
  }

  private readonly onUpgrade = (request: IncomingMessage, _: unknown, head: Buffer): void => {
    this.onRequest(request)
    if (head.length > 0) this.heads.set(request, head)
  }
}

const noBytes = Buffer.alloc(0)

// Over TLS a socket is its device's own once the handshake is done, for which Node has a limit.
const connectionOf = (server: Server): "connection" | "secureConnection" =>
  server instanceof TlsServer ? "secureConnection" : "connection"
