/**
 * Finds out who a request is from, before anything is done for it.
 *
 * A token in the `Authorization` header counts; without the header the
 * authenticator may recognize the request otherwise, or leave it to a `hello`
 * frame. An authenticator that fails or takes too long refuses nobody for good:
 * the device is asked to come back.
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { AuthenticationError, Authenticator, Principal } from "./Authenticator.ts"
import * as Refusal from "../Refusal.ts"
import type { Strangers } from "../admission/Strangers.ts"
import { Unauthenticated } from "./AuthenticationError.ts"

/**
 * Answers a request by what is known of its sender, or says why it is refused.
 * The principal is `undefined` where the request says nothing of it.
 *
 * @category models
 * @since 0.1.0
 */
export type Identified = (
  request: HttpServerRequest,
  then: (principal: Principal | undefined) => Effect.Effect<HttpServerResponse, Unauthenticated>
) => Effect.Effect<HttpServerResponse>

/**
 * - `comeBackAfterMs` is what a device is told that finds it unavailable, in
 *   milliseconds.
 * - `strangers` bounds the requests whose sender is not known yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ authenticator, comeBackAfterMs, strangers }: {
  readonly authenticator: Authenticator["Service"]
  readonly comeBackAfterMs: () => number
  readonly strangers: Strangers
}): Identified => {
  const authenticate = (request: HttpServerRequest): Effect.Effect<Principal | undefined, AuthenticationError> => {
    const header = request.headers["authorization"]
    if (header === undefined) return Effect.map(authenticator.recognize(request), Option.getOrUndefined)
    const token = /^Bearer +([^\s]+) *$/i.exec(header)?.[1]
    return token === undefined
      ? Effect.fail(new Unauthenticated({ reason: "malformed" }))
      : authenticator.verify(Redacted.make(token))
  }

  return (request, then) =>
    strangers.identify(NodeHttpServerRequest.toIncomingMessage(request), authenticate(request)).pipe(
      Effect.flatMap(then),
      Effect.catchTag("Unauthenticated", (error) => Effect.succeed(Refusal.unauthenticated(error.message))),
      Effect.catchTag(
        "AuthenticatorUnavailable",
        () => Effect.sync(() => Refusal.unavailable("unauthenticatable", comeBackAfterMs()))
      )
    )
}
