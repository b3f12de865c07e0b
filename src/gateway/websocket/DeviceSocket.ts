/**
 * A device's WebSocket, taken over from the HTTP server.
 *
 * The sockets of `effect/socket` cost a fiber each and do not wait for slow
 * peers, so a gateway does the WebSocket handshake itself, with `ws`, and then
 * ends the request: an idle device costs its socket and little more, and what
 * the network has not taken yet is known at any time.
 *
 * What goes out compressed is compressed here, since `ws` has each message wait for
 * another thread, and keeps a window of zlib for each device.
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import type { HttpServerError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import * as Http from "node:http"
import type { Socket } from "node:net"
import type { Message } from "../../hub/Transport.ts"
import { CompressedSender } from "../compression/CompressedSender.ts"
import type { Compressor } from "../compression/Compressor.ts"
import * as PerMessageDeflate from "../compression/PerMessageDeflate.ts"
import * as NodeResponse from "../NodeResponse.ts"
import { subprotocol } from "../../protocol/wire/Frame.ts"
import type { Servers } from "../admission/Servers.ts"

/**
 * What happens on a socket. Each is called from the event loop, and must not
 * throw.
 *
 * - `onText`: a text message; `onBinary`: a binary one, which the protocol does
 *   not have; `onControl`: a ping or pong of WebSocket's own;
 * - `onOversize`: a message larger than allowed began; nothing more is read;
 * - `onClose`: the socket is gone. It is the last call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listener {
  readonly onText: (text: string) => void
  readonly onBinary: () => void
  readonly onControl: () => void
  readonly onOversize: () => void
  readonly onClose: (code: number) => void
}

/**
 * One device's WebSocket.
 *
 * @category models
 * @since 0.1.0
 */
export class DeviceSocket extends NodeWS.WebSocket {
  private tcp: Socket | undefined
  private listener: Listener | undefined
  // Where compression was agreed on.
  private sender: CompressedSender | undefined

  /** Begins to hand on what happens. Called once, right after the handshake. */
  listen(tcp: Socket, listener: Listener): void {
    this.tcp = tcp
    this.listener = listener
  }

  /** Compresses what is sent from now on, as was agreed. */
  compressBy(compressor: Compressor, { contextTakeover, windowBits }: PerMessageDeflate.Agreement): void {
    const options = { contextTakeover, windowBits, isOneStream: false }
    this.sender = new CompressedSender(compressor, options, (message, compressed) => {
      if (this.readyState !== this.OPEN) return
      if (compressed === undefined) this.send(message, asText)
      else this.tcp?.write(compressedText(compressed))
    })
  }

  // All there is to tell is taken by `emit`, so nobody listens, and one empty table of listeners does for all sockets. One
  // for each would take a twentieth of what an idle device costs, and five listeners a quarter of a kilobyte more.
  get _events(): object {
    return noListeners
  }

  set _events(_) {}

  override emit(event: string | symbol, ...details: ReadonlyArray<unknown>): boolean {
    const { listener } = this
    if (listener === undefined) return super.emit(event, ...details)
    const [detail, isBinary] = details
    switch (event) {
      case "message":
        if (isBinary === true) listener.onBinary()
        else listener.onText(String(detail))
        if (this.sender !== undefined) releaseInflater(this)
        return true
      case "ping":
      case "pong":
        listener.onControl()
        return true
      case "close":
        this.sender?.end()
        listener.onClose(Number(detail))
        return true
      case "error":
        // A close follows every error, and tells what there is to tell.
        return true
      default:
        return super.emit(event, ...details)
    }
  }

  /**
   * Sends messages in order, in one write. `false` when the network has not taken all, or one of them is still being
   * compressed; see `whenWritable`.
   */
  sendAll(messages: ReadonlyArray<Message>): boolean {
    const { sender, tcp } = this
    if (tcp === undefined || this.readyState !== this.OPEN) return true
    tcp.cork()
    if (sender === undefined) { for (const message of messages) this.send(message, asText) }
    else for (const message of messages) sender.send(message)
    tcp.uncork()
    return !tcp.writableNeedDrain && sender?.isBusy !== true
  }

  /** Calls `ready` once the network has taken what was sent, and tells whether it had to be waited for. Not called on a socket that closes before. */
  whenWritable(ready: (hasDrained: boolean) => void): void {
    const { sender, tcp } = this
    const drain = () => tcp?.once("drain", () => ready(true))
    if (sender?.isBusy !== true) drain()
    else sender.whenIdle(() => tcp?.writableNeedDrain === true ? drain() : ready(false))
  }

  /** Bytes that this process holds: what waits to be compressed, as it is, and what the network has not taken yet. */
  get backlog(): number {
    return this.unsent + (this.sender?.backlog ?? 0)
  }

  /** Bytes that the network has not taken yet. */
  get unsent(): number {
    return this.tcp?.writableLength ?? 0
  }

  // ws answers a message that is too large with 1009; the protocol has a code of its own.
  override close(code?: number, reason?: string | Buffer): void {
    if (code === tooLarge && this.listener !== undefined) return this.listener.onOversize()
    // The end comes after what is still being compressed.
    if (this.sender === undefined) super.close(code, reason)
    else this.sender.whenIdle(() => super.close(code, reason))
  }

  override terminate(): void {
    this.sender?.end()
    super.terminate()
  }
}

const noListeners: object = Object.freeze({ __proto__: null })

// Bytes too are sent as what they are, a text.
const asText = { binary: false, compress: false }

// A whole text message of RFC 6455, with the bit of RFC 7692 that says it is compressed. The empty block at its end is
// left out, up to its first bits.
const compressedText = (compressed: Buffer): Buffer => {
  const size = compressed.length - emptyBlockBytes
  const headBytes = size < 126 ? 2 : size < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(headBytes + size)
  frame[0] = 0xc1
  frame[1] = headBytes === 2 ? size : headBytes === 4 ? 126 : 127
  if (headBytes === 4) frame.writeUInt16BE(size, 2)
  if (headBytes === 10) frame.writeBigUInt64BE(BigInt(size), 2)
  compressed.copy(frame, headBytes, 0, size)
  return frame
}

const emptyBlockBytes = 4

// `ws` keeps what it read a message with until the socket closes: ten kilobytes for each device that compresses. It makes
// another one for the next message.
const releaseInflater = (socket: DeviceSocket): void => {
  const inflater: unknown = Reflect.get(Object(Reflect.get(socket, "_extensions")), PerMessageDeflate.extension)
  const cleanup: unknown = Reflect.get(Object(inflater), "cleanup")
  if (typeof cleanup === "function") cleanup.call(inflater)
}

const tooLarge = 1009

/**
 * A server for handshakes, on sockets that an HTTP server accepted.
 *
 * @category models
 * @since 0.1.0
 */
export type Server = NodeWS.Server<typeof DeviceSocket>

/**
 * Makes a handshake server. `maxBytes` bounds the messages of devices, as they are once
 * they are decompressed; `closeTimeoutMs` the wait for a device to answer a close;
 * `compresses`: whether compression may be agreed on.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeServer = (
  options: { readonly maxBytes: number; readonly closeTimeoutMs: number; readonly compresses: boolean }
): Server => {
  const settings = {
    noServer: true,
    clientTracking: false,
    // What is agreed on is decided here, and `ws` reads what devices send by it.
    perMessageDeflate: options.compresses,
    maxPayload: options.maxBytes,
    closeTimeout: options.closeTimeoutMs,
    WebSocket: DeviceSocket,
    handleProtocols: (offered: ReadonlySet<string>) => offered.has(subprotocol) ? subprotocol : false as const
  }
  const server: Server = new NodeWS.WebSocketServer(settings)
  // The connection is the gateway's from here: what the HTTP server listens for would keep the whole request alive.
  server.on("headers", (_, request) => {
    removeListeners(request.socket, "close")
    removeListeners(request.socket, "error")
  })
  return server
}

// One by one: after `removeAllListeners`, V8 keeps a socket's listeners in a form that takes a kilobyte.
const removeListeners = (socket: Socket, event: string): void => {
  for (const listener of socket.rawListeners(event)) Reflect.apply(socket.removeListener, socket, [event, listener])
}

/**
 * Answers the handshake of a request, and takes its socket. Afterwards the
 * request has been answered, whatever its handler returns.
 *
 * @category constructors
 * @since 0.1.0
 */
export const accept = (
  server: Server,
  servers: Servers,
  request: HttpServerRequest,
  compressor: Compressor | undefined,
  makeListener: (socket: DeviceSocket) => Listener
): Effect.Effect<void, HandshakeRefused | HttpServerError> =>
  Effect.flatMap(validate(request), (incoming) =>
    // The HTTP server puts its listeners on the socket once the handler's first turn is over.
    Effect.andThen(
      Effect.andThen(request.upgrade, Effect.yieldNow),
      Effect.suspend(() => {
        const tcp = incoming.socket
        let refusal: string | undefined
        const onRefused = (error: Error) => {
          refusal = error.message
        }
        const agreement = compressor === undefined ? undefined : agree(incoming, compressor)
        let accepted = false
        server.once("wsClientError", onRefused)
        server.handleUpgrade(incoming, tcp, servers.headOf(incoming), (socket) => {
          accepted = true
          if (compressor !== undefined && agreement !== undefined) socket.compressBy(compressor, agreement)
          socket.listen(tcp, makeListener(socket))
        })
        server.off("wsClientError", onRefused)
        if (!accepted) return refuse(refusal ?? "the client has gone")
        endRequest(request)
        return Effect.void
      })
    ))

// Leaves to `ws` the one offer that is taken, as it is answered, or none. It refuses a header that is not of its form.
const agree = (
  { headers }: Http.IncomingMessage,
  { settings }: Compressor
): PerMessageDeflate.Agreement | undefined => {
  const agreement = PerMessageDeflate.agree(headers[extensions], settings)
  if (agreement === "malformed") return undefined
  headers[extensions] = agreement?.answer
  return agreement
}

const extensions = "sec-websocket-extensions"

// ws takes the drafts before RFC 6455 as well, and connections without a subprotocol.
const validate = (request: HttpServerRequest): Effect.Effect<Http.IncomingMessage, HandshakeRefused> => {
  const incoming = NodeHttpServerRequest.toIncomingMessage(request)
  if (!(incoming instanceof Http.IncomingMessage)) return refuse("WebSocket needs HTTP/1.1")
  const version = incoming.headers["sec-websocket-version"]
  if (version !== "13") return refuse("version 13 of WebSocket is spoken here", version !== undefined)
  return isOffered(incoming)
    ? Effect.succeed(incoming)
    : refuse(`the subprotocol "${subprotocol}" must be asked for`)
}

const refuse = (detail: string, isVersion = false): Effect.Effect<never, HandshakeRefused> =>
  Effect.fail(new HandshakeRefused({ detail, isVersion }))

const isOffered = ({ headers }: Http.IncomingMessage): boolean =>
  headers["sec-websocket-protocol"]?.split(",").some((name) => name.trim() === subprotocol) === true

// The handler's response would go out as HTTP on a socket that speaks WebSocket by now. A response that has ended
// without a socket is never written.
const endRequest = (request: HttpServerRequest): void => {
  const response = NodeResponse.of(request)
  if (response === undefined) return
  response.removeAllListeners("finish")
  if (response.socket !== null) response.detachSocket(response.socket)
  response.end()
}

/**
 * A handshake that is not valid. `isVersion`: it asks for another version of
 * WebSocket.
 *
 * @category errors
 * @since 0.1.0
 */
export class HandshakeRefused extends Schema.TaggedError<HandshakeRefused>()("HandshakeRefused", {
  detail: Schema.String,
  isVersion: Schema.Boolean
}) {
  override get message() {
    return `The WebSocket handshake was refused: ${this.detail}`
  }
}
