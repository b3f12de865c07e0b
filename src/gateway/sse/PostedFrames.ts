/**
 * The frames that devices post, since server-sent events have no way back: an `ack`
 * that names its epoch, a `pong` that names its connection, or a `command`, as the body
 * of a `POST` to the gateway's path.
 *
 * The request stands for itself, so it may arrive at any node, with or without
 * the device's stream. It is authenticated like every other. It confirms the events
 * that it names, of its own user alone, and none past the head of the log.
 *
 * A command is answered with what became of it. It needs no stream, so a program without
 * any may send it as well.
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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { BrokerError } from "../../broker/Broker.ts"
import type { Outcome } from "../../protocol/command/Command.ts"
import type { Commands } from "../command/Commands.ts"
import type { Hub } from "../../hub/Hub.ts"
import type { Revoked } from "../../hub/Revocation.ts"
import { closeCodes } from "../../protocol/wire/CloseCode.ts"
import * as Frame from "../../protocol/wire/Frame.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Principal } from "../authentication/Authenticator.ts"
import * as Refusal from "../Refusal.ts"
import * as RequestBody from "../RequestBody.ts"
import { Draining } from "../session/Sessions.ts"
import type { Rates } from "../admission/Rates.ts"

/**
 * What posted frames need of their gateway. `rates` limits them per user, all but
 * commands, which have their own limits. `maxBytes` is the most that one may take,
 * `timeout` how long it may take to arrive, unless `goodbye` comes first; `comeBackAfterMs` is when a command may be
 * sent again of which nobody knows what became.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly hub: Hub["Service"]
  readonly commands: Commands
  readonly comeBackAfterMs: () => number
  readonly goodbye: Effect.Effect<void>
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
  principal: Principal,
  now: number
): Effect.Effect<HttpServerResponse.HttpServerResponse, BrokerError | Revoked | Draining> => {
  const { goodbye, hub, maxBytes, rates, timeout } = options
  const { issuedAt, userId } = principal
  if (!rates.take(userId, now)) return Effect.succeed(Refusal.tooManyFrames(rates.perSecond))
  const unless = Effect.andThen(goodbye, Effect.fail(new Draining()))
  return RequestBody.text(request, { maxBytes, timeout, unless }).pipe(
    Effect.map(Frame.decodePosted),
    Effect.flatMap(Effect.fromResult),
    Effect.flatMap((frame) =>
      Effect.andThen(
        hub.admit(userId, issuedAt),
        Effect.suspend(() => {
          if (frame.type === "command") return takeCommand(options, principal, frame)
          hub.hear(userId, frame.connection)
          return frame.type === "pong"
            ? Effect.succeed(taken)
            : Effect.as(
              hub.acknowledge(userId, { epoch: frame.epoch, offset: frame.offset }, frame.confirmed ?? []),
              taken
            )
        })
      )
    ),
    Effect.catchTag("FrameError", ({ command, detail }) =>
      Effect.sync(() => {
        if (command === undefined) return Refusal.badRequest(detail)
        const { id, path } = command
        return outcomeOf(id, options.commands.refuse("invalid", { path, message: detail }))
      })),
    Effect.catchTag("HttpServerError", (error) => Effect.succeed(unreadable(error, maxBytes))),
    Effect.catchTag("TimeoutError", () => Effect.succeed(late))
  )
}

const takeCommand = (
  { comeBackAfterMs, commands, rates }: Options,
  principal: Principal,
  command: Frame.Command
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  if (commands.isTooOften({ principal })) {
    return Effect.succeed(outcomeOf(command.id, commands.refuse("tooMany", { message: "commands came too fast" })))
  }
  rates.giveBack(principal.userId)
  return Effect.match(commands.decided({ principal }, command), {
    onSuccess: (outcome) => outcomeOf(command.id, outcome),
    onFailure: () => Refusal.unavailable("undecided", comeBackAfterMs())
  })
}

const outcomeOf = (id: Frame.Command["id"], outcome: Outcome): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(Frame.encode({ type: "command", id, ...outcome }), {
    contentType: "application/json",
    headers: { "cache-control": "no-store" }
  })

// The request is cut with its body unread, so this is for middleware that logs.
const late = Refusal.refuse(408, closeCodes.helloTimeout, "the body did not arrive in time")

const unreadable = ({ reason }: HttpServerError, maxBytes: number): HttpServerResponse.HttpServerResponse =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
    ? Refusal.refuse(413, closeCodes.frameTooLarge, `a frame may have ${maxBytes} bytes`)
    : Refusal.badRequest("the body cannot be read")
