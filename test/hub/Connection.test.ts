import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Broker, Position } from "effect-emitter"
import { CloseCode } from "effect-emitter/events"
import { Frame } from "effect-emitter/protocol"
import { TestClock } from "effect/testing"
import type { Connection } from "../../src/hub/connection/Connection.ts"
import { accepted, CommandId } from "../../src/protocol/command/Command.ts"
import * as Monotonic from "../../src/protocol/values/Monotonic.ts"
import { FakeBroker, FakeTransport } from "./fakes.ts"
import { seeded } from "../support/random.ts"
import { makeHub, never, now, offsets, open } from "./hub.ts"
import { textOf } from "../support/runs.ts"

const settle = TestClock.adjust("1 second")

/** A connection in the middle of a pull. */
const pulling = Effect.fnUntraced(function*(options: { readonly answersLate?: boolean } = {}) {
  const broker = new FakeBroker({ maxEvents: 100, delay: Effect.sleep("5 millis"), ...options })
  const transport = new FakeTransport()
  const opening = yield* Effect.forkChild(open(yield* makeHub(broker), transport))
  yield* settle
  const connection = yield* Fiber.join(opening)
  broker.append()
  yield* TestClock.adjust("2 millis")
  return { broker, connection, transport }
})
const unavailable = Effect.fail(
  new Broker.BrokerError({
    reason: new Broker.BrokerUnavailable({ operation: "pull", afterMs: 0, cause: new Error("a test") })
  })
)

describe("Connection", () => {
  it.effect("waits for the end of the turn, and puts all that came in it into one frame", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const transport = new FakeTransport()
      yield* open(yield* makeHub(broker, { maxFrameBytes: 4096 }), transport)
      for (let n = 0; n < 5; n++) broker.append()
      assert.strictEqual(broker.pulls, 0)
      yield* settle
      assert.strictEqual(transport.writes.length, 2)
      assert.deepStrictEqual(offsets(transport), [1, 2, 3, 4, 5])
      assert.strictEqual(broker.pulls, 1)
    }))

  it.effect("looks again for what came while it waited for an answer that did not have it yet", () =>
    Effect.gen(function*() {
      const { broker, connection, transport } = yield* pulling({ answersLate: true })
      assert.strictEqual(broker.pulls, 1)
      broker.append()
      yield* settle
      assert.deepStrictEqual(offsets(transport), [1, 2])
      assert.strictEqual(connection.state, "idle")
    }))

  it.effect("answers at once, and while the transport is full once there is room, in order and beside the events", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const transport = new FakeTransport()
      const connection = yield* open(yield* makeHub(broker), transport)
      const reply = (n: number) =>
        connection.reply(Frame.encode({ type: "command", id: CommandId.make(`c${n}`), ...accepted }))
      const answered = () => transport.frames.flatMap((frame) => frame.type === "command" ? [frame.id] : [])
      transport.room = 2
      reply(1)
      reply(2)
      assert.deepStrictEqual<unknown>(answered(), ["c1", "c2"])
      assert.strictEqual(connection.state, "blocked")
      broker.append()
      for (const n of [3, 4, 5]) reply(n)
      yield* settle
      assert.lengthOf(answered(), 2)
      assert.deepStrictEqual(offsets(transport), [])

      transport.drain(1)
      assert.deepStrictEqual<unknown>(answered(), ["c1", "c2", "c3", "c4", "c5"])
      assert.strictEqual(connection.state, "blocked")
      transport.drain(10)
      yield* settle
      assert.deepStrictEqual(offsets(transport), [1])
      assert.strictEqual(connection.state, "idle")
      assert.lengthOf(answered(), 5)
    }))

  it.effect("loses no event when an answer fills the transport while a pull is under way", () =>
    Effect.gen(function*() {
      const { connection, transport } = yield* pulling()
      assert.strictEqual(connection.state, "draining")
      transport.room = 1
      connection.reply(Frame.encode({ type: "command", id: CommandId.make("c1"), ...accepted }))
      assert.strictEqual(connection.state, "blocked")
      yield* settle
      assert.deepStrictEqual(offsets(transport), [])
      transport.drain(10)
      yield* settle
      assert.deepStrictEqual(offsets(transport), [1])
    }))

  it.effect("writes nothing to a transport that an answer filled while a pull failed, and then the answers that wait", () =>
    Effect.gen(function*() {
      const { broker, connection, transport } = yield* pulling()
      const reply = (n: number) =>
        connection.reply(Frame.encode({ type: "command", id: CommandId.make(`c${n}`), ...accepted }))
      broker.fail = unavailable
      transport.room = 1
      for (const n of [1, 2, 3]) reply(n)
      yield* settle
      assert.strictEqual(connection.state, "blocked")
      assert.lengthOf(transport.writes, 2)
      transport.drain(10)
      yield* settle
      assert.strictEqual(connection.state, "degraded")
      broker.fail = undefined
      yield* TestClock.adjust("5 seconds")
      const told = transport.frames.slice(1).map((frame) =>
        frame.type === "command" ? frame.id : frame.type === "status" ? frame.state : frame.type
      )
      assert.deepStrictEqual<unknown>(told, ["c1", "c2", "c3", "degraded", "live", "events"])
    }))

  it.effect("is closed as slow where its device asks for ever more, and reads no answer", () =>
    Effect.gen(function*() {
      const transport = new FakeTransport()
      const connection = yield* open(yield* makeHub(new FakeBroker({ maxEvents: 100, delay: now })), transport)
      const reply = () => connection.reply(Frame.encode({ type: "command", id: CommandId.make("c"), ...accepted }))
      transport.room = 1
      for (let n = 0; n < 65; n++) reply()
      assert.deepStrictEqual(transport.closeReasons, [])
      reply()
      assert.deepStrictEqual(transport.closeReasons.map(({ code }) => code.code), [4502])
      reply()
      assert.lengthOf(transport.closeReasons, 1)
    }))

  it.effect("does nothing while there is nothing to send", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const transport = new FakeTransport()
      const connection = yield* open(yield* makeHub(broker), transport)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(broker.pulls, 0)
      assert.strictEqual(connection.state, "idle")
    }))

  it.effect("stops when the transport is full, and goes on where it stopped", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 1000, delay: now })
      const transport = new FakeTransport()
      const connection = yield* open(yield* makeHub(broker), transport)
      transport.room = 2
      for (let n = 0; n < 100; n++) broker.append()
      yield* settle
      assert.strictEqual(transport.writes.length, 3)
      assert.strictEqual(connection.state, "blocked")
      const before = offsets(transport).length
      assert.isBelow(before, 100)
      broker.append()
      yield* settle
      assert.strictEqual(offsets(transport).length, before)
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(offsets(transport), Array.from({ length: 101 }, (_, index) => index + 1))
      assert.strictEqual(connection.state, "idle")
    }))

  it.effect("tells a slow device how a run ended whose events it did not get", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 1000, delay: now })
      const transport = new FakeTransport()
      const slow = { volatile: { bytes: 100, ms: 10 }, batched: { bytes: 100, ms: 10 }, close: never }
      yield* open(yield* makeHub(broker, { maxFrameBytes: 1024, slow }), transport)
      transport.room = 1
      broker.append({ type: "agent_started", run: "r1", data: { agentName: "a" } })
      yield* settle
      for (const delta of ["Nothing ", "is ", "missing"]) {
        const data = { messageId: "m", delta: delta.padEnd(200, ".") }
        broker.append({ type: "text_delta", run: "r1", delivery: "batched", data })
      }
      broker.append({ type: "agent_completed", run: "r1", data: { agentName: "a" } })
      transport.drain(Infinity)
      yield* settle
      const told = transport.frames.flatMap((frame) => frame.type === "gap" ? [[frame.from, frame.reason]] : [])
      assert.deepStrictEqual(told[0], [2, "slow"])
      const snapshots = transport.frames.flatMap((frame) => frame.type === "snapshot" ? [frame] : [])
      assert.deepStrictEqual(snapshots.map(({ offset, state }) => [offset, state.status]), [[5, "completed"]])
      assert.include(textOf(snapshots[0]?.state.parts[0]), "missing")
    }))

  it.effect("keeps frames within their limit", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 1000, delay: now })
      const transport = new FakeTransport()
      for (let n = 0; n < 200; n++) broker.append()
      yield* open(yield* makeHub(broker), transport, { resume: { epoch: broker.log.epoch, offset: 0 } })
      yield* settle
      assert.strictEqual(offsets(transport).length, 200)
      for (const frame of transport.frames) assert.isAtMost(JSON.stringify(frame).length, 1024)
    }))

  it.effect("misses no wake-up that comes while it looks", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: Effect.sleep("10 millis") })
      const transport = new FakeTransport()
      const opening = yield* Effect.forkChild(open(yield* makeHub(broker), transport))
      yield* TestClock.adjust("5 millis")
      broker.append()
      yield* TestClock.adjust("5 millis")
      const connection = yield* Fiber.join(opening)
      // The head that the welcome named already held the first event.
      assert.deepStrictEqual(offsets(transport), [])
      broker.append()
      yield* TestClock.adjust("9 millis")
      assert.strictEqual(connection.state, "draining")
      yield* TestClock.adjust("1 millis")
      broker.append()
      broker.append()
      yield* settle
      assert.deepStrictEqual(offsets(transport), [2, 3, 4])
    }))

  it.effect("fault 45: misses no wake-up between its first look at the log and the welcome", () =>
    Effect.gen(function*() {
      for (const resume of [undefined, 0]) {
        const broker = new FakeBroker({ maxEvents: 100, delay: Effect.sleep("10 millis"), answersLate: true })
        const transport = new FakeTransport()
        const { epoch } = broker.log
        const opening = yield* Effect.forkChild(
          open(yield* makeHub(broker), transport, resume === undefined ? {} : { resume: { epoch, offset: resume } })
        )
        yield* TestClock.adjust("5 millis")
        // The answer that is on its way does not have it.
        broker.append()
        assert.deepStrictEqual(transport.frames, [])
        yield* settle
        assert.strictEqual((yield* Fiber.join(opening)).state, "idle")
        assert.deepStrictEqual(offsets(transport), [1])
      }
    }))

  it.effect("closes with brokerUnavailable when a look at the log dies, and lets go of the log", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const transport = new FakeTransport()
      const hub = yield* makeHub(broker)
      const connection = yield* open(hub, transport)
      const other = new FakeTransport()
      broker.fail = Effect.die(new Error("a bug"))
      broker.append()
      yield* settle
      assert.deepStrictEqual(transport.closeReasons.map(({ code }) => code), [CloseCode.closeCodes.brokerUnavailable])
      yield* hub.release(connection)
      assert.strictEqual(broker.readers, 0)
      broker.fail = undefined
      yield* open(hub, other)
      broker.append()
      yield* settle
      assert.deepStrictEqual(offsets(other), [2])
    }))

  it.effect("fault 37: counts an acknowledgement for the epoch that it names, or for the current one", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const transport = new FakeTransport()
      const connection = yield* open(yield* makeHub(broker), transport)
      const before = broker.log.epoch
      for (let n = 0; n < 3; n++) broker.append()
      yield* settle
      yield* connection.acknowledge(1, before)
      broker.forget()
      for (let n = 0; n < 3; n++) broker.append()
      yield* settle
      const { epoch } = broker.log
      yield* connection.acknowledge(3, before)
      yield* connection.acknowledge(3, "another")
      yield* connection.acknowledge(1, epoch)
      yield* connection.acknowledge(2)
      yield* connection.acknowledge(4, epoch)
      assert.deepStrictEqual(broker.acknowledged, [
        { epoch: before, offset: 1 },
        { epoch, offset: 1 },
        { epoch, offset: 2 }
      ])
    }))

  it.effect("fault 37: confirms what was sent on its connection, and nothing that its filter left out", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      broker.append()
      const transport = new FakeTransport()
      const connection = yield* open(yield* makeHub(broker), transport, { threads: ["b"] })
      const { epoch } = broker.log
      for (const thread of ["a", "b", "a", "b", "a"]) broker.append({ thread })
      yield* settle
      connection.announce()
      assert.strictEqual(connection.position.offset, 6)
      yield* connection.acknowledge(4)
      assert.deepStrictEqual(broker.acknowledged, [{ epoch, offset: 3 }])
      yield* connection.acknowledge(6)
      yield* connection.acknowledge(6)
      assert.deepStrictEqual(broker.acknowledged, [{ epoch, offset: 3 }, { epoch, offset: 5 }])
    }))

  it.effect("fault 37: confirms of what came before it only what the device names, each once", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      for (let n = 0; n < 8; n++) broker.append()
      const { epoch } = broker.log
      const transport = new FakeTransport()
      // The device began at 3, and never got 1 to 3.
      const connection = yield* open(yield* makeHub(broker), transport, { resume: { epoch, offset: 6 } })
      const confirmed = () => broker.acknowledged.map(({ offset }) => offset)
      const { looks } = broker
      yield* connection.acknowledge(4, epoch, [4, 5])
      assert.deepStrictEqual(confirmed(), [4])
      yield* connection.acknowledge(6, epoch, [4, 6, 7])
      assert.deepStrictEqual(confirmed(), [4, 6])
      yield* connection.acknowledge(6, epoch, [4, 5, 6])
      yield* connection.acknowledge(7, epoch, [5])
      assert.deepStrictEqual(confirmed(), [4, 6, 7])
      // Nothing is looked up for it.
      assert.strictEqual(broker.looks, looks + 3)
    }))

  it.effect("fault 37: confirms nothing from before an epoch that is over", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 2, delay: now })
      for (let n = 0; n < 8; n++) broker.append()
      const { epoch } = broker.log
      const hub = yield* makeHub(broker)
      const trimmed = yield* open(hub, new FakeTransport(), { resume: { epoch, offset: 4 } })
      yield* trimmed.acknowledge(8, epoch, [4])
      assert.deepStrictEqual(broker.acknowledged.map(({ offset }) => offset), [4, 7, 8])
      const renewed = yield* open(hub, new FakeTransport(), { resume: { epoch: "earlier", offset: 7 } })
      yield* renewed.acknowledge(7, epoch, [6])
      assert.deepStrictEqual(broker.acknowledged.map(({ offset }) => offset), [4, 7, 8, 7])
    }))

  it.effect("interrupts a look at the log when it is released", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const transport = new FakeTransport()
      const hub = yield* makeHub(broker)
      const connection = yield* open(hub, transport)
      let interrupted = 0
      broker.fail = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      broker.append()
      yield* settle
      assert.strictEqual(connection.state, "draining")
      yield* hub.release(connection)
      assert.strictEqual(connection.state, "closed")
      assert.deepStrictEqual([broker.readers, (yield* hub.stats).connections, interrupted], [0, 0, 1])
      assert.deepStrictEqual(transport.closeReasons, [])
    }))

  it.effect("interrupts a look at the log also when it was closed before it is released", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const hub = yield* makeHub(broker)
      const connection = yield* open(hub, new FakeTransport())
      let interrupted = 0
      broker.fail = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      broker.append()
      yield* settle
      connection.closeAsSlow()
      yield* settle
      assert.strictEqual(interrupted, 0)
      yield* hub.release(connection)
      assert.strictEqual(interrupted, 1)
    }))
})

let slowGaps = 0
let degradations = 0
let owedAfterSnapshot = 0

/** What a device must be able to conclude from its frames: each offset came once, was filtered, or was said to be gone. */
class Device {
  private position: Position.Position | undefined
  readonly seen: Array<number> = []
  degraded = false
  /** Snapshots that were announced and have not come. */
  owed = 0
  private readonly critical: ReadonlySet<string>
  private readonly filtered: boolean

  constructor(position: Position.Position | undefined, critical: ReadonlySet<string>, filtered: boolean) {
    this.position = position
    this.filtered = filtered
    this.critical = critical
  }

  get at(): Position.Position | undefined {
    return this.position
  }

  take(frame: Frame.ServerFrame): void {
    switch (frame.type) {
      case "welcome":
        if (this.position === undefined) this.position = { epoch: frame.epoch, offset: frame.offset }
        this.owed = frame.snapshots
        return
      case "gap":
        if (this.position?.epoch === frame.epoch) assert.strictEqual(frame.from, this.position.offset + 1)
        else assert.strictEqual(frame.reason, "epoch")
        if (frame.reason === "slow") {
          slowGaps++
          for (let offset = frame.from; offset <= frame.to; offset++) {
            // With a filter, a gap may also span offsets that the filter left out.
            if (!this.filtered) assert.isFalse(this.critical.has(Position.toText({ epoch: frame.epoch, offset })))
          }
        }
        this.position = { epoch: frame.epoch, offset: frame.to }
        this.owed = frame.snapshots
        return
      case "snapshot":
        assert.isAtLeast(--this.owed, 0)
        if (this.owed > 0) owedAfterSnapshot++
        return
      case "events": {
        assert.strictEqual(frame.epoch, this.position?.epoch)
        assert.strictEqual(this.owed, 0)
        for (const event of frame.events) {
          if (frame.upTo === undefined) assert.strictEqual(event.offset, (this.position?.offset ?? 0) + 1)
          else assert.isAbove(event.offset, this.position?.offset ?? 0)
          this.position = { epoch: frame.epoch, offset: event.offset }
          this.seen.push(Number(event.data["n"]))
        }
        if (frame.upTo !== undefined) {
          assert.isAtLeast(frame.upTo, this.position?.offset ?? 0)
          this.position = { epoch: frame.epoch, offset: frame.upTo }
        }
        return
      }
      case "status":
        assert.strictEqual(frame.state, this.degraded ? "live" : "degraded")
        this.degraded = !this.degraded
        degradations++
        return
      default:
        return
    }
  }
}

describe("Any order of appends, looks, full transports, filters, outages and lost logs", () => {
  const run = (seed: number) =>
    Effect.gen(function*() {
      const next = seeded(seed).next
      const int = (below: number) => Math.floor(next() * below)
      const delays = [now, Effect.yieldNow, Effect.sleep("3 millis")]
      const delay = Effect.suspend(() => delays[int(delays.length)] ?? now)
      const broker = new FakeBroker({ maxEvents: 4 + int(60), delay, answersLate: seed % 4 > 1 })
      const slow = seed % 3 === 0
        ? { volatile: { bytes: 400, ms: 20 }, batched: { bytes: 1000, ms: 200 }, close: never }
        : { volatile: never, batched: never, close: never }
      const hub = yield* makeHub(broker, { maxFrameBytes: 1024, slow })
      const filtered = seed % 2 === 0
      const critical = new Set<string>()
      const append = () => {
        const thread = ["t1", "t2", undefined][int(3)]
        const run = ["r1", "r2", undefined][int(3)]
        const texts = run === undefined
          ? {}
          : { type: "text_delta", data: { messageId: "m", delta: "x".repeat(int(400)) } }
        const delivery = (["critical", "batched", "volatile"] as const)[int(3)] ?? "critical"
        const offset = broker.append({
          delivery,
          ...texts,
          ...(thread === undefined ? {} : { thread }),
          ...(run === undefined ? {} : { run })
        })
        if (delivery === "critical") critical.add(Position.toText({ epoch: broker.log.epoch, offset }))
      }
      for (let n = int(40); n > 0; n--) append()

      let device = new Device(undefined, critical, filtered)
      let transport = new FakeTransport()
      let connection: Connection | undefined
      let read = 0
      let isDown = false
      const setDown = (down: boolean) => {
        if (down !== isDown) broker.tell(down ? "down" : "up")
        isDown = down
      }
      // Up to where the device acknowledged on this connection.
      let handled: Position.Position | undefined
      const acknowledge = Effect.suspend(() => {
        if (connection === undefined || device.at === undefined) return Effect.void
        handled = device.at
        return connection.acknowledge(device.at.offset, device.at.epoch)
      })
      const look = () => {
        const all = transport.frames
        for (; read < all.length; read++) {
          const frame = all[read] ?? assert.fail("no frame")
          device.take(frame)
          const isForeign = filtered && frame.type === "events" && frame.events.some(({ thread }) => thread === "t2")
          assert.isFalse(isForeign, "an event of a thread that was not asked for")
        }
      }
      const connect = Effect.gen(function*() {
        if (connection !== undefined) yield* hub.release(connection)
        look()
        broker.fail = undefined
        handled = undefined
        const resume = next() < 0.8 ? device.at : undefined
        device = new Device(resume, critical, filtered)
        transport = new FakeTransport()
        transport.room = 1 + int(4)
        read = 0
        const opening = yield* Effect.forkChild(
          open(hub, transport, {
            ...(resume === undefined ? {} : { resume }),
            ...(filtered ? { threads: ["t1"] } : {}),
            ...(next() < 0.4 ? { snapshots: int(3) } : {})
          })
        )
        for (let n = int(4); n > 0; n--) append()
        yield* TestClock.adjust("10 millis")
        connection = yield* Fiber.join(opening)
      })

      yield* connect
      for (let step = 0; step < 60; step++) {
        const choice = next()
        if (choice < 0.5) { for (let n = 1 + int(6); n > 0; n--) append() }
        else if (choice < 0.65) yield* Effect.yieldNow
        else if (choice < 0.8) yield* TestClock.adjust(int(5))
        else if (choice < 0.92) transport.drain(1 + int(4))
        else if (choice < 0.94) broker.forget()
        else if (choice < 0.96) broker.wake()
        else if (choice < 0.965) connection?.announce()
        else if (choice < 0.975) broker.fail = broker.fail === undefined ? unavailable : undefined
        else if (choice < 0.98) setDown(!isDown)
        else if (choice < 0.985) broker.tell({ lateMs: int(2) * int(500) })
        else if (choice < 0.99) yield* Effect.forkChild(acknowledge)
        else yield* connect
        look()
      }

      // In the end, with room for all and a broker that is well, a device knows of everything up to the head.
      broker.fail = undefined
      setDown(false)
      for (let turn = 0; turn < 10; turn++) {
        transport.drain(Infinity)
        yield* TestClock.adjust("1 second")
        connection?.tick(yield* Effect.clockWith((clock) => Effect.sync(() => Monotonic.millisUnsafe(clock))))
      }
      connection?.announce()
      look()
      assert.deepStrictEqual(device.at, broker.log.head)
      assert.isFalse(device.degraded)
      if (handled?.epoch === broker.log.epoch) {
        const { epoch, offset: upTo } = handled
        const sent = transport.frames.flatMap((frame) =>
          frame.type === "events" && frame.epoch === epoch ? frame.events.map(({ offset }) => offset) : []
        )
        const confirmed = new Set(broker.acknowledged.filter((_) => _.epoch === epoch).map(({ offset }) => offset))
        assert.deepStrictEqual(sent.filter((offset) => offset <= upTo && !confirmed.has(offset)), [])
      }
      assert.deepStrictEqual([...new Set(device.seen)], device.seen)
      assert.deepStrictEqual(transport.closeReasons, [])
      yield* hub.release(connection ?? assert.fail("no connection"))
      assert.strictEqual(broker.readers, 0)
    }).pipe(Effect.scoped, Effect.onError((cause) => Effect.logError(`seed ${seed}`, cause)))

  it.effect("shows a device each event once and in order, or says why not", () =>
    Effect.forEach(Array.from({ length: 300 }, (_, index) => index + 1), run, { discard: true }).pipe(
      Effect.andThen(
        Effect.sync(() =>
          assert.isTrue(
            slowGaps > 100 && degradations > 100 && owedAfterSnapshot > 100,
            `${slowGaps} ${degradations} ${owedAfterSnapshot}`
          )
        )
      )
    ))
})
