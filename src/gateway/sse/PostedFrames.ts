/**
 * The frames that devices post, since server-sent events have no way back: an `ack`
 * that names its epoch, or a `pong` that names its connection, as the body of a `POST`
 * to the gateway's path.
 *
 * The request stands for itself, so it may arrive at any node, with or without
 * the device's stream. It is authenticated like every other. It confirms the events
 * that it names, of its own user alone, and none past the head of the log.
 *
 * As a sign of life it counts at the node that holds the stream, since nodes share no
 * more than the log. Behind a balancer that sends a device's requests to several
 * nodes, a stream counts as silent after two heartbeats: at its user's limit on
 * connections of its node it then loses its place to a newcomer, with 4501, and comes
 * back. A balancer that keeps a device's requests at one node, by its address or its
 * `Authorization` header for example, keeps such streams their places.
 *
 * @since 0.1.0
 */
import * as ByteSize from "effect/ByteSize"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerError } from "effect/http/HttpServerError"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { BrokerError } from "../../broker/Broker.ts"
import type { Hub } from "../../hub/Hub.ts"
import type { Revoked } from "../../hub/Revocation.ts"
import { closeCodes } from "../../protocol/wire/CloseCode.ts"
import * as Frame from "../../protocol/wire/Frame.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Principal } from "../authentication/Authenticator.ts"
import * as Refusal from "../Refusal.ts"
import type { Rates } from "../admission/Rates.ts"

/**
 * What posted frames need of their gateway. `rates` limits them per user,
 * `maxBytes` is the most that one may take, `timeout` how long it may take to
 * arrive.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly hub: Hub["Service"]
  readonly rates: Rates<UserId>
  readonly maxBytes: number
  readonly timeout: Duration.Duration
}

const taken = HttpServerResponse.empty({ status: 204 })

/**
 * Answers one request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const answer = (
  options: Options,
  request: HttpServerRequest,
  { issuedAt, userId }: Principal,
  now: number
): Effect.Effect<HttpServerResponse.HttpServerResponse, BrokerError | Revoked> => {
  if (!options.rates.take(userId, now)) return Effect.succeed(Refusal.tooManyFrames(options.rates.perSecond))
  const { hub, maxBytes, timeout } = options
  return request.text.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes)),
    Effect.timeout(timeout),
    Effect.map(Frame.decodePosted),
    Effect.flatMap(Effect.fromResult),
    Effect.flatMap((frame) =>
      Effect.andThen(
        hub.admit(userId, issuedAt),
        Effect.suspend(() => {
          hub.hear(userId, frame.connection)
          return frame.type === "pong"
            ? Effect.void
            : hub.acknowledge(userId, { epoch: frame.epoch, offset: frame.offset }, frame.confirmed ?? [])
        })
      )
    ),
    Effect.as(taken),
    Effect.catchTag("FrameError", (error) => Effect.succeed(Refusal.badRequest(error.detail))),
    Effect.catchTag("HttpServerError", (error) => Effect.succeed(unreadable(error, maxBytes))),
    Effect.catchTag("TimeoutError", () => Effect.succeed(late))
  )
}

// The request is cut with its body unread, so this is for middleware that logs.
const late = Refusal.refuse(408, closeCodes.helloTimeout, "the body did not arrive in time")

const unreadable = ({ reason }: HttpServerError, maxBytes: number): HttpServerResponse.HttpServerResponse =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
    ? Refusal.refuse(413, closeCodes.frameTooLarge, `a frame may have ${maxBytes} bytes`)
    : Refusal.badRequest("the body cannot be read")
