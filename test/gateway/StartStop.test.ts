/** Starting and stopping a server that is composed as the README says. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Exit, Fiber, Layer, Schedule, Scope, Stream } from "effect"
import { Broker, Emitter, EmitterLayer } from "effect-emitter"
import { Gateway, Operations } from "effect-emitter/gateway"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { createServer as createSecureServer, get } from "node:https"
import { connect as connectTo, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { program } from "../broker/redis/redisNode.ts"
import { until, untilEffect } from "../client/devices.ts"
import { freePort } from "../support/freePort.ts"
import { findProgram } from "../support/program.ts"
import { ownTimed } from "../support/ownTime.ts"
import { redisServer } from "../support/redis.ts"
import { startProcess } from "./process.ts"
import { authenticator, connect, type Device } from "./server.ts"
import { patience } from "../support/patience.ts"

/** What a device was told of runs, and of its own end. */
const happened = ({ frames }: Device) =>
  frames.flatMap((frame) => {
    switch (frame.type) {
      case "events":
        return frame.events.map(({ data, type }) => `${type} ${String(data["reason"])}`)
      case "snapshot":
        return [`snapshot ${frame.state.status}`]
      case "goodbye":
        return ["goodbye"]
      default:
        return []
    }
  })

/** How long a process with idle devices may take to stop, on a machine of its own. */
const closingMs = 1_000

const hello = HttpRouter.add("GET", "/hello", HttpServerResponse.text("hello"))

const slow = HttpRouter.add("GET", "/slow", Effect.delay(Effect.succeed(HttpServerResponse.text("slow")), "20 millis"))

const streamed = HttpRouter.add(
  "GET",
  "/streamed",
  HttpServerResponse.stream(
    Stream.encodeText(Stream.fromSchedule(Schedule.spaced("50 millis")).pipe(Stream.map(String), Stream.take(4)))
  )
)

const largeBytes = 20_000_000

const large = HttpRouter.add(
  "GET",
  "/large",
  Effect.delay(Effect.sync(() => HttpServerResponse.text("x".repeat(largeBytes))), "200 millis")
)

const compose = (port: number, broker: Layer.Layer<Broker.Broker>, makeServer: () => Server = createServer) =>
  HttpRouter.serve(Layer.mergeAll(hello, slow, streamed, large, Gateway.layer({ reconnectSpread: "1 second" })), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    Layer.provide(NodeHttpServer.layer(makeServer, { port, host: "127.0.0.1" })),
    Layer.provide(Layer.orDie(authenticator)),
    Layer.provideMerge(Layer.orDie(EmitterLayer({ profile: "lowLatency" }))),
    Layer.provideMerge(broker)
  )

describe("A server that is composed as the README says", () => {
  it.live("fault 29: answers or refuses each request that comes while it starts", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const slow = Layer.orDie(Layer.unwrap(Effect.delay(Effect.succeed(Broker.layerMemory()), "600 millis")))
      let built = false
      const answers: Array<Promise<string>> = []
      const asking = setInterval(() => {
        answers.push(
          fetch(`http://127.0.0.1:${port}/hello`, { signal: AbortSignal.timeout(5_000 * patience) }).then(
            (response) => response.text(),
            (error: unknown) => error instanceof DOMException ? "silence" : "refused"
          )
        )
      }, 10)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(asking)))
      yield* Layer.build(compose(port, slow))
      built = true
      yield* Effect.sleep("200 millis")
      clearInterval(asking)
      const came = yield* Effect.promise(() => Promise.all(answers))
      assert.isTrue(built)
      assert.deepStrictEqual(new Set(came), new Set(["refused", "hello"]))
    }), 120_000)

  it.live(
    "fault 25: ends its runs and tells its devices before it says goodbye, and is closed within a second",
    () =>
      Effect.gen(function*() {
        const port = yield* freePort
        const scope = yield* Scope.fork(yield* Effect.scope)
        const context = yield* Layer.buildWithScope(compose(port, Layer.orDie(Broker.layerMemory())), scope)
        const url = `ws://127.0.0.1:${port}/events`
        const device = yield* connect({ url }, "ada")
        yield* connect({ url }, "bob")
        yield* Effect.forkScoped(
          Effect.never.pipe(
            Emitter.run({ agentName: "patient" }),
            Effect.provide(Emitter.layerUser({ userId: "ada" })),
            Effect.provideContext(context)
          )
        )
        yield* device.take("events")
        const [ownMs] = yield* ownTimed(Scope.close(scope, Exit.void))
        assert.strictEqual((yield* device.closed).code, 4500)
        const told = device.frames.flatMap((frame) =>
          frame.type === "events"
            ? frame.events.map(({ data, type }) => `${type} ${String(data["reason"])}`)
            : [frame.type]
        )
        assert.deepStrictEqual(told.slice(1), ["agent_started undefined", "agent_error cancelled", "goodbye"])
        assert.isBelow(ownMs, closingMs)
      }),
    120_000
  )

  /** What a connection has been told so far. */
  const textOf = (socket: Socket): () => string => {
    let text = ""
    socket.on("data", (bytes) => {
      text += String(bytes)
    })
    return () => text
  }

  /** A server, a connection to it that is kept, and what becomes of both once the server stops. */
  const stopped = Effect.fnUntraced(function*(
    use: (kept: Socket) => Effect.Effect<void, string>,
    makeServer?: () => Server
  ) {
    const port = yield* freePort
    const scope = yield* Scope.fork(yield* Effect.scope)
    yield* Layer.buildWithScope(compose(port, Layer.orDie(Broker.layerMemory()), makeServer), scope)
    const kept = yield* Effect.acquireRelease(
      Effect.sync(() => connectTo(port, "127.0.0.1").on("error", () => {})),
      (socket) => Effect.sync(() => socket.destroy())
    )
    yield* until("it is connected", () => !kept.connecting)
    yield* use(kept)
    const [ownMs] = yield* ownTimed(Scope.close(scope, Exit.void))
    assert.isBelow(ownMs, closingMs)
    yield* until("the connection is closed", () => kept.destroyed)
  })
  const request = (path: string) => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`

  it.live(
    "is closed within a second though a client asks again and again, on a connection it keeps",
    () =>
      stopped((kept) => {
        const answers = textOf(kept)
        // The next one comes before the one before it is answered, so that there is no moment at which nothing is asked.
        const asking = setInterval(() => kept.write(request("/slow")), 5)
        kept.on("close", () => clearInterval(asking))
        return until("it is answered", () => answers().split("HTTP/1.1 200").length > 5)
      }),
    120_000
  )

  it.live(
    "is closed within a second though an answer ends after its end, on a connection that is kept",
    () =>
      stopped((kept) => {
        const text = textOf(kept)
        kept.write(request("/streamed"))
        return until("the answer has begun", () => text().includes("keep-alive"))
      }),
    120_000
  )

  it.live(
    "is closed within a second though a browser holds a connection ready that it asks nothing on",
    () => stopped(() => Effect.void),
    120_000
  )

  it.live(
    "is closed within a second though a connection to it never began to speak TLS",
    () => stopped(() => Effect.void, createSecureServer),
    120_000
  )

  const openssl = findProgram("openssl")

  it.live.skipIf(openssl === undefined)(
    "gives over TLS, too, all of an answer that it began while it closed",
    () =>
      Effect.gen(function*() {
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-tls-"))),
          (made) => Effect.sync(() => rmSync(made, { recursive: true }))
        )
        const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")]
        const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        execFileSync(openssl ?? "openssl", [...request.split(" "), "-keyout", key, "-out", cert], { stdio: "ignore" })
        const port = yield* freePort
        const scope = yield* Scope.fork(yield* Effect.scope)
        let isAsked = false
        const makeServer = () =>
          createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }).once("request", () => {
            isAsked = true
          })
        yield* Layer.buildWithScope(compose(port, Layer.orDie(Broker.layerMemory()), makeServer), scope)
        const asking = yield* Effect.forkChild(
          Effect.callback<number>((resume) => {
            get(`https://127.0.0.1:${port}/large`, { rejectUnauthorized: false }, (response) => {
              let bytes = 0
              response.pause()
              setTimeout(() => response.resume(), 1_500)
              response.on("data", (piece: Buffer) => {
                bytes += piece.length
              }).on("close", () => resume(Effect.succeed(bytes)))
            })
          })
        )
        yield* until("it is asked", () => isAsked)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* Fiber.join(asking), largeBytes)
      }),
    120_000
  )

  const begun = [
    ["head", "GET /hello HTTP/1.1\r\nhost: local"],
    ["body", "POST /hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{"]
  ] as const
  for (const [part, text] of begun) {
    it.live(
      `is closed within a second though a client began a request on a connection it keeps, and ended not even its ${part}`,
      () =>
        stopped((kept) => {
          const answers = textOf(kept)
          kept.write(request("/hello"))
          return until("it is answered", () => answers().endsWith("hello")).pipe(
            Effect.andThen(Effect.sync(() => kept.write(text))),
            // The answer to a request without its whole body comes before that.
            Effect.andThen(
              part === "body" ? until("it is answered", () => answers().includes("404")) : Effect.sleep(50)
            )
          )
        }),
      120_000
    )
  }

  it.live(
    "gives all of an answer that it began while it closed, also to a client that reads slowly",
    () =>
      Effect.gen(function*() {
        const port = yield* freePort
        const scope = yield* Scope.fork(yield* Effect.scope)
        let isAsked = false
        const makeServer = () =>
          createServer().once("request", () => {
            isAsked = true
          })
        yield* Layer.buildWithScope(compose(port, Layer.orDie(Broker.layerMemory()), makeServer), scope)
        const slow = yield* Effect.acquireRelease(
          Effect.sync(() => connectTo(port, "127.0.0.1").on("error", () => {})),
          (socket) => Effect.sync(() => socket.destroy())
        )
        let bytes = 0
        slow.on("data", (piece) => {
          bytes += piece.length
        })
        slow.write(request("/large"))
        slow.pause()
        yield* until("it is asked", () => isAsked)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* Effect.sleep("700 millis")
        slow.resume()
        yield* Fiber.join(closing)
        yield* until("the connection is closed", () => slow.destroyed)
        assert.isAbove(bytes, largeBytes)
      }),
    120_000
  )

  const logs = [["memory", false], ...(program === undefined ? [] : [["Redis", true] as const])] as const

  for (const [log, overRedis] of logs) {
    it.live(
      `fault 25: on SIGTERM in mid-run tells devices how the run ended before it says goodbye, over ${log}`,
      () =>
        Effect.gen(function*() {
          const redis = overRedis ? { REDIS_URL: (yield* redisServer(program ?? "redis-server")).url } : {}
          const child = yield* startProcess({ env: { RUN_OF: "ada", GATEWAY_RECONNECT_SPREAD: "1 second", ...redis } })
          yield* untilEffect("it is ready", child.ready)
          const device = yield* connect(child, "ada", { resume: { epoch: "before", offset: 0 } })
          yield* Effect.forEach(Array.from({ length: 20 }), (_, n) => connect(child, `idle-${n}`), { discard: true })
          yield* until("the run is there", () => happened(device).includes("snapshot active"))
          yield* child.terminate
          assert.strictEqual((yield* device.closed).code, 4500)
          assert.deepStrictEqual(happened(device).slice(-2), ["agent_error cancelled", "goodbye"])
          const { code, ownMs } = yield* child.stopped
          assert.strictEqual(code, 0)
          assert.isBelow(ownMs, closingMs)
        }),
      120_000
    )
  }

  it.live("fault 34: serves operators on a listener of their own, which holds nothing up when it closes", () =>
    Effect.gen(function*() {
      const [port, inner] = [yield* freePort, yield* freePort]
      const scope = yield* Scope.fork(yield* Effect.scope)
      yield* Layer.buildWithScope(
        Operations.layerServer({ port: inner }).pipe(
          Layer.provide(compose(port, Layer.orDie(Broker.layerMemory())))
        ),
        scope
      )
      const status = (at: number, path: string) =>
        Effect.promise(() => fetch(`http://127.0.0.1:${at}${path}`).then((response) => response.status))
      assert.deepStrictEqual(
        [yield* status(inner, "/metrics"), yield* status(inner, "/readyz"), yield* status(port, "/metrics")],
        [200, 200, 404]
      )
      assert.deepStrictEqual([yield* status(port, "/hello"), yield* status(inner, "/hello")], [200, 404])
      const ready = yield* Effect.acquireRelease(
        Effect.sync(() => connectTo(inner, "127.0.0.1").on("error", () => {})),
        (socket) => Effect.sync(() => socket.destroy())
      )
      yield* until("it is connected", () => !ready.connecting)
      const [ownMs] = yield* ownTimed(Scope.close(scope, Exit.void))
      assert.isBelow(ownMs, 2 * closingMs)
    }))
})
