/** What a user's limit on connections does when devices have gone without a word. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { connect, type Device, dial, serve, type Served, token } from "./server.ts"

const answering = (device: Device) => {
  device.socket.on("message", (data) => {
    if (String(data).includes(`"ping"`)) device.socket.send(`{"type":"pong"}`)
  })
}

const knock = (served: Served) =>
  Effect.gen(function*() {
    const device = yield* dial(served.url)
    yield* device.send({ type: "hello", token: yield* token("ada") })
    return yield* Effect.raceFirst(
      Effect.map(device.closed, ({ code }) => ({ code, last: device.frames.at(-1) })),
      Effect.as(device.take("welcome"), { code: 0, last: undefined })
    )
  })

describe("A user's limit on connections", () => {
  it.live("fault 3: is no lock for tabs that come back from a change of network", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perUser: 8 } })
      for (let n = 0; n < 6; n++) (yield* connect(served, "ada")).socket.pause()
      const back = yield* Effect.forEach(Array.from({ length: 6 }), () => Effect.forkChild(knock(served)))
      const codes = (yield* Effect.forEach(back, Fiber.join)).map(({ code }) => code)
      assert.deepStrictEqual(codes, [0, 0, 0, 0, 0, 0])
      assert.isAtLeast((yield* served.gateway.stats).closed["heartbeatLost"] ?? 0, 4)
    }), 120_000)

  it.live("fault 3: lets no newcomer push out tabs that are there, and is not final", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perUser: 4 } })
      const there = yield* Effect.forEach(Array.from({ length: 4 }), () => connect(served, "ada"))
      for (const device of there) answering(device)
      const { code, last } = yield* knock(served)
      assert.strictEqual(code, 4409)
      if (last?.type !== "goodbye") return assert.fail("no goodbye")
      assert.isAtLeast(last.reconnectAfterMs, 30_000)
      for (const { socket } of there) assert.strictEqual(socket.readyState, socket.OPEN)
      assert.strictEqual((yield* served.gateway.stats).refused.user, 1)
    }))

  it.live("fault 3: asks those that were quiet for longest, and lets in who comes in the place of one that has gone", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perUser: 4 } })
      ;(yield* connect(served, "ada")).socket.pause()
      for (let n = 0; n < 3; n++) {
        const device = yield* connect(served, "ada")
        answering(device)
        // So that it was heard of after the one that is gone.
        yield* device.send({ type: "ack", offset: 0 })
      }
      assert.strictEqual((yield* knock(served)).code, 0)
      assert.deepStrictEqual((yield* served.gateway.stats).closed, { heartbeatLost: 1 })
    }))

  it.live("fault 3: lets no more newcomers wait for a place than a user may have, and refuses the others at once", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perUser: 2 } })
      for (let n = 0; n < 2; n++) (yield* connect(served, "ada")).socket.pause()
      const codes: Array<number> = []
      const knocks = yield* Effect.forEach(
        Array.from({ length: 6 }),
        () => Effect.forkChild(Effect.map(knock(served), ({ code }) => codes.push(code)))
      )
      yield* Effect.forEach(knocks, Fiber.join)
      // Those that are refused do not wait for an answer of those that are there; the two that waited get the places.
      assert.deepStrictEqual(codes, [4409, 4409, 4409, 4409, 0, 0])
    }))

  it.live(
    "fault 3: takes an acknowledgement by POST for a sign of life, of its stream or of all",
    () =>
      Effect.gen(function*() {
        const served = yield* serve({ connections: { perUser: 1 }, heartbeat: "1500 millis" })
        const authorization = `Bearer ${yield* token("ada")}`
        const { body } = yield* Effect.promise(() =>
          fetch(`${served.http}/events`, { headers: { accept: "text/event-stream", authorization } })
        )
        const post = (connection: string | undefined) =>
          Effect.promise(() =>
            fetch(`${served.http}/events`, {
              method: "POST",
              headers: { authorization },
              body: JSON.stringify({ type: "ack", epoch: "any", offset: 0, connection })
            }).then(({ status }) => status)
          )
        const read = yield* Effect.promise(() => body?.getReader().read() ?? Promise.reject(new Error("no stream")))
        const id = /"connection":"([^"]+)"/u.exec(Buffer.from(read.value ?? []).toString())?.[1]
        for (const connection of [id, undefined]) {
          yield* Effect.sleep("3200 millis")
          assert.strictEqual(yield* post(connection), 204)
          assert.strictEqual((yield* knock(served)).code, 4409)
        }
        yield* Effect.sleep("3200 millis")
        assert.strictEqual(yield* post("another"), 204)
        assert.strictEqual((yield* knock(served)).code, 0)
      }),
    30_000
  )

  it.live("fault 3: counts a stream as gone without a sign of life for two heartbeats", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perUser: 2 }, heartbeat: "1500 millis" })
      const authorization = `Bearer ${yield* token("ada")}`
      const open = Effect.promise(() =>
        fetch(`${served.http}/events`, { headers: { accept: "text/event-stream", authorization } })
      )
      const streams = [yield* open, yield* open]
      const readers = streams.map(({ body }) => body?.getReader())
      const ids = yield* Effect.forEach(readers, (reader) =>
        Effect.promise(async () => {
          const read = await reader?.read()
          return /"connection":"([^"]+)"/u.exec(Buffer.from(read?.value ?? []).toString())?.[1]
        }))
      const post = (body: object) =>
        Effect.promise(() =>
          fetch(`${served.http}/events`, { method: "POST", headers: { authorization }, body: JSON.stringify(body) })
            .then(({ status }) => status)
        )
      assert.strictEqual(yield* post({ type: "pong" }), 400)
      yield* Effect.sleep("3200 millis")
      assert.strictEqual(yield* post({ type: "pong", connection: ids[0] }), 204)
      assert.strictEqual((yield* knock(served)).code, 0)
      assert.deepStrictEqual((yield* served.gateway.stats).closed, { heartbeatLost: 1 })
      const rest = yield* Effect.promise(() => readers[1]?.read() ?? Promise.reject(new Error("no stream")))
      assert.include(Buffer.from(rest.value ?? []).toString(), "heartbeatLost")
      assert.strictEqual(yield* post({ type: "pong", connection: ids[0] }), 204)
    }))
})
