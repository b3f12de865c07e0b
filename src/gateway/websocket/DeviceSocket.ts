/**
 * A device's WebSocket, taken over from the HTTP server.
 *
 * The sockets of `effect/socket` cost a fiber each and do not wait for slow
 * peers, so a gateway does the WebSocket handshake itself, with `ws`, and then
 * ends the request: an idle device costs its socket and little more, and what
 * the network has not taken yet is known at any time.
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

  /** Begins to hand on what happens. Called once, right after the handshake. */
  listen(tcp: Socket, listener: Listener): void {
    this.tcp = tcp
    this.listener = listener
  }

  // What ws tells is taken here: five listeners would cost an idle device a quarter of a kilobyte.
  override emit(event: string | symbol, ...details: ReadonlyArray<unknown>): boolean {
    const { listener } = this
    if (listener === undefined) return super.emit(event, ...details)
    const [detail, isBinary] = details
    switch (event) {
      case "message":
        if (isBinary === true) listener.onBinary()
        else listener.onText(String(detail))
        return true
      case "ping":
      case "pong":
        listener.onControl()
        return true
      case "close":
        listener.onClose(Number(detail))
        return true
      case "error":
        // A close follows every error, and tells what there is to tell.
        return true
      default:
        return super.emit(event, ...details)
    }
  }

  /** Sends messages in order, in one write. `false` when the network has not taken all; see `whenWritable`. */
  sendAll(messages: ReadonlyArray<Message>): boolean {
    const { tcp } = this
    if (tcp === undefined || this.readyState !== this.OPEN) return true
    tcp.cork()
    for (const message of messages) this.send(message, asText)
    tcp.uncork()
    return !tcp.writableNeedDrain
  }

  /** Calls `ready` once the network has taken what was sent. Not called on a socket that closes before. */
  whenWritable(ready: () => void): void {
    this.tcp?.once("drain", ready)
  }

  /** Bytes that the network has not taken yet. */
  get backlog(): number {
    return this.tcp?.writableLength ?? 0
  }

  // ws answers a message that is too large with 1009; the protocol has a code of its own.
  override close(code?: number, reason?: string | Buffer): void {
    if (code === tooLarge && this.listener !== undefined) this.listener.onOversize()
    else super.close(code, reason)
  }
}

// Bytes too are sent as what they are, a text.
const asText = { binary: false }

const tooLarge = 1009

/**
 * A server for handshakes, on sockets that an HTTP server accepted.
 *
 * @category models
 * @since 0.1.0
 */
export type Server = NodeWS.Server<typeof DeviceSocket>

/**
 * Makes a handshake server. `maxBytes` bounds the messages of devices;
 * `closeTimeoutMs` the wait for a device to answer a close.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeServer = (options: { readonly maxBytes: number; readonly closeTimeoutMs: number }): Server => {
  const settings = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
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
        let accepted = false
        server.once("wsClientError", onRefused)
        server.handleUpgrade(incoming, tcp, servers.headOf(incoming), (socket) => {
          accepted = true
          socket.listen(tcp, makeListener(socket))
        })
        server.off("wsClientError", onRefused)
        if (!accepted) return refuse(refusal ?? "the client has gone")
        endRequest(request)
        return Effect.void
      })
    ))

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
  const response = NodeHttpServerRequest.toServerResponse(request)
  if (!(response instanceof Http.ServerResponse)) return
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
