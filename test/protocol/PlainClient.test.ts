/**
 * A client that was written from the protocol document alone, against the real gateway and against servers that break
 * the rules. What it gets right, the document says; what it gets wrong, the document or the gateway does.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, type Scope } from "effect"
import { Broker } from "effect-emitter"
import type { AddressInfo } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import type { Snapshot } from "../../src/protocol/wire/Frame.ts"
import type { Position } from "../../src/protocol/values/Position.ts"
import { accepted } from "../../src/protocol/command/Command.ts"
import { CommandsDouble, layer } from "../gateway/commands.ts"
import { append, envelope, serve, token, user } from "../gateway/server.ts"
import { freePort } from "../support/freePort.ts"
import { ownTimed } from "../support/ownTime.ts"
import { connect, type Options, type PlainClient } from "./plain-client.js"
import { patience } from "../support/patience.ts"

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

interface Record {
  readonly client: PlainClient
  readonly events: Array<unknown>
  /** Events and gaps in the order they came: `7`, `gap retention 3-5`. */
  readonly log: Array<string>
  readonly snapshots: Array<typeof Snapshot.Encoded>
  readonly statuses: Array<string>
  readonly waits: Array<number>
}

/** Runs the client until the test ends, and writes down what it hands over. */
const run = (options: Pick<Options, "url"> & Partial<Options> & { readonly user?: string }) =>
  Effect.acquireRelease(
    Effect.sync((): Record => {
      const events: Array<unknown> = []
      const log: Array<string> = []
      const snapshots: Array<typeof Snapshot.Encoded> = []
      const statuses: Array<string> = []
      const waits: Array<number> = []
      const client = connect({
        getToken: () => Effect.runPromise(token(options.user ?? "ada")),
        onEvent: (event) => {
          events.push(event.data["n"])
          log.push(String(event.data["n"]))
        },
        onGap: ({ from, reason, to }) => log.push(`gap ${reason} ${from}-${to}`),
        onSnapshot: (snapshot) => {
          snapshots.push(snapshot)
          log.push(`snapshot ${snapshot.run} ${snapshot.state.status}`)
        },
        onStatus: (...[status, detail]) => {
          statuses.push(detail !== undefined && "code" in detail ? `${status} ${detail.code}` : status)
          if (status === "waiting") waits.push(detail.wait)
        },
        ...options
      })
      return { client, events, log, snapshots, statuses, waits }
    }),
    ({ client }) => Effect.sync(() => client.close())
  )

const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    const deadline = Date.now() + 5_000 * patience
    while (!condition()) {
      if (Date.now() > deadline) return yield* Effect.die(new Error(`waited in vain: ${what}`))
      yield* Effect.sleep("5 millis")
    }
  })

const live = (record: Record) => until("live", () => record.statuses.includes("live"))

/** A broker that outlives the gateways over it. */
const lastingBroker = Effect.map(Layer.build(Layer.orDie(Broker.layerMemory())), Layer.succeedContext)

describe("a client written from the protocol document", () => {
  it.live("gets every event once and in order, however often its connection is lost", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const record = yield* run({ url: served.url })
      yield* live(record)
      for (const n of range(1, 400)) {
        yield* append(served, "ada", n)
        if (n % 5 === 0) yield* Effect.sleep("2 millis")
        if (n % 100 === 50) record.client.cut()
      }
      yield* until("400 events", () => record.events.length >= 400)
      yield* Effect.sleep("20 millis")
      assert.deepStrictEqual(record.events, range(1, 400))
      assert.isAtLeast(record.statuses.filter((status) => status === "live").length, 2)
      assert.isFalse(record.statuses.includes("fault"))
    }), 120_000)

  it.live("gets what it missed from the position that an earlier client kept", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const first = yield* run({ url: served.url })
      yield* live(first)
      yield* append(served, "ada", 1, 2, 3)
      yield* until("3 events", () => first.events.length === 3)
      first.client.close()
      yield* append(served, "ada", ...range(4, 10))
      const second = yield* run({ url: served.url, position: first.client.position() })
      yield* until("7 events", () => second.events.length === 7)
      assert.deepStrictEqual(second.log, range(4, 10).map(String))
    }))

  it.live(
    "survives a server that stops and comes back over the same log: nothing is missing",
    () =>
      Effect.gen(function*() {
        const broker = yield* lastingBroker
        const port = yield* freePort
        const before = yield* serve({ reconnectSpread: "20 millis" }, { broker, port })
        const record = yield* run({ url: before.url })
        yield* live(record)
        yield* append(before, "ada", 1, 2)
        yield* until("2 events", () => record.events.length === 2)
        yield* before.close
        yield* until("the goodbye", () => record.statuses.includes("waiting 4500"))
        yield* append(before, "ada", 3, 4)
        const after = yield* serve({}, { broker, port })
        yield* append(after, "ada", 5)
        yield* until("5 events", () => record.events.length === 5)
        assert.deepStrictEqual(record.log, ["1", "2", "3", "4", "5"])
      }),
    120_000
  )

  it.live("is told when the log lost its memory, and goes on with the new one", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const before = yield* serve({ reconnectSpread: "20 millis" }, { port })
      const record = yield* run({ url: before.url })
      yield* live(record)
      yield* append(before, "ada", 1, 2)
      yield* until("2 events", () => record.events.length === 2)
      yield* before.close
      const after = yield* serve({}, { port })
      yield* append(after, "ada", 11, 12)
      yield* until("the new events", () => record.events.length === 4)
      assert.deepStrictEqual(record.log, ["1", "2", "gap epoch 1-0", "11", "12"])
    }), 120_000)

  it.live("is told which events are gone, and gets the state of the runs instead", () =>
    Effect.gen(function*() {
      const served = yield* serve({}, { broker: Layer.orDie(Broker.layerMemory({ maxEvents: 5 })) })
      const first = yield* run({ url: served.url })
      yield* live(first)
      yield* append(served, "ada", 1, 2)
      yield* until("2 events", () => first.events.length === 2)
      first.client.close()
      const ofRun = (type: string, data: { [key: string]: string | number }) =>
        served.broker.append(user("ada"), [envelope(data, { run: "run-1", type })])
      yield* ofRun("agent_started", { agentName: "researcher" })
      yield* ofRun("text_delta", { messageId: "m", delta: "hello" })
      yield* append(served, "ada", ...range(5, 12))
      const second = yield* run({ url: served.url, position: first.client.position() })
      yield* until("5 events", () => second.events.length === 5)
      assert.deepStrictEqual(second.log, [
        "gap retention 3-7",
        "snapshot run-1 active",
        ...range(8, 12).map(String)
      ])
      assert.deepStrictEqual(second.snapshots[0]?.state.parts, [{ type: "text", messageId: "m", text: "hello" }])
      assert.strictEqual(second.snapshots[0]?.offset, 4)
    }))

  it.live("opens in mid-run with a snapshot, and then follows", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const ofRun = (type: string, data: { [key: string]: string | number }) =>
        served.broker.append(user("ada"), [envelope(data, { run: "run-1", type })])
      yield* ofRun("agent_started", { agentName: "researcher" })
      const record = yield* run({ url: served.url })
      yield* until("a snapshot", () => record.snapshots.length === 1)
      yield* ofRun("agent_thinking", { text: "hm", n: 2 })
      yield* until("an event", () => record.events.length === 1)
      assert.deepStrictEqual(record.log, ["snapshot run-1 active", "2"])
    }))

  it.live("gets the recent runs that it asks for, also where it goes on from a position", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const ofRun = (run: string, type: string) =>
        served.broker.append(user("ada"), [envelope({ agentName: "a", durationMs: 1, n: 0 }, { run, type })])
      yield* ofRun("run-1", "agent_started")
      const { epoch, offset } = yield* ofRun("run-1", "agent_completed")
      yield* ofRun("run-2", "agent_started")
      for (const position of [undefined, { epoch, offset }]) {
        const record = yield* run({ url: served.url, recent: 5, position })
        yield* until("both snapshots", () => record.snapshots.length === 2)
        if (position !== undefined) yield* until("an event", () => record.events.length === 1)
        assert.deepStrictEqual(record.log.slice(0, 2), ["snapshot run-1 completed", "snapshot run-2 active"])
        assert.isFalse(record.statuses.includes("fault"))
      }
    }))

  it.live("follows some threads, and takes what was filtered out for no loss", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const say = (n: number, thread?: string) =>
        served.broker.append(user("ada"), [envelope({ n }, thread === undefined ? {} : { thread })])
      const record = yield* run({ url: served.url, threads: ["a"] })
      yield* live(record)
      for (const n of range(1, 30)) {
        yield* say(n, n % 3 === 0 ? "a" : n % 3 === 1 ? "b" : undefined)
        if (n === 15) record.client.cut()
        if (n % 4 === 0) yield* Effect.sleep("2 millis")
      }
      const expected = range(1, 30).filter((n) => n % 3 !== 1)
      yield* until("20 events", () => record.events.length === expected.length)
      assert.deepStrictEqual(record.events, expected)
      assert.isFalse(record.statuses.includes("fault"))
    }))

  it.live("acknowledges within a second, and at once what asks for it", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const record = yield* run({ url: served.url })
      yield* live(record)
      const acknowledgedAfter = (confirm: boolean) =>
        Effect.gen(function*() {
          // Somebody waits for either, but the device is asked for one of them alone.
          const event = { ...envelope({ n: 0 }, { confirm }), confirm: true }
          const position: Position = yield* served.broker.append(user("ada"), [event])
          const [took, [ownMs]] = yield* Effect.timed(
            ownTimed(served.broker.acknowledged(user("ada"), position))
          )
          return { ms: Duration.toMillis(took), ownMs }
        })
      assert.isBelow((yield* acknowledgedAfter(true)).ownMs, 500)
      const unasked = yield* acknowledgedAfter(false)
      assert.isAtLeast(unasked.ms, 500)
      assert.isBelow(unasked.ownMs, 2_000)
    }))

  it.live("gets a new token when its own is refused, and stops when three in a row are refused", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const asked: Array<boolean> = []
      const askForged = (again: boolean) => {
        asked.push(again)
        return Promise.resolve(forged)
      }
      const forged = yield* token("ada", { secret: "another secret, of 32 characters or more" })
      const refused = yield* run({ url: served.url, getToken: askForged })
      yield* until("the end", () => refused.statuses.includes("stopped 4401"))
      assert.deepStrictEqual(asked, [false, true, true])

      // A token of its own each time: one that is older than the revocation stays refused.
      const renewed = yield* run({
        url: served.url,
        getToken: (again) => again ? Effect.runPromise(token("ada")) : Promise.resolve(forged)
      })
      yield* live(renewed)
      yield* served.gateway.revoke(user("ada"))
      yield* until("live again", () => renewed.statuses.filter((status) => status === "live").length === 2)
      yield* append(served, "ada", 1)
      yield* until("an event", () => renewed.events.length === 1)
    }))

  it.live("asks something of a run, and keeps it across connections until it is answered", () =>
    Effect.gen(function*() {
      const commands = new CommandsDouble()
      const served = yield* serve({}, { broker: layer(commands) })
      const record = yield* run({ url: served.url })
      // Before it is welcomed as well.
      const early = record.client.command("ada-1", "cancel")
      assert.strictEqual((yield* Effect.promise(() => early)).outcome, "accepted")
      const refused = record.client.command("bob-1", "steer", { text: "x" })
      assert.strictEqual((yield* Effect.promise(() => refused)).reason, "unknownRun")

      commands.decide = () => Effect.never
      const id = "c-kept"
      const kept = record.client.command("ada-1", "cancel", undefined, id)
      yield* until("it is sent", () => commands.sent.length === 3)
      commands.decide = () => Effect.succeed(accepted)
      record.client.cut()
      assert.strictEqual((yield* Effect.promise(() => kept)).outcome, "accepted")
      assert.deepStrictEqual<unknown>(commands.sent.slice(2).map((sent) => sent.id), [id, id])
      assert.isFalse(record.statuses.includes("fault"))
    }))

  it.live("sends no command to a server that does not accept any, until one does", () =>
    Effect.gen(function*() {
      const frames: Array<string> = []
      const server = yield* scripted((say, _, nth, socket) => {
        socket.on("message", (data) => {
          const { id, type } = JSON.parse(String(data))
          frames.push(`${nth} ${type}`)
          if (type === "command") say({ type, id, outcome: "accepted" })
        })
        say(welcome(0, nth === 2 ? { accepts: ["later", "command"] } : {}))
      })
      const record = yield* run({ url: server.url })
      yield* live(record)
      const asked = record.client.command("r", "cancel")
      yield* Effect.sleep("100 millis")
      assert.notInclude(frames, "1 command")
      record.client.cut()
      assert.strictEqual((yield* Effect.promise(() => asked)).outcome, "accepted")
      assert.include(frames, "2 command")
    }))

  it.live("sends a command again that was refused as too many when it was repeated", () =>
    Effect.gen(function*() {
      const answers = ["none", "tooMany", "accepted"]
      const server = yield* scripted((say, _, __, socket) => {
        socket.on("message", (data) => {
          const { id, type } = JSON.parse(String(data))
          if (type !== "command") return
          const next = answers.shift()
          if (next === "none") return socket.terminate()
          say({ type, id, ...(next === "accepted" ? { outcome: next } : { outcome: "refused", reason: next }) })
          if (next === "tooMany") socket.terminate()
        })
        say(welcome(0, { accepts: ["command"] }))
      })
      const record = yield* run({ url: server.url })
      const asked = record.client.command("r", "cancel")
      assert.strictEqual((yield* Effect.promise(() => asked)).outcome, "accepted")
    }))

  it.live("answers heartbeats: the gateway keeps it, though it has nothing to say", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "500 millis" })
      const record = yield* run({ url: served.url })
      yield* live(record)
      yield* Effect.sleep("2 seconds")
      yield* append(served, "ada", 1)
      yield* until("an event", () => record.events.length === 1)
      assert.deepStrictEqual(record.statuses, ["connecting", "live"])
    }))
})

/** A server that says what it is told to say: `talk` gets each connection's hello. */
const scripted = (
  talk: (say: (frame: object) => void, hello: { readonly resume?: Position }, nth: number, socket: WebSocket) => void
): Effect.Effect<{ readonly url: string; readonly closes: ReadonlyArray<number> }, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly closes: Array<number>; readonly server: WebSocketServer }>(
      (resume) => {
        const closes: Array<number> = []
        let connections = 0
        const server = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () => {
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ url: `ws://127.0.0.1:${port}`, closes, server }))
        })
        server.on("connection", (socket) => {
          const nth = ++connections
          socket.on("close", (code) => closes.push(code))
          socket.on("message", (data) => {
            const frame: { readonly type: string; readonly resume?: Position } = JSON.parse(String(data))
            if (frame.type === "hello") talk((said) => socket.send(JSON.stringify(said)), frame, nth, socket)
          })
        })
      }
    ),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        for (const socket of server.clients) socket.terminate()
        server.close(() => resume(Effect.void))
      })
  )

const welcome = (offset: number, more: object = {}) => ({
  type: "welcome",
  connection: "c-1",
  epoch: "e1",
  offset,
  recovered: true,
  snapshots: 0,
  heartbeatMs: 25_000,
  retentionMs: 60_000,
  ...more
})

const events = (epoch: string, ...offsets: ReadonlyArray<number>) => ({
  type: "events",
  epoch,
  events: offsets.map((n) => ({ offset: n, id: `${epoch}-${n}`, type: "custom", at: 1, data: { n } }))
})

const snapshot = (name: string) => ({
  type: "snapshot",
  run: name,
  offset: 9,
  state: { status: "active", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
})

describe("the same client, and servers that break the rules", () => {
  const faults: ReadonlyArray<readonly [what: string, says: ReadonlyArray<object>]> = [
    ["a hole", [welcome(0), events("e1", 1), events("e1", 3)]],
    ["a hole inside a frame", [welcome(0), events("e1", 1, 3)]],
    ["another epoch without a gap", [welcome(0), events("e1", 1), events("e2", 2)]],
    ["fault 39b: events before all snapshots", [
      welcome(0),
      events("e1", 1),
      { type: "gap", epoch: "e1", from: 2, to: 2, reason: "slow", snapshots: 1 },
      events("e1", 3)
    ]],
    ["fault 39b: a snapshot beyond the number that was said", [welcome(0), events("e1", 1), snapshot("r1")]],
    ["an unknown frame", [welcome(0), events("e1", 1), { type: "surprise" }]],
    ["a frame without type", [welcome(0), events("e1", 1), {}]],
    ["a frame named like a method of objects", [welcome(0), events("e1", 1), { type: "toString" }]]
  ]
  for (const [what, says] of faults) {
    it.live(`closes after ${what}, and resumes from what it has`, () =>
      Effect.gen(function*() {
        const resumes: Array<Position | undefined> = []
        const server = yield* scripted((say, hello, nth) => {
          resumes.push(hello.resume)
          if (nth === 1) { for (const frame of says) say(frame) }
          else {
            say(welcome(3))
            say(events("e1", 2, 3))
          }
        })
        const record = yield* run({ url: server.url })
        yield* until("3 events", () => record.events.length === 3)
        assert.deepStrictEqual(record.events, [1, 2, 3])
        assert.deepStrictEqual(resumes, [undefined, { epoch: "e1", offset: 1 }])
        yield* until("the close", () => server.closes.length === 1)
        assert.deepStrictEqual(server.closes, [4400])
      }))
  }

  it.live("hands over once what a server repeats, by offset and across epochs by id", () =>
    Effect.gen(function*() {
      const server = yield* scripted((say) => {
        say(welcome(0))
        say(events("e1", 1, 2))
        say(events("e1", 1, 2, 3))
        say({ type: "gap", epoch: "e2", from: 1, to: 0, reason: "epoch", snapshots: 0 })
        const { events: repeated } = events("e1", 1, 2, 3)
        say({ ...events("e2", 1, 2, 3), events: repeated })
        say(events("e2", 4))
      })
      const record = yield* run({ url: server.url })
      yield* until("4 events", () => record.events.length === 4)
      assert.deepStrictEqual(record.log, ["1", "2", "3", "gap epoch 1-0", "4"])
    }))

  it.live("fault 39b: asks again for snapshots of which one was lost with the connection, whatever came between", () =>
    Effect.gen(function*() {
      const resumes: Array<Position | undefined> = []
      const server = yield* scripted((say, hello, nth, socket) => {
        resumes.push(hello.resume)
        say(welcome(9, { recovered: nth > 2 }))
        if (nth > 2) return
        say({ type: "gap", epoch: "e1", from: 3, to: 9, reason: "retention", snapshots: 2 })
        say(snapshot("r1"))
        say({ type: "ping" })
        say({ type: "status", state: "degraded" })
        if (nth === 2) say(snapshot("r2"))
        else setTimeout(() => socket.terminate(), 1_100)
      })
      const record = yield* run({ url: server.url, position: { epoch: "e1", offset: 2 } })
      yield* until("the second gap", () => record.log.length === 2)
      yield* until("the last snapshot", () => record.client.position()?.offset === 9)
      record.client.cut()
      yield* until("a third connection", () => resumes.length === 3)
      assert.deepStrictEqual(resumes.map((resume) => resume?.offset), [2, 2, 9])
    }))

  it.live("takes silence of one and a half heartbeats for a lost connection", () =>
    Effect.gen(function*() {
      const at: Array<number> = []
      const server = yield* scripted((say) => {
        at.push(Date.now())
        say(welcome(0, { heartbeatMs: 200 }))
      })
      const record = yield* run({ url: server.url })
      yield* until("a second connection", () => at.length === 2)
      assert.isAtLeast((at[1] ?? 0) - (at[0] ?? 0), 290)
      assert.include(record.statuses, "waiting 1006")
    }))

  it.live("waits as the goodbye asks, and at random up to a doubling bound", () =>
    Effect.gen(function*() {
      const server = yield* scripted((say, _, nth, socket) => {
        say({ type: "goodbye", reason: "full", reconnectAfterMs: nth === 1 ? 300 : 0 })
        socket.close(4500)
      })
      const record = yield* run({ url: server.url })
      yield* until("three waits", () => record.waits.length === 3)
      const [first = 0, second = 0, third = 0] = record.waits
      assert.isTrue(first >= 300 && first <= 500, String(first))
      assert.isTrue(second >= 0 && second <= 400, String(second))
      assert.isTrue(third >= 0 && third <= 800, String(third))
    }))

  it.live("fault 46: comes back after 4409, once the time has passed that the goodbye asks for", () =>
    Effect.gen(function*() {
      const server = yield* scripted((say, _, __, socket) => {
        say({ type: "goodbye", reason: "too many connections", reconnectAfterMs: 100 })
        socket.close(4409)
      })
      const record = yield* run({ url: server.url })
      yield* until("two waits", () => record.waits.length === 2)
      assert.isTrue(record.waits.every((wait) => wait >= 100))
    }))

  it.live("fault 46: counts its waits anew after each connection that was welcomed", () =>
    Effect.gen(function*() {
      const server = yield* scripted((say, _, __, socket) => {
        say({
          type: "welcome",
          connection: "c",
          epoch: "E",
          offset: 0,
          recovered: true,
          snapshots: 0,
          heartbeatMs: 1_000,
          retentionMs: 1
        })
        socket.close(4500)
      })
      const record = yield* run({ url: server.url })
      yield* until("eight waits", () => record.waits.length >= 8)
      assert.isTrue(record.waits.every((wait) => wait <= 200), String(record.waits))
    }))

  for (const code of [4400, 4403, 4413, 4429, 4444, 1008, 1009]) {
    it.live(`does not come back after ${code}`, () =>
      Effect.gen(function*() {
        let connections = 0
        const server = yield* scripted((_, __, nth, socket) => {
          connections = nth
          socket.close(code)
        })
        const record = yield* run({ url: server.url })
        yield* until("the end", () => record.statuses.includes(`stopped ${code}`))
        yield* Effect.sleep("250 millis")
        assert.strictEqual(connections, 1)
      }))
  }
})
