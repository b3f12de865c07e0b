/**
 * Decides which requests a gateway looks at, before it asks who sent them.
 *
 * The layer of a gateway makes a default of its own, which counts addresses. A
 * program that provides an `Admission` decides instead, by a store that several
 * nodes share for example.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Admission, Gateway } from "effect-emitter/gateway"
 *
 * const events = Gateway.layer().pipe(
 *   Layer.provide(Admission.layerAddresses({ perSecond: 20, header: "cf-connecting-ip" }))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import { Rates } from "./Rates.ts"

/**
 * A request that is looked at. `known` is called once it has turned out to be a
 * device's, so that devices need not share a limit with strangers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Admitted {
  readonly known: () => void
}

/**
 * A request that is not looked at, and after how long its sender may come back,
 * in milliseconds.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAdmitted extends Schema.TaggedError<NotAdmitted>()("NotAdmitted", { retryAfterMs: Schema.Natural }) {
  override get message() {
    return `Too many requests: come back after ${this.retryAfterMs} ms`
  }
}

/**
 * Decides which requests are looked at.
 *
 * - `admit` is asked about every request to the gateway's path: upgrades, streams
 *   and `POST` alike. Its sender is not known, and whatever it says of itself may
 *   be a lie.
 *
 * @category services
 * @since 0.1.0
 */
export class Admission extends Context.Service<Admission, {
  readonly admit: (request: HttpServerRequest) => Effect.Effect<Admitted, NotAdmitted>
}>()("effect-emitter/Admission") {}

/**
 * What is counted, and by which address.
 *
 * - `perSecond`: how many requests of one address are looked at per second, and as
 *   many at once. Those of devices do not count;
 * - `header`: which header names the device's address, of a proxy that sets it
 *   anew for each request. Of several addresses in it the last counts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly perSecond: number
  readonly header?: string
}

/**
 * Counts requests by address: the one in `header`; else the one that
 * `HttpMiddleware.xForwardedHeaders` found; else that of the socket. Addresses of
 * IPv6 count by their first 64 bits.
 *
 * Requests that come through a proxy nobody told of are not counted, since all
 * devices would share its address. They come from a private address, and carry a
 * header that only proxies set.
 *
 * ```ts
 * import { Clock, Effect, Layer } from "effect"
 * import { Admission } from "effect-emitter/gateway"
 *
 * // Twenty requests a second of each address, behind a proxy that names the address in a header of its own.
 * const admission = Layer.effect(
 *   Admission.Admission,
 *   Effect.map(Clock.Clock, (clock) => Admission.makeAddresses({ clock, perSecond: 20, header: "x-client-ip" }))
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeAddresses = (
  { clock, header, perSecond }: Options & { readonly clock: Clock.Clock }
): Admission["Service"] => {
  const rates = new Rates<string>(perSecond)
  const refused = Effect.fail(new NotAdmitted({ retryAfterMs: Math.ceil(1_000 / perSecond) }))
  return {
    admit: (request) =>
      Effect.suspend((): Effect.Effect<Admitted, NotAdmitted> => {
        const address = addressOf(request, header?.toLowerCase())
        if (address === undefined) return anybody
        const key = networkOf(address)
        return rates.take(key, Monotonic.millisUnsafe(clock))
          ? Effect.succeed({ known: () => rates.giveBack(key) })
          : refused
      })
  }
}

/**
 * Counts requests by address, as `makeAddresses` does.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAddresses = (options: Options): Layer.Layer<Admission> =>
  Layer.effect(Admission, Effect.map(Clock.Clock, (clock) => makeAddresses({ ...options, clock })))

const anybody = Effect.succeed<Admitted>({ known: () => {} })

/**
 * Admits every request.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Admission, Gateway } from "effect-emitter/gateway"
 *
 * // What stands before the gateway counts already.
 * const gateway = Gateway.layer({ path: "/events" }).pipe(Layer.provide(Admission.layerUnlimited))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerUnlimited: Layer.Layer<Admission> = Layer.succeed(Admission, { admit: () => anybody })

const addressOf = (request: HttpServerRequest, header: string | undefined): string | undefined => {
  const peer = Option.getOrUndefined(request.peerAddress)
  if (header !== undefined) return request.headers[header]?.split(",").at(-1)?.trim() ?? peer
  const remote = Option.getOrUndefined(request.remoteAddress)
  if (remote !== peer || peer === undefined) return remote
  return isPrivate(peer) && byProxies.some((name) => request.headers[name] !== undefined) ? undefined : peer
}

const byProxies = ["x-forwarded-for", "forwarded", "x-real-ip", "via"] as const

// Loopback, RFC 1918, carriers' NAT, link-local and unique local addresses, of IPv4 also as part of IPv6.
const isPrivate = (address: string): boolean =>
  /^(?:::ffff:)?(?:127\.|10\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/iu
    .test(address) || /^(?:::1$|f[cd]|fe[89ab])/iu.test(address)

// Who has one address of IPv6 has 2^64 of them.
const networkOf = (address: string): string => {
  if (!address.includes(":") || address.includes(".")) return address
  const [before = "", after] = address.split("::")
  const groups = before === "" ? [] : before.split(":")
  if (after !== undefined) {
    const last = after === "" ? [] : after.split(":")
    while (groups.length + last.length < 8) groups.push("0")
  }
  return groups.slice(0, 4).join(":")
}
