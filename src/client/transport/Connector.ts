/**
 * Opens connections to a gateway, and asks it by a plain request why there is
 * none.
 *
 * @since 0.1.0
 */
import { codes } from "../../protocol/wire/CloseCode.ts"
import { fromText, toText } from "../../protocol/values/PositionText.ts"
import type { HttpAnswer } from "./HttpAnswer.ts"
import type { OpenSocket, SocketListener } from "./Platform.ts"
import { httpUrl, openSocket } from "./Platform.ts"
import type { TransportName, WebApis } from "./Transports.ts"

/**
 * Opens connections: to the gateway, or to what stands for it. `end` aborts when none
 * is needed any more.
 *
 * @category models
 * @since 0.2.0
 */
export type Open = (
  apis: WebApis,
  url: string,
  transport: TransportName,
  listener: SocketListener,
  end: AbortSignal
) => OpenSocket | undefined

/**
 * Opens a connection. A failure that is known at once, such as a page's own rules
 * against the address, comes through the listener like a later one.
 *
 * @category connections
 * @since 0.1.0
 */
export const open = (
  { fetch, WebSocket }: WebApis,
  url: string,
  transport: TransportName,
  listener: SocketListener
): OpenSocket | undefined => {
  try {
    if (transport === "sse") {
      return fetch && openLater(async () => {
        const { openSse } = await import("./OverHttp.ts")
        return () => openSse(fetch, httpUrl(url), listener, { codes, fromText, toText })
      }, listener)
    }
    return WebSocket === undefined ? undefined : openSocket(WebSocket, url, listener)
  } catch (error) {
    listener.closed(1006, String(error))
    return undefined
  }
}

/**
 * A connection by what is loaded first. What cannot be loaded is a failure like any
 * other.
 *
 * @category connections
 * @since 0.2.0
 */
export const openLater = (
  load: () => Promise<() => OpenSocket | undefined>,
  listener: SocketListener
): OpenSocket => {
  let socket: OpenSocket | undefined
  let isClosed = false
  const start = async (): Promise<void> => {
    try {
      const open = await load()
      if (!isClosed) socket = open()
    } catch (error) {
      if (!isClosed) listener.closed(1006, String(error))
    }
  }
  void start()
  return {
    send: (frame) => socket?.send(frame),
    close: (code, reason) => {
      isClosed = true
      socket?.close(code, reason)
    }
  }
}

/**
 * What the gateway itself answers to a plain request, see `Diagnosis`; `undefined` if
 * nobody does, or if what asks cannot be loaded. It is asked again after the next
 * failure.
 *
 * @category checks
 * @since 0.1.0
 */
export const ask = async (apis: WebApis, url: string, end: AbortSignal): Promise<HttpAnswer | undefined> => {
  try {
    const { ask } = await import("./OverHttp.ts")
    return await ask(apis, httpUrl(url), end)
  } catch {
    return undefined
  }
}
