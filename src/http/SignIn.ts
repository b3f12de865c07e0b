/**
 * One sign-in for the whole application: whoever a gateway would let connect is let
 * in by the program's own routes, and nobody else.
 *
 * A request shows the same token or cookie as a device, is held to the same origins,
 * and is refused once its user's access was revoked. The route then has the user's
 * `Emitter`, bound to that user, and the `Principal`. The emitter lives as long as the
 * request and its answer, a stream included: what goes on after it, in a fiber of its
 * own, takes one from `Emitters.forUser`.
 *
 * The gateway of the process is what knows who may come, so a process without devices
 * has a `Gateway.layer` too. CORS headers of the routes are the program's to set.
 *
 * `middleware` is for routes of `HttpRouter`:
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Emitter } from "effect-emitter"
 * import { Gateway } from "effect-emitter/gateway"
 * import { SignIn } from "effect-emitter/http"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * const ask = HttpRouter.add(
 *   "POST",
 *   "/ask",
 *   Effect.succeed(42).pipe(
 *     Emitter.run({ agentName: "researcher" }), // of the user who asked
 *     Effect.as(HttpServerResponse.text("done"))
 *   )
 * ).pipe(Layer.provide(SignIn.middleware().layer))
 *
 * const routes = ask.pipe(Layer.provideMerge(Gateway.layer()))
 * ```
 *
 * `RpcSignIn` and `layerRpc` are for RPCs, `SignIn` and `layer` for an `HttpApi`:
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Gateway } from "effect-emitter/gateway"
 * import { SignIn } from "effect-emitter/http"
 * import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
 *
 * const Api = HttpApi.make("app").add(
 *   HttpApiGroup.make("users")
 *     .add(HttpApiEndpoint.get("whoami", "/whoami", { success: Schema.String }))
 *     .middleware(SignIn.SignIn)
 * )
 *
 * const users = HttpApiBuilder.group(Api, "users", (handlers) =>
 *   handlers.handle("whoami", () => Effect.map(SignIn.Principal, ({ userId }) => userId)))
 *
 * const routes = HttpApiBuilder.layer(Api).pipe(
 *   Layer.provide(users),
 *   Layer.provide(SignIn.layer({
 *     context: ({ claims }) => claims?.["plan"] === "paid" ? { tier: "paid" } : {}
 *   })),
 *   Layer.provideMerge(Gateway.layer())
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RpcMiddleware from "effect/rpc/RpcMiddleware"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Emitter, Emitters } from "../emitter/Emitter.ts"
import { Reason } from "../gateway/authentication/AuthenticationError.ts"
import type * as Authenticator from "../gateway/authentication/Authenticator.ts"
import { Gateway, type IdentifyError } from "../gateway/Gateway.ts"
import * as Refusal from "../gateway/Refusal.ts"
import type { EmissionContext } from "../protocol/values/Identity.ts"
import type { Given } from "../protocol/values/Present.ts"

/**
 * Who sent the request: the user, until when that is known, and the claims of the
 * token, such as a tenant or a tier.
 *
 * @category services
 * @since 0.1.0
 */
export class Principal extends Context.Service<Principal, Authenticator.Principal>()("effect-emitter/Principal") {}

/**
 * Options:
 *
 * - `context`: what the user's emitter is bound to besides the user, made from the
 *   principal and the request, such as a `threadId` or the `tier`. Nothing by
 *   default. A context that breaks the rules of ids, or names a tier that the
 *   `EmitterLayer` does not have, is a defect.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly context?:
    | ((
      principal: Authenticator.Principal,
      request: HttpServerRequest
    ) => Given<Omit<typeof EmissionContext.Encoded, "userId">>)
    | undefined
}

/**
 * The request's credentials were refused, and would be again: `reason` says why.
 * Status 401.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotSignedIn extends Schema.TaggedError<NotSignedIn>()("NotSignedIn", { reason: Reason }, {
  httpApiStatus: 401
}) {}

/**
 * The page that sent the request is none of the gateway's `origins`. Status 403.
 *
 * @category errors
 * @since 0.1.0
 */
export class OriginNotAllowed extends Schema.TaggedError<OriginNotAllowed>()("OriginNotAllowed", {
  detail: Schema.String
}, { httpApiStatus: 403 }) {
  override get message() {
    return this.detail
  }
}

/**
 * Who sent the request cannot be found out at the moment, since what knows of tokens
 * or of revocations gives no answer. The same request may be sent again after
 * `retryAfterMs`. Status 503.
 *
 * @category errors
 * @since 0.1.0
 */
export class SignInUnavailable extends Schema.TaggedError<SignInUnavailable>()("SignInUnavailable", {
  retryAfterMs: Schema.Int
}, { httpApiStatus: 503 }) {}

/**
 * The middleware of an `HttpApi`, for a group, an endpoint or all of them: it gives
 * handlers the `Principal` and the user's `Emitter`, or answers with `NotSignedIn`,
 * `OriginNotAllowed` or `SignInUnavailable`. The emitter lives as long as the request.
 * The OpenAPI document names a bearer token as what an endpoint wants (`bearer`); what
 * an authenticator recognizes besides, such as a session's cookie, is taken as well.
 *
 * @category middleware
 * @since 0.1.0
 */
export class SignIn extends HttpApiMiddleware.Service<SignIn, { provides: Principal | Emitter }>()(
  "effect-emitter/SignIn",
  {
    error: [NotSignedIn, OriginNotAllowed, SignInUnavailable],
    security: { bearer: HttpApiSecurity.bearer }
  }
) {}

/**
 * The same for RPCs that are served over HTTP or WebSocket, as a middleware of a
 * group or of one RPC: it gives handlers the `Principal` and the user's `Emitter`, or
 * fails as `SignIn` does. Who calls is looked up for each call: by the `authorization`
 * among its headers, else in the request that brought it, over a WebSocket in that which
 * opened it. The origin is always that request's. The emitter lives as long as the call,
 * a stream included. A call that came otherwise is a defect.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Emitter } from "effect-emitter"
 * import { SignIn } from "effect-emitter/http"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * const Agent = RpcGroup.make(Rpc.make("ask", { success: Schema.Finite })).middleware(SignIn.RpcSignIn)
 *
 * const handlers = Agent.toLayer({
 *   ask: () => Effect.succeed(42).pipe(Emitter.run({ agentName: "researcher", onEmitError: "log" }))
 * }).pipe(Layer.provideMerge(SignIn.layerRpc()))
 * ```
 *
 * @category middleware
 * @since 0.1.0
 */
export class RpcSignIn extends RpcMiddleware.Service<RpcSignIn, { provides: Principal | Emitter }>()(
  "effect-emitter/RpcSignIn",
  { error: Schema.Union([NotSignedIn, OriginNotAllowed, SignInUnavailable]) }
) {}

const signInWith = ({ context = () => ({}) }: Options): Effect.Effect<
  Effect.Effect<Context.Context<Principal | Emitter>, IdentifyError, HttpServerRequest | Scope.Scope>,
  never,
  Gateway | Emitters
> =>
  Effect.gen(function*() {
    const { identify } = yield* Gateway
    const { forUser } = yield* Emitters
    return Effect.gen(function*() {
      const request = yield* HttpServerRequest
      const principal = yield* identify(request)
      const { userId } = principal
      const emitter = yield* Effect.orDie(forUser({ ...context(principal, request), userId }))
      return Context.make(Principal, principal).pipe(Context.add(Emitter, emitter))
    })
  })

const retryAfterMs = 1_000

const toApiError = (error: IdentifyError): NotSignedIn | OriginNotAllowed | SignInUnavailable => {
  switch (error._tag) {
    case "Unauthenticated":
      return new NotSignedIn({ reason: error.reason })
    case "OriginRefused":
      return new OriginNotAllowed({ detail: error.detail })
    case "AuthenticatorUnavailable":
    case "BrokerError":
      return new SignInUnavailable({ retryAfterMs })
  }
}

/**
 * What `SignIn` needs on the server: a gateway, whose authenticator and origins
 * count, and the emitters.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<SignIn, never, Gateway | Emitters> =>
  Layer.effect(
    SignIn,
    Effect.map(signInWith(options), (signIn) => ({
      // The gateway reads the request by itself, a cookie included.
      bearer: (handler) =>
        Effect.flatMap(Effect.mapError(signIn, toApiError), (signedIn) => Effect.provideContext(handler, signedIn))
    }))
  )

/**
 * What `RpcSignIn` needs on the server: the same as `SignIn`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRpc = (options: Options = {}): Layer.Layer<RpcSignIn, never, Gateway | Emitters> =>
  Layer.effect(
    RpcSignIn,
    Effect.map(signInWith(options), (signIn) => (handler, { headers }) =>
      Effect.flatMap(Effect.serviceOption(HttpServerRequest), (request) =>
        Option.isNone(request)
          ? Effect.die(new TypeError("RpcSignIn is for RPCs that are served over HTTP or WebSocket"))
          : signIn.pipe(
            Effect.provideService(HttpServerRequest, withToken(request.value, headers["authorization"])),
            Effect.mapError(toApiError),
            Effect.flatMap((signedIn) =>
              Effect.provideContext(handler, signedIn)
            )
          )))
  )

// A call may show a token of its own. Where it comes from, and its cookies, are the request's: a page writes the headers
// of a call, and not those.
const withToken = (request: HttpServerRequest, authorization: string | undefined): HttpServerRequest =>
  authorization === undefined
    ? request
    : request.modify({ headers: Headers.set(request.headers, "authorization", authorization) })

const toResponse = (error: IdentifyError) => Refusal.ofIdentifyError(error, () => retryAfterMs)

/**
 * The middleware for routes of an `HttpRouter`: it gives handlers the `Principal` and
 * the user's `Emitter`, or answers as the gateway itself would, with 401, 403 or 503
 * and a JSON body of `code` and `message`. The emitter lives as long as the request.
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware = (options: Options = {}) =>
  HttpRouter.middleware<{ provides: Principal | Emitter }>()(
    Effect.map(signInWith(options), (signIn) => (handler) =>
      Effect.matchEffect(signIn, {
        onFailure: (error) => Effect.succeed(toResponse(error)),
        onSuccess: (signedIn) => Effect.provideContext(handler, signedIn)
      }))
  )
