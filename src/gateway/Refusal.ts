/**
 * What a request gets that does not become a connection: a status, and a JSON
 * body with the same `code` and `message` as an `error` frame.
 *
 * @since 0.1.0
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { CloseReason } from "../hub/Transport.ts"
import { type CloseCode, closeCodes } from "../protocol/wire/CloseCode.ts"
import type { IdentifyError } from "./authentication/IdentifyError.ts"
import * as CloseReasons from "./session/CloseReasons.ts"

const respond = (
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {}
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe({ code, message }, { status, headers: { "cache-control": "no-store", ...headers } })

/**
 * The user posts more frames per second than a device may send.
 *
 * @category responses
 * @since 0.1.0
 */
export const tooManyFrames = (perSecond: number): HttpServerResponse.HttpServerResponse =>
  respond(429, closeCodes.tooManyFrames.name, `more than ${perSecond} frames per second`, retryAfter(1_000))

/**
 * The status that stands for a close code.
 *
 * @category responses
 * @since 0.1.0
 */
export const refuse = (
  status: number,
  { meaning, name }: CloseCode,
  detail: string = meaning
): HttpServerResponse.HttpServerResponse => respond(status, name, detail)

/**
 * Reported to middleware for a request that became a WebSocket; never sent.
 *
 * @category responses
 * @since 0.1.0
 */
export const switching: HttpServerResponse.HttpServerResponse = HttpServerResponse.empty({ status: 101 })

/**
 * The handshake is not valid.
 *
 * @category responses
 * @since 0.1.0
 */
export const badRequest = (detail: string): HttpServerResponse.HttpServerResponse =>
  refuse(400, closeCodes.badFrame, detail)

/**
 * The request asks for nothing that is offered here.
 *
 * @category responses
 * @since 0.1.0
 */
export const upgradeRequired: HttpServerResponse.HttpServerResponse = respond(
  426,
  "upgradeRequired",
  "connect with WebSocket, or accept text/event-stream",
  { upgrade: "websocket", connection: "upgrade" }
)

/**
 * The handshake asks for another version of WebSocket.
 *
 * @category responses
 * @since 0.1.0
 */
export const otherVersion: HttpServerResponse.HttpServerResponse = respond(
  426,
  "upgradeRequired",
  "version 13 of WebSocket is spoken here",
  { upgrade: "websocket", "sec-websocket-version": "13" }
)

/**
 * The page's origin is not allowed.
 *
 * @category responses
 * @since 0.1.0
 */
export const originRefused = (detail: string): HttpServerResponse.HttpServerResponse =>
  refuse(403, closeCodes.originRefused, detail)

/**
 * What the end of a session is for a device that nothing was sent to. Where the reason
 * names no time it may come back after `comeBackAfterMs`.
 *
 * @category responses
 * @since 0.1.0
 */
export const ofCloseReason = (
  { code, detail, reconnectAfterMs }: CloseReason,
  comeBackAfterMs: number
): HttpServerResponse.HttpServerResponse => {
  if (code === closeCodes.unauthenticated) return unauthenticated(detail)
  const status = code === closeCodes.tooManyConnections ? 429 : 503
  return respond(status, code.name, detail, retryAfter(reconnectAfterMs ?? comeBackAfterMs))
}

/**
 * What keeps a device from being served. A limit of the node is told as `unavailable`.
 *
 * @category responses
 * @since 0.1.0
 */
export const ofError = (
  error: CloseReasons.ServeError,
  comeBackAfterMs: () => number
): HttpServerResponse.HttpServerResponse => {
  switch (error._tag) {
    case "AuthenticatorUnavailable":
      return unavailable("unauthenticatable", comeBackAfterMs())
    case "TooManyAtOnce":
      return unavailable("busy", comeBackAfterMs())
    case "BrokerError":
      return unavailable("brokerUnavailable", comeBackAfterMs())
    default:
      return error._tag === "TooManyConnections" && error.scope === "node"
        ? unavailable("full", comeBackAfterMs())
        : ofCloseReason(CloseReasons.ofError(error, comeBackAfterMs), comeBackAfterMs())
  }
}

/**
 * Why it was not found out who a request is from.
 *
 * @category responses
 * @since 0.2.0
 */
export const ofIdentifyError = (
  error: IdentifyError,
  comeBackAfterMs: () => number
): HttpServerResponse.HttpServerResponse =>
  error._tag === "OriginRefused" ? originRefused(error.detail) : ofError(error, comeBackAfterMs)

/**
 * Too many requests came: the same may be sent again after a while.
 *
 * @category responses
 * @since 0.1.0
 */
export const tooManyRequests = (afterMs: number): HttpServerResponse.HttpServerResponse =>
  respond(429, "busy", "too many requests came at once from this address", retryAfter(afterMs))

/**
 * Credentials were refused.
 *
 * @category responses
 * @since 0.1.0
 */
export const unauthenticated = (detail: string): HttpServerResponse.HttpServerResponse =>
  respond(401, closeCodes.unauthenticated.name, detail, {
    "www-authenticate": `Bearer error="invalid_token", error_description="${detail.replaceAll("\"", "'")}"`
  })

/**
 * Not now: come back after a while.
 *
 * @category responses
 * @since 0.1.0
 */
export const unavailable = (
  reason: keyof typeof unavailableReasons,
  reconnectAfterMs: number
): HttpServerResponse.HttpServerResponse =>
  respond(503, reason, unavailableReasons[reason], retryAfter(reconnectAfterMs))

const retryAfter = (ms: number) => ({ "retry-after": String(Math.max(1, Math.ceil(ms / 1000))) })

const unavailableReasons = {
  draining: closeCodes.draining.meaning,
  busy: "too many devices came at once",
  brokerUnavailable: closeCodes.brokerUnavailable.meaning,
  full: "this server has as many connections as it takes",
  undecided: "it is not known what became of the command: send the same again",
  unauthenticatable: "credentials cannot be checked at the moment"
} as const
