/**
 * One connection for all tabs of a browser that name the same user.
 *
 * - A Web Lock says which tab leads: the leader has the connection, see `Leader`. The
 *   others hear it on a `BroadcastChannel`, see `Link`. Both carry the address and the
 *   user's name, so that two users never share.
 * - A leader that closes or crashes gives its lock free, and the next tab leads. The
 *   lock of one that is silent is stolen. A new leader goes on from the least position
 *   of all tabs: nothing is lost, and each tab drops what it has seen.
 * - A page that the browser puts aside, into the back-forward cache or frozen, lets go of
 *   all of it, and comes back when it is shown.
 *
 * @since 0.2.0
 */
import type * as Event from "../../protocol/event/Event.ts"
import type { rethrow } from "../driver/Callback.ts"
import type { ConnectOptions } from "../driver/ConnectOptions.ts"
import type { PlainDriver } from "../driver/PlainDriver.ts"
import type { open } from "../transport/Connector.ts"
import type { Channel, ChannelConstructor, Locks, OpenSocket, Platform, SocketListener } from "../transport/Platform.ts"
import type { TransportName, Transports } from "../transport/Transports.ts"
import type { decode } from "../transport/ServerFrames.ts"
import { Leader } from "./Leader.ts"
import { Link } from "./Link.ts"
import { isMessage, type Message } from "./Message.ts"

/** What tabs say to each other is of this version: those of another do not share. */
const version = 1

/**
 * What a page has loaded anyway. It is given, and not imported: what two files import a
 * bundler may split off, and then the page waits for one file more.
 *
 * @category models
 * @since 0.2.0
 */
export interface Loaded {
  readonly PlainDriver: typeof PlainDriver
  readonly open: typeof open
  readonly decode: typeof decode
  readonly rethrow: typeof rethrow
}

/**
 * What a tab shares by: `user` names the user, and `end` aborts when its connection
 * stops.
 *
 * @category models
 * @since 0.2.0
 */
export interface Ground<D extends Event.AnyDefinition> extends Loaded {
  readonly options: ConnectOptions<D>
  readonly platform: Platform
  readonly locks: Locks
  readonly BroadcastChannel: ChannelConstructor
  readonly transports: Transports
  readonly url: string
  readonly user: string
  readonly end: AbortSignal
}

/** A tab that takes part: its channel, and what ends its wait for the lock, or its hold of it. */
interface Taking {
  readonly channel: Channel
  campaign: AbortController
  leader: Leader | undefined
}

/**
 * One tab. Its own members have `#` names, which minifiers shorten: a page loads this
 * class.
 *
 * @category drivers
 * @since 0.2.0
 */
export class SharedTab<D extends Event.AnyDefinition> {
  readonly #ground: Ground<D>
  readonly #name: string
  #taking: Taking | undefined
  #link: Link | undefined
  /** Whether the browser gives this page no locks, or no channel. */
  #isAlone = false

  constructor(ground: Ground<D>) {
    const { end, url, user } = ground
    this.#ground = ground
    this.#name = JSON.stringify(["effect-emitter", version, url, user])
    const stopListening = onPutAside(() => this.#leave("the page was put aside"))
    const over = (): void => {
      stopListening()
      this.#leave("")
    }
    end.addEventListener("abort", over)
    if (end.aborted) over()
  }

  /** Opens a connection of the tab's session, one at a time. */
  readonly open = (transport: TransportName, listener: SocketListener): OpenSocket | undefined => {
    const { decode, end, open, platform, url } = this.#ground
    if (end.aborted) return undefined
    this.#link?.close(1000, "")
    const taking = this.#isAlone ? undefined : this.#takePart()
    if (taking === undefined) return open(platform, url, transport, listener)
    this.#link = new Link({
      id: nextId(),
      decode,
      listener,
      open: (own) => open(platform, url, transport, own),
      say: (message) => this.#say(taking, message),
      steal: () => this.#campaign(taking, true),
      after: platform.after,
      monotonic: platform.monotonic
    })
    return this.#link
  }

  #takePart(): Taking | undefined {
    if (this.#taking !== undefined) {
      if (this.#taking.campaign.signal.aborted) this.#campaign(this.#taking, false)
      return this.#taking
    }
    const channel = this.#openChannel()
    if (channel === undefined) return undefined
    const taking: Taking = { channel, campaign: new AbortController(), leader: undefined }
    this.#taking = taking
    channel.addEventListener("message", ({ data }) => this.#take(taking, data))
    this.#campaign(taking, false)
    return taking
  }

  // Firefox refuses one to a page that may keep no cookies.
  #openChannel(): Channel | undefined {
    try {
      return new this.#ground.BroadcastChannel(this.#name)
    } catch {
      this.#isAlone = true
      return undefined
    }
  }

  /** Waits for the lock, or steals it; leads while it is held. */
  #campaign(taking: Taking, steal: boolean): void {
    if (this.#taking !== taking || taking.leader !== undefined) return
    taking.campaign.abort()
    const campaign = taking.campaign = new AbortController()
    const { signal } = campaign
    const lead = () =>
      new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve())
        if (signal.aborted) return resolve()
        taking.leader = this.#lead(taking, campaign)
      })
    const over = (): void => {
      if (taking.campaign !== campaign || signal.aborted) return
      if (taking.leader === undefined) {
        this.#isAlone = true
        return this.#leave("this page can share nothing")
      }
      // Somebody else leads now, and may go as well.
      taking.leader.stop()
      taking.leader = undefined
      this.#link?.end(1006, "another tab leads now")
      this.#campaign(taking, false)
    }
    this.#ground.locks.request(this.#name, steal ? { steal } : { signal }, lead).then(over, over)
  }

  #lead(taking: Taking, campaign: AbortController): Leader {
    const { decode, open, options, platform, PlainDriver, rethrow, transports, url } = this.#ground
    return new Leader({
      id: nextId(),
      decode,
      after: platform.after,
      say: (message) => this.#say(taking, message),
      // This tab waits for the lock again when its session connects again.
      resign: () => {
        campaign.abort()
        taking.leader?.stop()
        taking.leader = undefined
      },
      connect: (start, relay, heard) => {
        const { backoff, client, connectTimeoutMs } = options
        // The program may put another token, or another callback, in the place of these.
        const token = () => typeof options.token === "function" ? options.token() : options.token
        const own = {
          url,
          backoff,
          client,
          connectTimeoutMs,
          start,
          token: options.token === undefined ? undefined : token,
          onError: (error: unknown) => options.onError === undefined ? rethrow(error) : options.onError(error)
        }
        return new PlainDriver(own, platform, transports, url, (apis, url, transport, listener) => {
          const message = (data: unknown): void => {
            heard(data)
            listener.message(data)
          }
          return open(apis, url, transport, { ...listener, message })
        }, relay)
      }
    })
  }

  /** Tells the other tabs, and this one: a channel does not tell who speaks. */
  #say(taking: Taking, message: Message): void {
    if (this.#taking !== taking) return
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- A channel has no other origin.
    taking.channel.postMessage(message)
    queueMicrotask(() => this.#take(taking, message))
  }

  #take(taking: Taking, message: unknown): void {
    if (this.#taking !== taking || !isMessage(message)) return
    if ("leader" in message) this.#link?.take(message)
    else taking.leader?.take(message)
  }

  /** Lets go of everything. The session connects again when the page is shown, if it has not stopped. */
  #leave(reason: string): void {
    const taking = this.#taking
    this.#link?.end(1006, reason)
    this.#link = undefined
    this.#taking = undefined
    if (taking === undefined) return
    taking.campaign.abort()
    taking.leader?.stop()
    taking.leader = undefined
    taking.channel.close()
  }
}

// Pages that are not secure have no `randomUUID`.
const nextId = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-")

/** Calls when the browser puts the page aside. Returns what ends it. Does nothing where there is no page. */
const onPutAside = (run: () => void): () => void => {
  if (typeof document === "undefined" || typeof window === "undefined") return () => {}
  window.addEventListener("pagehide", run)
  document.addEventListener("freeze", run)
  return () => {
    window.removeEventListener("pagehide", run)
    document.removeEventListener("freeze", run)
  }
}
