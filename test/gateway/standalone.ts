/**
 * A gateway as a process of its own, with settings from its environment. It prints its port, and stops when it is asked
 * to.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Cause, Effect, Exit, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import * as Broker from "../../src/broker/index.ts"
import * as Authenticator from "../../src/gateway/authentication/Authenticator.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Operations from "../../src/gateway/operations/Operations.ts"

const secret = Redacted.make(process.env["SECRET"] ?? "")

const printPort = Layer.effectDiscard(Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  process.stdout.write(`port ${"port" in address ? address.port : 0}\n`)
}))

Operations.layer().pipe(
  Layer.provideMerge(Gateway.layerConfig),
  (routes) => HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }),
  Layer.merge(printPort),
  Layer.provide(Authenticator.jwt({ secret, issuer: "tests", audience: "events" })),
  Layer.provide(Broker.layerMemory()),
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.launch,
  // To be asked to stop is no failure.
  NodeRuntime.runMain({
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
  })
)
