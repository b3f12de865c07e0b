/**
 * What operators and orchestrators ask a gateway.
 *
 * - `GET /healthz`: 200 while the process runs;
 * - `GET /readyz`: 200 when a canary event has made the round trip through the
 *   broker, 503 when it has not, or when the gateway is draining. Probes share
 *   one round trip per second. Of a broker over several servers one that answers
 *   is enough; those that do not are listed as `silent`;
 * - `GET /metrics`: all metrics of the process in Prometheus' text form. Their
 *   names and labels stand in `src/gateway/Metrics.ts`, `src/emitter/observe/Metrics.ts`
 *   and `src/broker/redis/Metrics.ts`;
 * - `GET /asyncapi.json`: the protocol as an AsyncAPI 3 document.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Gateway, Operations } from "effect-emitter/gateway"
 * import { HttpRouter } from "effect/http"
 *
 * const server = HttpRouter.serve(Operations.layer().pipe(Layer.provideMerge(Gateway.layer())))
 * ```
 *
 * `layer` adds them to the devices' own router; `layerServer` serves them apart, for
 * operators alone.
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import { createServer } from "node:http"
import type { Broker } from "../../broker/Broker.ts"
import * as AsyncApi from "../../protocol/wire/AsyncApi.ts"
import * as LastAnswers from "../admission/LastAnswers.ts"
import { Gateway } from "../Gateway.ts"
import * as Metrics from "../Metrics.ts"
import * as Probe from "./Probe.ts"

/**
 * `prefix` goes before each of the paths, `""` by default. `probeTimeout` is how
 * long a canary may take, 2 seconds by default. `asyncApi` describes the
 * application in its document; give it the gateway's `path` if that is not
 * `/events`, and the `catalog` of your own events.
 *
 * @category config
 * @since 0.1.0
 */
export interface Options {
  readonly prefix?: "" | `/${string}` | undefined
  readonly probeTimeout?: Duration.Input | undefined
  readonly asyncApi?: AsyncApi.Options | undefined
}

/**
 * Adds the routes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, HttpRouter.HttpRouter | Gateway | Broker> =>
  Layer.effectDiscard(addRoutes(options))

const addRoutes = Effect.fnUntraced(function*(options: Options) {
  const router = yield* HttpRouter.HttpRouter
  const gateway = yield* Gateway
  const timeout = Duration.fromInputUnsafe(options.probeTimeout ?? "2 seconds")
  const roundTrip = yield* Effect.cachedWithTTL(Effect.exit(yield* Probe.make({ timeout })), "1 second")
  const path = (name: string): `/${string}` =>
    options.prefix === undefined || options.prefix === "" ? `/${name}` : `${options.prefix}/${name}`

  yield* router.add("GET", path("healthz"), answer(200, { status: "alive" }))

  const document = AsyncApi.make(options.asyncApi ?? { title: "Events of an AI agent's runs", version: "1.0.0" })
  yield* router.add("GET", path("asyncapi.json"), HttpServerResponse.jsonUnsafe(document))

  yield* router.add(
    "GET",
    path("readyz"),
    Effect.gen(function*() {
      if (yield* gateway.isDraining) return answer(503, { status: "draining" })
      const exit = yield* roundTrip
      if (exit._tag === "Success") {
        const { roundTripMs, silent } = exit.value
        if (silent.length === 0) return answer(200, { status: "ready", roundTripMs })
        yield* Effect.logWarning(`No canary made the round trip through ${silent.join(", ")}`)
        return answer(200, { status: "ready", roundTripMs, silent })
      }
      yield* Effect.logWarning("The canary did not make the round trip", exit.cause)
      return answer(503, { status: "unready" })
    })
  )

  yield* router.add(
    "GET",
    path("metrics"),
    Effect.gen(function*() {
      yield* Metrics.publish(gateway)
      return HttpServerResponse.text(yield* PrometheusMetrics.format(), {
        contentType: "text/plain; version=0.0.4; charset=utf-8"
      })
    })
  )
})

/**
 * The same routes on a listener of their own, at `port` of `host` (`127.0.0.1` by
 * default), so that devices do not reach them: metrics, and what is not ready, name
 * the addresses of servers.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Gateway, Operations } from "effect-emitter/gateway"
 * import { HttpRouter } from "effect/http"
 *
 * const server = Operations.layerServer({ port: 9090 }).pipe(
 *   Layer.provideMerge(HttpRouter.serve(Gateway.layer()))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerServer = (
  options: Options & { readonly port: number; readonly host?: string | undefined }
): Layer.Layer<never, ServeError, Gateway | Broker> =>
  Layer.suspend(() => {
    const server = createServer()
    return Layer.effectDiscard(Effect.gen(function*() {
      // A router of its own: layers built beside each other would share one.
      const router = yield* HttpRouter.make
      yield* Effect.provideService(addRoutes(options), HttpRouter.HttpRouter, router)
      yield* router.addGlobalMiddleware(LastAnswers.close)
      // A server waits for all its sockets, those that ask nothing included.
      yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
      // The type of a router's error is unknown; the server has an answer to each.
      // @effect-diagnostics-next-line anyUnknownInErrorContext:off
      yield* HttpServer.serveEffect(router.asHttpEffect())
    })).pipe(
      Layer.provide(
        NodeHttpServer.layer(() => server, {
          port: options.port,
          host: options.host ?? "127.0.0.1",
          gracefulShutdownTimeout: "1 second"
        })
      )
    )
  })

const answer = (
  status: number,
  body: Record<string, string | number | ReadonlyArray<string>>
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store" } })
