/**
 * A gateway as a process of its own, with settings from its environment. It prints its port, and stops when it is asked
 * to. On the way out it prints for how long it was stopping, as if it had its machine for itself.
 *
 * - `REDIS_URL`: the Redis that it is over; without it the log is in memory.
 * - `RUN_OF`: a user for whom a run goes on from the start, and for ever.
 *
 * On SIGUSR2, under `--expose-gc`, it prints what it holds in memory.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import { writeSync } from "node:fs"
import { createServer } from "node:http"
import * as Broker from "../../src/broker/index.ts"
import * as Emitter from "../../src/emitter/Emitter.ts"
import { EmitterLayer } from "../../src/emitter/EmitterLayer.ts"
import * as Authenticator from "../../src/gateway/authentication/Authenticator.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Operations from "../../src/gateway/operations/Operations.ts"
import { settledMemory } from "../support/memory.ts"
import { measureOwnTime } from "../support/ownTime.ts"

const { REDIS_URL: redis, RUN_OF: runOf, SECRET: secret = "" } = process.env

process.once("SIGTERM", () => {
  const ownMs = measureOwnTime()
  process.once("exit", () => writeSync(1, `stopped in ${Math.round(ownMs())} ms\n`))
})

process.on("SIGUSR2", () => {
  void settledMemory().then((bytes) => process.stdout.write(`holds ${bytes} bytes\n`))
})

const printPort = Layer.effectDiscard(Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  process.stdout.write(`port ${"port" in address ? address.port : 0}\n`)
}))

// Half of all that a process loads is the client of Redis.
const overRedis = (url: string) =>
  Layer.unwrap(
    Effect.map(Effect.promise(() => import("../../src/broker/redis/RedisBroker.ts")), ({ layer }) => layer({ url }))
  )

// Nobody but the gateway and the emitter ends it: it belongs to no scope.
const run = runOf === undefined
  ? Layer.empty
  : Layer.effectDiscard(
    Effect.never.pipe(
      Emitter.run({ agentName: "patient" }),
      Effect.provide(Emitter.layerUser({ userId: runOf })),
      Effect.forkDetach
    )
  )

Operations.layer().pipe(
  Layer.provideMerge(Gateway.layerConfig()),
  (routes) => HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }),
  Layer.merge(printPort),
  Layer.merge(run),
  Layer.provide(Authenticator.layerJwt({ secret: Redacted.make(secret), issuer: "tests", audience: "events" })),
  Layer.provide(EmitterLayer({ profile: "lowLatency" })),
  Layer.provide(redis === undefined ? Broker.layerMemory() : overRedis(redis)),
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.launch,
  // To be asked to stop is no failure.
  NodeRuntime.runMain({
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
  })
)
