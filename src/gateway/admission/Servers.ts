/**
 * The HTTP servers that a gateway serves.
 *
 * A router does not know its server. The one whose address is known is found by
 * its first connection; any other by its first request. Each is watched from then on.
 *
 * @since 0.1.0
 */
import * as Equal from "effect/Equal"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { IncomingMessage, ServerResponse } from "node:http"
import { Http2ServerRequest, type Http2ServerResponse, type Http2Session } from "node:http2"
import { Server, Socket } from "node:net"
import { Server as TlsServer } from "node:tls"
import { Room, type Strangers } from "./Strangers.ts"

/**
 * The servers of one gateway.
 *
 * @category models
 * @since 0.1.0
 */
export class Servers {
  private readonly all = new Set<Server>()
  private readonly heads = new WeakMap<IncomingMessage, Buffer>()
  private readonly strangers: Strangers
  private readonly address: NetAddress.SocketAddress | undefined
  private readonly now: () => number
  // How many requests of each connection are under way.
  private readonly asking = new WeakMap<Socket, number>()
  // Connections that clients keep, and on which no request is under way.
  private readonly kept = new Room<Socket>({ count: Infinity, ms: Infinity }, (socket) => void socket.destroy())
  // Connections that do not speak TLS yet, though they have to, by their two ends.
  private readonly unsecured = new Map<string, Unsecured>()
  // Connections of HTTP/2 that have asked for something.
  private readonly sessions = new WeakSet<Http2Session>()
  private stoppedAt: number | undefined
  // One function for all sockets, told apart by `this`: a closure for each would cost every device.
  private readonly onClose: () => void

  /** `now` tells the time in milliseconds, `address` is where a server listens that is known already. */
  constructor(strangers: Strangers, now: () => number, address?: NetAddress.SocketAddress) {
    this.strangers = strangers
    this.now = now
    this.address = address
    const { kept } = this
    this.onClose = function(this: Socket) {
      strangers.silent.delete(this)
      kept.delete(this)
    }
    if (address !== undefined) subscribe(accepted, this.onAccepted)
  }

  /** Whether each of them still listens. */
  get allListen(): boolean {
    for (const server of this.all) {
      if (!server.listening) return false
    }
    return true
  }

  /** Watches the server that a request came from, to which this is the response. */
  watch(request: IncomingMessage, response: ServerResponse | undefined): void {
    const server = serverOf(request.socket)
    if (server === undefined || this.all.has(server)) return
    this.add(server)
    this.onRequest(request, response)
  }

  /**
   * Cuts connections on which nothing was asked for `ms`, and later those whose sender is still not known: once one of
   * the servers has stopped to listen, from when on it is called again and again. One that is sent an answer, however
   * slowly it reads, is not among them.
   */
  cutUnused(ms: number): void {
    const now = this.now()
    this.stoppedAt ??= now
    this.strangers.silent.tick(now, ms)
    if (now - this.stoppedAt >= ms) {
      // On one that was kept for long a request may be on its way.
      this.kept.tick(now, ms)
      for (const { socket } of this.unsecured.values()) socket.destroy()
    }
    if (now - this.stoppedAt >= 2 * ms) this.strangers.unauthenticated.tick(now, ms)
  }

  /** What came behind the head of an upgrade, in the same packet. It is given once. */
  headOf(request: IncomingMessage): Buffer {
    const head = this.heads.get(request)
    this.heads.delete(request)
    return head ?? noBytes
  }

  /** Watches none of them any more. */
  close(): void {
    unsubscribe(accepted, this.onAccepted)
    for (const server of this.all) {
      server.off("connection", server instanceof TlsServer ? this.onUnsecured : this.onConnection)
      server.off("secureConnection", this.onSecured)
      server.off("request", this.onRequest)
      server.off("checkContinue", this.onRequest)
      server.off("upgrade", this.onUpgrade)
    }
    this.all.clear()
  }

  private add(server: Server): void {
    this.all.add(server)
    server.on("connection", server instanceof TlsServer ? this.onUnsecured : this.onConnection)
    // Over TLS a socket is its device's own once the handshake is done, for which Node has a limit.
    server.on("secureConnection", this.onSecured)
    server.on("request", this.onRequest)
    server.on("checkContinue", this.onRequest)
    server.on("upgrade", this.onUpgrade)
  }

  // Node tells of every connection that any server of the process accepts, once its listeners have run.
  private readonly onAccepted = (message: unknown): void => {
    const socket = socketOf(message)
    const server = socket === undefined ? undefined : serverOf(socket)
    if (socket === undefined || server === undefined || !Equal.equals(addressOf(server), this.address)) return
    unsubscribe(accepted, this.onAccepted)
    if (this.all.has(server)) return
    this.add(server)
    if (server instanceof TlsServer) this.onUnsecured(socket)
    else this.onConnection(socket)
  }

  private readonly onUnsecured = (socket: Socket): void => {
    const ends = endsOf(socket)
    const forget = () => void this.unsecured.delete(ends)
    this.unsecured.set(ends, { socket, forget })
    socket.once("close", forget)
  }

  private readonly onSecured = (socket: Socket): void => {
    const before = this.unsecured.get(endsOf(socket))
    before?.socket.off("close", before.forget)
    before?.forget()
    this.onConnection(socket)
  }

  private readonly onConnection = (socket: Socket): void => {
    this.strangers.accept(socket)
    socket.once("close", this.onClose)
  }

  private readonly onRequest = (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse | undefined
  ): void => {
    if (request instanceof Http2ServerRequest) return this.onStream(request)
    const { socket } = request
    this.leave(socket)
    if (!(response instanceof ServerResponse)) return
    this.asking.set(socket, (this.asking.get(socket) ?? 0) + 1)
    response.once("close", () => this.onAnswered(socket))
  }

  // What HTTP/2 shows as the socket of a request only stands for it.
  private onStream({ socket, stream: { session } }: Http2ServerRequest): void {
    if (session === undefined || this.sessions.has(session)) return
    this.sessions.add(session)
    const ends = endsOf(socket)
    const own = this.strangers.silent.find((one) => endsOf(one) === ends)
    if (own !== undefined) this.leave(own)
  }

  private onAnswered(socket: Socket): void {
    const left = (this.asking.get(socket) ?? 1) - 1
    if (left > 0) return void this.asking.set(socket, left)
    this.asking.delete(socket)
    if (socket.destroyed) return
    this.kept.add(socket, this.now())
    socket.once("close", this.onClose)
    if (serverOf(socket)?.listening === false) socket.end()
  }

  private leave(socket: Socket): void {
    this.strangers.silent.delete(socket)
    this.kept.delete(socket)
    socket.off("close", this.onClose)
  }

  private readonly onUpgrade = (request: IncomingMessage, _: unknown, head: Buffer): void => {
    this.leave(request.socket)
    if (head.length > 0) this.heads.set(request, head)
  }
}

interface Unsecured {
  readonly socket: Socket
  readonly forget: () => void
}

/**
 * Whether the server that a request came to listens no more.
 *
 * @category checks
 * @since 0.2.0
 */
export const hasStopped = ({ socket }: IncomingMessage): boolean => serverOf(socket)?.listening === false

// https://nodejs.org/api/diagnostics_channel.html#event-netserversocket
const accepted = "net.server.socket"

const noBytes = Buffer.alloc(0)

const socketOf = (message: unknown): Socket | undefined =>
  typeof message === "object" && message !== null && "socket" in message && message.socket instanceof Socket
    ? message.socket
    : undefined

const serverOf = (socket: Socket): Server | undefined =>
  "server" in socket && socket.server instanceof Server ? socket.server : undefined

const addressOf = (server: Server): NetAddress.SocketAddress | undefined => {
  const address = server.address()
  if (address === null) return undefined
  return typeof address === "string"
    ? NetAddress.unixPathAddress(address)
    : Result.getOrUndefined(NetAddress.inetAddressFromIpString(address.address, address.port))
}

// Node does not tell which connection a socket with TLS is over, nor which one a request of HTTP/2 came by.
const endsOf = ({ localPort, remoteAddress, remotePort }: Socket): string =>
  `${localPort} ${remoteAddress} ${remotePort}`
