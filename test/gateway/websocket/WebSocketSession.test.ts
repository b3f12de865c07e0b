import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Option, Redacted } from "effect"
import { Frame } from "effect-emitter/protocol"
import { TestClock } from "effect/testing"
import type { Principal } from "../../../src/gateway/authentication/Authenticator.ts"
import type { SessionContext } from "../../../src/gateway/session/SessionContext.ts"
import { Sessions } from "../../../src/gateway/session/Sessions.ts"
import { Servers } from "../../../src/gateway/admission/Servers.ts"
import { Strangers } from "../../../src/gateway/admission/Strangers.ts"
import * as OperatorLog from "../../../src/gateway/OperatorLog.ts"
import { Unauthenticated } from "../../../src/gateway/authentication/AuthenticationError.ts"
import { WebSocketSession, type Wire } from "../../../src/gateway/websocket/WebSocketSession.ts"
import type { CloseReason, Message } from "../../../src/hub/Transport.ts"
import { closeCodes } from "../../../src/protocol/wire/CloseCode.ts"
import { accepted, type Outcome } from "../../../src/protocol/command/Command.ts"
import { ConnectionId, UserId } from "../../../src/protocol/values/Identity.ts"
import * as WallClock from "../../support/wallClock.ts"
import * as Monotonic from "../../../src/protocol/values/Monotonic.ts"
import { FakeBroker } from "../../hub/fakes.ts"
import { seeded } from "../../support/random.ts"
import { CommandsDouble, makeCommands } from "../commands.ts"
import { makeHub, now } from "../../hub/hub.ts"

class FakeWire implements Wire {
  readonly frames: Array<Frame.ServerFrame> = []
  closed: number | undefined
  backlog = 0
  /** What of it waits to be compressed. */
  compressing = 0
  /** What the network takes before it is full. */
  room = Infinity
  /** What happens as soon as something was sent. */
  onSend: () => void = () => {}
  private ready: ((hasDrained: boolean) => void) | undefined

  get unsent(): number {
    return this.backlog - this.compressing
  }

  sendAll(messages: ReadonlyArray<Message>): boolean {
    assert.isUndefined(this.closed, "sent after close")
    for (const message of messages) {
      const frame = Frame.decodeServer(message.toString())
      if (frame._tag === "Failure") throw frame.failure
      this.frames.push(frame.success)
    }
    this.onSend()
    return --this.room > 0
  }

  whenWritable(ready: (hasDrained: boolean) => void): void {
    this.ready = ready
  }

  /** The network has taken everything, and takes so many writes more. */
  drain(room: number): void {
    this.room = room
    this.ready?.(true)
  }

  /** What was being compressed is on its way, and the network has room. */
  compressed(): void {
    this.room = Infinity
    this.ready?.(false)
  }

  close(code: number): void {
    assert.isUndefined(this.closed, "closed twice")
    this.closed = code
  }

  terminate(): void {
    this.closed = 1006
  }

  get types(): ReadonlyArray<string> {
    return this.frames.map(({ type }) => type)
  }
}

const few = { count: 100, ms: Infinity }

const heartbeatMs = 25_000
const tickMs = 1_000

/** Sessions that tick by the test's clock. Tokens are `<user>:<expiry>`; checking one takes 10 ms, and that of `sloth` for ever. */
const makeSessions = Effect.gen(function*() {
  const broker = new FakeBroker({ maxEvents: 100, delay: now })
  const double = new CommandsDouble()
  const hub = yield* makeHub(broker)
  const clock = yield* Clock.Clock
  const strangers = new Strangers(
    { silent: few, unauthenticated: few, refused: few },
    () => Monotonic.millisUnsafe(clock)
  )
  const sessions = new Sessions(5_000, strangers, new Servers(strangers, () => 0))
  const reasons: Array<CloseReason> = []
  let ids = 0
  const verify = (token: Redacted.Redacted<string>): Effect.Effect<Principal, Unauthenticated> => {
    const [user = "", expiry] = Redacted.value(token).split(":")
    const principal = { userId: UserId.make(user), expiresAt: expiry === undefined ? undefined : Number(expiry) }
    if (user === "sloth") return Effect.never
    return Effect.delay(
      user === "mallory" ? Effect.fail(new Unauthenticated({ reason: "signature" })) : Effect.succeed(principal),
      10
    )
  }
  const context: SessionContext = {
    limits: {
      helloTimeoutMs: 5_000,
      heartbeatMs,
      silenceMs: heartbeatMs * 1.5 - tickMs,
      expiryGraceMs: 10_000,
      framesPerSecond: 50,
      maxSnapshots: 100,
      maxFrameBytesIn: 16_384,
      retentionMs: 1
    },
    hub,
    commands: yield* makeCommands(double),
    authenticator: { verify, recognize: () => Effect.succeed(Option.none()) },
    strangers,
    clock,
    compressor: undefined,
    run: Effect.runForkWith(yield* Effect.context<never>()),
    add: (session) => sessions.add(session),
    remove: (session) => sessions.remove(session),
    nextId: () => ConnectionId.make(`c${++ids}`),
    tell: OperatorLog.make(clock),
    admits: () => true,
    comeBackAfterMs: () => 1_000,
    closed: (reason) => reasons.push(reason)
  }
  yield* Effect.forkScoped(sessions.watch(clock, tickMs))
  const open = (principal?: Principal) => {
    const wire = new FakeWire()
    const session = new WebSocketSession(context, wire, principal)
    const send = (frame: object) => session.onText(JSON.stringify(frame))
    return { wire, session, send }
  }
  const greet = Effect.fnUntraced(function*(token = "ada") {
    const device = open()
    device.send({ type: "hello", token })
    yield* TestClock.adjust(10)
    assert.deepStrictEqual(device.wire.types, ["welcome"])
    return device
  })
  return { broker, double, hub, sessions, reasons, open, greet }
})

describe("WebSocketSession", () => {
  it.effect("waits 5 seconds for hello, and not longer", () =>
    Effect.gen(function*() {
      const { open } = yield* makeSessions
      const { wire } = open()
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(wire.closed)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(wire.closed, 4408)
    }))

  it.effect("fault 17: asks a device to come back whose hello is not answered in time, which is not its fault", () =>
    Effect.gen(function*() {
      const { open } = yield* makeSessions
      const { send, wire } = open()
      send({ type: "hello", token: "sloth" })
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(wire.closed)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(wire.closed, 4500)
      assert.deepStrictEqual(wire.types, ["goodbye"])
    }))

  it.effect("fault 17: lets a bounded number of frames wait for an answer, however slowly they come", () =>
    Effect.gen(function*() {
      const { greet, open } = yield* makeSessions
      const renewing = yield* greet("ada")
      renewing.send({ type: "token", token: "sloth" })
      const greeting = open()
      greeting.send({ type: "hello", token: "sloth" })
      for (const { send, wire } of [renewing, greeting]) {
        for (let sent = 0; sent < 64; sent++) {
          send({ type: "token", token: "ada" })
          if (sent === 40) yield* TestClock.adjust("1 second")
        }
        assert.isUndefined(wire.closed)
        send({ type: "token", token: "ada" })
        assert.strictEqual(wire.closed, 4429)
      }
    }))

  it.effect("takes 50 frames at once and 50 in a second, and no more for having been idle", () =>
    Effect.gen(function*() {
      const { greet } = yield* makeSessions
      const { send, wire } = yield* greet()
      const pongs = (count: number) => {
        for (let sent = 0; sent < count; sent++) send({ type: "pong" })
      }
      yield* TestClock.adjust("30 seconds")
      pongs(50)
      yield* TestClock.adjust("500 millis")
      pongs(25)
      assert.isUndefined(wire.closed)
      pongs(1)
      assert.strictEqual(wire.closed, 4429)
    }))

  it.effect("notices a silent device when one and a half heartbeats are over, and not before it could answer", () =>
    Effect.gen(function*() {
      const { greet } = yield* makeSessions
      const { send, wire } = yield* greet()
      const silence = Effect.gen(function*() {
        const began = yield* Clock.currentTimeMillis
        while (wire.closed === undefined) yield* TestClock.adjust("250 millis")
        return (yield* Clock.currentTimeMillis) - began
      })
      yield* TestClock.adjust("26 seconds")
      assert.deepStrictEqual(wire.types, ["welcome", "ping"])
      send({ type: "pong" })
      const silent = yield* silence
      assert.isAtMost(silent, heartbeatMs * 1.5)
      assert.isAtLeast(silent, heartbeatMs * 1.5 - 2 * tickMs)
      assert.strictEqual(wire.closed, 4501)
      assert.deepStrictEqual(wire.types, ["welcome", "ping", "ping", "error"])
    }))

  it.effect("fault 45: lets go of the connection whose socket went while it was greeted", () =>
    Effect.gen(function*() {
      const { broker, hub, open } = yield* makeSessions
      for (const token of [undefined, "ada"]) {
        // Who is known by the request's header is greeted in the turn of its hello, by nothing that could be interrupted.
        const { send, session, wire } = open(
          token === undefined ? { userId: UserId.make("ada"), expiresAt: undefined } : undefined
        )
        wire.onSend = () => session.onClose()
        send({ type: "hello", token })
        yield* TestClock.adjust(10)
        assert.deepStrictEqual(wire.types, ["welcome"])
        assert.deepStrictEqual([(yield* hub.stats).connections, broker.readers], [0, 0])
      }
    }))

  it.effect("fault 45: sends no ping into a full stream, and one when there is room again", () =>
    Effect.gen(function*() {
      const { broker, greet } = yield* makeSessions
      const { send, wire } = yield* greet()
      wire.room = 1
      broker.append()
      yield* TestClock.adjust("26 seconds")
      send({ type: "pong" })
      assert.deepStrictEqual(wire.types, ["welcome", "events"])
      wire.drain(Infinity)
      yield* TestClock.adjust(heartbeatMs)
      assert.deepStrictEqual(wire.types, ["welcome", "events", "ping"])
    }))

  it.effect("fault 46: takes a slow device for alive while the network takes what was sent to it", () =>
    Effect.gen(function*() {
      const { broker, greet } = yield* makeSessions
      const { wire } = yield* greet()
      wire.room = 1
      wire.backlog = 100_000
      broker.append()
      // It reads a little each 20 seconds, can be sent no ping, and so answers none.
      for (let turn = 0; turn < 10; turn++) {
        yield* TestClock.adjust("20 seconds")
        wire.backlog -= 1_000
      }
      assert.isUndefined(wire.closed)
      // Then nothing any more.
      yield* TestClock.adjust(heartbeatMs * 1.5 + tickMs)
      assert.strictEqual(wire.closed, 4501)
    }))

  it.effect("does not take for a sign of life that something was compressed for the device", () =>
    Effect.gen(function*() {
      const { broker, greet } = yield* makeSessions
      const { wire } = yield* greet()
      // Each second a large event is compressed and then waits for the network, which takes nothing any more.
      for (let second = 1; wire.closed === undefined && second < 60; second++) {
        wire.room = 1
        wire.backlog += 1_000
        wire.compressing = 1_000
        broker.append()
        yield* TestClock.adjust("500 millis")
        wire.backlog -= 900
        wire.compressing = 0
        wire.compressed()
        yield* TestClock.adjust("500 millis")
      }
      assert.strictEqual(wire.closed, 4501)
    }))

  it.effect("fault 46: takes a pong that nobody asked for as a sign of life", () =>
    Effect.gen(function*() {
      const { greet } = yield* makeSessions
      const { send, wire } = yield* greet()
      for (let turn = 0; turn < 10; turn++) {
        yield* TestClock.adjust("20 seconds")
        send({ type: "pong" })
      }
      assert.isUndefined(wire.closed)
    }))

  it.effect("keeps a device that answers for hours, with a ping every heartbeat", () =>
    Effect.gen(function*() {
      const { greet } = yield* makeSessions
      const { send, wire } = yield* greet()
      for (let beat = 1; beat <= 200; beat++) {
        yield* TestClock.adjust("25 seconds")
        if (wire.types.at(-1) === "ping") send({ type: "pong" })
      }
      assert.isUndefined(wire.closed)
      assert.isAtLeast(wire.frames.length, 190)
    }))

  it.effect("handles what comes behind a hello after it, in order", () =>
    Effect.gen(function*() {
      const { broker, open } = yield* makeSessions
      const { send, wire } = open()
      send({ type: "hello", token: "ada" })
      send({ type: "ack", offset: 0 })
      send({ type: "token", token: "ada:20000" })
      send({ type: "pong" })
      assert.deepStrictEqual(wire.types, [])
      yield* TestClock.adjust(10)
      broker.append()
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(wire.types, ["welcome", "events"])
      yield* TestClock.adjust("29 seconds")
      send({ type: "pong" })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(wire.closed, 4401)
    }))

  it.effect("ends after the grace of its credential, unless that was renewed", () =>
    Effect.gen(function*() {
      const { greet } = yield* makeSessions
      const lazy = yield* greet("ada:20000")
      const renewing = yield* greet("bob:20000")
      yield* TestClock.adjust("19 seconds")
      renewing.send({ type: "token", token: "bob:100000" })
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(lazy.wire.closed)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(lazy.wire.closed, 4401)
      assert.isUndefined(renewing.wire.closed)
    }))

  it.effect("refuses a renewal for another user, or with a token that is not accepted", () =>
    Effect.gen(function*() {
      const { greet } = yield* makeSessions
      for (const token of ["bob", "mallory"]) {
        const { send, wire } = yield* greet("ada")
        send({ type: "token", token })
        yield* TestClock.adjust(10)
        assert.strictEqual(wire.closed, 4401)
      }
    }))

  it.effect("lets go of everything, whenever the socket vanishes", () =>
    Effect.gen(function*() {
      const { broker, hub, open, sessions } = yield* makeSessions
      for (const after of [0, 5, 10, 500]) {
        const { send, session } = open()
        send({ type: "hello", token: "ada" })
        yield* TestClock.adjust(after)
        session.onClose()
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(
          [broker.readers, (yield* hub.stats).connections, sessions.size],
          [0, 0, 0],
          `${after} ms`
        )
      }
    }))

  // For a longer run, such as a million messages, set FUZZ_SEEDS=180000.
  const seeds = Number(process.env["FUZZ_SEEDS"] ?? 2_000)

  // Frames that a device may send, right ones and wrong ones, and messages that are no frames at all.
  const messages = (next: () => number): string => {
    const pick = <A>(...choices: ReadonlyArray<A>): A => choices[Math.floor(next() * choices.length)] ?? assert.fail()
    const value = (depth: number): unknown =>
      pick<() => unknown>(
        () => null,
        () => Math.floor(next() * 1e6),
        () => -next(),
        () => "ada",
        () => "\u0000\ud800{}",
        () => true,
        () => depth > 3 ? [] : [value(depth + 1), value(depth + 1)],
        () => depth > 3 ? {} : { type: value(depth + 1), __proto__: value(depth + 1) }
      )()
    const field = (right: unknown) => next() < 0.9 ? right : value(0)
    const offset = Math.floor(next() * 20)
    const frame = pick<() => object>(
      () => ({ type: field("hello"), token: field(pick("ada", "mallory")) }),
      () => ({ type: "hello", token: "ada", resume: field({ epoch: field("epoch1"), offset: field(offset) }) }),
      () => ({ type: "hello", token: "ada", threads: field(["t1", field("t2")]), more: value(0) }),
      () => ({ type: field("ack"), offset: field(offset) }),
      () => ({ type: field("pong"), more: value(0) }),
      () => ({ type: field("token"), token: field("ada") })
    )()
    const text = JSON.stringify(frame)
    const choice = next()
    if (choice < 0.9) return text
    const at = Math.floor(next() * text.length)
    if (choice < 0.93) return text.slice(0, at)
    if (choice < 0.96) return text.slice(0, at) + String.fromCharCode(next() * 0x10000) + text.slice(at + 1)
    return JSON.stringify(value(0))
  }

  it.effect(
    "answers any sequence of messages with frames of the protocol, one reason for the end at most, and no leak",
    () =>
      Effect.gen(function*() {
        const { broker, reasons, hub, open, sessions } = yield* makeSessions
        const codes = new Set<number | undefined>()
        for (let seed = 1; seed <= seeds; seed++) {
          const next = seeded(seed).next
          const { session, wire } = open()
          session.onText(next() < 0.8 ? `{"type":"hello","token":"ada"}` : messages(next))
          for (let n = Math.floor(next() * 12); n > 0; n--) {
            session.onText(messages(next))
            if (next() < 0.3) broker.append(next() < 0.5 ? {} : { thread: "t1" })
            if (next() < 0.3) yield* TestClock.adjust(Math.floor(next() * 20))
            if (next() < 0.01) broker.forget()
            if (next() < 0.02) session.onOversize()
          }
          yield* TestClock.adjust(20)
          codes.add(wire.closed)
          assert.strictEqual(
            wire.closed === undefined,
            wire.types.every((type) => type !== "error" && type !== "goodbye")
          )
          session.onClose()
          yield* TestClock.adjust(1)
          assert.deepStrictEqual([broker.readers, sessions.size], [0, 0], `seed ${seed}`)
        }
        // A token that is no user's id makes this test's authenticator throw, which ends the connection with 4503.
        codes.delete(4503)
        assert.deepStrictEqual([...codes].toSorted(), [4400, 4401, 4413, undefined])
        assert.strictEqual((yield* hub.stats).connections, 0)
        assert.isAbove(reasons.length, 500)
      }),
    Math.max(120_000, seeds)
  )
})

describe("WebSocketSession, while the wall clock steps", () => {
  for (const by of ["-1 hours", "1 hours"] as const) {
    it.effect(`fault 35: pings, and lets go of silent devices and of expired ones, at the same times (${by})`, () =>
      Effect.gen(function*() {
        const { greet } = yield* makeSessions
        const [silent, expiring, lively] = [yield* greet(), yield* greet("ada:60000"), yield* greet()]
        yield* WallClock.step(by)
        const pongs = Effect.sync(() => {
          for (const { send, wire } of [expiring, lively]) if (wire.closed === undefined) send({ type: "pong" })
        })
        for (let second = 1; second <= 36; second++) yield* Effect.andThen(TestClock.adjust("1 second"), pongs)
        assert.deepStrictEqual(silent.wire.types, ["welcome", "ping"])
        yield* Effect.andThen(TestClock.adjust("1 second"), pongs)
        assert.strictEqual(silent.wire.closed, 4501)
        for (let second = 38; second <= 69; second++) yield* Effect.andThen(TestClock.adjust("1 second"), pongs)
        assert.isUndefined(expiring.wire.closed)
        yield* Effect.andThen(TestClock.adjust("2 seconds"), pongs)
        assert.strictEqual(expiring.wire.closed, 4401)
        assert.deepStrictEqual(lively.wire.types, ["welcome", "ping", "ping"])
      }).pipe(Effect.provide(WallClock.WallClock.layer)))
  }
})

describe("WebSocketSession, and commands", () => {
  const command = (id: string, fields: object = {}) => ({
    type: "command",
    id,
    run: "ada-1",
    name: "cancel",
    ...fields
  })
  const outcomesOf = (wire: FakeWire) =>
    wire.frames.flatMap((frame) =>
      frame.type === "command" ? [frame.outcome === "accepted" ? frame.outcome : frame.reason] : []
    )
  const count = (outcomes: ReadonlyArray<string>, which: string) => outcomes.filter((each) => each === which).length

  it.effect("limits those of a connection and of a user apart from other frames", () =>
    Effect.gen(function*() {
      const { greet } = yield* makeSessions
      const devices = [yield* greet(), yield* greet(), yield* greet()]
      const accepted = devices.map(({ send, wire }) => {
        for (let n = 0; n < 15; n++) send(command(`${devices.length}-${n}`))
        const outcomes = outcomesOf(wire)
        assert.lengthOf(outcomes, 15)
        return count(outcomes, "accepted")
      })
      assert.deepStrictEqual(accepted, [10, 10, 0])
      // The five beyond the limit count as frames, the others do not.
      const [first] = devices
      for (let n = 0; n < 45; n++) first?.send({ type: "pong" })
      assert.isUndefined(first?.wire.closed)
      first?.send({ type: "pong" })
      assert.strictEqual(first?.wire.closed, 4429)

      yield* TestClock.adjust("1 second")
      devices[1]?.send(command("later"))
      assert.deepStrictEqual(outcomesOf(devices[1]?.wire ?? assert.fail()).slice(15), ["accepted"])
    }))

  it.effect("has those wait that come before the welcome, bad ones as well", () =>
    Effect.gen(function*() {
      const { double, open } = yield* makeSessions
      const { send, wire } = open()
      send({ type: "hello", token: "ada", client: "page/1" })
      send(command("c1"))
      send(command("c2", { name: 7 }))
      send(command("c3"))
      assert.isEmpty(wire.frames)
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(outcomesOf(wire), ["accepted", "invalid", "accepted"])
      assert.deepStrictEqual(double.done.map(({ client }) => client), ["page/1", "page/1"])
    }))

  it.effect("takes none before a hello", () =>
    Effect.gen(function*() {
      const { open } = yield* makeSessions
      for (const fields of [{}, { name: 7 }]) {
        const { send, wire } = open()
        send(command("c1", fields))
        assert.strictEqual(wire.closed, 4400)
        assert.deepInclude(wire.frames[0], { message: `the first frame must be "hello", not "command"` })
      }
    }))

  it.effect("goes on with a renewed token as the same device", () =>
    Effect.gen(function*() {
      const { double, greet } = yield* makeSessions
      const { send, wire } = yield* greet()
      for (let n = 0; n < 10; n++) send(command(`c${n}`))
      send({ type: "token", token: "ada" })
      yield* TestClock.adjust(10)
      send(command("later"))
      assert.strictEqual(count(outcomesOf(wire), "tooMany"), 1)
      assert.lengthOf(double.done, 10)
    }))

  it.effect("answers nobody on a connection that has ended meanwhile", () =>
    Effect.gen(function*() {
      const { double, greet } = yield* makeSessions
      const decided = yield* Deferred.make<Outcome>()
      double.decide = () => Deferred.await(decided)
      const { send, session, wire } = yield* greet()
      send(command("c1"))
      session.close({ code: closeCodes.draining, detail: "over", reconnectAfterMs: 1 })
      yield* Deferred.succeed(decided, accepted)
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(outcomesOf(wire), [])
      assert.lengthOf(double.done, 1)
    }))
})
