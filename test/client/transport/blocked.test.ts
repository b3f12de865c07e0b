/**
 * Both clients behind a proxy that lets no WebSocket through, against the package's own gateway.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { append, envelope, serve, token, user } from "../../gateway/server.ts"
import { settledMemory, steadyGrowth } from "../../support/memory.ts"
import { devices, type Options, until, untilEffect, upTo } from "../devices.ts"
import { proxyTo } from "../Proxy.ts"

const world = Effect.fnUntraced(function*(options: Parameters<typeof serve>[0] = {}) {
  const served = yield* serve({ reconnectSpread: "20 millis", ...options })
  const proxy = yield* proxyTo(() => served.port)
  const ann = yield* token("ann")
  const settings: Options = { url: `ws://127.0.0.1:${proxy.port}/events`, token: () => ann }
  return { served, proxy, settings }
})

for (const [deviceName, device] of Object.entries(devices)) {
  describe(`${deviceName}, where no WebSocket gets through`, () => {
    it.live("gets every event once and in order by server-sent events, though its connection is cut again and again", () =>
      Effect.gen(function*() {
        const { proxy, served, settings } = yield* world()
        proxy.upgrades("refuse")
        const one = yield* device(settings)
        yield* until("live", () => one.status().state === "live")
        assert.deepStrictEqual(one.status(), { state: "live", transport: "sse" })
        for (let round = 0; round < 30; round++) {
          yield* append(served, "ann", ...upTo(10))
          if (round % 3 === 0) proxy.cut()
          if (round % 4 === 0) yield* Effect.sleep("3 millis")
        }
        yield* until("all events", () => one.offsets.length >= 300)
        assert.deepStrictEqual(one.offsets, upTo(300))
        assert.deepStrictEqual(one.told, [])
        assert.isTrue(one.statuses.every((status) => status.state !== "live" || status.transport === "sse"))
      }))

    it.live("goes on from its position when WebSocket is blocked in mid-stream", () =>
      Effect.gen(function*() {
        const { proxy, served, settings } = yield* world()
        const one = yield* device(settings)
        yield* until("live", () => one.status().state === "live")
        assert.deepStrictEqual(one.status(), { state: "live", transport: "websocket" })
        yield* append(served, "ann", ...upTo(5))
        yield* until("the first events", () => one.offsets.length === 5)
        proxy.upgrades("refuse")
        proxy.cut()
        yield* append(served, "ann", ...upTo(5))
        yield* until("the rest", () => one.offsets.length === 10)
        yield* until("live", () => one.status().state === "live")
        assert.deepStrictEqual(one.status(), { state: "live", transport: "sse" })
        assert.deepStrictEqual(one.offsets, upTo(10))
        assert.deepStrictEqual(one.told, [])
      }))

    it.live("waits for a server that is away, and comes back by WebSocket", () =>
      Effect.gen(function*() {
        const { proxy, settings } = yield* world()
        const one = yield* device(settings)
        yield* until("live", () => one.status().state === "live")
        proxy.upgrades("down")
        proxy.cut()
        yield* until("several attempts", () => one.statuses.filter(({ state }) => state === "waiting").length >= 8)
        proxy.upgrades("pass")
        yield* until("live", () => one.status().state === "live")
        assert.deepStrictEqual(one.status(), { state: "live", transport: "websocket" })
      }))

    it.live("does not wait for ever for a handshake that nobody answers", () =>
      Effect.gen(function*() {
        const { proxy, served, settings } = yield* world()
        proxy.upgrades("swallow")
        const one = yield* device({ ...settings, connectTimeoutMs: 2_000 })
        yield* until("live", () => one.status().state === "live")
        assert.deepStrictEqual(one.status(), { state: "live", transport: "sse" })
        yield* append(served, "ann", 1)
        yield* until("the event", () => one.offsets.length === 1)
      }))

    it.live("is told of gaps and of the state of runs as over WebSocket", () =>
      Effect.gen(function*() {
        const { served, settings } = yield* world()
        yield* served.broker.append(user("ann"), [envelope({ agentName: "a" }, { type: "agent_started", run: "r1" })])
        const start = { epoch: "elsewhere", offset: 3 }
        const over = (transport: "websocket" | "sse") =>
          Effect.gen(function*() {
            const one = yield* device({ ...settings, start, transports: [transport] })
            yield* until("live", () => one.status().state === "live" && one.offsets.length > 0)
            return { offsets: one.offsets, told: one.told }
          })
        const sse = yield* over("sse")
        assert.deepStrictEqual(sse, yield* over("websocket"))
        assert.deepStrictEqual(sse, { offsets: [1], told: ["gap 1-0 epoch", "snapshot r1 1"] })
      }))

    it.live("filters threads, and knows how far it has come", () =>
      Effect.gen(function*() {
        const { proxy, served, settings } = yield* world({ heartbeat: "200 millis" })
        const one = yield* device({ ...settings, threads: ["t1"], transports: ["sse"] })
        yield* until("live", () => one.status().state === "live")
        const say = (...threads: ReadonlyArray<string>) =>
          Effect.forEach(threads, (thread) => served.broker.append(user("ann"), [envelope({ n: 1 }, { thread })]))
        yield* say("t1", "t2", "t2", "t1", "t2")
        yield* until("its events", () => one.offsets.length === 2)
        proxy.cut()
        yield* say("t2", "t1")
        yield* until("the last", () => one.offsets.length === 3)
        assert.deepStrictEqual(one.offsets, [1, 4, 7])
        assert.deepStrictEqual(one.told, [])
      }))

    it.live("acknowledges what it has handled, so that a confirmation arrives", () =>
      Effect.gen(function*() {
        const { served, settings } = yield* world()
        const one = yield* device({ ...settings, transports: ["sse"] })
        yield* until("live", () => one.status().state === "live")
        const position = yield* served.broker.append(user("ann"), [envelope({ n: 1 }, { confirm: true })])
        const confirmed = yield* Effect.forkChild(served.broker.acknowledged(user("ann"), position))
        yield* Fiber.join(confirmed)
        assert.deepStrictEqual(one.offsets, [1])
        // What asks for nothing is handled, and confirmed to nobody.
        yield* served.broker.append(user("ann"), [envelope({ n: 2 })])
        const later = yield* served.broker.append(user("ann"), [envelope({ n: 3 }, { confirm: true })])
        yield* served.broker.acknowledged(user("ann"), later)
        assert.deepStrictEqual(one.offsets, [1, 2, 3])
        yield* untilEffect(
          "both are counted",
          Effect.map(served.gateway.stats, ({ acknowledgements }) => acknowledgements === 2)
        )
      }))

    it.live("keeps to WebSocket if it may use nothing else", () =>
      Effect.gen(function*() {
        const { proxy, settings } = yield* world()
        proxy.upgrades("refuse")
        const one = yield* device({ ...settings, transports: ["websocket"] })
        yield* until("attempts", () => one.statuses.filter(({ state }) => state === "waiting").length >= 5)
        assert.isTrue(one.statuses.every(({ state }) => state !== "live"))
        proxy.upgrades("pass")
        yield* until("live", () => one.status().state === "live")
        assert.deepStrictEqual(one.status(), { state: "live", transport: "websocket" })
      }))
  })
}

// Both clients open their streams by the same few lines, so one of them shows it.
describe("server-sent events, in the long run", () => {
  it.live(
    "leaks no socket, timer or memory over 1,000 reconnects, and nor does the gateway",
    () =>
      Effect.gen(function*() {
        const resources = () => {
          const all = process.getActiveResourcesInfo()
          const count = (name: string) => all.filter((resource) => resource === name).length
          return { timers: count("Timeout"), sockets: count("TCPSocketWrap") }
        }
        const { proxy, served, settings } = yield* world()
        const one = yield* devices.connect({ ...settings, transports: ["sse"], capMs: 2, forgetful: true })
        const reconnect = Effect.fnUntraced(function*(times: number) {
          for (let n = 1; n <= times; n++) {
            if (n % 50 === 0) yield* append(served, "ann", n)
            const { opened } = yield* served.gateway.stats
            proxy.cut()
            while ((yield* served.gateway.stats).opened === opened) yield* Effect.sleep("1 millis")
          }
        })
        yield* until("live", () => one.status().state === "live")
        yield* reconnect(300)
        yield* until("live", () => one.status().state === "live")
        const before = { heap: yield* Effect.promise(settledMemory), ...resources() }
        const heaps = [before.heap]
        while (heaps.length < 5) {
          yield* reconnect(250)
          yield* until("live", () => one.status().state === "live")
          heaps.push(yield* Effect.promise(settledMemory))
        }
        yield* until("all events", () => one.offsets.length === 26)
        yield* until("live", () => one.status().state === "live")
        // The ends of what was cut last take their time. An acknowledgement has a connection of its own, which is kept for
        // a while and seen here from four sides.
        yield* until("the last sockets and timers gone", () => {
          const { sockets, timers } = resources()
          return sockets <= before.sockets + 4 && timers <= before.timers + 4
        })
        const alone = Effect.map(
          served.gateway.stats,
          ({ connections, sessions }) => connections === 1 && sessions === 1
        )
        yield* untilEffect("one session left", alone)
        assert.deepStrictEqual(one.offsets, upTo(26))
        const grown = steadyGrowth(heaps)
        process.stdout.write(`connect by SSE: ${grown} bytes more after each 250 reconnects\n`)
        assert.isBelow(grown, 500_000)
      }),
    { tags: ["storm"], timeout: 300_000 }
  )
})
