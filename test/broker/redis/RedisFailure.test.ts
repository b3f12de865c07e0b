/** What a Redis that fails does to a node, and what it does not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { Broker } from "effect-emitter"
import { eventually, idOf, idsAfter, newUser, numbered, plenty, start } from "../events.ts"
import { ownTimed } from "../../support/ownTime.ts"
import { redisProxy } from "./redisProxy.ts"
import { persist, program, startNode, watch, withNode, withServer } from "./redisNode.ts"

const has = (id: string) => (items: ReadonlyArray<string>) => items.includes(id)

/** Asserts that a call fails typed and in time. */
const assertUnavailable = <A>(call: Effect.Effect<A, Broker.BrokerError>, withinMs: number) =>
  Effect.gen(function*() {
    const [ownMs, error] = yield* ownTimed(Effect.flip(call))
    assert.instanceOf(error.reason, Broker.BrokerUnavailable)
    assert.isBelow(ownMs, withinMs)
  })

describe.skipIf(program === undefined)("RedisBroker, over a Redis that fails", () => {
  it.live(
    "is built while Redis is down, fails at once, and works once it is up",
    () =>
      withNode({ started: false }, { deadline: "300 millis" }, ({ broker, server, user }) =>
        Effect.gen(function*() {
          yield* assertUnavailable(broker.append(user, numbered(1)), 1000)
          yield* assertUnavailable(broker.pull(user, { epoch: "e", offset: 0 }, plenty), 1000)
          yield* assertUnavailable(broker.head(user), 1000)
          yield* assertUnavailable(broker.snapshots(user), 1000)
          yield* assertUnavailable(broker.readers(user), 1000)
          yield* assertUnavailable(broker.acknowledge(user, { epoch: "e", offset: 1 }), 1000)
          yield* assertUnavailable(broker.acknowledged(user, { epoch: "e", offset: 1 }), 1000)
          yield* assertUnavailable(Effect.scoped(broker.subscribe(user, () => {})), 1000)
          yield* server.start
          assert.strictEqual((yield* persist(broker.append(user, numbered(1)))).offset, 1)
          yield* Effect.scoped(persist(Effect.scoped(broker.subscribe(user, () => {}))))
        })),
    120_000
  )

  it.live(
    "goes on in a new epoch when Redis comes back without its data",
    () =>
      withNode({}, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const from = yield* start(broker, user)
          const before = yield* broker.append(user, numbered(1, 3))
          const reader = yield* watch(broker, user, from)
          yield* eventually(reader.items, has("s.3"), "what came before")
          yield* server.kill
          yield* assertUnavailable(broker.append(user, numbered(4)), 1500)
          yield* server.start
          const after = yield* persist(broker.append(user, numbered(4, 5)))
          assert.strictEqual(after.offset, 2)
          assert.notStrictEqual(after.epoch, before.epoch)
          // The stream of a broker ends with its error; a reader that resumes learns of the loss.
          const resumed = yield* watch(broker, user, before)
          yield* eventually(resumed.items, has("s.5"), "what came after")
          assert.deepStrictEqual(yield* resumed.items, ["epoch 1-0", "s.4", "s.5"])
        })),
    120_000
  )

  it.live(
    "loses and repeats nothing when Redis comes back with all of its data",
    () =>
      withNode({ durable: true }, { trustRestarts: true }, ({ broker, server, user }) =>
        Effect.gen(function*() {
          let woken = 0
          yield* broker.subscribe(user, () => void woken++)
          const from = yield* start(broker, user)
          yield* broker.append(user, numbered(1, 3))
          yield* server.kill
          const before = woken
          yield* server.start
          yield* persist(broker.append(user, numbered(2, 5)))
          assert.deepStrictEqual(
            yield* idsAfter(broker, user, from),
            [1, 2, 3, 4, 5].map((n) => [n, `s.${n}`])
          )
          // The subscription is back as well.
          yield* eventually(Effect.sync(() => woken), (n) => n > before, "a wake-up after the reconnect")
          const later = woken
          yield* broker.append(user, numbered(6))
          yield* eventually(Effect.sync(() => woken), (n) => n > later, "a wake-up of an event")
        })),
    120_000
  )

  it.live(
    "takes a restarted Redis for one that may have lost its last events, unless told otherwise",
    () =>
      withNode({ durable: true }, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const before = yield* broker.append(user, numbered(1, 3))
          yield* server.kill
          yield* server.start
          const after = yield* persist(broker.append(user, numbered(3, 4)))
          assert.notStrictEqual(after.epoch, before.epoch)
          assert.strictEqual(after.offset, 4)
          const slice = yield* broker.pull(user, { ...before, offset: 1 }, plenty)
          assert.deepStrictEqual(slice.gap, { epoch: after.epoch, from: 1, to: 0, reason: "epoch" })
          assert.strictEqual(slice.entries.length, 4)
        })),
    120_000
  )

  it.live(
    "tells an idle reader of the new epoch as soon as it is connected again",
    () =>
      withNode({ durable: true }, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const reader = yield* watch(broker, user, yield* start(broker, user))
          yield* eventually(broker.readers(user), (n) => n === 1, "a reader")
          yield* broker.append(user, numbered(1, 2))
          yield* eventually(reader.items, has("s.2"), "what came before")
          yield* server.kill
          yield* server.start
          yield* eventually(reader.items, (items) => items.length === 5, "the gap, and what is kept")
          assert.deepStrictEqual(yield* reader.items, ["s.1", "s.2", "epoch 1-0", "s.1", "s.2"])
        })),
    120_000
  )

  it.live(
    "gives no offset two meanings when Redis comes back without its last events",
    () =>
      withNode({}, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          yield* broker.append(user, numbered(1, 3))
          yield* server.send("SAVE")
          const before = yield* broker.append(user, numbered(4, 5))
          yield* server.kill
          yield* server.start
          // The first to come back has nothing to do with the reader who saw offset 5.
          const after = yield* persist(broker.append(user, numbered(6, 8)))
          assert.strictEqual(after.offset, 6)
          assert.notStrictEqual(after.epoch, before.epoch)
          const slice = yield* broker.pull(user, before, plenty)
          assert.deepStrictEqual(slice.gap, { epoch: after.epoch, from: 1, to: 0, reason: "epoch" })
          assert.deepStrictEqual(slice.entries.map(idOf), [1, 2, 3, 6, 7, 8].map((n) => `s.${n}`))
        })),
    120_000
  )

  it.live(
    "fails in time while Redis is frozen, and takes what is repeated once",
    () =>
      // Only the deadline ends a call here: the connection is not given up for that long.
      withNode({}, { deadline: "200 millis", silence: "1 hour", lease: "2 hours" }, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const patient = yield* startNode(server.url, { deadline: "30 seconds", silence: "1 hour", lease: "2 hours" })
          const from = yield* persist(start(broker, user))
          yield* persist(broker.append(user, numbered(1)))
          yield* server.freeze
          const waits = yield* Effect.forkChild(Effect.flip(patient.head(user)), { startImmediately: true })
          for (
            const call of [broker.append(user, numbered(2, 3)), broker.append(user, numbered(2, 3)), broker.head(user)]
          ) {
            assert.instanceOf((yield* Effect.flip(call)).reason, Broker.BrokerUnavailable)
          }
          // All three are over while one with a longer deadline still waits for its answer.
          assert.isUndefined(waits.pollUnsafe())
          yield* Fiber.interrupt(waits)
          yield* server.thaw
          yield* persist(broker.append(user, numbered(2, 4)))
          assert.deepStrictEqual(yield* idsAfter(broker, user, from), [1, 2, 3, 4].map((n) => [n, `s.${n}`]))
        })),
    120_000
  )

  it.live(
    "gives a frozen Redis up, and comes back by itself",
    () =>
      withNode(
        {},
        { deadline: "200 millis", silence: "300 millis" },
        ({ broker, server, user }) =>
          Effect.gen(function*() {
            let woken = 0
            yield* persist(broker.subscribe(user, () => void woken++))
            yield* server.freeze
            // The connection itself is given up: calls then fail at once, not at their deadline.
            yield* eventually(
              Effect.map(
                Effect.flip(broker.head(user)),
                ({ reason }) => reason._tag === "BrokerUnavailable" ? reason.afterMs : -1
              ),
              (afterMs) => afterMs === 0,
              "a connection that is given up"
            )
            yield* server.thaw
            yield* persist(broker.append(user, numbered(1)))
            const before = woken
            yield* persist(broker.append(user, numbered(2)))
            yield* eventually(Effect.sync(() => woken), (n) => n > before, "a wake-up")
          })
      ),
    120_000
  )

  it.live("closes in time while Redis is frozen", () =>
    withServer({}, (server) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const broker = yield* Scope.provide(startNode(server.url, { deadline: "200 millis" }), scope)
        yield* Scope.provide(broker.subscribe(newUser(), () => {}), scope)
        yield* server.freeze
        const [ownMs] = yield* ownTimed(Scope.close(scope, Exit.void))
        assert.isBelow(ownMs, 2000)
      })), 120_000)

  it.live(
    "reloads its scripts when Redis has forgotten them",
    () =>
      withNode({}, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          yield* broker.append(user, numbered(1))
          yield* server.send("SCRIPT", "FLUSH")
          const position = yield* broker.append(user, numbered(2))
          assert.strictEqual(position.offset, 2)
          yield* server.send("SCRIPT", "FLUSH")
          yield* Effect.scoped(broker.subscribe(user, () => {}))
          yield* broker.acknowledge(user, position)
          yield* broker.acknowledged(user, position)
        })),
    120_000
  )

  it.live(
    "tells a reader of a log that vanished under it, at its next poll",
    () =>
      withNode({}, { poll: "300 millis" }, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const from = yield* start(broker, user)
          yield* broker.append(user, numbered(1, 2))
          const reader = yield* watch(broker, user, from)
          yield* eventually(reader.items, has("s.2"), "what came before")
          yield* server.send("FLUSHALL")
          yield* eventually(reader.items, has("epoch 1-0"), "the gap")
          yield* broker.append(user, numbered(3))
          yield* eventually(reader.items, has("s.3"), "what came after")
          assert.deepStrictEqual(yield* reader.items, ["s.1", "s.2", "epoch 1-0", "s.3"])
        })),
    120_000
  )

  it.live(
    "names what it lost when only the stream of a log vanished",
    () =>
      withNode({}, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const from = yield* start(broker, user)
          yield* broker.append(user, numbered(1, 2))
          yield* server.send("DEL", `emitter:{${user}}:log`)
          yield* broker.append(user, numbered(2, 3))
          const slice = yield* broker.pull(user, from, plenty)
          assert.deepStrictEqual(slice.gap, { ...slice.gap, epoch: from.epoch, from: 1, to: 2, reason: "retention" })
          assert.deepStrictEqual(slice.entries.map(({ offset }) => offset), [3])
        })),
    120_000
  )

  it.live(
    "loses no event whose wake-up was lost with the subscription",
    () =>
      withNode({}, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const reader = yield* watch(broker, user, yield* start(broker, user))
          yield* eventually(broker.readers(user), (n) => n === 1, "a reader")
          for (let n = 1; n <= 5; n++) {
            yield* server.send("CLIENT", "KILL", "TYPE", "pubsub")
            yield* persist(broker.append(user, numbered(n)))
          }
          yield* eventually(reader.items, has("s.5"), "all events")
          assert.deepStrictEqual(yield* reader.items, [1, 2, 3, 4, 5].map((n) => `s.${n}`))
        })),
    120_000
  )

  it.live(
    "notices within 5 seconds that publications no longer come, and loses no event by it",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const broker = yield* startNode(proxy.url)
          const user = newUser()
          const reader = yield* watch(broker, user, yield* start(broker, user))
          yield* eventually(broker.readers(user), (n) => n === 1, "a reader")
          yield* broker.append(user, numbered(1))
          yield* eventually(reader.items, has("s.1"), "an event")
          yield* Effect.sleep("100 millis")
          yield* proxy.mute
          yield* broker.append(user, numbered(2))
          yield* Effect.sleep("200 millis")
          assert.deepStrictEqual(yield* reader.items, ["s.1"])
          yield* eventually(reader.items, has("s.2"), "the event whose wake-up was lost")
          yield* broker.append(user, numbered(3))
          yield* eventually(reader.items, has("s.3"), "an event on the new subscription")
        })),
    120_000
  )

  it.live(
    "is refused, not unavailable, when Redis has no memory left, and still reads",
    () =>
      withNode({}, {}, ({ broker, server, user }) =>
        Effect.gen(function*() {
          const from = yield* start(broker, user)
          yield* broker.append(user, numbered(1))
          yield* server.send("CONFIG", "SET", "maxmemory", "1")
          const error = yield* Effect.flip(broker.append(user, numbered(2)))
          assert.instanceOf(error.reason, Broker.BrokerRefused)
          assert.match(error.message, /OOM/)
          // A user who is new finds no more room than any other, and may look all the same.
          const other = newUser()
          assert.instanceOf((yield* Effect.flip(broker.append(other, numbered(1)))).reason, Broker.BrokerRefused)
          assert.strictEqual(yield* server.send("EXISTS", `emitter:{${other}}:log`), ":0\r\n")
          assert.strictEqual((yield* broker.head(other)).offset, 0)
          assert.deepStrictEqual(yield* idsAfter(broker, user, from), [[1, "s.1"]])
          yield* server.send("CONFIG", "SET", "maxmemory", "0")
          assert.strictEqual((yield* broker.append(user, numbered(2))).offset, 2)
        })),
    120_000
  )
})
