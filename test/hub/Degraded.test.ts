import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Broker } from "effect-emitter"
import { CloseCode } from "effect-emitter/events"
import { TestClock } from "effect/testing"
import type { Connection } from "../../src/hub/connection/Connection.ts"
import { graceMs, maxMs } from "../../src/hub/outage/Lateness.ts"
import { atOnce } from "../../src/hub/outage/Recovery.ts"
import * as Monotonic from "../../src/protocol/values/Monotonic.ts"
import { FakeBroker, FakeTransport } from "./fakes.ts"
import { makeHub, never, now, offsets, open, written } from "./hub.ts"

const settle = TestClock.adjust("1 second")

/** The gateway's tick, once so much time has passed. */
const tickAfter = (ms: number, ...connections: ReadonlyArray<Connection>) =>
  Effect.andThen(
    TestClock.adjust(ms),
    Effect.clockWith((clock) =>
      Effect.sync(() => {
        for (const connection of connections) connection.tick(Monotonic.millisUnsafe(clock))
      })
    )
  )

const unavailable = Effect.fail(
  new Broker.BrokerError({
    reason: new Broker.BrokerUnavailable({ operation: "pull", afterMs: 0, cause: new Error("a test") })
  })
)

/** What a device was told, in order: `degraded`, `live`, offsets, `gap`. */
const story = (transport: FakeTransport) =>
  transport.frames.flatMap((frame): ReadonlyArray<string | number> => {
    switch (frame.type) {
      case "status":
        return [frame.state]
      case "events":
        return frame.events.map(({ offset }) => offset)
      case "gap":
        return [`gap ${frame.reason}`]
      default:
        return []
    }
  })

const openOne = Effect.gen(function*() {
  const broker = new FakeBroker({ maxEvents: 1000, delay: now })
  const transport = new FakeTransport()
  const hub = yield* makeHub(broker)
  const connection = yield* open(hub, transport)
  return { broker, transport, hub, connection }
})

describe("A connection whose log cannot be read", () => {
  it.effect("stays, says so once, and gets everything once and in order when it can be read again", () =>
    Effect.gen(function*() {
      const { broker, connection, hub, transport } = yield* openOne
      broker.append()
      yield* settle
      broker.fail = unavailable
      for (let n = 0; n < 3; n++) broker.append()
      yield* TestClock.adjust("1 minute")
      broker.append()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(story(transport), [1, "degraded"])
      assert.strictEqual(connection.state, "degraded")
      assert.deepStrictEqual((yield* hub.stats).degraded, 1)
      broker.fail = undefined
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(story(transport), [1, "degraded", "live", 2, 3, 4, 5])
      broker.append()
      yield* settle
      assert.deepStrictEqual(offsets(transport), [1, 2, 3, 4, 5, 6])
      const { degradations, degraded } = yield* hub.stats
      assert.deepStrictEqual([degraded, degradations], [0, 1])
      assert.deepStrictEqual(transport.closeReasons, [])
    }))

  it.effect("is told of a log that lost its memory meanwhile", () =>
    Effect.gen(function*() {
      const { broker, transport } = yield* openOne
      broker.append()
      yield* settle
      broker.fail = unavailable
      broker.append()
      yield* settle
      broker.forget()
      broker.append()
      broker.fail = undefined
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(story(transport), [1, "degraded", "live", "gap epoch", 1])
    }))

  it.effect("keeps acknowledgements, and passes them on before it says that it is live", () =>
    Effect.gen(function*() {
      const { broker, connection, hub, transport } = yield* openOne
      for (let n = 0; n < 5; n++) broker.append()
      yield* settle
      yield* connection.acknowledge(1)
      broker.fail = unavailable
      // The connection learns of the outage by this one.
      yield* connection.acknowledge(3)
      assert.deepStrictEqual(story(transport), [1, 2, 3, 4, 5, "degraded"])
      yield* connection.acknowledge(4)
      yield* connection.acknowledge(2)
      yield* connection.acknowledge(99)
      yield* TestClock.adjust("1 minute")
      const epoch = broker.log.epoch
      assert.deepStrictEqual(broker.acknowledged, [{ epoch, offset: 1 }])
      broker.fail = undefined
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(broker.acknowledged, [1, 2, 3, 4].map((offset) => ({ epoch, offset })))
      assert.deepStrictEqual(story(transport), [1, 2, 3, 4, 5, "degraded", "live"])
      assert.strictEqual((yield* hub.stats).acknowledgements, 4)
    }))

  it.effect("stays degraded while only its acknowledgements are refused, and gets its events", () =>
    Effect.gen(function*() {
      const { broker, connection, transport } = yield* openOne
      broker.append()
      yield* settle
      broker.refuseAcknowledgements = true
      yield* connection.acknowledge(1)
      broker.append()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(story(transport), [1, "degraded", 2])
      broker.refuseAcknowledgements = false
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(story(transport), [1, "degraded", 2, "live"])
      assert.deepStrictEqual(broker.acknowledged, [{ epoch: broker.log.epoch, offset: 1 }])
    }))

  it.effect("is closed when that takes too long, so that its device may find another node, and not all at once", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const hub = yield* makeHub(broker, { degradedMs: 60_000 })
      const devices = yield* Effect.forEach(Array.from({ length: 20 }), () =>
        Effect.gen(function*() {
          const transport = new FakeTransport()
          return { transport, connection: yield* open(hub, transport) }
        }))
      broker.fail = unavailable
      broker.append()
      yield* settle
      const closedAfter = (ms: number) => {
        for (const { connection } of devices) connection.tick(ms)
        return devices.filter(({ transport }) => transport.closeReasons.length > 0).length
      }
      assert.strictEqual(closedAfter(59_999), 0)
      const half = closedAfter(63_000)
      assert.isTrue(half > 0 && half < 20, String(half))
      assert.strictEqual(closedAfter(67_000), 20)
      assert.deepStrictEqual(
        new Set(devices.flatMap(({ transport }) => transport.closeReasons.map(({ code }) => code))),
        new Set([CloseCode.closeCodes.brokerUnavailable])
      )
      // Nobody is tried any more.
      const { pulls } = broker
      broker.fail = undefined
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(broker.pulls, pulls)
    }))

  it.effect("waits for a full transport before it says anything", () =>
    Effect.gen(function*() {
      const { broker, connection, transport } = yield* openOne
      transport.room = 1
      broker.append()
      yield* settle
      assert.strictEqual(connection.state, "blocked")
      broker.tell("down")
      broker.fail = unavailable
      yield* settle
      assert.deepStrictEqual(story(transport), [1])
      transport.drain(1)
      yield* settle
      // The status filled it again.
      assert.deepStrictEqual(story(transport), [1, "degraded"])
      transport.drain(Infinity)
      yield* settle
      broker.fail = undefined
      broker.append()
      broker.tell("up")
      yield* tickAfter(graceMs, connection)
      assert.deepStrictEqual(story(transport), [1, "degraded", 2, "live"])
    }))

  it.effect("loses nothing for the time in which it could not be served", () =>
    Effect.gen(function*() {
      const limit = { bytes: 1000, ms: 1_000 }
      const broker = new FakeBroker({ maxEvents: 1000, delay: now })
      const transport = new FakeTransport()
      const hub = yield* makeHub(broker, { slow: { volatile: limit, batched: limit, close: never } })
      yield* open(hub, transport)
      broker.append()
      yield* settle
      broker.fail = unavailable
      for (let n = 0; n < 200; n++) broker.append({ delivery: "volatile" })
      yield* TestClock.adjust("1 minute")
      transport.room = 2
      broker.fail = undefined
      yield* TestClock.adjust("5 seconds")
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(offsets(transport), Array.from({ length: 201 }, (_, index) => index + 1))
    }))

  it.effect("leaves nothing behind when it is released", () =>
    Effect.gen(function*() {
      const { broker, connection, hub, transport } = yield* openOne
      broker.fail = unavailable
      broker.append()
      yield* settle
      yield* hub.release(connection)
      const said = transport.writes.length
      const { pulls } = broker
      broker.fail = undefined
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([broker.readers, broker.pulls, transport.writes.length], [0, pulls, said])
      assert.strictEqual((yield* hub.stats).degraded, 0)
    }))
})

describe("A broker that says how it is", () => {
  it.effect("is believed by idle connections, which look at nothing until it is back", () =>
    Effect.gen(function*() {
      const { broker, connection, transport } = yield* openOne
      broker.tell("down")
      assert.deepStrictEqual(story(transport), ["degraded"])
      broker.tell("down")
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(broker.looks, 1)
      broker.tell("up")
      yield* tickAfter(graceMs, connection)
      assert.deepStrictEqual(story(transport), ["degraded", "live"])
      // An `up` that nobody waits for changes nothing.
      broker.tell("up")
      yield* tickAfter(graceMs, connection)
      assert.deepStrictEqual(story(transport), ["degraded", "live"])
    }))

  it.effect("and is away while a device is being greeted degrades it right after", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      broker.onSubscribe = (wake) => wake("down")
      const transport = new FakeTransport()
      const hub = yield* makeHub(broker)
      const connection = yield* open(hub, transport)
      assert.deepStrictEqual(transport.frames.map(({ type }) => type), ["welcome", "status"])
      broker.tell("up")
      yield* tickAfter(graceMs, connection)
      assert.deepStrictEqual(story(transport), ["degraded", "live"])
    }))

  it.effect("and is back but fails is tried again after a while", () =>
    Effect.gen(function*() {
      const { broker, transport } = yield* openOne
      broker.tell("down")
      broker.fail = unavailable
      broker.tell("up")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(story(transport), ["degraded"])
      broker.fail = undefined
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(story(transport), ["degraded", "live"])
    }))
})

describe("A user whose events are late", () => {
  it.effect("fault 33: a device is not live before its emitters had time to say so, and then not while one does", () =>
    Effect.gen(function*() {
      const { broker, connection, hub, transport } = yield* openOne
      broker.tell("down")
      broker.tell("up")
      yield* tickAfter(graceMs - 1, connection)
      assert.deepStrictEqual(story(transport), ["degraded"])
      broker.tell({ lateMs: 20_000 })
      broker.append()
      yield* tickAfter(15_000, connection)
      assert.deepStrictEqual(story(transport), ["degraded", 1])
      assert.strictEqual((yield* hub.stats).degraded, 1)
      broker.append()
      broker.tell({ lateMs: 0 })
      yield* settle
      assert.deepStrictEqual(story(transport), ["degraded", 1, "live", 2])
      assert.deepStrictEqual([(yield* hub.stats).degraded, connection.state], [0, "idle"])
    }))

  it.effect("fault 33: a device hears of it also where its own log was there all the time", () =>
    Effect.gen(function*() {
      const { broker, connection, transport } = yield* openOne
      broker.tell({ lateMs: 0 })
      yield* settle
      assert.deepStrictEqual(story(transport), [])
      broker.tell({ lateMs: 5_000 })
      yield* tickAfter(4_000, connection)
      assert.deepStrictEqual(story(transport), ["degraded"])
      // The emitter died, and says nothing more.
      yield* tickAfter(1_000, connection)
      assert.deepStrictEqual(story(transport), ["degraded", "live"])
    }))

  it.effect("fault 33: a device that comes meanwhile is welcomed, and told at once", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      broker.onSubscribe = (wake) => wake({ lateMs: 10_000 })
      const transport = new FakeTransport()
      yield* open(yield* makeHub(broker), transport)
      assert.deepStrictEqual(transport.frames.map(({ type }) => type), ["welcome", "status"])
      assert.deepStrictEqual(story(transport), ["degraded"])
    }))

  it.effect("fault 33: keeps nobody degraded for more than a minute, and closes nobody", () =>
    Effect.gen(function*() {
      const { broker, connection, transport } = yield* openOne
      broker.tell("down")
      broker.tell("up")
      for (let seconds = 0; seconds < maxMs / 1_000 - 1; seconds++) {
        broker.tell({ lateMs: 30_000 })
        yield* tickAfter(1_000, connection)
      }
      assert.deepStrictEqual(story(transport), ["degraded"])
      yield* tickAfter(1_000, connection)
      assert.deepStrictEqual(story(transport), ["degraded", "live"])
      assert.deepStrictEqual(transport.closeReasons, [])
    }))
})

describe("A node full of connections whose broker is away", () => {
  const many = 1_000

  const openMany = (broker: FakeBroker) =>
    Effect.gen(function*() {
      const hub = yield* makeHub(broker, { perUser: many, perNode: many })
      const transports = Array.from({ length: many }, () => new FakeTransport())
      const connections = yield* Effect.forEach(
        transports,
        (transport, index) => open(hub, transport, { user: `user${index}` }),
        { concurrency: "unbounded" }
      )
      return { connections, hub, transports }
    })

  it.effect("tries a few now and then, less and less often", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const { hub } = yield* openMany(broker)
      broker.fail = unavailable
      broker.append()
      yield* written(hub)
      assert.strictEqual((yield* hub.stats).degraded, many)
      const before = broker.looks
      yield* TestClock.adjust("5 seconds")
      const early = broker.looks - before
      yield* TestClock.adjust("55 seconds")
      const late = broker.looks - before - early
      assert.isTrue(early >= 3 * atOnce && early <= 8 * atOnce, String(early))
      assert.isTrue(late >= 11 * atOnce && late <= 23 * atOnce, String(late))
    }))

  it.effect("brings all of them back soon, a bounded number at a time", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: Effect.sleep("2 millis") })
      const opening = yield* Effect.forkChild(openMany(broker))
      yield* TestClock.adjust("1 second")
      const { connections, hub, transports } = yield* Fiber.join(opening)
      broker.tell("down")
      broker.append()
      broker.most = 0
      broker.tell("up")
      const isServed = () => transports.every((transport) => offsets(transport).length === 1)
      for (let steps = 0; steps < 100 && !isServed(); steps++) yield* TestClock.adjust("2 millis")
      assert.strictEqual(broker.most, atOnce)
      for (const transport of transports) assert.deepStrictEqual(story(transport), ["degraded", 1])
      yield* tickAfter(graceMs, ...connections)
      for (const transport of transports) assert.deepStrictEqual(story(transport), ["degraded", 1, "live"])
      assert.strictEqual((yield* hub.stats).degraded, 0)
    }))

  it.effect("also brings back those whose broker is well while that of others stays away", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 100, delay: now })
      const { hub, transports } = yield* openMany(broker)
      broker.fail = unavailable
      broker.append()
      yield* written(hub)
      // Of each hundred one belongs to a part that is well again.
      broker.failsFor = (user) => !user.endsWith("99")
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* hub.stats).degraded, many - many / 100)
      const back = transports.filter((transport) => offsets(transport).length === 1)
      assert.strictEqual(back.length, many / 100)
    }))
})
