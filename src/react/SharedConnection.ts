/**
 * One connection for all components that use it.
 *
 * - It opens when the first of them is mounted: making it, and drawing, opens nothing.
 * - It is let go a moment after the last of them has left, so that components which
 *   leave and come back find it as it was.
 * - Once it waits to be let go, it goes as soon as another one to the same address
 *   opens: whoever takes a place after someone else has left never uses the other's
 *   connection.
 *
 * @since 0.2.0
 */
import { connect } from "../client/connect.ts"
import type { Connection, ConnectOptions } from "../client/driver/ConnectOptions.ts"
import { ambient } from "../client/transport/Platform.ts"
import type * as Event from "../protocol/event/Event.ts"

/**
 * A connection that somebody holds. After `release` it may close.
 *
 * @category models
 * @since 0.2.0
 */
export interface Held {
  readonly connection: Connection<Event.AnyDefinition>
  readonly release: () => void
}

/**
 * Where hooks get their connection from.
 *
 * - `peek`: the connection, if there is one. It is for drawing, and opens nothing.
 * - `retain`: the connection, which stays open until it is released.
 *
 * @category models
 * @since 0.2.0
 */
export interface ConnectionSource {
  readonly peek: () => Connection<Event.AnyDefinition> | undefined
  readonly retain: () => Held
}

/**
 * A connection that belongs to somebody else, who opens and closes it.
 *
 * @category constructors
 * @since 0.2.0
 */
export const made = (connection: Connection<Event.AnyDefinition>): ConnectionSource => ({
  peek: () => connection,
  retain: () => ({ connection, release: () => {} })
})

/** How long a connection that nobody uses is kept. */
const lingerMs = 1_000

/** Connections that nobody uses. */
const idle = new Set<{ readonly url: string; readonly close: () => void }>()

/** Callbacks that are gone when they are not named. */
const noCallbacks = {
  onEvent: undefined,
  onStatus: undefined,
  onGap: undefined,
  onSnapshot: undefined,
  onLost: undefined,
  onError: undefined
}

/**
 * The connection of these options. Its own members have `#` names, which minifiers
 * shorten: a page loads this class.
 *
 * @category constructors
 * @since 0.2.0
 */
export class SharedConnection<D extends Event.AnyDefinition> implements ConnectionSource {
  readonly url: string
  readonly #options: ConnectOptions<D>
  #connection: Connection<D> | undefined
  #users = 0
  #stay: () => void = () => {}

  constructor(options: ConnectOptions<D>) {
    // A copy that `update` may change: a connection reads callbacks when it calls them.
    this.#options = { ...options }
    this.url = String(options.url)
  }

  /** Takes callbacks and the token from here on. Another token is sent at once. */
  update(options: ConnectOptions<D>): void {
    const { token } = this.#options
    Object.assign(this.#options, noCallbacks, options)
    if (typeof options.token === "string" && options.token !== token) this.#connection?.renew()
  }

  readonly peek = (): Connection<D> | undefined => this.#connection

  readonly retain = (): Held => {
    const connection = this.#connection ??= this.#open()
    this.#users++
    this.#stay()
    idle.delete(this)
    let held = true
    return {
      connection,
      release: () => {
        if (!held) return
        held = false
        if (--this.#users === 0) this.#leave()
      }
    }
  }

  readonly close = (): void => {
    this.#stay()
    idle.delete(this)
    this.#connection?.close()
    this.#connection = undefined
  }

  #open(): Connection<D> {
    for (const other of idle) {
      if (other.url === this.url) other.close()
    }
    return connect(this.#options)
  }

  #leave(): void {
    const after = this.#options.platform?.after ?? ambient().after
    idle.add(this)
    this.#stay = after(lingerMs, this.close)
  }
}
