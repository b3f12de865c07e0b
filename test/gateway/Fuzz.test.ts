/**
 * The short form of `npm run fuzz`: every message that a device may think of, at sessions and over real sockets.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { WebSocket } from "ws"
import * as Authenticator from "./fuzz/authenticator.ts"
import { expected } from "./fuzz/expected.ts"
import { describe as tell, fuzz } from "./fuzz/fuzz.ts"
import { maxBytes, type Message, type Sequence, sequence, show } from "./fuzz/messages.ts"
import { envelope, serve, user } from "./server.ts"
import { patience } from "../support/patience.ts"

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1_000_000))

const send = (socket: WebSocket, message: Message) =>
  socket.send(message._tag === "Text" ? message.text : message.bytes)

/** How many frames may wait for a token to be checked, says the protocol document. How many come by then nobody knows. */
const maxWaiting = 64

/** How long a session that should go on is watched. */
const watchMs = 30

/** What a real socket makes of a sequence: the code it was closed with, or that it is open, or gone by itself. */
const play = (url: string, { messages, vanishes }: Sequence, ends: boolean): Effect.Effect<number | "open" | "gone"> =>
  Effect.callback((resume) => {
    const socket = new WebSocket(url, "emitter.v1.json")
    socket.on("error", () => {})
    socket.on("close", (code) => resume(Effect.succeed(vanishes ? "gone" : code)))
    socket.on("open", () => {
      for (const message of messages) send(socket, message)
      if (vanishes) return socket.terminate()
      setTimeout(() => {
        resume(Effect.succeed("open"))
        socket.terminate()
      }, ends ? 5_000 : watchMs)
    })
  })

describe("Messages of any kind", () => {
  it("end a session with the code that the protocol names, or not at all, and leave nothing behind", async () => {
    const { failure, sequences } = await Effect.runPromise(fuzz({ seed, messages: 8_000 }))
    if (failure !== undefined) assert.fail(tell(failure))
    assert.isAbove(sequences, 500)
  }, 60_000)

  it.live("do the same over real sockets, while a neighbour gets every event", () =>
    Effect.gen(function*() {
      const served = yield* serve(
        { framesPerSecond: 1_000, maxFrameBytesIn: maxBytes, connections: { perUser: 100 } },
        { authenticator: Authenticator.layer }
      )
      const numbers: Array<unknown> = []
      const neighbour = yield* Effect.acquireRelease(
        Effect.callback<WebSocket>((resume) => {
          const socket = new WebSocket(served.url, "emitter.v1.json")
          socket.on("open", () => socket.send(`{"type":"hello","token":"ok:cyd"}`))
          socket.on("message", (data) => {
            const frame = JSON.parse(String(data))
            if (frame.type === "welcome") resume(Effect.succeed(socket))
            if (frame.type === "events") { for (const event of frame.events) numbers.push(event.data.n) }
          })
        }),
        (socket) => Effect.sync(() => socket.terminate())
      )
      const count = 150
      yield* Effect.forEach(
        Array.from({ length: count }, (_, n) => seed + n),
        (seed) =>
          Effect.gen(function*() {
            // A socket has no header that the fuzzer's authenticator knows.
            const next = { ...sequence(seed), header: undefined }
            const want = expected(next, 1_000)
            const outcome = yield* play(served.url, next, want._tag === "Closed")
            yield* served.broker.append(user("cyd"), [envelope({ n: seed })])
            if (next.vanishes) return
            const well = want._tag === "Closed"
              ? typeof outcome === "number" && want.codes.has(outcome)
              : outcome === "open"
            const isCrowded = next.messages.length > maxWaiting && outcome === 4429
            const codes = want._tag === "Closed" ? [...want.codes].join(" or ") : "open"
            const text = next.messages.map(show).join("\n")
            assert.isTrue(well || isCrowded, `SEED=${seed}: ${outcome}, where ${codes} was expected\n${text}`)
          }),
        { concurrency: 5, discard: true }
      )
      yield* Effect.suspend(() => numbers.length === count ? Effect.void : Effect.fail("not yet")).pipe(
        Effect.retry(Schedule.spaced("5 millis")),
        Effect.timeout(5_000 * patience)
      )
      assert.deepStrictEqual(numbers.toSorted(), Array.from({ length: count }, (_, n) => seed + n).toSorted())
      assert.strictEqual(neighbour.readyState, neighbour.OPEN)
      neighbour.terminate()
      yield* Effect.suspend(() => Effect.map(served.gateway.stats, ({ sessions }) => sessions)).pipe(
        Effect.repeat({ until: (sessions) => sessions === 0, schedule: Schedule.spaced("5 millis") }),
        Effect.timeout(5_000 * patience)
      )
      const { backlog, connections, users } = yield* served.gateway.stats
      assert.deepStrictEqual([backlog, connections, users], [0, 0, 0])
    }), 120_000)
})
