/**
 * The client for programs without Effect: one function, a few callbacks.
 *
 * ```ts
 * import { connect } from "effect-emitter/client"
 *
 * const connection = connect({
 *   url: "/events",
 *   token: () => fetch("/token").then((response) => response.text()),
 *   onEvent: (event) => {
 *     if (event.type === "text_delta") document.body.append(event.payload.delta)
 *   },
 *   onStatus: (status) => console.log(status.state)
 * })
 *
 * connection.close()
 * ```
 *
 * It keeps all promises of `DeviceSession`, and loads nothing of Effect.
 *
 * @since 0.1.0
 */
import { decode } from "./transport/ServerFrames.ts"
import { both, type Transports, usable } from "./transport/Transports.ts"
import { PlainDriver } from "./driver/PlainDriver.ts"
import type { BuiltIn } from "../protocol/event/AgentEvents.ts"
import type * as Event from "../protocol/event/Event.ts"
import type { Connection, ConnectOptions } from "./driver/ConnectOptions.ts"
import { rethrow } from "./driver/Callback.ts"
import * as Limits from "./driver/Limits.ts"
import type { Platform } from "./transport/Platform.ts"
import { ambient, socketUrl } from "./transport/Platform.ts"
import { type Open, open, openLater } from "./transport/Connector.ts"
import type { SharedTab } from "./shared/SharedTab.ts"

/**
 * Connects, and stays connected until it is closed or the server refuses. Throws
 * a `TypeError` when the address is none, or none of the transports can be used
 * here, or a limit is no number that it can be; later problems come as status.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = <D extends Event.AnyDefinition = BuiltIn>(options: ConnectOptions<D>): Connection<D> => {
  const platform: Platform = { ...ambient(), ...options.platform }
  const url = socketUrl(options.url)
  if (url === undefined) {
    throw new TypeError(`"url" needs ws(s) or http(s), and no user or #`)
  }
  const transports = usable(options.transports ?? both, platform)
  if (transports === undefined) throw new TypeError(`no "transports" here: Node 22 and browsers have both`)
  const limit = Limits.wrong(options)
  if (limit !== undefined) throw new TypeError(`"${limit.option}" must be a whole number from ${limit.least} up`)
  return new PlainDriver(options, platform, transports, url, sharing(options, platform, transports))
}

const loaded = { PlainDriver, open, decode, rethrow }

/**
 * Opens connections through what tabs share, where they can and are to. It is loaded by those that do; one that cannot
 * load it, as after a deploy, has its own.
 */
const sharing = <D extends Event.AnyDefinition>(
  options: ConnectOptions<D>,
  platform: Platform,
  transports: Transports
): Open | undefined => {
  const { BroadcastChannel, locks } = platform
  const { shared } = options
  if (shared === undefined || locks === undefined || BroadcastChannel === undefined) return undefined
  let tab: SharedTab<D> | undefined
  return (_, url, transport, listener, end) =>
    openLater(async () => {
      const module = await import("./shared/SharedTab.ts").catch(() => undefined)
      if (module === undefined) return () => open(platform, url, transport, listener)
      tab ??= new module.SharedTab({
        ...loaded,
        options,
        platform,
        locks,
        BroadcastChannel,
        transports,
        url,
        user: shared,
        end
      })
      const { open: openShared } = tab
      return () => openShared(transport, listener)
    }, listener)
}
