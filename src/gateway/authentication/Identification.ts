/**
 * Finds out who a request is from, before anything is done for it.
 *
 * A token in the `Authorization` header counts; without the header the
 * authenticator may recognize the request otherwise, or leave it to a `hello`
 * frame.
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Strangers } from "../admission/Strangers.ts"
import { type AuthenticationError, Unauthenticated } from "./AuthenticationError.ts"
import type { Authenticator, Principal } from "./Authenticator.ts"

/**
 * Who a request is from: `undefined` where the request says nothing of it. `strangers` bounds the requests whose sender
 * is not known yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ authenticator, strangers }: {
  readonly authenticator: Authenticator["Service"]
  readonly strangers: Strangers
}): (request: HttpServerRequest) => Effect.Effect<Principal | undefined, AuthenticationError> => {
  const authenticate = (request: HttpServerRequest): Effect.Effect<Principal | undefined, AuthenticationError> => {
    const header = request.headers["authorization"]
    if (header === undefined) return Effect.map(authenticator.recognize(request), Option.getOrUndefined)
    const token = /^Bearer +([^\s]+) *$/i.exec(header)?.[1]
    return token === undefined
      ? Effect.fail(new Unauthenticated({ reason: "malformed" }))
      : authenticator.verify(Redacted.make(token))
  }

  return (request) => strangers.identify(NodeHttpServerRequest.toIncomingMessage(request), authenticate(request))
}
