/**
 * What a gateway under test serves. `GET /stats` gives what it counted, `POST /revoke?user=…` ends the connections of a user,
 * `GET /heads?users=…` tells where the logs of these users, with commas between, end.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import * as Broker from "../../src/broker/Broker.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Operations from "../../src/gateway/operations/Operations.ts"
import { UserId } from "../../src/protocol/values/Identity.ts"
import { authenticatorLayer } from "./program.ts"
import { gatewayOptions } from "./settings.ts"

const sayPort = Layer.effectDiscard(Effect.map(HttpServer.HttpServer, ({ address }) => {
  process.stdout.write(`ready ${"port" in address ? address.port : 0}\n`)
}))

const heads = Effect.gen(function*() {
  const { head } = yield* Broker.Broker
  const { url } = yield* HttpServerRequest.HttpServerRequest
  const users = (new URL(url, "http://localhost").searchParams.get("users") ?? "").split(",")
  return HttpServerResponse.jsonUnsafe(yield* Effect.forEach(users, (user) => head(UserId.make(user))))
})

const control = Layer.unwrap(Effect.map(Gateway.Gateway, (gateway) =>
  Layer.mergeAll(
    HttpRouter.add("GET", "/heads", heads),
    HttpRouter.add("GET", "/stats", Effect.map(gateway.stats, (stats) => HttpServerResponse.jsonUnsafe({ ...stats }))),
    HttpRouter.add(
      "POST",
      "/revoke",
      Effect.gen(function*() {
        const { url } = yield* HttpServerRequest.HttpServerRequest
        const user = UserId.make(new URL(url, "http://localhost").searchParams.get("user") ?? "")
        return HttpServerResponse.jsonUnsafe({ closed: yield* gateway.revoke(user) })
      })
    )
  )))

/** Serves over a broker until it is interrupted, and says its port on stdout. */
export const serving = Effect.gen(function*() {
  const name = yield* Config.String("NODE_NAME")
  const secret = yield* Config.Redacted("TOKEN_SECRET")
  const routes = Layer.mergeAll(Operations.layer(), control).pipe(
    Layer.provideMerge(Gateway.layer({ ...gatewayOptions, name }))
  )
  return yield* HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
    Layer.merge(sayPort),
    Layer.provide(authenticatorLayer(secret)),
    Layer.provide(
      NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: "1 second" })
    ),
    Layer.launch
  )
})
