/**
 * Watches all requests of a server for upgrades that are refused, since Node keeps
 * their sockets half open: they become strangers, which are bounded.
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import { IncomingMessage } from "node:http"
import * as NodeResponse from "../NodeResponse.ts"
import type { Servers } from "./Servers.ts"
import type { Strangers } from "./Strangers.ts"

/**
 * Looks at every request of a server.
 *
 * @category models
 * @since 0.1.0
 */
export type Middleware = <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest>

/**
 * The middleware for a router: every request of the server passes it, those that
 * find no route included. It also tells `servers` where requests come from.
 *
 * @category constructors
 * @since 0.1.0
 */
export const watch = (servers: Servers, strangers: Strangers): Middleware => (app) =>
  Effect.flatMap(HttpServerRequest, (request) => {
    const incoming = NodeHttpServerRequest.toIncomingMessage(request)
    if (!(incoming instanceof IncomingMessage)) return app
    const isUpgraded = isUpgrade(incoming)
    servers.watch(incoming, isUpgraded ? undefined : NodeResponse.of(request))
    if (!isUpgraded) return app
    return Effect.onExit(app, () =>
      Effect.sync(() => {
        if (!wasUpgraded(request)) strangers.refuse(incoming.socket)
      }))
  })

// What Node's parser found, and its types leave out.
const isUpgrade = (incoming: IncomingMessage): boolean => "upgrade" in incoming && incoming.upgrade === true

// The response to an upgrade ends at once, without a socket, if the socket was taken over.
const wasUpgraded = (request: HttpServerRequest): boolean => {
  const response = NodeResponse.of(request)
  return response !== undefined && response.writableEnded && response.socket === null
}
