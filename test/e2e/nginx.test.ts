/** Devices behind nginx, configured as the operators' guide says. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker } from "effect-emitter"
import { spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { devices, live, until, untilEffect, upTo } from "../client/devices.ts"
import { append, serve, token } from "../gateway/server.ts"
import { freePort } from "../support/freePort.ts"
import { ownTimed } from "../support/ownTime.ts"
import { findProgram } from "../support/program.ts"

const nginx = findProgram("nginx")

const guide = readFileSync(new URL("../../src/gateway/operations/README.md", import.meta.url), "utf8")
const configuration = /^```nginx\n([^]*?)^```$/mu.exec(guide)?.[1] ?? ""

const listens = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => resume(Effect.succeed(true))).once("error", () => resume(Effect.succeed(false)))
    socket.once("connect", () => socket.destroy())
  })

const replaced = (text: string, from: string, to: string): string => {
  assert.include(text, from)
  return text.replaceAll(from, to)
}

/** The guide's configuration before these two ports. It ends with the scope. */
const proxy = Effect.fnUntraced(function*([first, second]: readonly [number, number], idle = "75s") {
  const port = yield* freePort
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-nginx-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  chmodSync(directory, 0o755)
  const ports = [["127.0.0.1:3000", `127.0.0.1:${first}`], ["127.0.0.1:3001", `127.0.0.1:${second}`]] as const
  const own = ports.reduce((text, [from, to]) => replaced(text, from, to), configuration)
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) =>
    `${name}_temp_path ${directory}/${name};`
  )
  const file = join(directory, "nginx.conf")
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${directory}/pid; error_log ${directory}/error.log info;
events { worker_connections 512; }
http {
access_log off; ${temporary.join(" ")}
${replaced(replaced(own, "listen 80;", `listen 127.0.0.1:${port};`), "75s", idle)}
}
`
  )
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(nginx ?? "nginx", ["-p", directory, "-c", file], { stdio: "ignore" })),
    // It ends its workers at once. What is frozen or gone is not waited for.
    (started) => Effect.sync(() => void started.kill("SIGTERM"))
  )
  yield* untilEffect(
    "nginx listens",
    Effect.suspend(() => {
      assert.isNull(child.exitCode, "nginx has ended")
      return listens(port)
    })
  )
  return {
    url: `ws://127.0.0.1:${port}/events`,
    /** What it complained of. */
    log: () => readFileSync(join(directory, "error.log"), "utf8")
  }
})

const transports = ["websocket", "sse"] as const

describe.skipIf(nginx === undefined)("behind nginx, as the guide configures it,", () => {
  for (const transport of transports) {
    it.live(`a device over ${transport} gets each event as it comes`, () =>
      Effect.gen(function*() {
        const served = yield* serve()
        const { url } = yield* proxy([served.port, served.port])
        const ann = yield* token("ann")
        const device = yield* devices.connect({ url, token: () => ann, transports: [transport] })
        yield* live(device)
        // The next event is not emitted before this one is here, so that nothing can push it out of a buffer.
        for (const n of upTo(5)) {
          yield* append(served, "ann", n)
          yield* until(`event ${n}`, () => device.offsets.length === n)
        }
        assert.deepStrictEqual(device.offsets, upTo(5))
        assert.strictEqual((yield* served.gateway.stats).opened, 1)
      }))

    it.live(`a device over ${transport} gets compressed events as they come`, () =>
      Effect.gen(function*() {
        const served = yield* serve({ compression: { enabled: true, contextTakeover: true } })
        const { url } = yield* proxy([served.port, served.port])
        const ann = yield* token("ann")
        const device = yield* devices.connect({ url, token: () => ann, transports: [transport] })
        yield* live(device)
        for (const n of upTo(5)) {
          yield* append(served, "ann", n)
          yield* until(`event ${n}`, () => device.offsets.length === n)
        }
        assert.deepStrictEqual(device.offsets, upTo(5))
        const { compression, opened } = yield* served.gateway.stats
        assert.strictEqual(opened, 1)
        assert.isAtLeast(compression.frames, 5)
      }))

    it.live(`a device over ${transport} moves to the other node when its own is drained, and misses nothing`, () =>
      Effect.gen(function*() {
        const broker = Layer.succeedContext(yield* Layer.build(Layer.orDie(Broker.layerMemory())))
        const options = { reconnectSpread: "50 millis", drainTimeout: "1 second" } as const
        const [one, other] = [yield* serve(options, { broker }), yield* serve(options, { broker })]
        const { url } = yield* proxy([one.port, other.port])
        const ann = yield* token("ann")
        const device = yield* devices.connect({ url, token: () => ann, transports: [transport] })
        yield* live(device)
        const [its, next] = (yield* one.gateway.stats).opened > 0 ? [one, other] : [other, one]
        yield* append(next, "ann", 1)
        yield* until("the first event", () => device.offsets.length === 1)
        yield* its.close
        yield* append(next, "ann", 2, 3)
        yield* until("all events", () => device.offsets.length === 3)
        assert.deepStrictEqual(device.offsets, upTo(3))
        assert.isAbove((yield* next.gateway.stats).opened, 0)
      }))
  }

  it.live("quiet devices are kept by the heartbeats, and cut without them", () =>
    Effect.gen(function*() {
      const ann = yield* token("ann")
      yield* Effect.forEach(transports, (transport) =>
        Effect.gen(function*() {
          const [beating, quiet] = [yield* serve({ heartbeat: "1 second" }), yield* serve({ heartbeat: "1 hour" })]
          // Longer than a heartbeat by far, so that a machine that is loaded sends one in time.
          const [patient, hasty] = [
            yield* proxy([beating.port, beating.port], "10s"),
            yield* proxy([quiet.port, quiet.port], "1s")
          ]
          const [kept, cut] = yield* Effect.forEach(
            [patient, hasty],
            ({ url }) => devices.connect({ url, token: () => ann, transports: [transport] })
          )
          yield* Effect.forEach([kept, cut], (device) => device === undefined ? Effect.die("no device") : live(device))
          // It comes back each time, and is cut again.
          yield* untilEffect("cut ten times", Effect.map(quiet.gateway.stats, ({ opened }) => opened > 10), 30)
          // Gateway and device may have lost sight of each other on a machine that is loaded: nginx says what it did.
          assert.include(hasty.log(), "upstream timed out")
          assert.notInclude(patient.log(), "upstream timed out")
          assert.isAtLeast((yield* beating.gateway.stats).opened, 1)
        }), { concurrency: "unbounded", discard: true })
    }))

  /** Asks through the proxy, one after the other, and gives what came of each: 426 is a gateway's own. */
  const statuses = (url: string, count: number, options: RequestInit = {}) =>
    Effect.forEach(
      upTo(count),
      () =>
        Effect.promise(() =>
          fetch(url.replace("ws:", "http:"), { ...options, signal: AbortSignal.timeout(90_000) })
            .then((response) => response.status)
        )
    )

  it.live("no request fails in a rolling deploy, however soon the second node follows the first", () =>
    Effect.gen(function*() {
      const broker = Layer.succeedContext(yield* Layer.build(Layer.orDie(Broker.layerMemory())))
      const [one, other] = [yield* serve({}, { broker }), yield* serve({}, { broker })]
      const { url } = yield* proxy([one.port, other.port])
      yield* one.close
      const during = yield* statuses(url, 4)
      yield* serve({}, { broker, port: one.port })
      yield* other.close
      assert.deepStrictEqual([...during, ...(yield* statuses(url, 4))], Array.from({ length: 8 }, () => 426))
    }))

  it.live("a node that drains and is still asked is passed over", () =>
    Effect.gen(function*() {
      const [one, other] = [yield* serve(), yield* serve()]
      const { url } = yield* proxy([one.port, other.port])
      yield* one.gateway.drain
      assert.deepStrictEqual(yield* statuses(url, 4), [426, 426, 426, 426])
    }))

  it.live("a frame that is posted to a node which goes away reaches the other", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const going = yield* freePort
      // As a node whose listener closes before it has accepted the connection.
      const resetting = createServer((socket) => void socket.once("data", () => socket.resetAndDestroy()))
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void resetting.listen(going, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => resetting.close())
      )
      const { url } = yield* proxy([going, served.port])
      const headers = { authorization: `Bearer ${yield* token("ann")}`, "content-type": "application/json" }
      const body = JSON.stringify({ type: "command", id: "c1", run: "r1", name: "cancel" })
      assert.deepStrictEqual(yield* statuses(url, 2, { method: "POST", headers, body }), [200, 200])
    }))

  it.live("a node whose machine takes no connections is passed over in seconds", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const away = yield* silentPort
      const { url } = yield* proxy([away, served.port])
      const [ownMs, seen] = yield* ownTimed(statuses(url, 2))
      assert.deepStrictEqual(seen, [426, 426])
      // Before a device gives up and tries again by itself.
      assert.isBelow(ownMs, 8_000)
    }))
})

/** A port at which nobody accepts, and whose queue is full, so that further connections are not answered at all. */
const silentPort = Effect.gen(function*() {
  const listening = `require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
    require("node:fs").writeSync(1, String(this.address().port) + "\\n")
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })`
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, ["-e", listening], { stdio: ["ignore", "pipe", "inherit"] })),
    (started) => Effect.sync(() => void started.kill("SIGKILL"))
  )
  const port = yield* Effect.callback<number>((resume) => {
    child.stdout.once("data", (line) => resume(Effect.succeed(Number(String(line)))))
  })
  const waiting = yield* Effect.acquireRelease(
    Effect.sync(() => upTo(8).map(() => connect(port, "127.0.0.1").on("error", () => {}))),
    (sockets) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
  )
  yield* until("some are connected", () => waiting.some(({ connecting }) => !connecting))
  yield* Effect.sleep("100 millis")
  assert.isTrue(waiting.some(({ connecting }) => connecting), "the queue is full")
  return port
})
