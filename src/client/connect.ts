/**
 * The client for programs without Effect: one function, a few callbacks.
 *
 * ```ts
 * import { connect } from "effect-emitter/client"
 *
 * const connection = connect({
 *   url: "/events",
 *   token: () => fetch("/token").then((response) => response.text()),
 *   onEvent: (event) => console.log(event.type, event.data),
 *   onStatus: (status) => console.log(status._tag)
 * })
 *
 * connection.close()
 * ```
 *
 * It keeps all promises of `Session`, and loads nothing of Effect.
 *
 * @since 0.1.0
 */
import type { Position } from "../protocol/Position.ts"
import type { OpenSocket, Platform, SocketConstructor } from "./Platform.ts"
import { ambient, onReturn, openSocket, socketUrl } from "./Platform.ts"
import type { PositionStorage } from "./PositionStorage.ts"
import type { Backoff } from "./Reconnect.ts"
import { statusOf, step, wakeAt } from "./Session.ts"
import type { Action, Input, Item, State, TokenAnswer } from "./SessionState.ts"
import { defaults, init } from "./SessionState.ts"
import type { Status } from "./Status.ts"
import type { WireEvent } from "./Wire.ts"

/**
 * A stretch of offsets that will not come, and why. `previous` is where the
 * client stood before.
 *
 * @category models
 * @since 0.1.0
 */
export type Gap = Omit<Extract<Item, { readonly _tag: "Gap" }>, "_tag">

/**
 * A run's state after the event at `offset`.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = Omit<Extract<Item, { readonly _tag: "Snapshot" }>, "_tag">

/**
 * Options of `connect`.
 *
 * - `url`: where the gateway is: `ws:`, `wss:`, `http:`, `https:`, or a path of
 *   the page's own server.
 * - `token`: who the user is; a function is asked when it is needed, again when
 *   the server does not take the token, and before it expires if the answer says
 *   when. It answers `undefined` when there is no token any more. Without
 *   `token` the server must know the user by other means.
 * - `onEvent`: called once per event, in order. The event is acknowledged, and
 *   its position saved, when the call has returned.
 * - `onGap`, `onSnapshot`: what cannot come any more, and what stands for it.
 * - `onLost`: the server knows nothing of this open run any more.
 * - `onError`: what a callback, the token function or the storage threw; by
 *   default it is thrown as an uncaught error. The client goes on.
 * - `threads`: only events of these threads (64 at most), and of none.
 * - `start`: where to begin when `storage` has no position: `head` (default),
 *   `earliest`, or a position.
 * - `storage`: where the position is kept, see `PositionStorage`.
 * - `client`: the program's name and version, for the server's logs.
 * - `backoff`: waits between attempts, see `Reconnect`; `connectTimeoutMs`
 *   (10 s) is how long one attempt may take.
 * - `signal`: closes the connection when it aborts.
 * - `platform`: clock, timers, randomness and WebSocket, for tests.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectOptions {
  readonly url: string | URL
  readonly token?: string | (() => Token | Promise<Token>) | undefined
  readonly onEvent: (event: WireEvent) => void
  readonly onStatus?: ((status: Status) => void) | undefined
  readonly onGap?: ((gap: Gap) => void) | undefined
  readonly onSnapshot?: ((snapshot: Snapshot) => void) | undefined
  readonly onLost?: ((run: string) => void) | undefined
  readonly onError?: ((error: unknown) => void) | undefined
  readonly threads?: ReadonlyArray<string> | undefined
  readonly start?: Position | "head" | "earliest" | undefined
  readonly storage?: PositionStorage | undefined
  readonly client?: string | undefined
  readonly backoff?: Partial<Backoff> | undefined
  readonly connectTimeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly platform?: Partial<Platform> | undefined
}

/**
 * A token, a token with its end (milliseconds since the Unix epoch), or none.
 *
 * @category models
 * @since 0.1.0
 */
export type Token = string | TokenAnswer | undefined

/**
 * A connection that keeps itself up.
 *
 * - `status`: how it stands now. `position`: up to where events were handled.
 * - `renew`: asks for a new token and sends it, without a new connection.
 * - `close`: ends it for good; no callback but the last `onStatus` comes after.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly status: () => Status
  readonly position: () => Position | undefined
  readonly renew: () => void
  readonly close: () => void
}

/**
 * Connects, and stays connected until it is closed or the server refuses. Throws
 * a `TypeError` when the address is none, or there is no WebSocket here; later
 * problems come as status.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (options: ConnectOptions): Connection => {
  const platform: Platform = { ...ambient(), ...options.platform }
  const url = socketUrl(options.url)
  if (url === undefined) throw new TypeError(`"${options.url}" is not an address to connect to`)
  const { WebSocket } = platform
  if (WebSocket === undefined) throw new TypeError("there is no WebSocket here: Node 22 and browsers have one")
  return new Driver(options, platform, WebSocket, url)
}

class Driver implements Connection {
  private readonly options: ConnectOptions
  private readonly platform: Platform
  private readonly WebSocket: SocketConstructor
  private readonly url: string
  private state: State
  private socket: OpenSocket | undefined
  private timer: { readonly at: number; readonly cancel: () => void } | undefined
  private readonly inbox: Array<Input> = []
  private busy = false
  private readonly leave: () => void

  constructor(options: ConnectOptions, platform: Platform, WebSocket: SocketConstructor, url: string) {
    this.options = options
    this.platform = platform
    this.WebSocket = WebSocket
    this.url = url
    const stored = this.guard(() => options.storage?.load())
    this.state = init(
      {
        ...defaults,
        hasToken: options.token !== undefined,
        threads: options.threads,
        client: options.client,
        start: stored ?? options.start ?? "head",
        backoff: { ...defaults.backoff, ...options.backoff },
        connectTimeoutMs: options.connectTimeoutMs ?? defaults.connectTimeoutMs
      },
      Math.floor(platform.random() * 4_294_967_296),
      platform.now()
    )
    const { signal } = options
    const stopListening = onReturn(() => this.tell({ _tag: "wake" }))
    signal?.addEventListener("abort", this.close)
    this.leave = () => {
      stopListening()
      signal?.removeEventListener("abort", this.close)
    }
    // Later, so that callbacks find the connection that `connect` returns.
    queueMicrotask(() => this.tell({ _tag: signal?.aborted === true ? "close" : "start" }))
  }

  readonly status = (): Status => statusOf(this.state)
  readonly position = (): Position | undefined => this.state.handled
  readonly renew = (): void => this.tell({ _tag: "renew" })
  readonly close = (): void => this.tell({ _tag: "close" })

  /** One input after another, also when a callback causes the next one. */
  private tell(input: Input): void {
    this.inbox.push(input)
    if (this.busy) return
    this.busy = true
    try {
      for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
        const { actions, state } = step(this.state, next, this.platform.now())
        this.state = state
        for (const action of actions) this.run(action)
      }
    } finally {
      this.busy = false
      this.arm()
    }
  }

  private run(action: Action): void {
    switch (action._tag) {
      case "askToken":
        return this.askToken(action.request)
      case "connect":
        return this.open(action.connection)
      case "send":
        return this.socket?.send(JSON.stringify(action.frame))
      case "disconnect":
        return this.drop(action.code, action.reason)
      case "deliver":
        return this.deliver(action.items, action.position)
      case "save":
        return this.guard(() => this.options.storage?.save(action.position))
      case "status":
        return this.show(action.status)
    }
  }

  private askToken(request: number): void {
    const { token } = this.options
    const answer = async () => typeof token === "function" ? await token() : token
    answer().then(
      (value) =>
        this.tell({
          _tag: "token",
          request,
          answer: typeof value === "string" ? { token: value } : value ?? undefined
        }),
      (error: unknown) => {
        this.report(error)
        this.tell({ _tag: "tokenFailed", request })
      }
    )
  }

  private open(connection: number): void {
    try {
      this.socket = openSocket(this.WebSocket, this.url, {
        opened: () => this.tell({ _tag: "opened", connection }),
        message: (data) => this.tell({ _tag: "message", connection, data }),
        closed: (code, reason) => {
          this.socket = undefined
          this.tell({ _tag: "closed", connection, code, reason })
        }
      })
    } catch (error) {
      // The page's own rules forbid the connection.
      this.tell({ _tag: "closed", connection, code: 1006, reason: String(error) })
    }
  }

  private drop(code: number, reason: string): void {
    this.socket?.close(code, reason)
    this.socket = undefined
  }

  private deliver(items: ReadonlyArray<Item>, position: Position): void {
    const closing = () => this.inbox.some((input) => input._tag === "close")
    for (const item of items) {
      if (closing()) return
      this.guard(() => this.hand(item))
      if (closing()) {
        // What was handled up to here is known before the end, the rest stays for another time.
        if (item._tag === "Event") {
          this.inbox.unshift({ _tag: "handled", position: { epoch: item.epoch, offset: item.event.offset } })
        }
        return
      }
    }
    this.inbox.push({ _tag: "handled", position })
  }

  private hand(item: Item): void {
    switch (item._tag) {
      case "Event":
        return this.options.onEvent(item.event)
      case "Gap": {
        const { _tag, ...gap } = item
        return this.options.onGap?.(gap)
      }
      case "Snapshot": {
        const { _tag, ...snapshot } = item
        return this.options.onSnapshot?.(snapshot)
      }
      case "Lost":
        return this.options.onLost?.(item.run)
    }
  }

  private show(status: Status): void {
    if (status._tag === "stopped") this.leave()
    this.guard(() => this.options.onStatus?.(status))
  }

  /** What a callback throws is the program's to see, and must not end the loop. */
  private guard<A>(run: () => A): A | undefined {
    try {
      return run()
    } catch (error) {
      this.report(error)
      return undefined
    }
  }

  private report(error: unknown): void {
    const { onError } = this.options
    if (onError !== undefined) return onError(error)
    queueMicrotask(() => {
      throw error
    })
  }

  private arm(): void {
    const at = wakeAt(this.state)
    if (at === undefined) {
      this.timer?.cancel()
      this.timer = undefined
    } else if (this.timer === undefined || at < this.timer.at) {
      this.timer?.cancel()
      const cancel = this.platform.after(at - this.platform.now(), () => {
        this.timer = undefined
        this.tell({ _tag: "tick" })
      })
      this.timer = { at, cancel }
    }
  }
}
