/**
 * A gateway of a cluster under test, as a process of its own. `GET /stats` gives what it counted, `POST /revoke?user=…` ends
 * the connections of a user.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Operations from "../../src/gateway/operations/Operations.ts"
import { UserId } from "../../src/protocol/values/Identity.ts"
import { authenticatorLayer, brokerLayer, runChild, settings, stepWallClock } from "./program.ts"
import { gatewayOptions } from "./settings.ts"

const sayPort = Layer.effectDiscard(Effect.map(HttpServer.HttpServer, ({ address }) => {
  process.stdout.write(`ready ${"port" in address ? address.port : 0}\n`)
}))

const control = Layer.unwrap(Effect.map(Gateway.Gateway, (gateway) =>
  Layer.mergeAll(
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

// Tokens were issued a minute ago: none is of the future.
stepWallClock([-30_000, 30_000, 0])

runChild(Effect.gen(function*() {
  const { name, url } = yield* settings
  const secret = yield* Config.Redacted("TOKEN_SECRET")
  const routes = Layer.mergeAll(Operations.layer(), control).pipe(
    Layer.provideMerge(Gateway.layer({ ...gatewayOptions, name }))
  )
  return yield* HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
    Layer.merge(sayPort),
    Layer.provide(authenticatorLayer(secret)),
    Layer.provide(brokerLayer(url)),
    Layer.provide(
      NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: "1 second" })
    ),
    Layer.launch
  )
}))
