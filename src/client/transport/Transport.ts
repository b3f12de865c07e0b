/**
 * The ways from a client to its gateway: WebSocket, and server-sent events for
 * networks that let no WebSocket through.
 *
 * @since 0.1.0
 */
import { openEventStream, wordsOf } from "./SseTransport.ts"
import type { HttpAnswer } from "./HttpAnswer.ts"
import type { Fetch, OpenSocket, SocketConstructor, SocketListener } from "./Platform.ts"
import { httpUrl, openSocket } from "./Platform.ts"

/**
 * `websocket`, or `sse`: server-sent events, read by `fetch`. Both bring the
 * same events with the same promises; over `sse` an acknowledgement is a request
 * of its own, and a renewed token a new connection. Over HTTP/1.1 a browser opens
 * six connections to a server at most, and each tab's stream takes one.
 *
 * @category models
 * @since 0.1.0
 */
export type Transport = "websocket" | "sse"

/**
 * The transports that a client may use, the preferred one first.
 *
 * @category models
 * @since 0.1.0
 */
export type Transports = readonly [Transport, ...ReadonlyArray<Transport>]

/**
 * Both, WebSocket first.
 *
 * @category constants
 * @since 0.1.0
 */
export const both: Transports = ["websocket", "sse"]

/**
 * What there is here to connect with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Means {
  readonly WebSocket: SocketConstructor | undefined
  readonly fetch: Fetch | undefined
}

/**
 * Those of the wanted transports that can be used here, each once; `undefined`
 * if there is none.
 *
 * @category lookups
 * @since 0.1.0
 */
export const usable = (wanted: Transports, { fetch, WebSocket }: Means): Transports | undefined => {
  const [first, ...others] = [...new Set(wanted)].filter((transport) =>
    (transport === "websocket" ? WebSocket : fetch) !== undefined
  )
  return first === undefined ? undefined : [first, ...others]
}

/**
 * Opens a connection. A failure at once, such as a page's own rules against the
 * address, is told like one that comes later.
 *
 * @category connections
 * @since 0.1.0
 */
export const open = (
  { fetch, WebSocket }: Means,
  url: string,
  transport: Transport,
  listener: SocketListener
): OpenSocket | undefined => {
  try {
    if (transport === "sse") return fetch === undefined ? undefined : openEventStream(fetch, url, listener)
    return WebSocket === undefined ? undefined : openSocket(WebSocket, url, listener)
  } catch (error) {
    listener.closed(1006, String(error))
    return undefined
  }
}

/** How long a gateway may take to answer a plain request. */
const answerMs = 10_000

/**
 * What the gateway itself answers to a plain request; `undefined` if nobody does.
 * A page that may not read the answer learns by another request that there is
 * one.
 *
 * @category checks
 * @since 0.1.0
 */
export const ask = async ({ fetch }: Means, url: string, end: AbortSignal): Promise<HttpAnswer | undefined> => {
  const signal = AbortSignal.any([end, AbortSignal.timeout(answerMs)])
  const request = async (mode: "cors" | "no-cors"): Promise<HttpAnswer | undefined> => {
    try {
      const response = await fetch?.(httpUrl(url), { cache: "no-store", mode, signal })
      return response && { status: response.status, ...wordsOf(await response.text()) }
    } catch {
      // There is no answer, or none for this page: that is all there is to know.
      return undefined
    }
  }
  return await request("cors") ?? (typeof document === "undefined" ? undefined : await request("no-cors"))
}
