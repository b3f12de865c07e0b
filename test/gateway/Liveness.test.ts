import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { untilEffect } from "../client/devices.ts"
import { append, connect, dial, serve, token } from "./server.ts"

describe("Heartbeats", () => {
  it.live("come every heartbeat, and a device that answers stays connected", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "100 millis" })
      const device = yield* connect(served, "ada")
      for (let beat = 0; beat < 6; beat++) {
        yield* device.take("ping")
        yield* device.send({ type: "pong" })
      }
      assert.strictEqual(device.socket.readyState, device.socket.OPEN)
    }))

  it.live("any frame is a sign of life", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "100 millis" })
      const device = yield* connect(served, "ada")
      for (let n = 0; n < 8; n++) {
        yield* Effect.sleep("50 millis")
        yield* device.send({ type: "ack", offset: 0 })
      }
      assert.strictEqual(device.socket.readyState, device.socket.OPEN)
    }))

  it.live("a device that is silent is closed with 4501", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "200 millis" })
      const device = yield* connect(served, "ada")
      assert.deepStrictEqual(yield* device.closed, { code: 4501, reason: "heartbeatLost" })
      // It is asked again where the process stood still meanwhile.
      assert.match(device.frames.map(({ type }) => type).join(" "), /^welcome( ping)+ error$/u)
    }))

  it.live("a half-open connection is given up, and its reader forgotten", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "200 millis", drainTimeout: "300 millis" })
      const device = yield* connect(served, "ada")
      device.socket.pause()
      yield* untilEffect("it is given up", Effect.map(served.gateway.stats, ({ connections }) => connections === 0))
      assert.deepStrictEqual((yield* served.gateway.stats).closed, { heartbeatLost: 1 })
    }))

  it.live("time in which the server itself stood still is not held against devices", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "200 millis" })
      const device = yield* connect(served, "ada")
      yield* Effect.sleep("20 millis")
      const until = performance.now() + 700
      while (performance.now() < until);
      yield* Effect.sleep("30 millis")
      assert.strictEqual(device.socket.readyState, device.socket.OPEN)
      yield* append(served, "ada", 1)
      yield* device.received(1)
    }))

  it.live("end with the socket: a reset connection is forgotten at once", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const device = yield* connect(served, "ada")
      const tcp = Reflect.get(device.socket, "_socket")
      tcp.resetAndDestroy()
      yield* untilEffect("it is forgotten", Effect.map(served.gateway.stats, ({ sessions }) => sessions === 0))
    }))
})

describe("Credentials", () => {
  it.live("that expire end the connection with 4401 after the grace", () =>
    Effect.gen(function*() {
      const served = yield* serve({ expiryGrace: "200 millis", heartbeat: "1 second" })
      const device = yield* dial(served.url)
      yield* device.send({ type: "hello", token: yield* token("ada", { expiresIn: 1 }) })
      yield* device.take("welcome")
      const welcomed = performance.now()
      assert.deepStrictEqual(yield* device.closed, { code: 4401, reason: "unauthenticated" })
      assert.isAtLeast(performance.now() - welcomed, 150)
    }))

  it.live("may be renewed on the same connection", () =>
    Effect.gen(function*() {
      const served = yield* serve({ expiryGrace: "100 millis", heartbeat: "400 millis" })
      const device = yield* dial(served.url)
      yield* device.send({ type: "hello", token: yield* token("ada", { expiresIn: 1 }) })
      yield* device.take("welcome")
      yield* device.send({ type: "token", token: yield* token("ada") })
      for (let n = 0; n < 4; n++) {
        yield* device.take("ping")
        yield* device.send({ type: "pong" })
      }
      yield* append(served, "ada", 1)
      yield* device.received(1)
    }))

  it.live("of another user are refused on renewal, and so is garbage", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      for (const renewed of [yield* token("bob"), "garbage"]) {
        const device = yield* connect(served, "ada")
        yield* device.send({ type: "token", token: renewed })
        assert.strictEqual((yield* device.closed).code, 4401)
        yield* append(served, "bob", 1)
        assert.deepStrictEqual(device.numbers(), [])
      }
    }))
})
