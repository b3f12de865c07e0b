/**
 * Both clients over real sockets, with a network that breaks: against the smallest server of the protocol, and against
 * the package's own gateway.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope, Stream } from "effect"
import { Broker } from "effect-emitter"
import { Client } from "effect-emitter/client"
import { append, serve, token } from "../../gateway/server.ts"
import { settledMemory, steadyGrowth } from "../../support/memory.ts"
import { ownTimed } from "../../support/ownTime.ts"
import { devices, live, type Options, until, upTo } from "../devices.ts"
import { type Proxy, proxyTo } from "../Proxy.ts"
import { tinyServer } from "../TinyServer.ts"

interface Backend {
  readonly append: (count: number) => Effect.Effect<void>
  readonly proxy: Proxy
  readonly options: Options
}

const backends: Record<string, Effect.Effect<Backend, never, Scope.Scope>> = {
  "a tiny server": Effect.gen(function*() {
    const tiny = yield* tinyServer(1)
    const proxy = yield* proxyTo(() => tiny.port)
    return {
      append: (count) => Effect.sync(() => tiny.append(count)),
      proxy,
      options: { url: `ws://127.0.0.1:${proxy.port}/events` }
    }
  }),
  "the gateway": Effect.gen(function*() {
    const served = yield* serve()
    const proxy = yield* proxyTo(() => served.port)
    const ann = yield* token("ann")
    return {
      append: (count: number) => Effect.orDie(append(served, "ann", ...Array.from({ length: count }, (_, n) => n))),
      proxy,
      options: { url: `ws://127.0.0.1:${proxy.port}/events`, token: () => ann }
    }
  }).pipe(Effect.orDie)
}

for (const [backendName, backend] of Object.entries(backends)) {
  for (const [deviceName, device] of Object.entries(devices)) {
    describe(`${deviceName}, against ${backendName}`, () => {
      it.live("gets every event once and in order, though its connection is cut again and again", () =>
        Effect.gen(function*() {
          const { append, options, proxy } = yield* backend
          const one = yield* device(options)
          const other = yield* device(options)
          yield* Effect.all([live(one), live(other)])
          for (let round = 0; round < 30; round++) {
            yield* append(10)
            if (round % 3 === 0) proxy.cut()
            if (round % 4 === 0) yield* Effect.sleep("3 millis")
          }
          yield* until("all events", () => one.offsets.length >= 300 && other.offsets.length >= 300)
          assert.deepStrictEqual(one.offsets, upTo(300))
          assert.deepStrictEqual(other.offsets, upTo(300))
          assert.isAbove(proxy.stats().total, 2)
        }))

      it.live("closes its connection with its scope", () =>
        Effect.gen(function*() {
          const { options, proxy } = yield* backend
          yield* Effect.scoped(Effect.flatMap(device(options), live))
          yield* until("closed", () => proxy.stats().open === 0)
          assert.strictEqual(proxy.stats().total, 1)
        }))
    })
  }
}

describe("Client, with a slow handler", () => {
  it.live("gets every event from the gateway, though more come than it has room for", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const ann = yield* token("ann")
      yield* append(served, "ann", ...upTo(2_000))
      const client = yield* Client.make({
        url: served.url,
        token: ann,
        start: "earliest",
        capacity: 200,
        backoff: { baseMs: 5, capMs: 50 }
      })
      const offsets: Array<number> = []
      yield* Effect.forkScoped(Stream.runForEach(client.events, ({ offset }) =>
        Effect.andThen(
          Effect.sync(() => offsets.push(offset)),
          offset % 10 === 0 ? Effect.sleep("1 millis") : Effect.void
        )))
      yield* until("all events", () => offsets.length >= 2_000)
      assert.deepStrictEqual(offsets, upTo(2_000))
    }))
})

for (const [deviceName, device] of Object.entries(devices)) {
  for (const transport of ["websocket", "sse"] as const) {
    const transports = [transport] as const
    describe(`${deviceName} over ${transport}, against the gateway`, () => {
      it.live("notices a half-open connection by its missing heartbeats, and resumes", () =>
        Effect.gen(function*() {
          const served = yield* serve({ heartbeat: "200 millis" })
          const proxy = yield* proxyTo(() => served.port)
          const ann = yield* token("ann")
          const { offsets, status, statuses } = yield* device({
            url: `ws://127.0.0.1:${proxy.port}/events`,
            token: () => ann,
            transports
          })
          yield* until("live", () => status().state === "live")
          yield* append(served, "ann", 1)
          yield* until("the first event", () => offsets.length === 1)
          proxy.hold()
          yield* append(served, "ann", 2)
          const [ownMs] = yield* ownTimed(
            until("noticed", () => statuses.some((_) => _.state === "waiting" && _.cause._tag === "silent"))
          )
          assert.isBelow(ownMs, 1_000)
          proxy.cut()
          proxy.release()
          yield* until("resumed", () => offsets.length === 2)
          assert.deepStrictEqual(offsets, [1, 2])
        }))

      it.live("gets a new token when the old one has expired, and misses nothing", () =>
        Effect.gen(function*() {
          const served = yield* serve({ expiryGrace: "1 millis" })
          const tokens = [
            yield* token("ann", { expiresIn: -60 }),
            yield* token("ann", { expiresIn: 2 }),
            yield* token("ann")
          ]
          let asked = 0
          const { offsets, status } = yield* device({
            url: served.url,
            token: () => tokens[asked++] ?? "none left",
            transports
          })
          yield* until("live", () => status().state === "live")
          assert.strictEqual(asked, 2)
          yield* append(served, "ann", 1)
          yield* until("renewed", () => asked === 3 && status().state === "live")
          yield* append(served, "ann", 2)
          yield* until("both events", () => offsets.length === 2)
          assert.deepStrictEqual(offsets, [1, 2])
        }))

      it.live("comes back after a server that said goodbye, and catches up", () =>
        Effect.gen(function*() {
          const layer = yield* Layer.build(Layer.orDie(Broker.layerMemory()))
          const shared = Layer.succeedContext(layer)
          const options = { reconnectSpread: "50 millis", drainTimeout: "1 second" } as const
          const first = yield* serve(options, { broker: shared })
          let port = first.port
          const proxy = yield* proxyTo(() => port)
          const ann = yield* token("ann")
          const { offsets, status } = yield* device({
            url: `ws://127.0.0.1:${proxy.port}/events`,
            token: () => ann,
            transports
          })
          yield* until("live", () => status().state === "live")
          yield* append(first, "ann", 1)
          yield* until("the first event", () => offsets.length === 1)
          yield* first.close
          yield* until("noticed", () => status().state !== "live")
          yield* append(first, "ann", 2, 3)
          const second = yield* serve(options, { broker: shared })
          port = second.port
          yield* until("caught up", () => offsets.length === 3 && status().state === "live")
          assert.deepStrictEqual(offsets, [1, 2, 3])
        }))
    })
  }

  describe(`${deviceName}, in the long run`, () => {
    it.live("leaks no socket, timer or memory over 1,000 reconnects", () =>
      Effect.gen(function*() {
        const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length

        const tiny = yield* tinyServer(1)
        let welcomes = 0
        let goal = 500
        tiny.onWelcomed = () => {
          welcomes += 1
          // Few, so that what the server keeps of them does not count.
          if (welcomes % 100 === 0) tiny.append(1)
          if (welcomes < goal) tiny.close(4500)
        }
        const proxy = yield* proxyTo(() => tiny.port)
        const url = `ws://127.0.0.1:${proxy.port}/events`
        const { offsets } = yield* device({ url, capMs: 2, forgetful: true })
        const reached = Effect.suspend(() =>
          Effect.andThen(
            until(`${goal} connections`, () => welcomes >= goal, 40),
            until("one socket left", () => tiny.open() === 1 && proxy.stats().open === 1)
          )
        )
        yield* reached
        const before = { heap: yield* Effect.promise(settledMemory), timers: timers() }
        const heaps = [before.heap]
        while (goal < 1_500) {
          goal += 250
          tiny.close(4500)
          yield* reached
          heaps.push(yield* Effect.promise(settledMemory))
        }
        yield* until("all events", () => offsets.length >= 15)
        yield* until("the last timers gone", () => timers() <= before.timers + 2)
        assert.deepStrictEqual(offsets, upTo(15))
        const grown = steadyGrowth(heaps)
        process.stdout.write(`${deviceName}: ${grown} bytes more after each 250 reconnects\n`)
        assert.isBelow(grown, 250_000)
      }), { tags: ["storm"], timeout: 300_000 })
  })
}
