/**
 * What leaves for an OpenTelemetry collector, when the environment names one: metrics, spans and logs.
 */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Logger, References } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import { FetchHttpClient } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import { createServer } from "node:http"
import * as Metrics from "../../../src/gateway/Metrics.ts"
import { connect, dial, serve } from "../server.ts"

/** A collector, which keeps what it is sent by path. */
const collector = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly received: Map<string, string>; readonly close: () => void }>(
    (resume) => {
      const received = new Map<string, string>()
      const server = createServer((request, response) => {
        const path = request.url ?? ""
        request.on("data", (chunk) => received.set(path, (received.get(path) ?? "") + String(chunk)))
        request.on("end", () => response.end("{}"))
      }).listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({
          url: `http://127.0.0.1:${port}`,
          received,
          close: () => {
            server.closeAllConnections()
            server.close()
          }
        }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

const telemetry = (url: string) =>
  Otlp.layerFromConfig({ resource: { serviceName: "my-app" } }).pipe(
    Layer.provide(OtlpSerialization.layerJson),
    Layer.provide(FetchHttpClient.layer),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: url,
        OTEL_METRICS_EXPORTER: "otlp",
        OTEL_TRACES_EXPORTER: "otlp",
        OTEL_LOGS_EXPORTER: "otlp"
      }
    })))
  )

describe("Telemetry", () => {
  it.live("goes to the collector that the environment names, and holds no token", () =>
    Effect.gen(function*() {
      const { received, url } = yield* collector
      const program = Effect.gen(function*() {
        const broker = yield* Broker.Broker
        const served = yield* serve({}, { broker: Layer.succeed(Broker.Broker, broker) })
        const device = yield* connect(served, "ada")
        const answer = Effect.gen(function*() {
          const emitter = yield* Emitter.Emitter
          yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "hm" }))
          yield* Effect.logInfo("the agent thinks")
        }).pipe(Emitter.run({ agentName: "researcher" }))
        yield* Effect.provide(answer, Emitter.layerUser({ userId: "ada" }))
        yield* device.take("events")
        const forger = yield* dial(served.url)
        yield* forger.send({ type: "hello", token: "s3cret" })
        yield* forger.closed
        yield* Metrics.publish(served.gateway)
      })
      yield* Effect.scoped(program).pipe(Effect.provide(
        EmitterLayer({ spans: true }).pipe(
          Layer.provideMerge(Layer.orDie(Broker.layerMemory())),
          Layer.provideMerge(telemetry(url))
        )
      ))
      const [logs = "", metrics = "", traces = ""] = ["/v1/logs", "/v1/metrics", "/v1/traces"].map((path) =>
        received.get(path)
      )
      for (const text of [logs, metrics, traces]) assert.include(text, `"my-app"`)
      for (const name of ["emitter_gateway_opened_total", "emitter_gateway_closed_total"]) {
        assert.include(metrics, `"${name}"`)
      }
      assert.include(traces, `"researcher"`)
      assert.include(logs, "the agent thinks")
      assert.notInclude([logs, metrics, traces].join(""), "s3cret")
    }))

  it.live("as logs is one JSON object a line, with what it is about beside the message", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const json = Logger.map(Logger.formatJson, (line) => {
        lines.push(line)
      })
      yield* Effect.gen(function*() {
        const served = yield* serve()
        const device = yield* dial(served.url)
        yield* device.send("garbage s3cret")
        yield* device.closed
      }).pipe(
        Effect.scoped,
        Effect.provide(Logger.layer([json])),
        Effect.provideService(References.MinimumLogLevel, "Debug")
      )
      const sentAway = lines.map((line) => JSON.parse(line)).find(({ message }) => message === "A device was sent away")
      assert.deepStrictEqual(sentAway?.annotations, { code: 4400, name: "badFrame", detail: "the message is not JSON" })
      assert.notInclude(lines.join("\n"), "s3cret")
    }))
})
