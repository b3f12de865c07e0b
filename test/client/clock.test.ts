/**
 * Both clients while the wall clock of their device steps. Time itself goes on.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Random, type Scope, SubscriptionRef } from "effect"
import { Client, connect, type Status } from "effect-emitter/client"
import { TestClock } from "effect/testing"
import * as WallClock from "../support/wallClock.ts"
import { type FakeSocket, fakeSockets, welcome } from "./FakeSocket.ts"
import { fakeWorld } from "./FakeWorld.ts"

const url = "ws://127.0.0.1/events"

interface Watched {
  readonly sockets: ReadonlyArray<FakeSocket>
  readonly last: () => FakeSocket
  readonly asked: () => number
  readonly status: () => Status
  readonly pass: (ms: number) => Effect.Effect<void>
  readonly setClock: (by: Duration.Input) => Effect.Effect<void>
}

const lifeMs = 60_000

/** A client of either kind with tokens that live for a minute, and hands on its time. */
const clients: Record<"connect" | "Client", Effect.Effect<Watched, never, Scope.Scope | WallClock.WallClock>> = {
  connect: Effect.gen(function*() {
    const { last, now, pass, platform, setClock, sockets } = fakeWorld()
    let asked = 0
    const connection = connect({
      url,
      platform,
      token: () => ({ token: `t-${++asked}`, expiresAt: now() + lifeMs }),
      onEvent: () => {}
    })
    yield* Effect.addFinalizer(() => Effect.sync(connection.close))
    return {
      sockets,
      last,
      asked: () => asked,
      status: connection.status.getSnapshot,
      pass: (ms) => Effect.promise(() => pass(ms)),
      setClock: (by) => Effect.sync(() => setClock(Duration.toMillis(Duration.fromInputUnsafe(by))))
    }
  }),
  Client: Effect.gen(function*() {
    const { last, sockets, WebSocket } = fakeSockets()
    let asked = 0
    const token = Effect.map(Clock.currentTimeMillis, (now) => ({ token: `t-${++asked}`, expiresAt: now + lifeMs }))
    const client = yield* Client.make({ url, webSocket: WebSocket, token }).pipe(Effect.orDie)
    const { step } = yield* WallClock.WallClock
    return {
      sockets,
      last,
      asked: () => asked,
      status: () => SubscriptionRef.getUnsafe(client.status),
      pass: (ms) => Effect.andThen(TestClock.adjust(ms), Effect.repeat(TestClock.adjust(0), { times: 5 })),
      setClock: step
    }
  })
}

for (const kind of ["connect", "Client"] as const) {
  describe(`${kind}, while the wall clock steps`, () => {
    for (const by of ["-1 hours", "1 hours"] as const) {
      it.effect(`fault 35: lets a silent server go, tries again and renews its token at the same times (${by})`, () =>
        Effect.gen(function*() {
          const { asked, last, pass, setClock, sockets, status } = yield* clients[kind]
          yield* pass(0)
          last().open()
          last().push(welcome({ heartbeatMs: 40_000 }))
          yield* pass(1_000)
          yield* setClock(by)
          yield* pass(43_999)
          assert.deepStrictEqual([status().state, sockets.length, asked()], ["live", 1, 1])
          yield* pass(2)
          assert.deepStrictEqual(last().sent.at(-1), { type: "token", token: "t-2" })
          yield* setClock(by)
          yield* pass(14_990)
          assert.strictEqual(status().state, "live")
          yield* pass(10)
          const silent = status()
          assert.deepStrictEqual(
            [last().closedBy?.code, silent.state === "waiting" ? silent.cause : silent],
            [4501, { _tag: "silent", silentMs: 60_000 }]
          )
          yield* setClock(by)
          yield* pass(200)
          // The second token has half a minute left, whatever the clock says.
          assert.deepStrictEqual([sockets.length, asked()], [2, 2])
          last().open()
          yield* pass(0)
          assert.deepStrictEqual(last().sent.map(({ token, type }) => [type, token]), [["hello", "t-2"]])
          // Else the jitter may be no wait at all, and the client connects again within the same millisecond.
        }).pipe(Effect.provide(WallClock.WallClock.layer), Random.withSeed("a wait of some length")))
    }

    it.effect("fault 35: shows life at once after what may have been a sleep", () =>
      Effect.gen(function*() {
        const { last, pass, setClock, sockets, status } = yield* clients[kind]
        yield* pass(0)
        last().open()
        last().push(welcome())
        yield* pass(1_000)
        const before = last().sent.length
        yield* setClock("8 hours")
        last().push({ type: "status", state: "live" })
        yield* pass(0)
        assert.deepStrictEqual(last().sent.slice(before), [{ type: "pong" }])
        assert.deepStrictEqual([status().state, sockets.length], ["live", 1])
      }).pipe(Effect.provide(WallClock.WallClock.layer)))
  })
}
