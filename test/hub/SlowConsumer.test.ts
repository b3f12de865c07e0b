import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CloseCode } from "effect-emitter/events"
import type { Frame } from "effect-emitter/protocol"
import { TestClock } from "effect/testing"
import { settledMemory } from "../support/memory.ts"
import { FakeBroker, FakeTransport } from "./fakes.ts"
import { makeHub, never, now, offsets, open } from "./hub.ts"
import { textOf } from "../support/runs.ts"

const limits = {
  volatile: { bytes: 2_000, ms: 2_000 },
  batched: { bytes: 8_000, ms: 10_000 },
  close: { bytes: 20_000, ms: 30_000 }
}

/** A connected device that has caught up, and whose transport is full. */
const slowDevice = Effect.fnUntraced(function*(slow = limits) {
  const broker = new FakeBroker({ maxEvents: 1000, delay: now })
  const transport = new FakeTransport()
  const hub = yield* makeHub(broker, { maxFrameBytes: 2048, slow })
  const connection = yield* open(hub, transport)
  broker.append({ run: "r1", type: "agent_started", data: { agentName: "a" } })
  yield* settle
  transport.room = 1
  broker.append()
  yield* settle
  assert.strictEqual(connection.state, "blocked")
  return { broker, transport, connection, hub }
})

const settle = TestClock.adjust("10 millis")

const gaps = (transport: FakeTransport) =>
  transport.frames.filter((frame): frame is typeof Frame.Gap.Type => frame.type === "gap")
    .map(({ from, reason, to }) => [from, to, reason])

const classes = ["critical", "batched", "volatile"] as const

describe("A slow device", () => {
  it.effect("gets everything while its lag is within the limits", () =>
    Effect.gen(function*() {
      const { broker, transport } = yield* slowDevice()
      for (let n = 0; n < 6; n++) broker.append({ delivery: classes[n % 3] ?? "critical" })
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(gaps(transport), [])
      assert.deepStrictEqual(offsets(transport), [1, 2, 3, 4, 5, 6, 7, 8])
    }))

  it.effect("loses volatile events first, and is told which, with snapshots", () =>
    Effect.gen(function*() {
      const { broker, hub, transport } = yield* slowDevice()
      // 60 bytes or so each: more than 2,000 bytes together, and less than 8,000.
      for (let n = 0; n < 60; n++) broker.append({ delivery: classes[n % 3] ?? "critical" })
      transport.drain(Infinity)
      yield* settle
      const kept = Array.from({ length: 60 }, (_, n) => n).filter((n) => n % 3 !== 2).map((n) => n + 3)
      assert.deepStrictEqual(offsets(transport), [1, 2, ...kept])
      assert.strictEqual(gaps(transport).length, 20)
      assert.deepStrictEqual(gaps(transport)[0], [5, 5, "slow"])
      const snapshots = transport.frames.filter(({ type }) => type === "snapshot")
      assert.strictEqual(snapshots.length, 1)
      const stats = yield* hub.stats
      assert.deepStrictEqual(stats.leftOut, { critical: 0, batched: 0, volatile: 20 })
      assert.strictEqual(stats.gaps.slow, 20)
    }))

  it.effect("then loses batched events, and keeps the critical ones", () =>
    Effect.gen(function*() {
      const { broker, hub, transport } = yield* slowDevice()
      for (let n = 0; n < 300; n++) broker.append({ delivery: n === 150 ? "critical" : "batched" })
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(offsets(transport), [1, 2, 153])
      assert.deepStrictEqual((yield* hub.stats).leftOut, { critical: 0, batched: 299, volatile: 0 })
      broker.append({ delivery: "batched" })
      yield* settle
      // Once it has caught up, it gets everything again.
      assert.strictEqual(offsets(transport).at(-1), 303)
    }))

  it.effect("loses them as well when it has been behind for long", () =>
    Effect.gen(function*() {
      for (const [ms, expected] of [[1_900, [3, 4, 5]], [2_000, [3, 4]], [10_000, [3]]] as const) {
        const { broker, transport } = yield* slowDevice()
        for (const delivery of classes) broker.append({ delivery })
        yield* TestClock.adjust(ms - 10)
        transport.drain(Infinity)
        yield* settle
        assert.deepStrictEqual(offsets(transport).slice(2), [...expected], `${ms} ms`)
      }
    }))

  it.effect("is closed with 4502 when its critical events alone are too much", () =>
    Effect.gen(function*() {
      const { broker, transport } = yield* slowDevice()
      for (let n = 0; n < 600; n++) broker.append()
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(transport.closeReasons.map(({ code }) => code), [CloseCode.closeCodes.tooSlow])
    }))

  it.effect("fault 45: is not closed for events that it need not get, however many they are", () =>
    Effect.gen(function*() {
      for (const delivery of ["batched", "volatile"] as const) {
        const { broker, connection, transport } = yield* slowDevice()
        for (let n = 0; n < 900; n++) broker.append({ delivery: n % 30 === 0 ? "critical" : delivery })
        transport.drain(Infinity)
        yield* settle
        assert.deepStrictEqual(transport.closeReasons, [])
        assert.strictEqual(connection.position.offset, 902)
        assert.strictEqual(offsets(transport).length, 2 + 30)
      }
    }))

  it.effect("fault 45: has snapshots for whatever it lost since the last ones, and no others", () =>
    Effect.gen(function*() {
      const { broker, transport } = yield* slowDevice({
        ...limits,
        batched: { bytes: 1, ms: 1 },
        volatile: { bytes: 1, ms: 1 }
      })
      const say = () =>
        broker.append({ run: "r1", type: "text_delta", delivery: "batched", data: { messageId: "m", delta: "x" } })
      const snapshots = () =>
        transport.frames.flatMap((frame) =>
          frame.type === "snapshot" ? [[frame.offset, textOf(frame.state.parts[0]).length]] : []
        )
      say()
      broker.append()
      say()
      transport.drain(1)
      yield* settle
      // Both are in it, and it is as full as before.
      assert.deepStrictEqual(snapshots(), [[5, 2]])
      say()
      transport.drain(2)
      yield* settle
      assert.deepStrictEqual(gaps(transport).map(([from, to]) => [from, to]), [[3, 3], [5, 6]])
      assert.deepStrictEqual(snapshots(), [[5, 2], [6, 3]])
    }))

  it.effect("is closed with 4502 when it reads nothing for too long, and not before", () =>
    Effect.gen(function*() {
      const { connection, transport } = yield* slowDevice()
      yield* TestClock.adjust("29 seconds")
      connection.tick(29_010)
      assert.deepStrictEqual(transport.closeReasons, [])
      yield* TestClock.adjust("1 second")
      connection.tick(30_020)
      assert.deepStrictEqual(transport.closeReasons.map(({ code }) => code), [CloseCode.closeCodes.tooSlow])
    }))

  it.effect("loses nothing while it catches up after it connected, as long as it reads", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 2000, delay: now })
      for (let n = 0; n < 1000; n++) broker.append({ delivery: classes[n % 3] ?? "critical" })
      const transport = new FakeTransport()
      transport.room = 1
      const hub = yield* makeHub(broker, { maxFrameBytes: 2048, slow: limits })
      const connection = yield* open(hub, transport, { resume: { epoch: broker.log.epoch, offset: 0 } })
      let at = 0
      while (offsets(transport).length < 1000) {
        at += 20_000
        yield* TestClock.adjust("20 seconds")
        connection.tick(at)
        transport.drain(1)
        yield* Effect.yieldNow
        yield* Effect.yieldNow
      }
      assert.deepStrictEqual(gaps(transport), [])
      assert.deepStrictEqual(transport.closeReasons, [])
    }))

  it.effect("costs no memory, and neither do a thousand that never read", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 64, delay: now })
      const hub = yield* makeHub(broker, { maxFrameBytes: 64 * 1024, perUser: 1000, perNode: 1000, slow: limits })
      const stuck = Array.from({ length: 1000 }, () => new FakeTransport())
      for (const transport of stuck) {
        transport.room = 1
        yield* open(hub, transport)
      }
      const text = "x".repeat(16 * 1024)
      const append = Effect.fnUntraced(function*(count: number) {
        for (let n = 0; n < count; n++) {
          broker.append({ data: { text } })
          if (n % 8 === 0) yield* settle
        }
        return yield* Effect.promise(settledMemory)
      })
      const before = yield* append(128)
      const after = yield* append(2_048)
      assert.isBelow(after - before, 4 * 1024 * 1024)
      assert.strictEqual((yield* hub.stats).behind, 1000)
      for (const transport of stuck) assert.strictEqual(transport.writes.length, 1)
    }))

  it.effect("with a thread filter is told of no gap for what it did not want", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 1000, delay: now })
      const transport = new FakeTransport()
      const hub = yield* makeHub(broker, {
        maxFrameBytes: 2048,
        slow: { volatile: { bytes: 1, ms: 1 }, batched: never, close: never }
      })
      yield* open(hub, transport, { threads: ["t1"] })
      transport.room = 1
      broker.append({ thread: "t1" })
      yield* settle
      broker.append({ thread: "t2", delivery: "volatile" })
      broker.append({ thread: "t1" })
      broker.append({ thread: "t1", delivery: "volatile" })
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(offsets(transport), [1, 3])
      assert.deepStrictEqual(gaps(transport), [[4, 4, "slow"]])
    }))
})
