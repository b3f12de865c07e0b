/**
 * What the plain client needs of the world around it: clocks, a timer, a
 * random number, a WebSocket and `fetch`. Tests bring their own.
 *
 * @effect-diagnostics globalDate:off globalTimers:off globalRandom:off
 *
 * @since 0.1.0
 */
import type { ClientFrame } from "./ClientFrame.ts"

/**
 * The part of a WebSocket that the client uses.
 *
 * @category models
 * @since 0.1.0
 */
export interface Socket {
  addEventListener(type: "open", listener: () => void): void
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void
  addEventListener(
    type: "close",
    listener: (event: { readonly code: number; readonly reason: string }) => void
  ): void
  send(data: string): void
  close(code?: number, reason?: string): void
}

/**
 * Makes a WebSocket, as the built-in class does.
 *
 * @category models
 * @since 0.1.0
 */
export type SocketConstructor = new(url: string, protocols: string) => Socket

/**
 * The part of `fetch` that the client uses.
 *
 * @category models
 * @since 0.1.0
 */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/**
 * - `now`: milliseconds since the Unix epoch, for what people read. `monotonic`:
 *   whole milliseconds that only go forwards, for all that waits.
 * - `after`: calls once after so many milliseconds, and returns what cancels it.
 * - `random`: a number in [0, 1).
 * - `locks`, `BroadcastChannel`: what tabs that share a connection find each other by.
 *
 * @category models
 * @since 0.1.0
 */
export interface Platform {
  readonly now: () => number
  readonly monotonic: () => number
  readonly after: (ms: number, run: () => void) => () => void
  readonly random: () => number
  readonly WebSocket: SocketConstructor | undefined
  readonly fetch: Fetch | undefined
  readonly locks?: Locks | undefined
  readonly BroadcastChannel?: ChannelConstructor | undefined
}

/**
 * The part of a `LockManager` that the client uses.
 *
 * @category models
 * @since 0.2.0
 */
export interface Locks {
  request(
    name: string,
    options: { readonly steal?: boolean; readonly signal?: AbortSignal },
    held: () => Promise<void>
  ): Promise<unknown>
}

/**
 * The part of a `BroadcastChannel` that the client uses.
 *
 * @category models
 * @since 0.2.0
 */
export interface Channel {
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void
  postMessage(message: unknown): void
  close(): void
}

/**
 * Opens a channel, as the built-in class does.
 *
 * @category models
 * @since 0.2.0
 */
export type ChannelConstructor = new(name: string) => Channel

/** The longest time that a timer can take. */
const longestMs = 2_147_483_647

/**
 * The browser's own, or Node's.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ambient = (): Platform => ({
  now: () => Date.now(),
  monotonic: () => Math.floor(performance.now()),
  after: (ms, run) => {
    const timer = setTimeout(run, Math.min(Math.max(0, ms), longestMs))
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
  WebSocket: globalThis.WebSocket,
  fetch: globalThis.fetch?.bind(globalThis),
  locks: globalThis.navigator?.locks,
  BroadcastChannel: globalThis.BroadcastChannel
})

/**
 * Calls when the page comes back: its network is up again, or it is shown
 * again after a while in the background or in a cache, until `end` aborts.
 * Does nothing where there is no page.
 *
 * @category listeners
 * @since 0.1.0
 */
export const onReturn = (run: () => void, end: AbortSignal): void => {
  if (typeof document === "undefined" || typeof window === "undefined") return
  const shown = () => {
    if (document.visibilityState === "visible") run()
  }
  const until = { signal: end }
  document.addEventListener("visibilitychange", shown, until)
  window.addEventListener("online", run, until)
  window.addEventListener("pageshow", run, until)
}

/**
 * Opens a socket, and calls the listener with what it does. Returns what writes
 * to it and closes it; after `close` the listener is not called any more.
 *
 * @category sockets
 * @since 0.1.0
 */
export const openSocket = (Socket: SocketConstructor, url: string, listener: SocketListener): OpenSocket => {
  const socket = new Socket(url, subprotocol)
  // A socket may take its time to close: it must not keep its listener alive meanwhile.
  let attached: SocketListener | undefined = listener
  const end = (code: number, reason: string): void => {
    const last = attached
    attached = undefined
    last?.closed(code, reason)
  }
  socket.addEventListener("open", () => attached?.opened())
  socket.addEventListener("message", ({ data }) => attached?.message(data))
  socket.addEventListener("close", ({ code, reason }) => end(code, reason))
  return {
    send: (frame) => {
      try {
        socket.send(JSON.stringify(frame))
      } catch (error) {
        // A socket that takes no more is lost, whatever it says of itself.
        end(1006, String(error))
        socket.close()
      }
    },
    close: (code, reason) => {
      attached = undefined
      socket.close(code, reason)
    }
  }
}

/**
 * Who is called with what a connection does. Where an `ack` is a request of its own,
 * `acknowledged`: one that named these events arrived; `unacknowledged`: the last one
 * did not, and can be sent again.
 *
 * @category sockets
 * @since 0.1.0
 */
export interface SocketListener {
  readonly opened: () => void
  readonly message: (data: unknown) => void
  readonly closed: (code: number, reason: string) => void
  readonly acknowledged: (confirmed: ReadonlyArray<number>) => void
  readonly unacknowledged: () => void
}

/**
 * A connection that is open or on its way.
 *
 * @category sockets
 * @since 0.1.0
 */
export interface OpenSocket {
  readonly send: (frame: ClientFrame) => void
  readonly close: (code: number, reason: string) => void
}

// As `Frame.subprotocol` says; that module loads schemas.
const subprotocol = "emitter.v1.json"

/**
 * The address to connect to: `http` becomes `ws`, and a path is taken relative
 * to the page. `undefined` when it is no such address, or carries a fragment or
 * a password, which a WebSocket address must not.
 *
 * @category conversions
 * @since 0.1.0
 */
export const socketUrl = (url: string | URL): string | undefined => {
  const base = typeof location === "undefined" ? undefined : location.href
  if (!URL.canParse(String(url), base)) return undefined
  const address = new URL(String(url), base)
  if (address.protocol === "http:") address.protocol = "ws:"
  if (address.protocol === "https:") address.protocol = "wss:"
  if (address.protocol !== "ws:" && address.protocol !== "wss:") return undefined
  return address.hash === "" && address.username === "" && address.password === "" ? address.href : undefined
}

/**
 * The same address for requests over HTTP.
 *
 * @category conversions
 * @since 0.1.0
 */
export const httpUrl = (url: string): string => url.replace(/^ws/, "http")
