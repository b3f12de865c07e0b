import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Random, Result, Schema, SchemaGetter, Stream, SubscriptionRef } from "effect"
import { AgentEvents, Event } from "effect-emitter"
import { Client, PositionStorage } from "effect-emitter/client"
import { TestClock } from "effect/testing"
import { events, fakeSockets, welcome, wireEvent } from "./FakeSocket.ts"
import { textOf } from "../support/runs.ts"

const url = "ws://127.0.0.1/events"

/** Lets everything that is ready run, from the socket through the client to its subscribers and back. */
const settle = Effect.repeat(TestClock.adjust(0), { times: 5 })

const statusOf = <D extends Event.AnyDefinition>(client: Client.Client<D>) => SubscriptionRef.get(client.status)

describe("Client", () => {
  it.effect("says hello with its token, threads and name, and is live once welcomed", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, token: "t-1", threads: ["a"], client: "test/1", webSocket: WebSocket })
      yield* settle
      assert.deepStrictEqual(yield* statusOf(client), { state: "connecting" })
      assert.deepStrictEqual([last().url, last().protocol], [url, "emitter.v1.json"])

      last().open()
      yield* settle
      assert.deepStrictEqual(last().sent, [{
        type: "hello",
        accepts: ["command"],
        token: "t-1",
        threads: ["a"],
        client: "test/1"
      }])
      assert.deepStrictEqual(yield* client.accepts, [])

      last().push(welcome({ accepts: ["command"] }))
      yield* settle
      assert.deepStrictEqual(yield* client.accepts, ["command"])
      assert.deepStrictEqual(yield* statusOf(client), { state: "live", transport: "websocket" })
    }))

  it.effect("is degraded while its server says that events may be late", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket })
      yield* settle
      last().open()
      last().push(welcome(), { type: "status", state: "degraded" })
      yield* settle
      assert.deepStrictEqual(yield* statusOf(client), { state: "degraded" })
      last().push({ type: "status", state: "live" })
      yield* settle
      assert.deepStrictEqual(yield* statusOf(client), { state: "live", transport: "websocket" })
      assert.strictEqual(sockets.length, 1)
    }))

  it.effect("gives events decoded by the catalog, and unknown ones as unknown", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket })
      const collected = yield* Effect.forkChild(client.events.pipe(Stream.take(3), Stream.runCollect))
      yield* settle
      last().open()
      last().push(welcome(), {
        ...events([]),
        events: [
          wireEvent(1, { type: "text_delta", run: "r-1", data: { messageId: "m", delta: "hi" } }),
          wireEvent(2, { type: "order_placed", data: { total: 3 } }),
          wireEvent(3, { type: "text_delta", data: { messageId: "m" } })
        ]
      })
      const [first, second, third] = yield* Fiber.join(collected)
      assert.deepStrictEqual(
        first?.type === "text_delta" ? [first.offset, first.run, first.payload] : first,
        [1, "r-1", { messageId: "m", delta: "hi" }]
      )
      assert.deepStrictEqual(
        second?.type === "$unknown" ? [second.name, second.payload, second.problem] : second,
        ["order_placed", { total: 3 }, undefined]
      )
      assert.include(third?.type === "$unknown" ? third.problem : "", "delta")
    }))

  it.effect("decodes payloads of a program's own catalog by their schema", () =>
    Effect.gen(function*() {
      const Placed = Event.make("order_placed", { payload: { at: Schema.DateFromString } })
      const { last, WebSocket } = fakeSockets()
      const client = yield* Client.make({
        catalog: Event.catalog(Placed, AgentEvents.TextDelta),
        url,
        webSocket: WebSocket
      })
      const collected = yield* Effect.forkChild(client.events.pipe(Stream.take(1), Stream.runCollect))
      yield* settle
      last().open()
      last().push(welcome(), {
        ...events([]),
        events: [wireEvent(1, { type: "order_placed", data: { at: "2026-01-02T03:04:05.000Z" } })]
      })
      const [placed] = yield* Fiber.join(collected)
      assert.strictEqual(placed?.type === "order_placed" ? placed.payload.at.getUTCFullYear() : placed, 2026)
    }))

  it.effect("is a service of the program's own, by the class of its catalog", () =>
    Effect.gen(function*() {
      const Placed = Event.make("order_placed", { payload: { at: Schema.DateFromString } })
      class Orders extends Client.Service<Orders>()("test/Orders", { catalog: Event.catalog(Placed) }) {}
      const { last, WebSocket } = fakeSockets()
      yield* Effect.gen(function*() {
        const orders = yield* Orders
        const collected = yield* Effect.forkChild(orders.events.pipe(Stream.take(1), Stream.runCollect))
        yield* settle
        last().open()
        last().push(welcome(), {
          ...events([]),
          events: [wireEvent(1, { type: "order_placed", data: { at: "2026-01-02T03:04:05.000Z" } })]
        })
        const [placed] = yield* Fiber.join(collected)
        assert.strictEqual(placed?.type === "order_placed" ? placed.payload.at.getUTCFullYear() : placed, 2026)
      }).pipe(Effect.provide(Orders.layer({ url, webSocket: WebSocket })))
      assert.deepStrictEqual(last().closedBy?.code, 1000)
    }))

  it.effect("fault 19: takes an event whose definition throws for an unknown one, and goes on", () =>
    Effect.gen(function*() {
      const Odd = Event.make("odd", {
        payload: {
          n: Schema.Number.pipe(Schema.decodeTo(Schema.Number, {
            decode: SchemaGetter.transform((n: number) => {
              if (n === 1) throw new Error("no ones")
              return n
            }),
            encode: SchemaGetter.passthrough()
          }))
        }
      })
      const { last, WebSocket } = fakeSockets()
      const client = yield* Client.make({ catalog: Event.catalog(Odd), url, webSocket: WebSocket })
      const collected = yield* Effect.forkChild(client.events.pipe(Stream.take(2), Stream.runCollect))
      yield* settle
      last().open()
      last().push(welcome(), {
        ...events([]),
        events: [wireEvent(1, { type: "odd", data: { n: 1 } }), wireEvent(2, { type: "odd", data: { n: 2 } })]
      })
      const [first, second] = yield* Fiber.join(collected)
      assert.include(first?.type === "$unknown" ? first.problem : "", "no ones")
      assert.deepStrictEqual(second?.type === "odd" ? second.payload : second, { n: 2 })
    }))

  it.effect("waits with full jitter below a doubling ceiling, and resumes from its position", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket })
      yield* Effect.forkChild(Stream.runDrain(client.events))
      yield* settle
      last().open()
      last().push(welcome({ offset: 7 }), events([8, 9]))
      yield* settle

      for (let attempt = 1; attempt <= 10; attempt++) {
        last().drop()
        yield* settle
        const status = yield* statusOf(client)
        const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        const ceiling = Math.min(20_000, 200 * 2 ** (attempt - 1))
        if (status.state !== "waiting") return assert.fail(`attempt ${attempt}: ${status.state}`)
        assert.strictEqual(status.attempt, attempt)
        assert.isAtMost(status.retryAt - now, ceiling)
        yield* TestClock.adjust(status.retryAt - now - 1)
        assert.lengthOf(sockets, attempt)
        yield* TestClock.adjust(1)
        assert.lengthOf(sockets, attempt + 1)
      }
      last().open()
      yield* settle
      assert.deepStrictEqual(last().sent, [{ type: "hello", accepts: ["command"], resume: { epoch: "E1", offset: 9 } }])
      assert.deepStrictEqual(yield* statusOf(client), { state: "resuming" })
      // Else a jitter may be no wait at all, and the client connects again within the same millisecond.
    }).pipe(Random.withSeed("waits of some length")))

  it.effect("acknowledges within a second of handling, and at once what asks for it", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket })
      yield* Effect.forkChild(Stream.runDrain(client.events))
      yield* settle
      last().open()
      last().push(welcome(), events([1, 2]))
      yield* settle
      const acks = () => last().sent.filter((_) => _.type === "ack").map((_) => _["offset"])
      assert.deepStrictEqual(acks(), [])
      yield* TestClock.adjust("600 millis")
      last().push(events([3]))
      yield* TestClock.adjust("399 millis")
      assert.deepStrictEqual(acks(), [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(acks(), [3])

      yield* TestClock.adjust("50 millis")
      last().push({ ...events([]), events: [wireEvent(4), wireEvent(5, { confirm: true }), wireEvent(6)] })
      yield* settle
      assert.deepStrictEqual(acks(), [3, 5])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(acks(), [3, 5, 6])
    }))

  it.effect("acknowledges and saves nothing that a subscriber has not finished with", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const storage = PositionStorage.memory()
      const client = yield* Client.make({ url, webSocket: WebSocket, storage })
      const slow = yield* Effect.forkChild(Stream.runForEach(client.events, () => Effect.sleep("10 seconds")))
      yield* Effect.forkChild(Stream.runDrain(client.events))
      yield* settle
      last().open()
      last().push(welcome(), {
        ...events([]),
        events: [wireEvent(1, { confirm: true }), wireEvent(2, { confirm: true })]
      })
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(last().sent.filter((_) => _.type === "ack"), [])
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 0 })
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(last().sent.filter((_) => _.type === "ack"), [
        { type: "ack", offset: 1, epoch: "E1", confirmed: [1] }
      ])
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 1 })

      yield* Fiber.interrupt(slow)
      yield* settle
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 1 })
    }))

  it.effect("fails a subscriber that does not keep up, after what waited for it, and nobody else", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket, capacity: 4, overflow: "fail" })
      const seen: Array<number> = []
      const quick: Array<number> = []
      const slow = yield* Effect.forkChild(
        Effect.result(Stream.runForEach(client.events, (event) =>
          Effect.andThen(
            Effect.sync(() => seen.push(event.offset)),
            Effect.sleep("1 seconds")
          )))
      )
      yield* Effect.forkChild(Stream.runForEach(client.events, (event) => Effect.sync(() => quick.push(event.offset))))
      yield* settle
      last().open()
      last().push(welcome(), events([1]))
      yield* settle
      for (const offset of [2, 3, 4, 5, 6, 7]) {
        last().push(events([offset]))
        yield* settle
      }
      yield* TestClock.adjust("10 seconds")
      const result = yield* Fiber.join(slow)
      assert.deepStrictEqual(
        Result.isFailure(result) ? result.failure : result,
        new Client.SubscriberOverflow({ capacity: 4 })
      )
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 5])
      assert.deepStrictEqual(quick, [1, 2, 3, 4, 5, 6, 7])
    }))

  it.effect("lets its connection go while a subscriber is too far behind, and loses nothing", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket, capacity: 4 })
      const seen: Array<number> = []
      yield* Effect.forkChild(
        Stream.runForEach(client.events, (event) =>
          Effect.andThen(
            Effect.sleep("1 seconds"),
            Effect.sync(() => seen.push(event.offset))
          ))
      )
      yield* settle
      last().open()
      last().push(welcome(), events([1]))
      yield* settle
      last().push(events([2, 3, 4]), events([5, 6]), events([7]))
      yield* settle
      assert.deepStrictEqual(last().closedBy, { code: 1000, reason: "paused" })
      assert.deepStrictEqual(yield* statusOf(client), { state: "resuming" })
      assert.lengthOf(sockets, 1)

      yield* TestClock.adjust("1 seconds")
      yield* settle
      assert.lengthOf(sockets, 2)
      last().open()
      yield* settle
      assert.deepStrictEqual(last().sent, [{ type: "hello", accepts: ["command"], resume: { epoch: "E1", offset: 6 } }])
      last().push(welcome({ offset: 7 }), events([7]))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 5, 6, 7])
      assert.lengthOf(sockets, 2)
    }))

  it.effect("keeps what a stream that failed had not taken for the next one, until more has come", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const storage = PositionStorage.memory()
      const client = yield* Client.make({ url, webSocket: WebSocket, storage })
      const seen: Array<number> = []
      const read = (failsAt: number) =>
        Stream.runForEach(client.events, ({ offset }) =>
          Effect.suspend(() => {
            seen.push(offset)
            return offset === failsAt ? Effect.fail(failsAt) : Effect.void
          })).pipe(Effect.ignore, Effect.forkChild)
      const saved = () => storage.load()?.offset
      yield* read(1)
      yield* settle
      last().open()
      // The first asks to be taken alone.
      last().push(welcome(), { ...events([]), events: [wireEvent(1, { confirm: true }), wireEvent(2), wireEvent(3)] })
      yield* settle
      assert.deepStrictEqual([seen, saved()], [[1], 0])
      yield* read(3)
      yield* settle
      assert.deepStrictEqual([seen, saved()], [[1, 2, 3], 1])
      last().push(events([4]))
      yield* settle
      assert.deepStrictEqual(saved(), 4)
      yield* read(0)
      yield* settle
      last().push(events([5]))
      yield* settle
      assert.deepStrictEqual([seen, saved()], [[1, 2, 3, 5], 5])
    }))

  it.effect("fault 45: connects again when the subscriber that is too far behind leaves", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket, capacity: 4 })
      const slow = yield* Effect.forkChild(Stream.runForEach(client.events, () => Effect.never))
      const seen: Array<number> = []
      yield* settle
      yield* Effect.forkChild(Stream.runForEach(client.events, (event) => Effect.sync(() => seen.push(event.offset))))
      yield* settle
      last().open()
      last().push(welcome(), events([1]))
      yield* settle
      last().push(events([2, 3, 4, 5, 6]))
      yield* settle
      assert.deepStrictEqual(last().closedBy, { code: 1000, reason: "paused" })
      yield* TestClock.adjust("1 hours")
      assert.lengthOf(sockets, 1)
      yield* Fiber.interrupt(slow)
      yield* settle
      assert.lengthOf(sockets, 2)
      last().open()
      last().push(welcome({ offset: 7 }), events([7]))
      yield* settle
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 5, 6, 7])
    }))

  it.effect("fault 45: waits for no subscriber that did not keep up before it was there", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const storage = PositionStorage.memory()
      const client = yield* Client.make({ url, webSocket: WebSocket, storage, capacity: 4, overflow: "fail" })
      yield* settle
      last().open()
      last().push(welcome(), events([1, 2, 3, 4, 5, 6]))
      yield* settle
      const seen: Array<number> = []
      const late = yield* Effect.forkChild(
        Effect.flip(Stream.runForEach(client.events, ({ offset }) =>
          Effect.andThen(
            Effect.sync(() => seen.push(offset)),
            Effect.sleep("10 seconds")
          )))
      )
      yield* settle
      yield* Effect.forkChild(Stream.runDrain(client.events))
      yield* settle
      last().push(events([7]))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 7 })
      yield* TestClock.adjust("60 seconds")
      assert.deepStrictEqual(yield* Fiber.join(late), new Client.SubscriberOverflow({ capacity: 4 }))
      assert.deepStrictEqual(seen, [1, 2, 3, 4])
    }))

  it.effect("fault 45: does not connect again before half of what waits was taken", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket, capacity: 200 })
      yield* Effect.forkChild(Stream.runForEach(client.events, () => Effect.sleep("1 seconds")))
      yield* settle
      last().open()
      last().push(welcome(), events([1]))
      yield* settle
      last().push(events(Array.from({ length: 210 }, (_, n) => n + 2)))
      yield* settle
      assert.deepStrictEqual(last().closedBy, { code: 1000, reason: "paused" })
      // It takes 64 at a time: the first of them leave more than half.
      yield* TestClock.adjust("2 seconds")
      assert.lengthOf(sockets, 1)
      yield* TestClock.adjust("70 seconds")
      assert.lengthOf(sockets, 2)
    }))

  it.effect("fault 45: counts nothing as handled that a subscriber has only taken, whatever comes after it", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const storage = PositionStorage.memory()
      const client = yield* Client.make({ url, webSocket: WebSocket, storage, threads: ["a"] })
      yield* Effect.forkChild(Stream.runForEach(client.events, () => Effect.sleep("10 seconds")))
      yield* settle
      last().open()
      last().push(welcome(), events([1], { upTo: 1 }))
      yield* settle
      // Nothing of this is for the subscriber, so nothing waits for it.
      last().push(events([], { upTo: 5 }))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 0 })
      assert.deepStrictEqual(last().sent.filter((frame) => frame.type === "ack"), [])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 5 })
    }))

  it.effect("keeps what comes before the first subscription for it", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const storage = PositionStorage.memory()
      const client = yield* Client.make({ url, webSocket: WebSocket, storage })
      yield* settle
      last().open()
      last().push(welcome(), events([1, 2]))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 0 })
      const seen = yield* client.events.pipe(Stream.map((_) => _.offset), Stream.take(2), Stream.runCollect)
      assert.deepStrictEqual(seen, [1, 2])
    }))

  it.effect("notices a silent server after one and a half heartbeats", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket })
      yield* settle
      last().open()
      last().push(welcome({ heartbeatMs: 10_000 }))
      yield* TestClock.adjust("10 seconds")
      last().push({ type: "ping" })
      yield* settle
      assert.deepStrictEqual(last().sent.at(-1), { type: "pong" })
      yield* TestClock.adjust("14999 millis")
      assert.deepStrictEqual(yield* statusOf(client), { state: "live", transport: "websocket" })
      yield* TestClock.adjust("1 millis")
      const status = yield* statusOf(client)
      assert.deepStrictEqual(
        status.state === "waiting" ? status.cause : status,
        { _tag: "silent", silentMs: 15_000 }
      )
      assert.deepStrictEqual(sockets[0]?.closedBy, { code: 4501, reason: "heartbeat lost" })
      // Else the jitter may be no wait at all, and the client connects again within the same millisecond.
    }).pipe(Random.withSeed("a wait of some length")))

  it.effect("asks for another token when the server does not take the first", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      let asked = 0
      const token = Effect.sync(() => `t-${++asked}`)
      yield* Client.make({ url, webSocket: WebSocket, token })
      yield* settle
      last().open()
      yield* settle
      last().drop(4401, "expired")
      yield* TestClock.adjust("200 millis")
      last().open()
      yield* settle
      assert.deepStrictEqual(sockets.map((_) => _.sent), [
        [{ type: "hello", accepts: ["command"], token: "t-1" }],
        [{ type: "hello", accepts: ["command"], token: "t-2" }]
      ])
    }))

  it.effect("stops when there is no other token, and when the server refuses for good", () =>
    Effect.gen(function*() {
      for (const code of [4401, 4403, 4413]) {
        const { last, sockets, WebSocket } = fakeSockets()
        const client = yield* Client.make({ url, webSocket: WebSocket, token: "always the same" })
        const ended = yield* Effect.forkChild(Effect.flip(Stream.runDrain(client.events)))
        yield* settle
        last().open()
        last().drop(code)
        yield* TestClock.adjust("1 hours")
        const error = yield* Fiber.join(ended)
        assert.strictEqual(error._tag === "Refused" ? error.code : error._tag, code)
        assert.strictEqual((yield* statusOf(client)).state, "stopped")
        assert.lengthOf(sockets, 1)
      }
    }))

  it.effect("tries again when a token cannot be had this time", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      let asked = 0
      const token = Effect.suspend(() => ++asked === 1 ? Effect.fail("offline" as const) : Effect.succeed("t-2"))
      const client = yield* Client.make({ url, webSocket: WebSocket, token })
      yield* settle
      const status = yield* statusOf(client)
      assert.deepStrictEqual(status.state === "waiting" ? status.cause : status, { _tag: "tokenFailed" })
      yield* TestClock.adjust("200 millis")
      last().open()
      yield* settle
      assert.deepStrictEqual(last().sent, [{ type: "hello", accepts: ["command"], token: "t-2" }])
      // Else the jitter may be no wait at all.
    }).pipe(Random.withSeed("a wait of some length")))

  it.effect("fault 23: reconnects at once when asked to, from a wait and from a connection that looks alive", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket })
      yield* settle
      last().open()
      last().push(welcome())
      yield* settle
      yield* client.reconnect
      yield* settle
      assert.lengthOf(sockets, 2)
      assert.deepStrictEqual(sockets[0]?.closedBy, { code: 1000, reason: "reconnecting" })
      last().open()
      last().push(welcome())
      last().drop()
      // Whatever the dice say, the wait is over.
      yield* Effect.andThen(client.reconnect, settle)
      assert.lengthOf(sockets, 3)
      last().open()
      last().push(welcome())
      yield* settle
      assert.deepStrictEqual(yield* statusOf(client), { state: "live", transport: "websocket" })
    }))

  it.effect("renews a token in band before it expires, and when asked to", () =>
    Effect.gen(function*() {
      const { last, sockets, WebSocket } = fakeSockets()
      let asked = 0
      const token = Effect.clockWith((clock) =>
        Effect.map(clock.currentTimeMillis, (now) => ({ token: `t-${++asked}`, expiresAt: now + 60_000 }))
      )
      const client = yield* Client.make({ url, webSocket: WebSocket, token })
      yield* settle
      last().open()
      last().push(welcome({ heartbeatMs: 1_000_000 }))
      yield* TestClock.adjust("44999 millis")
      assert.lengthOf(last().sent, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(last().sent.at(-1), { type: "token", token: "t-2" })
      yield* client.renew
      yield* settle
      assert.deepStrictEqual(last().sent.at(-1), { type: "token", token: "t-3" })
      assert.lengthOf(sockets, 1)
    }))

  it.effect("folds runs from a snapshot and what follows it, and ends those that a new epoch does not know", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const client = yield* Client.make({ url, webSocket: WebSocket })
      yield* Effect.forkChild(Stream.runDrain(client.events))
      yield* settle
      const delta = (offset: number, run: string, text: string) =>
        wireEvent(offset, { type: "text_delta", run, data: { messageId: "m", delta: text } })
      const state = {
        status: "active",
        parts: [{ type: "text", messageId: "m", text: "ab" }],
        usage: { inputTokens: 0, outputTokens: 0 }
      }
      last().open()
      last().push(
        welcome({ offset: 5, snapshots: 1 }),
        { type: "snapshot", run: "r-1", offset: 6, state },
        { type: "events", epoch: "E1", events: [delta(6, "r-1", "b"), delta(7, "r-1", "c"), delta(8, "r-2", "x")] }
      )
      yield* settle
      const texts = Effect.sync(() =>
        client.runs.getSnapshot().map(({ id, parts, status }) => [id, status, textOf(parts[0])])
      )
      assert.deepStrictEqual(yield* texts, [["r-1", "active", "abc"], ["r-2", "active", "x"]])

      last().drop()
      yield* TestClock.adjust("200 millis")
      last().open()
      last().push(
        welcome({ epoch: "E2", offset: 0, recovered: false }),
        { type: "gap", epoch: "E2", from: 1, to: 0, reason: "epoch", snapshots: 1 }
      )
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* texts, [["r-1", "active", "abc"], ["r-2", "active", "x"]])
      last().push({ type: "snapshot", run: "r-2", offset: 0, state })
      yield* settle
      assert.deepStrictEqual(yield* texts, [["r-1", "lost", "abc"], ["r-2", "active", "ab"]])
      const [changed] = yield* client.runChanges.pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(changed?.map(({ id, status }) => [id, status]), [["r-1", "lost"], ["r-2", "active"]])
    }))

  it.effect("closes its socket and ends its streams with its scope", () =>
    Effect.gen(function*() {
      const { last, WebSocket } = fakeSockets()
      const made = yield* Effect.scoped(Effect.gen(function*() {
        const client = yield* Client.make({ url, webSocket: WebSocket })
        const never = client.run("r-1").done
        const drained = yield* Effect.forkDetach(Stream.runDrain(client.events))
        const changes = yield* Effect.forkDetach(Stream.runCollect(client.runChanges))
        const statusesAtEnd = yield* Effect.forkDetach(Effect.forEach(
          [Stream.runDrain(client.events), Stream.runDrain(client.runChanges)],
          (drained) => Effect.andThen(drained, statusOf(client)),
          { concurrency: 2 }
        ))
        yield* settle
        last().open()
        last().push(welcome(), events([1]))
        yield* settle
        return { client, changes, drained, never, statusesAtEnd }
      }))
      yield* Fiber.join(made.drained)
      assert.isUndefined(yield* Effect.promise(() => made.never))
      yield* settle
      assert.deepStrictEqual(made.changes.pollUnsafe(), Exit.succeed([[]]))
      assert.deepStrictEqual(
        (yield* Fiber.join(made.statusesAtEnd)).map(({ state }) => state),
        ["stopped", "stopped"]
      )
      assert.deepStrictEqual(yield* Stream.runCollect(made.client.runChanges), [[]])
      assert.deepStrictEqual(last().sent.at(-1), { type: "ack", offset: 1, epoch: "E1" })
      assert.deepStrictEqual(last().closedBy, { code: 1000, reason: "" })
      assert.deepStrictEqual(yield* statusOf(made.client), { state: "stopped", reason: { _tag: "closed" } })
      assert.deepStrictEqual(yield* made.client.position, Option.some({ epoch: "E1", offset: 1 }))
      assert.deepStrictEqual(yield* Stream.runCollect(made.client.events), [])
    }))

  it.effect("refuses a limit that is none", () =>
    Effect.gen(function*() {
      const { WebSocket } = fakeSockets()
      for (const [option, least] of [["capacity", 1], ["maxRuns", 1], ["recentRuns", 0]] as const) {
        for (const value of [least - 1, 1.5, Number.NaN]) {
          const error = yield* Effect.flip(Client.make({ url, webSocket: WebSocket, [option]: value }))
          assert.deepStrictEqual(error, new Client.InvalidLimit({ option, least }))
          assert.strictEqual(error.message, `"${option}" must be a whole number from ${least} up`)
        }
        yield* Client.make({ url, webSocket: WebSocket, [option]: least })
      }
    }))

  it.effect("refuses an address that is none", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Client.make({ url: "ftp://127.0.0.1" }))
      assert.deepStrictEqual(error, new Client.InvalidUrl({ url: "ftp://127.0.0.1" }))
      assert.include(error.message, "ws(s) or http(s), without user and #")
      const shown = yield* Effect.flip(Client.make({ url: "ws://a:hunter2@127.0.0.1" }))
      assert.include(shown.message, `"ws://…@127.0.0.1" is not an address`)
    }))
})
