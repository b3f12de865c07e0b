import { assert, describe, it, vi } from "@effect/vitest"
import { connect, type ConnectOptions, type Gap, PositionStorage, type Status } from "effect-emitter/client"
import { events, FakeSocket, welcome, wireEvent } from "./FakeSocket.ts"
import { fakeWorld } from "./FakeWorld.ts"

const url = "ws://127.0.0.1/events"

/** A connection in a fake world, and what it told its program. */
const start = (options: Partial<ConnectOptions> = {}) => {
  const world = fakeWorld()
  const seen: Array<number> = []
  const statuses: Array<Status["_tag"]> = []
  const errors: Array<unknown> = []
  const connection = connect({
    url,
    platform: world.platform,
    onEvent: (event) => seen.push(event.offset),
    onStatus: (status) => statuses.push(status._tag),
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
      [{ type: "hello", token: "t" }],
      [
        { type: "hello", token: "t", resume: { epoch: "E1", offset: 2 } },
        { type: "ack", offset: 2, epoch: "E1" },
        { type: "ack", offset: 4, epoch: "E1" }
      ]
    ])
    assert.deepStrictEqual(connection.position(), { epoch: "E1", offset: 4 })
    assert.deepStrictEqual(connection.status(), { _tag: "live", transport: "websocket" })
  })

  it("tells that events may be late, on the same connection", async () => {
    const { connection, last, pass, seen, sockets, statuses } = start()
    await pass(0)
    last().open()
    last().push(welcome(), { type: "status", state: "degraded" })
    assert.deepStrictEqual(connection.status(), { _tag: "degraded" })
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
    const state = { status: "active", messages: [], tools: [], usage: { inputTokens: 0, outputTokens: 0 } }
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
      { type: "gap", epoch: "E1", from: 1, to: 2, reason: "epoch" },
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
    assert.deepStrictEqual(last().sent[0], { type: "hello", resume: { epoch: "E1", offset: 2 } })
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
    assert.deepStrictEqual(second.last().sent, [{ type: "hello", resume: { epoch: "E1", offset: 7 } }])

    cells.set("position of ann", "what is this")
    const third = start({ storage })
    await third.pass(0)
    third.last().open()
    assert.deepStrictEqual(third.last().sent, [{ type: "hello" }])
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
      [{ type: "hello", token: "t-1" }],
      [{ type: "hello", token: "t-2" }]
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
    assert.deepStrictEqual(last().sent, [{ type: "hello", token: "t-3" }])
    assert.deepStrictEqual(errors, [offline, offline])
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
    const status = connection.status()
    assert.deepInclude(status._tag === "waiting" ? status.cause : {}, { code: 1006, detail: "Error: mixed content" })
  })

  it("connects at once when its page comes back, and stops listening when it is closed", async () => {
    const page = Object.assign(new EventTarget(), { visibilityState: "hidden" })
    const listeners: Array<string> = []
    const added = page.addEventListener.bind(page)
    const removed = page.removeEventListener.bind(page)
    page.addEventListener = (type: string, listener: EventListener | null) => {
      listeners.push(type)
      added(type, listener)
    }
    page.removeEventListener = (type: string, listener: EventListener | null) => {
      listeners.splice(listeners.indexOf(type), 1)
      removed(type, listener)
    }
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
      assert.deepStrictEqual(listeners.toSorted(), ["online", "pageshow", "visibilitychange"])
      connection.close()
      assert.deepStrictEqual(listeners, [])
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
    assert.throws(() => connect({ url: "/events", onEvent }), TypeError, `"/events" is not an address to connect to`)
    assert.throws(() => connect({ url: "ws://a:b@127.0.0.1", onEvent }), TypeError, "is not an address")
    const platform = { ...fakeWorld().platform, WebSocket: undefined }
    assert.throws(() => connect({ url, onEvent, platform }), TypeError, "there is no WebSocket here")
  })

  it("takes an http address for the ws address of the same place", async () => {
    const { last, pass } = start({ url: "https://example.org/events?a=1" })
    await pass(0)
    assert.strictEqual(last().url, "wss://example.org/events?a=1")
  })
})
