import { assert, describe, it, vi } from "@effect/vitest"
import { getEventListeners } from "node:events"
import { connect, type ConnectOptions, type Gap, PositionStorage, type Status } from "effect-emitter/client"
import { events, FakeSocket, welcome, wireEvent } from "./FakeSocket.ts"
import { fakeWorld } from "./FakeWorld.ts"
import { textOf } from "../support/runs.ts"

const url = "ws://127.0.0.1/events"

/** A connection in a fake world, and what it told its program. */
const start = (options: Partial<ConnectOptions> = {}) => {
  const world = fakeWorld()
  const seen: Array<number> = []
  const statuses: Array<Status["state"]> = []
  const errors: Array<unknown> = []
  const connection = connect({
    url,
    platform: world.platform,
    onEvent: (event) => seen.push(event.offset),
    onStatus: (status) => statuses.push(status.state),
    onError: (error) => errors.push(error),
    ...options
  })
  return { ...world, connection, seen, statuses, errors }
}

describe("connect", () => {
  it("hands over every event once and in order, across a lost connection", async () => {
    const { connection, last, pass, seen, sockets, statuses } = start({ token: "t" })
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]))
    last().drop(4500)
    await pass(200)
    last().open()
    last().push(welcome({ offset: 4 }), events([2, 3]), events([4]))
    await pass(1_000)

    assert.deepStrictEqual(seen, [1, 2, 3, 4])
    assert.deepStrictEqual(statuses, ["connecting", "live", "waiting", "resuming", "live"])
    assert.deepStrictEqual(sockets.map(({ sent }) => sent), [
      [{ type: "hello", accepts: ["command"], token: "t" }],
      [
        { type: "hello", accepts: ["command"], token: "t", resume: { epoch: "E1", offset: 2 } },
        { type: "ack", offset: 2, epoch: "E1" },
        { type: "ack", offset: 4, epoch: "E1" }
      ]
    ])
    assert.deepStrictEqual(connection.position(), { epoch: "E1", offset: 4 })
    assert.deepStrictEqual(connection.status.getSnapshot(), { state: "live", transport: "websocket" })
  })

  it("keeps the runs, without a handler of events, and tells of a frame's changes once", async () => {
    const { connection, last, pass } = start({ onEvent: undefined })
    const seen: Array<ReadonlyArray<unknown>> = []
    connection.runs.subscribe(() => seen.push(connection.runs.getSnapshot().map(({ id, status }) => [id, status])))
    const done = connection.run("r1").done
    const never = connection.run("r2").done
    await pass(0)
    last().open()
    const [begun, ended] = ["agent_started", "agent_completed"].map((type, index) =>
      wireEvent(index + 1, { type, run: "r1", data: { agentName: "a", durationMs: 1 } })
    )
    last().push(
      welcome(),
      events([], { events: [begun, wireEvent(3)].map((event, i) => ({ ...event, offset: i + 1 })) })
    )
    last().push(events([], { events: [wireEvent(3)] }))
    last().push(events([], { events: [{ ...ended, offset: 4 }] }))
    assert.deepStrictEqual(seen, [[["r1", "active"]], [["r1", "completed"]]])
    assert.strictEqual(await done, connection.run("r1").get())
    assert.deepStrictEqual(connection.position(), { epoch: "E1", offset: 4 })
    connection.close()
    assert.isUndefined(await never)
  })

  it("has folded a frame when its first handler is called, and tells nobody of it once that one has closed", async () => {
    const texts: Array<string | undefined> = []
    let told = 0
    const { connection, last, pass } = start({
      onEvent: () => {
        texts.push(textOf(connection.run("r1").get()?.parts[0]))
        if (texts.length === 3) connection.close()
      }
    })
    connection.runs.subscribe(() => told++)
    await pass(0)
    last().open()
    const delta = (offset: number) =>
      wireEvent(offset, { type: "text_delta", run: "r1", data: { messageId: "m", delta: String(offset) } })
    last().push(welcome(), events([], { events: [delta(1), delta(2)] }), events([], { events: [delta(3), delta(4)] }))
    await pass(1_000)
    assert.deepStrictEqual([texts, told], [["12", "12", "1234"], 1])
  })

  it("tells that events may be late, on the same connection", async () => {
    const { connection, last, pass, seen, sockets, statuses } = start()
    await pass(0)
    last().open()
    last().push(welcome(), { type: "status", state: "degraded" })
    assert.deepStrictEqual(connection.status.getSnapshot(), { state: "degraded" })
    last().push({ type: "status", state: "live" }, events([1]))
    assert.deepStrictEqual(statuses, ["connecting", "live", "degraded", "live"])
    assert.deepStrictEqual([seen, sockets.length], [[1], 1])
  })

  it("tells of gaps, snapshots and lost runs in their places", async () => {
    const told: Array<unknown> = []
    const { last, pass } = start({
      start: { epoch: "E0", offset: 7 },
      onEvent: (event) => told.push(event.offset),
      onGap: (gap: Gap) => told.push(gap),
      onSnapshot: ({ offset, run }) => told.push([run, offset]),
      onLost: (run) => told.push(run)
    })
    const state = { status: "active", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
    await pass(0)
    last().open()
    last().push(
      welcome({ epoch: "E0", offset: 8 }),
      {
        ...events([], { epoch: "E0" }),
        events: [wireEvent(8, { type: "agent_started", run: "old", data: { agentName: "a" } })]
      }
    )
    last().drop()
    await pass(200)
    last().open()
    last().push(
      welcome({ offset: 3, recovered: false }),
      { type: "gap", epoch: "E1", from: 1, to: 2, reason: "epoch", snapshots: 1 },
      { type: "snapshot", run: "new", offset: 3, state },
      events([3])
    )
    assert.deepStrictEqual(told, [
      8,
      { epoch: "E1", from: 1, to: 2, reason: "epoch", previous: { epoch: "E0", offset: 8 } },
      ["new", 3],
      3,
      "old"
    ])
  })

  it("goes on after a callback that throws, and reports what it threw", async () => {
    const thrown = new Error("handler")
    const { errors, last, pass, seen } = start({
      onStatus: () => {
        throw thrown
      },
      storage: {
        load: () => {
          throw thrown
        },
        save: () => {
          throw thrown
        }
      }
    })
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]))
    assert.deepStrictEqual(seen, [1, 2])
    assert.isNotEmpty(errors)
    assert.isTrue(errors.every((error) => error === thrown))
  })

  it("handles an event whose handler throws once, not again", async () => {
    const calls: Array<number> = []
    const { errors, last, pass } = start({
      onEvent: ({ offset }) => {
        calls.push(offset)
        if (offset === 1) throw new Error("no")
      }
    })
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]))
    last().drop()
    await pass(200)
    last().open()
    last().push(welcome({ offset: 2 }))
    assert.deepStrictEqual(calls, [1, 2])
    assert.lengthOf(errors, 1)
    assert.deepStrictEqual(last().sent[0], { type: "hello", accepts: ["command"], resume: { epoch: "E1", offset: 2 } })
  })

  it("fault 19: goes on when onError throws too, and leaves both errors to the platform", async () => {
    const uncaught: Array<unknown> = []
    const native = queueMicrotask
    vi.stubGlobal("queueMicrotask", (run: () => void) =>
      native(() => {
        try {
          run()
        } catch (error) {
          uncaught.push(error)
        }
      }))
    try {
      const storage = PositionStorage.memory()
      const handled: Array<number> = []
      const { last, pass } = start({
        storage,
        onEvent: ({ offset }) => {
          handled.push(offset)
          if (offset === 2) throw new Error("handler")
        },
        onError: () => {
          throw new Error("onError")
        }
      })
      await pass(0)
      last().open()
      last().push(welcome(), events([1, 2, 3, 4]), events([5]))
      await pass(0)
      assert.deepStrictEqual(handled, [1, 2, 3, 4, 5])
      assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 5 })
      assert.deepStrictEqual(uncaught.map(String), ["Error: handler", "Error: onError"])
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it("fault 19: reports what an async handler is rejected with, and a storage that gives no position", async () => {
    const { errors, last, pass } = start({
      // An async function fits the type of a handler.
      onEvent: async () => {
        await Promise.resolve()
        throw new Error("later")
      },
      storage: PositionStorage.web({ getItem: () => "E1:1", setItem: () => {} }, "p")
    })
    await pass(0)
    last().open()
    last().push(welcome({ offset: 2 }), events([2]))
    await pass(0)
    assert.deepStrictEqual(errors.map(String), ["Error: later"])

    const load = async () => ({ epoch: "E1", offset: 1 })
    const asynchronous: { readonly load: () => never; readonly save: () => void } = {
      load: () => load() as never,
      save: () => {}
    }
    const other = start({ storage: asynchronous })
    await other.pass(0)
    other.last().open()
    assert.deepStrictEqual(other.last().sent, [{ type: "hello", accepts: ["command"] }])
    assert.deepStrictEqual(other.errors.map(String), [
      "TypeError: load must return { epoch, offset } or undefined, and no promise"
    ])
  })

  it("fault 19: takes a socket that throws for one that is lost", async () => {
    let broken = true
    const made: Array<FakeSocket> = []
    class Broken extends FakeSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol)
        made.push(this)
      }
      override send(data: string): void {
        if (broken) throw new Error("not open")
        super.send(data)
      }
      override close(): void {
        throw new Error("not closed")
      }
    }
    const world = fakeWorld()
    const { connection, errors, seen } = start({ platform: { ...world.platform, WebSocket: Broken } })
    await world.pass(0)
    made.at(-1)?.open()
    const status = connection.status.getSnapshot()
    assert.deepInclude(status.state === "waiting" ? status.cause : {}, { code: 1006, detail: "Error: not open" })
    broken = false
    await world.pass(200)
    made.at(-1)?.open()
    made.at(-1)?.push(welcome(), events([1]))
    connection.close()
    assert.deepStrictEqual(seen, [1])
    assert.deepStrictEqual(errors.map(String), ["Error: not closed", "Error: not closed"])
    assert.deepStrictEqual(connection.status.getSnapshot().state, "stopped")
  })

  it("fault 19: asks for a token again when the renewal is never answered", async () => {
    let asked = 0
    const token = () => ++asked === 2 ? new Promise<never>(() => {}) : `t-${asked}`
    const { connection, last, pass } = start({ token })
    await pass(0)
    last().open()
    last().push(welcome({ heartbeatMs: 0 }))
    connection.renew()
    await pass(29_999)
    assert.strictEqual(asked, 2)
    await pass(1)
    assert.deepStrictEqual(last().sent.at(-1), { type: "token", token: "t-3" })
  })

  it("fault 21: tells that it stopped once, however early it is closed and however often", async () => {
    const { connection, last, pass, sockets, statuses } = start({ token: "t" })
    connection.close()
    connection.close()
    await pass(1_000)
    assert.deepStrictEqual([statuses, sockets.length], [["stopped"], 0])

    const controller = new AbortController()
    const refused = start({ signal: controller.signal })
    await refused.pass(0)
    refused.last().open()
    refused.last().drop(4400)
    refused.connection.close()
    controller.abort()
    await refused.pass(1_000)
    assert.deepStrictEqual(refused.statuses, ["connecting", "stopped"])
    assert.throws(last)
  })

  it("fault 21: calls nothing after it is closed, whatever is on its way", async () => {
    let reject: (error: Error) => void = () => {}
    let asked = 0
    const token = () => {
      asked += 1
      return asked === 1 ? "t" : new Promise<never>((_, no) => reject = no)
    }
    const { connection, errors, last, pass, seen, statuses } = start({ token })
    await pass(0)
    last().open()
    last().push(welcome(), events([1]))
    connection.renew()
    await pass(0)
    assert.strictEqual(asked, 2)
    connection.close()
    reject(new Error("aborted"))
    last().push(events([2]))
    last().drop(4500)
    connection.renew()
    await pass(100_000)
    assert.deepStrictEqual([seen, errors, asked], [[1], [], 2])
    assert.deepStrictEqual(statuses, ["connecting", "live", "stopped"])
  })

  it("fault 21: calls nothing more when a handler closes it in the frame that makes it live", async () => {
    let asked = 0
    const { connection, last, pass, statuses } = start({
      token: () => `t-${++asked}`,
      start: { epoch: "E1", offset: 0 },
      onEvent: () => {
        connection.renew()
        connection.close()
      }
    })
    await pass(0)
    last().open()
    last().push(welcome({ offset: 2 }), events([1, 2]))
    await pass(100_000)
    assert.deepStrictEqual(statuses, ["resuming", "stopped"])
    assert.deepStrictEqual(connection.position(), { epoch: "E1", offset: 1 })
    assert.strictEqual(asked, 1)
  })

  it("calls nothing more once a handler has closed it", async () => {
    const calls: Array<number> = []
    const storage = PositionStorage.memory()
    const { connection, last, pass, statuses, timers } = start({
      storage,
      onEvent: ({ offset }) => {
        calls.push(offset)
        if (offset === 2) connection.close()
      }
    })
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2, 3]), events([4]))
    await pass(100_000)
    assert.deepStrictEqual(calls, [1, 2])
    assert.deepStrictEqual(statuses, ["connecting", "live", "stopped"])
    assert.deepStrictEqual(last().closedBy, { code: 1000, reason: "" })
    assert.deepStrictEqual(storage.load(), { epoch: "E1", offset: 2 })
    assert.strictEqual(timers(), 0)
  })

  it("closes when its signal aborts, also when that was before it began", async () => {
    const controller = new AbortController()
    const { last, pass, statuses, timers } = start({ signal: controller.signal })
    await pass(0)
    last().open()
    last().push(welcome())
    controller.abort()
    await pass(0)
    assert.deepStrictEqual(statuses, ["connecting", "live", "stopped"])
    assert.deepStrictEqual(last().closedBy, { code: 1000, reason: "" })
    assert.strictEqual(timers(), 0)

    const late = start({ signal: controller.signal })
    await late.pass(0)
    assert.lengthOf(late.sockets, 0)
    assert.deepStrictEqual(late.statuses, ["stopped"])
  })

  it("resumes from where its storage says, and keeps it there", async () => {
    const cells = new Map<string, string>()
    const storage = PositionStorage.web(
      { getItem: (key) => cells.get(key) ?? null, setItem: (key, value) => cells.set(key, value) },
      "position of ann"
    )
    const first = start({ storage })
    await first.pass(0)
    first.last().open()
    first.last().push(welcome({ offset: 5 }), events([6, 7]))
    assert.deepStrictEqual([...cells], [["position of ann", "E1:7"]])

    const second = start({ storage, start: "earliest" })
    await second.pass(0)
    second.last().open()
    assert.deepStrictEqual(second.last().sent, [{
      type: "hello",
      accepts: ["command"],
      resume: { epoch: "E1", offset: 7 }
    }])

    cells.set("position of ann", "what is this")
    const third = start({ storage })
    await third.pass(0)
    third.last().open()
    assert.deepStrictEqual(third.last().sent, [{ type: "hello", accepts: ["command"] }])
  })

  it("asks a token function again when the server does not take the token, and stops when there is none", async () => {
    const answers = ["t-1", { token: "t-2" }, undefined]
    const { last, pass, sockets, statuses } = start({ token: () => Promise.resolve(answers.shift()) })
    for (let i = 0; i < 2; i++) {
      await pass(200)
      last().open()
      last().drop(4401)
    }
    await pass(100_000)
    assert.deepStrictEqual(sockets.map(({ sent }) => sent), [
      [{ type: "hello", accepts: ["command"], token: "t-1" }],
      [{ type: "hello", accepts: ["command"], token: "t-2" }]
    ])
    assert.strictEqual(statuses.at(-1), "stopped")
  })

  it("reports a token function that fails, and asks it again", async () => {
    let asked = 0
    const offline = new Error("offline")
    const { errors, last, pass } = start({
      token: () => {
        asked += 1
        if (asked === 1) throw offline
        return asked === 2 ? Promise.reject(offline) : "t-3"
      }
    })
    await pass(1_000)
    last().open()
    assert.deepStrictEqual(last().sent, [{ type: "hello", accepts: ["command"], token: "t-3" }])
    assert.deepStrictEqual(errors, [offline, offline])
  })

  it("fault 23: reconnects at once when asked to, from a wait and from a connection that looks alive", async () => {
    const { connection, last, pass, seen, sockets, statuses } = start()
    await pass(0)
    last().open()
    last().push(welcome(), events([1]))
    connection.reconnect()
    assert.lengthOf(sockets, 2)
    assert.deepStrictEqual(sockets[0]?.closedBy, { code: 1000, reason: "reconnecting" })
    last().open()
    last().push(welcome({ offset: 2 }), events([1, 2]))
    last().drop()
    assert.lengthOf(sockets, 2)
    connection.reconnect()
    assert.lengthOf(sockets, 3)
    last().open()
    last().push(welcome({ offset: 3 }), events([3]))
    assert.deepStrictEqual(seen, [1, 2, 3])
    assert.deepStrictEqual(statuses, ["connecting", "live", "resuming", "live", "waiting", "resuming", "live"])
    connection.close()
    connection.reconnect()
    assert.lengthOf(sockets, 3)
  })

  it("sends a renewed token without a new connection", async () => {
    let asked = 0
    const { connection, last, pass, sockets } = start({ token: () => `t-${++asked}` })
    await pass(0)
    last().open()
    last().push(welcome())
    connection.renew()
    await pass(0)
    assert.deepStrictEqual(last().sent.at(-1), { type: "token", token: "t-2" })
    assert.lengthOf(sockets, 1)
  })

  it("waits and tries again where a page's rules forbid the socket", async () => {
    const { platform } = fakeWorld()
    class Forbidden extends FakeSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol)
        throw new Error("mixed content")
      }
    }
    const { connection, pass } = start({ platform: { ...platform, WebSocket: Forbidden } })
    await pass(0)
    const status = connection.status.getSnapshot()
    assert.deepInclude(status.state === "waiting" ? status.cause : {}, { code: 1006, detail: "Error: mixed content" })
  })

  it("connects at once when its page comes back, and stops listening when it is closed", async () => {
    const page = Object.assign(new EventTarget(), { visibilityState: "hidden" })
    const listeners = () =>
      ["online", "pageshow", "visibilitychange"].filter((type) => getEventListeners(page, type).length > 0)
    vi.stubGlobal("document", page)
    vi.stubGlobal("window", page)
    try {
      const { connection, last, pass, sockets } = start()
      await pass(0)
      for (const [count, back] of [[2, "online"], [3, "pageshow"], [4, "visibilitychange"]] as const) {
        last().drop()
        await pass(0)
        page.dispatchEvent(new Event("visibilitychange"))
        assert.lengthOf(sockets, count - 1)
        if (back === "visibilitychange") page.visibilityState = "visible"
        page.dispatchEvent(new Event(back))
        assert.lengthOf(sockets, count)
      }
      assert.deepStrictEqual(listeners(), ["online", "pageshow", "visibilitychange"])
      connection.close()
      assert.deepStrictEqual(listeners(), [])
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it("keeps its position in the tab's session storage, where there is one", () => {
    const cells = new Map<string, string>()
    const storage = PositionStorage.session("p")
    vi.stubGlobal("sessionStorage", {
      getItem: (key: string) => cells.get(key) ?? null,
      setItem: (key: string, value: string) => cells.set(key, value)
    })
    try {
      assert.isUndefined(storage.load())
      storage.save({ epoch: "E1", offset: 12 })
      assert.deepStrictEqual(PositionStorage.session("p").load(), { epoch: "E1", offset: 12 })
      assert.isUndefined(PositionStorage.session("q").load())
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it("throws where its caller made a mistake", () => {
    const onEvent = () => {}
    for (const address of ["/events", "ws://a:hunter2@127.0.0.1"]) {
      const message = `"url" needs ws(s) or http(s), and no user or #`
      assert.throws(() => connect({ url: address, onEvent }), TypeError, message)
    }
    const { platform } = fakeWorld()
    const bare = { ...platform, fetch: undefined, WebSocket: undefined }
    const without = (transports: ReadonlyArray<string>) => () =>
      connect({ url, onEvent, platform: bare, transports } as never)
    for (const transports of [["websocket", "sse"], ["sse"], []]) {
      assert.throws(without(transports), TypeError, `no "transports" here: Node 22 and browsers have both`)
    }
    for (const [option, least] of [["capacity", 1], ["maxRuns", 1], ["recentRuns", 0]] as const) {
      const message = `"${option}" must be a whole number from ${least} up`
      for (const value of [least - 1, 1.5, Number.NaN, Infinity]) {
        assert.throws(() => connect({ url, platform, [option]: value }), TypeError, message)
      }
      connect({ url, platform, [option]: least }).close()
    }
  })

  it("takes an http address for the ws address of the same place", async () => {
    const { last, pass } = start({ url: "https://example.org/events?a=1" })
    await pass(0)
    assert.strictEqual(last().url, "wss://example.org/events?a=1")
  })
})
