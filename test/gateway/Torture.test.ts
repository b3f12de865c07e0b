import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { Position } from "effect-emitter"
import type { Frame } from "effect-emitter/protocol"
import { readdirSync } from "node:fs"
import { until as untilSo, untilEffect } from "../client/devices.ts"
import { type Proxy, proxyTo } from "../client/Proxy.ts"
import { seeded } from "../support/random.ts"
import { connect as connectStranger } from "../protocol/plain-client.js"
import { type Device, dial, envelope, serve, type Served, token, user } from "./server.ts"

/** What a device knows, over all its connections. It checks every frame against what it knew. */
class Record {
  at: Position.Position | undefined
  readonly seen = new Map<string, unknown>()
  readonly explained = new Set<string>()
  filtered = false

  take(frame: Frame.ServerFrame): void {
    const at = this.at
    switch (frame.type) {
      case "welcome":
        this.at ??= { epoch: frame.epoch, offset: frame.offset }
        return
      case "gap":
        assert.strictEqual(frame.from, (at?.offset ?? 0) + 1)
        for (let offset = frame.from; offset <= frame.to; offset++) this.explained.add(`${frame.epoch}:${offset}`)
        this.at = { epoch: frame.epoch, offset: frame.to }
        return
      case "events": {
        let offset = at?.offset ?? 0
        assert.strictEqual(frame.epoch, at?.epoch)
        for (const event of frame.events) {
          if (this.filtered) assert.isAbove(event.offset, offset)
          else assert.strictEqual(event.offset, offset + 1)
          offset = event.offset
          const key = Position.toText({ epoch: frame.epoch, offset })
          assert.isFalse(this.seen.has(key), `${key} came twice`)
          this.seen.set(key, event.data["n"])
        }
        this.at = { epoch: frame.epoch, offset: Math.max(offset, frame.upTo ?? 0) }
        return
      }
      default:
        return
    }
  }
}

const openFiles = () => process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0

/** What this process holds: sockets, timers and files. */
const held = () => {
  const resources = process.getActiveResourcesInfo()
  const count = (name: string) => resources.filter((resource) => resource === name).length
  return { sockets: count("TCPSocketWrap"), timers: count("Timeout"), files: openFiles() }
}

/**
 * A client that was written from the protocol document by somebody who knows nothing of the package, behind a network
 * that breaks. It ends once it has come as far as its user's log.
 */
const stranger = Effect.fnUntraced(function*(options: {
  readonly proxy: Proxy
  readonly token: string
  readonly epoch: string
  /** Whether all events were appended. */
  readonly isOver: () => boolean
  readonly seed: number
  readonly head: Effect.Effect<number>
}) {
  const { epoch, proxy } = options
  const next = seeded(options.seed).next
  const record = new Record()
  record.at = { epoch, offset: 0 }
  const faults: Array<string> = []
  const client = yield* Effect.acquireRelease(
    Effect.sync(() =>
      connectStranger({
        url: `ws://127.0.0.1:${proxy.port}/events`,
        getToken: async () => options.token,
        position: { epoch, offset: 0 },
        onEvent: ({ data, offset }) => {
          const key = Position.toText({ epoch, offset })
          if (record.seen.has(key)) faults.push(`${key} came twice`)
          record.seen.set(key, data["n"])
        },
        onGap: ({ from, to }) => {
          for (let offset = from; offset <= to; offset++) record.explained.add(`${epoch}:${offset}`)
        },
        onStatus: (...[status, detail]) => {
          if (status === "fault" || status === "stopped") faults.push(`${status}: ${JSON.stringify(detail)}`)
        }
      })
    ),
    (client) => Effect.sync(() => client.close())
  )
  while (!options.isOver()) {
    yield* Effect.sleep(Math.floor(next() * 600))
    if (next() < 0.5) client.cut()
    else proxy.cut()
  }
  while ((client.position()?.offset ?? 0) < (yield* options.head)) yield* Effect.sleep("10 millis")
  assert.deepStrictEqual(faults, [])
  return record
})

const users = ["ada", "bob", "cyd", "dan", "eve"]

/** Devices that misbehave, and clients of strangers that do not, on a network that does. */
const devices = 200
const strangers = 20

/** How many events are appended, however slow the machine is. */
const leastEvents = 600

describe("Many devices that misbehave, while events are appended", { tags: ["storm"] }, () => {
  it.live("each know in the end of every event of their user, or why not", () =>
    Effect.gen(function*() {
      const before = held()
      const served = yield* serve({
        heartbeat: "1 second",
        connections: { perUser: 200 },
        framesPerSecond: 1_000,
        slow: {
          volatile: { bytes: 32 * 1024, after: "50 millis" },
          batched: { bytes: 128 * 1024, after: "200 millis" },
          close: { bytes: 8 * 1024 * 1024, after: "600 millis" }
        }
      })
      const epochs = new Map<string, string>()
      for (const name of users) epochs.set(name, (yield* served.broker.head(user(name))).epoch)
      const tokens = new Map<string, string>()
      for (const name of users) tokens.set(name, yield* token(name))

      // What was appended, by position, and whether it was critical.
      const appended = new Map<string, Map<string, { readonly n: number; readonly critical: boolean }>>()
      for (const name of users) appended.set(name, new Map())
      const until = performance.now() + 4_000
      let over = false
      const isOver = () => over
      const next = seeded(1).next
      const append = Effect.gen(function*() {
        for (let n = 1; n <= leastEvents || performance.now() < until; n++) {
          const name = users[Math.floor(next() * users.length)] ?? "ada"
          const delivery = (["critical", "batched", "volatile"] as const)[Math.floor(next() * 3)] ?? "critical"
          const large = next() < 0.05 ? "x".repeat(20_000) : ""
          const { epoch, offset } = yield* served.broker.append(user(name), [
            { ...envelope({ n, large }), delivery }
          ])
          appended.get(name)?.set(`${epoch}:${offset}`, { n, critical: delivery === "critical" })
          if (n % 10 === 0) yield* Effect.sleep("2 millis")
        }
        over = true
      })

      const device = Effect.fnUntraced(function*(served: Served, name: string, seed: number) {
        const next = seeded(seed).next
        const record = new Record()
        // It starts before the first event, so that it must hear of all.
        record.at = { epoch: epochs.get(name) ?? "", offset: 0 }
        const connection = (last: boolean): Effect.Effect<boolean, never, Scope.Scope> =>
          Effect.gen(function*() {
            const device = yield* Effect.orDie(dial(served.url))
            let read = 0
            const look = () => {
              for (; read < device.frames.length; read++) record.take(device.frames[read] ?? assert.fail())
            }
            yield* device.send({ type: "hello", token: tokens.get(name) ?? "", resume: record.at })
            if (last) {
              const head = yield* Effect.orDie(served.broker.head(user(name)))
              // On a slow machine the connection may be over sooner than it has come so far: then another goes on.
              while (device.socket.readyState <= device.socket.OPEN && (record.at?.offset ?? 0) < head.offset) {
                yield* Effect.sleep("10 millis")
                look()
              }
              look()
              return (record.at?.offset ?? 0) >= head.offset
            }
            yield* misbehave(device, next, look)
            look()
            return false
          })
        while (!isOver()) yield* Effect.scoped(connection(false))
        yield* Effect.repeat(Effect.scoped(connection(true)), { until: (knowsAll) => knowsAll })
        return { name, record }
      })

      const proxy = yield* proxyTo(() => served.port)
      const guests = yield* Effect.forkChild(Effect.forEach(
        Array.from({ length: strangers }, (_, index) => index),
        (index) => {
          const name = users[index % users.length] ?? "ada"
          const head = Effect.map(Effect.orDie(served.broker.head(user(name))), ({ offset }) => offset)
          const epoch = epochs.get(name) ?? ""
          const guest = stranger({
            proxy,
            token: tokens.get(name) ?? "",
            epoch,
            isOver,
            seed: index + 1_000,
            head
          })
          return Effect.scoped(Effect.map(guest, (record) => ({ name, record })))
        },
        { concurrency: "unbounded" }
      ))

      const appending = yield* Effect.forkChild(append)
      const records = yield* Effect.forEach(
        Array.from({ length: devices }, (_, index) => index),
        (index) => device(served, users[index % users.length] ?? "ada", index + 1),
        { concurrency: "unbounded" }
      )
      yield* Fiber.join(appending)

      for (const { name, record } of [...records, ...yield* Fiber.join(guests)]) {
        const all = appended.get(name) ?? assert.fail()
        for (const [position, { critical, n }] of all) {
          if (record.seen.has(position)) assert.strictEqual(record.seen.get(position), n)
          else {
            assert.isTrue(record.explained.has(position), `${name} was not told of ${position}`)
            assert.isFalse(critical, `${name} lost the critical event at ${position}`)
          }
        }
        for (const position of record.seen.keys()) {
          assert.isTrue(all.has(position), `${name} got ${position} of somebody`)
        }
      }
      const total = [...appended.values()].reduce((sum, { size }) => sum + size, 0)
      assert.isAtLeast(total, leastEvents)

      yield* untilEffect(
        "nobody is left",
        Effect.map(
          served.gateway.stats,
          ({ backlog, connections, sessions, users }) => sessions + connections + users + backlog === 0
        )
      )
      for (const name of users) assert.strictEqual(yield* served.broker.readers(user(name)), 0)

      yield* served.close
      proxy.cut()
      yield* untilSo("nothing is left open", () => {
        const after = held()
        // The proxy still listens.
        return after.sockets <= before.sockets && after.files <= before.files + 2 && after.timers <= before.timers + 1
      })
    }), 300_000)
})

/** One of the things that devices do in real life. */
const misbehave = (device: Device, next: () => number, look: () => void): Effect.Effect<void> => {
  const wait = (ms: number) => Effect.sleep(Math.floor(next() * ms))
  const tcp = Reflect.get(device.socket, "_socket")
  const choice = next()
  if (choice < 0.2) return Effect.andThen(wait(400), Effect.sync(() => tcp.resetAndDestroy()))
  if (choice < 0.35) return Effect.andThen(wait(400), Effect.andThen(Effect.sync(() => tcp.end()), wait(50)))
  if (choice < 0.5) return Effect.andThen(wait(400), Effect.sync(() => device.socket.close()))
  if (choice < 0.65) {
    const garbage = ["", "}{", `{"type":"hello"}`, `{"type":"ack"}`, new Uint8Array([1]), "x".repeat(100_000)]
    return Effect.andThen(wait(200), device.send(garbage[Math.floor(next() * garbage.length)] ?? "")).pipe(
      Effect.andThen(wait(50))
    )
  }
  if (choice < 0.8) {
    return Effect.sync(() => device.socket.pause()).pipe(
      Effect.andThen(wait(900)),
      Effect.andThen(Effect.sync(() => device.socket.resume())),
      Effect.andThen(wait(100))
    )
  }
  return Effect.forEach(Array.from({ length: 8 }), () =>
    Effect.gen(function*() {
      device.socket.pause()
      yield* wait(60)
      device.socket.resume()
      yield* wait(20)
      look()
      const last = device.frames.findLast((frame) => frame.type === "events")
      const offset = last?.type === "events" ? last.events.at(-1)?.offset ?? 0 : 0
      if (device.socket.readyState === device.socket.OPEN) yield* device.send({ type: "ack", offset })
    }), { discard: true })
}
