/**
 * Node's response to a request: how its connection ends.
 *
 * @since 0.2.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import { ServerResponse } from "node:http"

/**
 * The response of HTTP/1. Over HTTP/2 there is none of its own connection.
 *
 * @category getters
 * @since 0.2.0
 */
export const of = (request: HttpServerRequest): ServerResponse | undefined => {
  const response = NodeHttpServerRequest.toServerResponse(request)
  return response instanceof ServerResponse ? response : undefined
}

/**
 * Lets the answer to a request close its connection.
 *
 * @category combinators
 * @since 0.2.0
 */
export const closeAfterwards = (request: HttpServerRequest): void => {
  const response = of(request)
  if (response !== undefined) response.shouldKeepAlive = false
}

/**
 * Waits until all of the answer is sent, or its client has gone.
 *
 * @category combinators
 * @since 0.2.0
 */
export const gone = (request: HttpServerRequest): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    if (response.destroyed || response.writableFinished) return resume(Effect.void)
    response.once("close", () => resume(Effect.void))
  })
