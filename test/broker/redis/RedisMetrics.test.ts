/** What the Redis broker measures, on a real server that is made to fail. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, Logger, Metric } from "effect"
import { Broker } from "effect-emitter"
import { Gateway, Operations } from "effect-emitter/gateway"
import { RedisBroker } from "effect-emitter/redis"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { MissedWakeUps } from "../../../src/broker/redis/subscriptions/MissedWakeUps.ts"
import * as RedisMetrics from "../../../src/broker/redis/Metrics.ts"
import { authenticator } from "../../gateway/server.ts"
import { redisServer } from "../../support/redis.ts"
import { envelope, eventually, newUser, numbered, plenty, start } from "../events.ts"
import { persist, program, startNode, watch, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"

/** What is above zero, as `name{labels}`; of a histogram how often it was updated. The server is the same in all. */
const measured = Effect.map(Metric.snapshot, (all) => {
  const found: Record<string, number> = {}
  for (const { attributes = {}, id, state } of all) {
    if (!id.startsWith("emitter_redis_")) continue
    const labels = Object.entries(attributes).filter(([name]) => name !== "server").map(([, value]) => value)
    const value = "count" in state ? Number(state.count) : "value" in state ? Number(state.value) : 0
    if (value > 0) found[`${id.slice("emitter_redis_".length)}${labels.length > 0 ? `{${labels.join()}}` : ""}`] = value
  }
  return found
})

const serversNamed = Effect.map(
  Metric.snapshot,
  (all) =>
    new Set(all.filter(({ id }) => id.startsWith("emitter_redis_")).map(({ attributes }) => attributes?.["server"]))
)

/** With a registry of its own, so that nothing else counts. */
const alone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

const when = (is: (found: Record<string, number>) => boolean, what: string) => eventually(measured, is, what)

describe("RedisMetrics", () => {
  it.effect("are there from the start, at zero, and carry the server's name", () =>
    alone(Effect.gen(function*() {
      yield* RedisMetrics.make("here")
      const all = (yield* Metric.snapshot).filter(({ id }) => id.startsWith("emitter_redis_"))
      assert.deepStrictEqual(
        all.map(({ attributes, id }) => [id, ...Object.values(attributes ?? {})].join(" ")).toSorted(),
        [
          "emitter_redis_appends_total here full",
          "emitter_redis_appends_total here short",
          "emitter_redis_checkpoints_total here kept",
          "emitter_redis_checkpoints_total here log",
          "emitter_redis_connected here commands",
          "emitter_redis_connected here subscriptions",
          "emitter_redis_epochs_total here kept",
          "emitter_redis_epochs_total here new",
          "emitter_redis_reconnects_total here commands",
          "emitter_redis_reconnects_total here subscriptions",
          "emitter_redis_repairs_total here poll",
          "emitter_redis_repairs_total here reconnect",
          "emitter_redis_repairs_total here silent",
          "emitter_redis_script_loads_total here"
        ]
      )
      assert.deepStrictEqual(yield* measured, {})
    })))

  it.effect("keep operations and kinds of failures apart", () =>
    alone(Effect.gen(function*() {
      const metrics = yield* RedisMetrics.make("here")
      metrics.answered("append", 0.4)
      metrics.answered("append", 3)
      metrics.answered("pull", 1)
      metrics.failed("append", "deadline")
      metrics.failed("append", "refused")
      metrics.lagged(-5)
      assert.deepStrictEqual(yield* measured, {
        "call_milliseconds{append}": 2,
        "call_milliseconds{pull}": 1,
        "failures_total{append,deadline}": 1,
        "failures_total{append,refused}": 1,
        "lag_milliseconds": 1
      })
    })))
})

describe("MissedWakeUps", () => {
  it("counts what is found only once its publication has not come for a whole tick", () => {
    const lost: Array<string> = []
    const wakes = new MissedWakeUps((by) => void lost.push(by))
    wakes.found("a", "e:1", "poll")
    wakes.found("b", "e:7", "reconnect")
    wakes.tick()
    assert.deepStrictEqual(lost, [])
    wakes.told("a", "e:1")
    wakes.told("b", "e:8")
    wakes.tick()
    assert.deepStrictEqual(lost, ["reconnect"])
    wakes.tick()
    assert.deepStrictEqual(lost, ["reconnect"])
  })
})

describe.skipIf(program === undefined)("RedisMetrics, of a real server", () => {
  it.live(
    "measure calls by operation, scripts that were loaded, and epochs that began",
    () =>
      alone(withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          // To find that it is connected it was called, too.
          const before = yield* measured
          const user = newUser()
          yield* broker.append(user, numbered(1))
          yield* broker.append(user, numbered(2))
          yield* broker.head(user)
          yield* broker.readers(user)
          const found = yield* measured
          assert.deepInclude(found, {
            "appends_total{full}": 1,
            "appends_total{short}": 1,
            "call_milliseconds{append}": 2,
            "call_milliseconds{head}": 1,
            "call_milliseconds{readers}": 1 + (before["call_milliseconds{readers}"] ?? 0),
            "connected{commands}": 1,
            "connected{subscriptions}": 1,
            "epochs_total{new}": 1
          })
          const failures = (of: typeof found) => Object.entries(of).filter(([name]) => name.startsWith("failures"))
          assert.deepStrictEqual(failures(found), failures(before))
          const loads = found["script_loads_total"] ?? 0
          assert.isAtLeast(loads, 3)
          yield* server.send("SCRIPT", "FLUSH")
          yield* broker.append(user, numbered(3))
          assert.isAbove((yield* measured)["script_loads_total"] ?? 0, loads)
          assert.deepStrictEqual(yield* serversNamed, new Set([`127.0.0.1:${server.port}/0`]))
        }))),
    120_000
  )

  it.live(
    "measure how long events of a reader who has caught up were under way, and no others",
    () =>
      alone(withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          const from = yield* start(broker, user)
          const said = (sequence: number) => envelope({ sequence, at: Date.now() - 40 })
          for (let n = 1; n <= 5; n++) yield* broker.append(user, [said(n)])
          // Who comes late reads old events, in several steps.
          yield* broker.subscribe(user, () => {})
          let position = from
          for (let n = 1; n <= 5; n++) position = (yield* broker.pull(user, position, { ...plenty, maxEvents: 1 })).next
          assert.isUndefined((yield* measured)["lag_milliseconds"])
          yield* broker.append(user, [said(6)])
          const { next } = yield* broker.pull(user, position, plenty)
          assert.strictEqual((yield* measured)["lag_milliseconds"], 1)
          // A second device gets the same, and one that was away gets what it missed.
          yield* broker.pull(user, position, plenty)
          yield* broker.pull(user, from, plenty)
          assert.strictEqual((yield* measured)["lag_milliseconds"], 1)
          yield* broker.append(user, [said(7)])
          yield* broker.pull(user, next, plenty)
          const lag = (yield* Metric.snapshot).find(({ id }) => id === "emitter_redis_lag_milliseconds")?.state
          assert.isTrue(lag !== undefined && "sum" in lag && lag.count === 2 && lag.sum >= 80 && lag.sum < 1000)
        }))),
    120_000
  )

  it.live(
    "count calls without a connection, reconnects of both connections, and logs that went on in a new epoch",
    () =>
      alone(withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          yield* broker.append(user, numbered(1))
          yield* server.kill
          yield* when((found) => found["connected{commands}"] === undefined, "a connection known to be gone")
          yield* Effect.flip(broker.append(user, numbered(2)))
          const down = yield* measured
          assert.strictEqual(down["failures_total{append,disconnected}"], 1)
          assert.isUndefined(down["epochs_total{kept}"])
          yield* server.start
          yield* persist(broker.append(user, numbered(2)))
          const up = yield* when(
            (found) => found["reconnects_total{commands}"] === 1 && found["reconnects_total{subscriptions}"] === 1,
            "both connections anew"
          )
          assert.deepInclude(up, { "connected{commands}": 1, "epochs_total{kept}": 1, "epochs_total{new}": 1 })
        }))),
    120_000
  )

  it.live(
    "count calls that came to their deadline, and those that were refused",
    () =>
      alone(withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { deadline: "200 millis" })
          const user = newUser()
          yield* persist(broker.append(user, numbered(1)))
          yield* server.send("CONFIG", "SET", "maxmemory", "1")
          yield* Effect.flip(broker.append(user, numbered(2)))
          yield* server.freeze
          yield* Effect.flip(broker.append(user, numbered(2)))
          yield* server.thaw
          const found = yield* measured
          assert.strictEqual(found["failures_total{append,refused}"], 1)
          assert.strictEqual(found["failures_total{append,deadline}"], 1)
        }))),
    120_000
  )

  it.live(
    "count the subscription that was repaired, and the wake-up that was found lost by it",
    () =>
      alone(withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const broker = yield* startNode(proxy.url)
          const user = newUser()
          const reader = yield* watch(broker, user, yield* start(broker, user))
          yield* eventually(broker.readers(user), (n) => n === 1, "a reader")
          yield* broker.append(user, numbered(1))
          yield* eventually(reader.items, (items) => items.length === 1, "an event")
          assert.isUndefined((yield* measured)["repairs_total{silent}"])
          yield* proxy.mute
          yield* broker.append(user, numbered(2))
          yield* eventually(reader.items, (items) => items.length === 2, "the event whose wake-up was lost")
          const found = yield* when((found) => (found["repairs_total{reconnect}"] ?? 0) > 0, "a lost wake-up")
          assert.deepInclude(found, { "repairs_total{silent}": 1, "repairs_total{reconnect}": 1 })
        }))),
    120_000
  )

  it.live(
    "count the wake-ups that only the poll found lost, and none that came",
    () =>
      alone(withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const broker = yield* startNode(proxy.url, { poll: "300 millis" })
          const user = newUser()
          const reader = yield* watch(broker, user, yield* start(broker, user))
          yield* eventually(broker.readers(user), (n) => n === 1, "a reader")
          for (let n = 1; n <= 100; n++) yield* broker.append(user, numbered(n))
          yield* Effect.sleep("1 second")
          assert.isUndefined((yield* measured)["repairs_total{poll}"])
          yield* proxy.mute
          yield* broker.append(user, numbered(101))
          yield* eventually(reader.items, (items) => items.length === 101, "the event whose wake-up was lost")
          yield* when((found) => found["repairs_total{poll}"] === 1, "a lost wake-up")
        }))),
    120_000
  )
})

describe.skipIf(program === undefined)("RedisMetrics, at a gateway", () => {
  it.live(
    "stand among the metrics that it serves, each server's by its name",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const second = yield* redisServer(program ?? "")
          const urls = [{ url: server.url, name: "first" }, { url: second.url, name: "second" }] as const
          const context = yield* Operations.layer().pipe(
            Layer.provideMerge(Gateway.layer()),
            (routes) => HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }),
            Layer.provide(authenticator),
            Layer.provideMerge(RedisBroker.layer({ urls })),
            Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
            Layer.build
          )
          const { address } = Context.get(context, HttpServer.HttpServer)
          const broker = Context.get(context, Broker.Broker)
          for (let n = 0; n < 20; n++) yield* persist(broker.append(newUser(), numbered(1)))
          const text = yield* Effect.promise(async () => {
            const response = await fetch(`http://127.0.0.1:${"port" in address ? address.port : 0}/metrics`)
            return response.text()
          })
          for (const name of ["first", "second"]) {
            assert.match(text, new RegExp(`emitter_redis_call_milliseconds_count\\{.*operation="append".*\\} [1-9]`))
            assert.match(text, new RegExp(`emitter_redis_connected\\{[^}]*server="${name}"[^}]*\\} 1`))
            assert.match(text, new RegExp(`emitter_redis_repairs_total\\{[^}]*server="${name}"[^}]*\\} 0`))
          }
        })),
    120_000
  )
})

describe.skipIf(program === undefined)("RedisBroker, its secrets", () => {
  it.live(
    "stand in no error, log or metric",
    () =>
      alone(withServer({}, (server) =>
        Effect.gen(function*() {
          yield* server.send("CONFIG", "SET", "requirepass", "the-true-one")
          const logged: Array<string> = []
          const logger = Logger.make(({ cause, message }) =>
            void logged.push(JSON.stringify([message, String(cause), cause]))
          )
          const urls = [
            `redis://default:hunter2@127.0.0.1:${server.port}`,
            "redis://default:hunter2@127.0.0.1:1",
            "redis://default:hunter2@no-such-host.invalid:1"
          ]
          for (const url of urls) {
            const error = yield* startNode(url, { silence: "1 second" }).pipe(
              Effect.flatMap((broker) => Effect.flip(broker.append(newUser(), numbered(1)))),
              Effect.provide(Logger.layer([logger]))
            )
            logged.push(error.message, JSON.stringify(error), String(error.stack))
          }
          assert.isAbove(logged.filter((text) => text.includes("cannot be used")).length, 2)
          logged.push(JSON.stringify(Array.from(yield* serversNamed)))
          for (const text of logged) assert.notInclude(text, "hunter2")
        }))),
    120_000
  )
})
