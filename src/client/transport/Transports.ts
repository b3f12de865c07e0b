/**
 * The ways from a client to its gateway: WebSocket, and server-sent events for
 * networks that let no WebSocket through.
 *
 * @since 0.1.0
 */
import type { Fetch, SocketConstructor } from "./Platform.ts"

/**
 * `websocket`, or `sse`: server-sent events, read by `fetch`. Both bring the
 * same events with the same promises; over `sse` an acknowledgement is a request
 * of its own, and a renewed token a new connection. Over HTTP/1.1 a browser opens
 * six connections to a server at most, and each tab's stream takes one.
 *
 * @category models
 * @since 0.1.0
 */
export type TransportName = "websocket" | "sse"

/**
 * The transports that a client may use, the preferred one first.
 *
 * @category models
 * @since 0.1.0
 */
export type Transports = readonly [TransportName, ...ReadonlyArray<TransportName>]

/**
 * Both, WebSocket first.
 *
 * @category constants
 * @since 0.1.0
 */
export const both: Transports = ["websocket", "sse"]

/**
 * The functions of a browser or of Node that the transports are built on.
 *
 * @category models
 * @since 0.1.0
 */
export interface WebApis {
  readonly WebSocket: SocketConstructor | undefined
  readonly fetch: Fetch | undefined
}

/**
 * The wanted transports that can be used here, each once; `undefined` if there is
 * none.
 *
 * @category lookups
 * @since 0.1.0
 */
export const usable = (wanted: Transports, { fetch, WebSocket }: WebApis): Transports | undefined => {
  const [first, ...others] = [...new Set(wanted)].filter((transport) =>
    (transport === "websocket" ? WebSocket : fetch) !== undefined
  )
  return first === undefined ? undefined : [first, ...others]
}
