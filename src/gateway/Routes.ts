/**
 * What a gateway answers at its path: `GET` and upgrades with a connection, `POST`
 * with what became of a frame, `OPTIONS` with what pages of other origins may do.
 *
 * Each request comes by the same doors, in this order: its origin, then whether there
 * is a place on this node, then its address, then who sent it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Monotonic from "../protocol/values/Monotonic.ts"
import type { Admission, Admitted } from "./admission/Admission.ts"
import type { Servers } from "./admission/Servers.ts"
import { Unauthenticated } from "./authentication/AuthenticationError.ts"
import type { Principal } from "./authentication/Authenticator.ts"
import * as Identification from "./authentication/Identification.ts"
import * as OriginPolicy from "./authentication/OriginPolicy.ts"
import type { Origins } from "./GatewayConfig.ts"
import { closeAfterwards } from "./NodeResponse.ts"
import { tellUnserved } from "./OperatorLog.ts"
import * as Refusal from "./Refusal.ts"
import type { ServeError } from "./session/CloseReasons.ts"
import type { SessionContext } from "./session/SessionContext.ts"
import type { Sessions } from "./session/Sessions.ts"
import * as PostedFrames from "./sse/PostedFrames.ts"
import * as SseRequest from "./sse/SseRequest.ts"
import * as SseStream from "./sse/SseStream.ts"
import * as DeviceSocket from "./websocket/DeviceSocket.ts"
import { WebSocketSession } from "./websocket/WebSocketSession.ts"

/**
 * What the routes stand on.
 *
 * - `sockets` takes handshakes over, on `servers`.
 * - `notAdmitted` is called for each request that its address sent too many.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly admission: Admission["Service"]
  readonly context: SessionContext
  readonly notAdmitted: () => void
  readonly origins: Origins
  readonly posted: PostedFrames.Options
  readonly servers: Servers
  readonly sessions: Sessions
  readonly sockets: DeviceSocket.Server
}

/**
 * Answers a request, whatever is wrong with it.
 *
 * @category models
 * @since 0.1.0
 */
export type Handler = (request: HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse>

/**
 * The handlers, by method. `GET` also takes upgrades and `HEAD`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Routes {
  readonly get: Handler
  readonly post: Handler
  readonly options: Handler
}

/**
 * Makes the answers to each kind of request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { admission, context, notAdmitted, origins, posted, servers, sessions, sockets }: Options
): Routes => {
  const { authenticator, clock, comeBackAfterMs, hub, strangers, tell } = context
  const identify = Identification.make({ authenticator, strangers })

  const corsOf = ({ headers }: HttpServerRequest) => OriginPolicy.corsHeaders(origins, headers["origin"])

  const refuse = (error: ServeError): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
    Effect.as(
      error._tag === "BrokerError" ? tellUnserved(tell, error) : Effect.void,
      Refusal.ofError(error, comeBackAfterMs)
    )

  const admitted = (
    request: HttpServerRequest,
    hasPlace: Effect.Effect<void, ServeError>,
    serve: (principal: Principal | undefined, admitted: Admitted) => Effect.Effect<
      HttpServerResponse.HttpServerResponse,
      ServeError
    >
  ): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
    Effect.suspend((): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
      if (!OriginPolicy.isAllowed(origins, request.headers)) {
        // A request that nobody looks at leaves no socket behind, to ask again from or to hold.
        closeAfterwards(request)
        const { detail, forOperator } = OriginPolicy.refusalOf(origins, request.headers)
        const readable = HttpServerResponse.setHeaders(OriginPolicy.refusalHeaders(request.headers["origin"]))
        return Effect.as(tell("origin", forOperator, Effect.logWarning), readable(Refusal.originRefused(detail)))
      }
      return hasPlace.pipe(
        Effect.andThen(admission.admit(request)),
        Effect.flatMap((sender) =>
          Effect.flatMap(identify(request), (principal) =>
            // It may have taken a while, and this server may be going by now.
            Effect.andThen(hasPlace, serve(principal, sender)))
        ),
        Effect.catch((error) => {
          if (error._tag !== "NotAdmitted") return refuse(error)
          notAdmitted()
          closeAfterwards(request)
          return Effect.as(tell("address", oneAddress, Effect.logWarning), Refusal.tooManyRequests(error.retryAfterMs))
        }),
        Effect.map(HttpServerResponse.setHeaders(corsOf(request)))
      )
    })

  const upgrade = (request: HttpServerRequest, principal: Principal | undefined, { known }: Admitted) =>
    DeviceSocket.accept(
      sockets,
      servers,
      request,
      context.compressor,
      (socket) => new WebSocketSession(context, socket, principal, known)
    )
      .pipe(
        Effect.as(Refusal.switching),
        Effect.catchTag(
          "HandshakeRefused",
          ({ detail, isVersion }) => Effect.succeed(isVersion ? Refusal.otherVersion : Refusal.badRequest(detail))
        ),
        Effect.catchTag("HttpServerError", () => Effect.succeed(Refusal.upgradeRequired))
      )

  const stream = (request: HttpServerRequest, principal: Principal) =>
    Effect.flatMap(
      SseRequest.read(request, context.limits),
      (asked) =>
        request.method === "HEAD"
          ? Effect.as(hub.admit(principal.userId, principal.issuedAt), headOf(corsOf(request)))
          : Effect.as(
            SseStream.serve(context, request, { principal, headers: corsOf(request), ...asked }),
            Refusal.switching
          )
    ).pipe(
      Effect.catchTag("StreamRequestError", ({ detail }) => Effect.succeed(Refusal.badRequest(detail))),
      Effect.catchTag(
        "StreamRefused",
        ({ reason }) => Effect.sync(() => Refusal.ofCloseReason(reason, comeBackAfterMs()))
      )
    )

  const headOf = (cors: Readonly<Record<string, string>>) =>
    HttpServerResponse.empty({ status: 200, headers: SseStream.headersOf(context, cors) })

  const takesDevices = Effect.andThen(sessions.ensureOpen, hub.ensureRoom)

  return {
    get: (request) =>
      admitted(request, takesDevices, (principal, sender) => {
        if (request.headers["upgrade"] !== undefined) return upgrade(request, principal, sender)
        if (!SseRequest.isMeant(request)) return Effect.succeed(Refusal.upgradeRequired)
        if (principal === undefined) return Effect.fail(new Unauthenticated({ reason: "missing" }))
        sender.known()
        return stream(request, principal)
      }),
    post: (request) =>
      admitted(request, Effect.void, (principal, sender) => {
        if (principal === undefined) return Effect.fail(new Unauthenticated({ reason: "missing" }))
        sender.known()
        return PostedFrames.answer(posted, request, principal, Monotonic.millisUnsafe(clock))
      }),
    options: (request) =>
      Effect.sync(() =>
        OriginPolicy.isAllowed(origins, request.headers)
          ? HttpServerResponse.empty({ status: 204, headers: { ...OriginPolicy.preflightHeaders, ...corsOf(request) } })
          : Refusal.originRefused(OriginPolicy.refusalOf(origins, request.headers).detail)
      )
  }
}

const oneAddress =
  `An address sent too many requests that are no device's; if it is a proxy's, name in "addressHeader" `
  + "the header that holds the device's own"
