/**
 * The answers of a server that has stopped to listen close their connections: one that
 * is kept for further requests would hold up the server's end for as long as its client asks.
 *
 * Node closes those that are idle when a server stops, and no others.
 *
 * @see https://nodejs.org/api/http.html#serverclosecallback
 * @since 0.2.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import { IncomingMessage } from "node:http"
import { closeAfterwards } from "../NodeResponse.ts"
import { hasStopped } from "./Servers.ts"

/**
 * Middleware for all requests of a server.
 *
 * @category middleware
 * @since 0.2.0
 */
export const close = <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest, (request) =>
    Effect.onExit(app, () =>
      Effect.sync(() => {
        const incoming = NodeHttpServerRequest.toIncomingMessage(request)
        if (incoming instanceof IncomingMessage && hasStopped(incoming)) closeAfterwards(request)
      })))
