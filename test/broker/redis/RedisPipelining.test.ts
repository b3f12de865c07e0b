/** What many users emit in one turn goes to Redis together. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { EmitterLayer, Emitters, Event } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { Socket } from "node:net"
import { vi } from "vitest"
import { newUser } from "../events.ts"
import { connected, program, withServer } from "./redisNode.ts"

const Marked = Event.make("marked", { payload: { text: Schema.String }, delivery: "critical" })

/** The sizes, in bytes, of what is written to a port of this machine from now on, until the scope closes: one a system call. */
const writesTo = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const writes: Array<number> = []
      const count = (socket: Socket, size: number) => {
        if (socket.remotePort === port) writes.push(size)
      }
      const { _write, _writev } = Socket.prototype
      const spies = [
        vi.spyOn(Socket.prototype, "_write").mockImplementation(function(this: Socket, chunk, encoding, done) {
          count(this, Buffer.byteLength(chunk))
          return _write.call(this, chunk, encoding, done)
        }),
        vi.spyOn(Socket.prototype, "_writev").mockImplementation(function(this: Socket, chunks, done) {
          count(this, chunks.reduce((sum, { chunk }) => sum + Buffer.byteLength(chunk), 0))
          return _writev?.call(this, chunks, done)
        })
      ]
      return { writes, spies }
    }),
    ({ spies }) => Effect.sync(() => spies.forEach((spy) => spy.mockRestore()))
  )

describe.skipIf(program === undefined)("RedisBroker, critical events of many users", () => {
  it.live(
    "that are emitted in one turn share one write of the socket, and one round trip",
    () =>
      withServer({}, ({ port, url }) =>
        Effect.gen(function*() {
          const users = Array.from({ length: 48 }, () => newUser())
          const { forUser } = yield* Emitters
          const emitters = yield* Effect.forEach(users, (userId) => forUser({ userId }))
          const emitAll = Effect.forEach(emitters, (emitter) => emitter.emit(Marked.make({ text: "x".repeat(100) })), {
            concurrency: "unbounded",
            discard: true
          })
          // The first of each begins its log, and loads the script.
          yield* emitAll
          const { writes } = yield* writesTo(port)
          yield* emitAll
          const large = writes.filter((size) => size > 400)
          assert.strictEqual(large.length, 1, `writes of ${writes.join(", ")} bytes`)
          assert.isAbove(large[0] ?? 0, 48 * 400)
        }).pipe(
          Effect.provide(
            EmitterLayer().pipe(
              Layer.provide(connected(RedisBroker.layer({ url, deadline: "5 seconds", silence: "7 seconds" })))
            )
          )
        )),
    120_000
  )
})
