import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, type Duration, Effect, Layer, Metric } from "effect"
import { Broker } from "effect-emitter"
import { AsyncApi } from "effect-emitter/protocol"
import { Gateway, Operations } from "effect-emitter/gateway"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { freePort } from "../../support/freePort.ts"
import { append, authenticator, connect, dial, serve, token } from "../server.ts"

/** A node over a broker that is changed. Where nothing answers the probe, it need not be waited for. */
const operate = Effect.fnUntraced(function*(
  change: (broker: Broker.Broker["Service"]) => Broker.Broker["Service"],
  probeTimeout: Duration.Input = "1 minute"
) {
  const broker = Layer.effect(
    Broker.Broker,
    Effect.map(Layer.build(Broker.layerMemory()), (built) => change(Context.get(built, Broker.Broker)))
  )
  const context = yield* Operations.layer({ probeTimeout }).pipe(
    Layer.provideMerge(Gateway.layer()),
    (routes) => HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }),
    Layer.provide(authenticator),
    Layer.provideMerge(broker),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.build
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  const base = `127.0.0.1:${"port" in address ? address.port : 0}`
  return {
    url: `ws://${base}/events`,
    broker: Context.get(context, Broker.Broker),
    gateway: Context.get(context, Gateway.Gateway),
    get: (path: string) =>
      Effect.promise(async () => {
        const response = await fetch(`http://${base}${path}`)
        return { status: response.status, text: await response.text() }
      })
  }
})

describe("Operations", () => {
  it.live("is ready when a canary event makes the round trip, which counts as no device", () =>
    Effect.gen(function*() {
      const served = yield* operate((broker) => broker)
      assert.strictEqual((yield* served.get("/healthz")).status, 200)
      const ready = yield* served.get("/readyz")
      assert.strictEqual(ready.status, 200)
      assert.strictEqual(JSON.parse(ready.text).status, "ready")
      const stats = yield* served.gateway.stats
      assert.deepStrictEqual([stats.connections, stats.opened, stats.events], [0, 0, 0])
    }))

  it.live("serves the protocol as an AsyncAPI document", () =>
    Effect.gen(function*() {
      const served = yield* operate((broker) => broker)
      const { status, text } = yield* served.get("/asyncapi.json")
      assert.strictEqual(status, 200)
      const expected = AsyncApi.make({ title: "Events of an AI agent's runs", version: "1.0.0" })
      assert.deepStrictEqual(JSON.parse(text), JSON.parse(JSON.stringify(expected)))
    }))

  for (
    const [what, change] of [
      [
        "does not wake its readers",
        ({ subscribeUnscoped: _, ...broker }) => ({ ...broker, subscribe: () => Effect.void })
      ],
      ["cannot be read", (broker) => ({ ...broker, pull: () => Effect.die(new Error("a bug")) })],
      ["does not answer readers", (broker) => ({ ...broker, snapshots: () => Effect.never })],
      ["hangs", (broker) => ({ ...broker, append: () => Effect.never })]
    ] as ReadonlyArray<[string, (broker: Broker.Broker["Service"]) => Broker.Broker["Service"]]>
  ) {
    it.live(`is alive but not ready when the broker ${what}`, () =>
      Effect.gen(function*() {
        const served = yield* operate(change, "200 millis")
        assert.strictEqual((yield* served.get("/readyz")).status, 503)
        assert.strictEqual((yield* served.get("/healthz")).status, 200)
      }))
  }

  it.live("is ready for the users of all other domains when one of the broker's is away, and names it", () =>
    Effect.gen(function*() {
      const domains: Broker.Domains = { names: ["odd", "even"], of: (user) => /[13579]$/u.test(user) ? "odd" : "even" }
      const served = yield* operate((broker) => ({
        ...broker,
        domains,
        append: (user, batch) => domains.of(user) === "odd" ? Effect.never : broker.append(user, batch)
      }), "3 seconds")
      const ready = yield* served.get("/readyz")
      assert.strictEqual(ready.status, 200)
      assert.deepInclude(JSON.parse(ready.text), { status: "ready", silent: ["odd"] })
    }))

  it.live("fault 34: listens for operators on this machine alone, unless it is told of another host", () =>
    Effect.gen(function*() {
      const gateway = Gateway.layer().pipe(Layer.provide(HttpRouter.layer), Layer.provide(authenticator))
      const reached = (host?: string) =>
        Effect.scoped(Effect.gen(function*() {
          const port = yield* freePort
          yield* Layer.build(
            Operations.layerServer({ port, host }).pipe(
              Layer.provide(gateway),
              Layer.provide(Broker.layerMemory())
            )
          )
          const status = (address: string) =>
            Effect.promise(() => fetch(`http://${address}:${port}/healthz`).then(({ status }) => status, () => 0))
          return [yield* status("127.0.0.1"), yield* status("127.0.0.2")]
        }))
      assert.deepStrictEqual(yield* reached(), [200, 0])
      assert.deepStrictEqual(yield* reached("0.0.0.0"), [200, 200])
    }))

  it.live("is not ready while draining", () =>
    Effect.gen(function*() {
      const served = yield* operate((broker) => broker)
      yield* served.gateway.drain
      const ready = yield* served.get("/readyz")
      assert.deepStrictEqual([ready.status, JSON.parse(ready.text).status], [503, "draining"])
    }))

  it.live("shows its metrics to Prometheus", () =>
    Effect.gen(function*() {
      const served = yield* operate((broker) => broker)
      const device = yield* connect(served, "ada")
      yield* connect(served, "bob")
      yield* append(served, "ada", 1, 2, 3)
      yield* device.received(3)
      const garbage = yield* dial(served.url)
      yield* garbage.send("garbage")
      yield* garbage.closed
      yield* device.send({ type: "command", id: "c1", run: "r1", name: "cancel" })
      yield* device.send({ type: "command", id: "c2", run: "r1", name: "Stop!" })
      yield* device.take("command")
      yield* device.take("command")
      const { text } = yield* served.get("/metrics")
      const value = (name: string) => text.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1]
      assert.strictEqual(value("emitter_gateway_connections"), "2")
      assert.strictEqual(value("emitter_gateway_users"), "2")
      assert.strictEqual(value("emitter_gateway_opened_total"), "2")
      assert.strictEqual(value("emitter_gateway_events_total"), "3")
      assert.strictEqual(value(`emitter_gateway_closed_total{code="badFrame"}`), "1")
      assert.strictEqual(value(`emitter_gateway_commands_total{outcome="unknownRun"}`), "1")
      assert.strictEqual(value(`emitter_gateway_commands_total{outcome="invalid"}`), "1")
      assert.strictEqual(value("emitter_gateway_open_commands"), "0")
      // A second look adds nothing twice.
      const again = (yield* served.get("/metrics")).text
      assert.include(again, "emitter_gateway_events_total 3\n")
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.live("devices that come too many at once are told to come back later", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perSecond: 3 }, reconnectSpread: "4 seconds" })
      // Who is no device takes no place of those that are.
      for (let n = 0; n < 20; n++) yield* dial(served.url)
      // All at once, so that the rate does not fill up again in between, however slow the machine is.
      const tokens = yield* Effect.forEach(Array.from({ length: 30 }), (_, n) => token(`user-${n}`))
      const codes = yield* Effect.forEach(tokens, (shown) =>
        Effect.gen(function*() {
          const device = yield* dial(served.url)
          yield* device.send({ type: "hello", token: shown })
          const code = yield* Effect.raceFirst(
            Effect.map(device.closed, ({ code }) => code),
            Effect.as(device.take("welcome"), 0)
          )
          const last = device.frames.at(-1)
          if (last?.type === "goodbye") assert.isAtMost(last.reconnectAfterMs, 4_000)
          return code
        }), { concurrency: "unbounded" })
      assert.isAtLeast(codes.filter((code) => code === 0).length, 3)
      assert.include(codes, 4500)
      const statuses = yield* Effect.forEach(tokens, (shown) =>
        Effect.promise(async () => {
          const headers = { accept: "text/event-stream", authorization: `Bearer ${shown}` }
          const response = await fetch(`${served.http}/events`, { headers })
          if (response.status === 503) assert.isAtMost(Number(response.headers.get("retry-after")), 4)
          void response.body?.cancel()
          return response.status
        }), { concurrency: "unbounded" })
      assert.include(statuses, 503)
      assert.isAtLeast((yield* served.gateway.stats).refused.rate, 2)
      yield* Effect.sleep("400 millis")
      yield* connect(served, "ada")
    }))

  it.live("a node that is full refuses further devices with 503", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perNode: 2, perUser: 2 } })
      yield* connect(served, "ada")
      yield* connect(served, "bob")
      const error = yield* Effect.flip(dial(served.url))
      assert.strictEqual(error.status, 503)
      assert.strictEqual(JSON.parse(error.body).code, "full")
    }))
})
