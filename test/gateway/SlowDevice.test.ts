import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker } from "effect-emitter"
import { untilEffect } from "../client/devices.ts"
import { settledMemory } from "../support/memory.ts"
import { append, connect, envelope, serve, user } from "./server.ts"

const kibi = 1024

describe("A device that does not read", () => {
  it.live("does not grow the server, and gets everything once it reads again", () =>
    Effect.gen(function*() {
      const broker = Layer.orDie(Broker.layerMemory({ maxBytes: 64 * kibi * kibi }))
      const patient = { bytes: 1024 * kibi * kibi, after: "1 hour" } as const
      const served = yield* serve(
        { maxFrameBytesOut: 32 * kibi, slow: { volatile: patient, batched: patient, close: patient } },
        { broker }
      )
      const other = yield* connect(served, "ada")
      const stuck = yield* connect(served, "ada")
      stuck.socket.pause()

      // 32 MiB: far more than the kernel's buffers hold back.
      const count = 2_000
      const text = "x".repeat(16 * kibi)
      let largest = 0
      for (let n = 1; n <= count; n++) {
        yield* served.broker.append(user("ada"), [envelope({ n, text })])
        yield* Effect.sleep(0)
        largest = Math.max(largest, (yield* served.gateway.stats).backlog)
      }
      yield* other.received(count)
      const stats = yield* served.gateway.stats
      assert.strictEqual(stats.behind, 1)
      assert.isAbove(stats.backlog, 0)
      // Both devices together: what a socket holds before it says that it is full, and one frame more.
      assert.isAtMost(largest, 2 * (64 + 32) * kibi)

      stuck.socket.resume()
      yield* stuck.received(count)
      assert.deepStrictEqual(stuck.numbers(), other.numbers())
      assert.strictEqual((yield* served.gateway.stats).behind, 0)
    }))

  it.live("P5: is closed where too much waits for all, counts until its socket is gone, and then no more", () =>
    Effect.gen(function*() {
      const perNode = 600 * kibi
      const patient = { bytes: 1024 * kibi * kibi, after: "1 hour" } as const
      const served = yield* serve({
        maxFrameBytesOut: 64 * kibi,
        slow: { volatile: patient, batched: patient, close: patient },
        backlog: { perConnection: 300 * kibi, perNode }
      })
      const stuck = yield* Effect.forEach(Array.from({ length: 8 }), () => connect(served, "ada"))
      for (const { socket } of stuck) socket.pause()
      const text = "x".repeat(120 * kibi)
      const stats = Effect.gen(function*() {
        const seen = yield* served.gateway.stats
        assert.isAtMost(seen.backlog, perNode)
        return seen
      })
      // The kernel takes some megabytes for each.
      for (let n = 1; (yield* stats).overfull === 0; n++) {
        yield* served.broker.append(user("ada"), [envelope({ n, text })])
        yield* Effect.sleep(0)
      }
      const { closed, overfull } = yield* stats
      assert.strictEqual(closed["tooSlow"], overfull)
      for (const { socket } of stuck) socket.terminate()
      yield* untilEffect("all is free", Effect.map(stats, ({ backlog, connections }) => backlog + connections === 0))
    }))

  it.live("is let go of when it vanishes", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const stuck = yield* connect(served, "ada")
      stuck.socket.pause()
      for (let n = 1; n <= 20; n++) {
        yield* served.broker.append(user("ada"), [envelope({ n, text: "x".repeat(500 * kibi) })])
        yield* Effect.sleep(0)
      }
      assert.isAbove((yield* served.gateway.stats).backlog, 0)
      stuck.socket.terminate()
      yield* untilEffect(
        "it is forgotten",
        Effect.map(
          served.gateway.stats,
          ({ backlog, connections, sessions }) => sessions + connections + backlog === 0
        )
      )
      assert.strictEqual(yield* served.broker.readers(user("ada")), 0)
      yield* append(served, "ada", 21)
    }))

  it.live(
    "and a thousand like it, cost the memory of what their sockets hold, however much is emitted",
    () =>
      Effect.gen(function*() {
        const used = Effect.map(Effect.promise(settledMemory), (bytes) => bytes / kibi / kibi)
        const devices = 1_000
        const broker = Layer.orDie(Broker.layerMemory({ maxBytes: 512 * kibi }))
        const patient = { bytes: 1024 * kibi * kibi, after: "1 hour" } as const
        const served = yield* serve({
          connections: { perUser: devices + 1, perSecond: 10_000 },
          // The one that reads shares this process, and may be busy for longer than a heartbeat.
          heartbeat: "10 minutes",
          maxFrameBytesOut: 32 * kibi,
          slow: { volatile: patient, batched: patient, close: patient }
        }, { broker })
        const reader = yield* connect(served, "ada")
        yield* Effect.forEach(
          Array.from({ length: devices }, (_, index) => index),
          () =>
            Effect.gen(function*() {
              const { socket } = yield* connect(served, "ada")
              socket.pause()
            }),
          { concurrency: 20, discard: true }
        )
        const text = "x".repeat(16 * kibi)
        let n = 0
        const emit = Effect.fnUntraced(function*(times: number) {
          for (let left = times; left > 0; left--) {
            yield* served.broker.append(user("ada"), [envelope({ n: ++n, text })])
            // The log is short, and a thousand devices write before the one that reads does.
            yield* reader.received(n)
          }
        })
        // Until every socket is full.
        while ((yield* served.gateway.stats).behind < devices) yield* emit(50)
        // What the kernel holds may still grow a little, so a round may have to be repeated. Once nothing more fits, nothing is
        // written to those that do not read, however much is emitted.
        const round = Effect.gen(function*() {
          const held = yield* used
          const before = yield* served.gateway.stats
          const read = reader.frames.length
          yield* emit(400)
          const stats = yield* served.gateway.stats
          const unread = stats.messages - before.messages - (reader.frames.length - read)
          return { before, stats, unread, grown: (yield* used) - held }
        })
        const { before, grown, stats, unread } = yield* Effect.repeat(round, {
          until: ({ unread }) => unread === 0,
          times: 9
        })
        process.stdout.write(
          `1,000 devices that do not read: ${(stats.backlog / kibi / devices).toFixed(0)} KiB wait for each, `
            + `6 MiB more emitted: ${grown.toFixed(1)} MiB\n`
        )
        assert.strictEqual(unread, 0)
        assert.strictEqual(stats.behind, devices)
        assert.isAtMost(stats.backlog, before.backlog)
        assert.isAtMost(stats.backlog, devices * (64 + 32) * kibi)
        // The reader's own record of what it received is in it.
        assert.isBelow(grown, 16)
      }),
    { tags: ["storm"], timeout: 300_000 }
  )
})
