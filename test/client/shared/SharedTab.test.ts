/**
 * Which tab has the connection, in a browser and a world that a test turns by hand.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect } from "effect-emitter/client"
import { PlainDriver } from "../../../src/client/driver/PlainDriver.ts"
import { rethrow } from "../../../src/client/driver/Callback.ts"
import { SharedTab } from "../../../src/client/shared/SharedTab.ts"
import * as Connector from "../../../src/client/transport/Connector.ts"
import type { Locks } from "../../../src/client/transport/Platform.ts"
import * as ServerFrames from "../../../src/client/transport/ServerFrames.ts"
import type { FakeSocket } from "../FakeSocket.ts"
import { until } from "../devices.ts"
import { events, welcome } from "../FakeSocket.ts"
import { fakeWorld } from "../FakeWorld.ts"
import { proxyTo } from "../Proxy.ts"
import { tinyServer } from "../TinyServer.ts"
import { fakeBrowser } from "./FakeBrowser.ts"

const start = () => {
  const world = fakeWorld()
  const browser = fakeBrowser()
  const greeted = new Set<FakeSocket>()
  let head = 0

  const open = (
    more: { readonly user?: string; readonly threads?: ReadonlyArray<string>; readonly locks?: Locks } = {}
  ) => {
    const tab = browser.tab()
    const { BroadcastChannel, locks, run } = tab
    const offsets: Array<number> = []
    const statuses: Array<string> = []
    const platform = {
      ...world.platform,
      after: (ms: number, task: () => void) => world.platform.after(ms, () => run(task))
    }
    const options = {
      url: "ws://127.0.0.1/events",
      threads: more.threads,
      onEvent: ({ offset }: { readonly offset: number }) => void offsets.push(offset),
      onStatus: ({ state }: { readonly state: string }) => void statuses.push(state)
    }
    let shared: SharedTab<never> | undefined
    const driver = new PlainDriver<never>(
      options,
      platform,
      ["websocket"],
      options.url,
      (_, url, transport, listener, end) => {
        const ground = {
          PlainDriver,
          open: Connector.open,
          decode: ServerFrames.decode,
          rethrow,
          options,
          platform,
          locks,
          BroadcastChannel,
          transports: ["websocket"],
          url,
          user: "ann",
          end
        } as const
        shared ??= new SharedTab<never>({ ...ground, locks: more.locks ?? locks, user: more.user ?? "ann" })
        return shared.open(transport, listener)
      }
    )
    return { ...tab, offsets, statuses, driver, close: driver.close }
  }
  const sockets = () => world.sockets.filter(({ closedBy }) => closedBy === undefined)
  /** Lets time pass; the server welcomes who comes. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed <= ms; passed += 100) {
      for (const socket of sockets().filter((socket) => !greeted.has(socket))) {
        greeted.add(socket)
        socket.open()
        socket.push(welcome({ offset: head }))
        const resume = socket.sent[0]?.["resume"]
        const from = typeof resume === "object" && resume !== null && "offset" in resume ? Number(resume.offset) : head
        if (from < head) socket.push(events(Array.from({ length: head - from }, (_, n) => from + n + 1)))
      }
      await world.pass(passed < ms ? 100 : 0)
    }
  }
  /** The server has another event, and hands it to whoever listens. */
  const emit = async () => {
    head += 1
    for (const socket of sockets()) socket.push(events([head]))
    await pass(0)
  }
  return { ...world, browser, open, sockets, pass, emit }
}

describe("tabs of one browser", () => {
  it("have the connection of the first, and each its own until it has caught up", async () => {
    const { emit, open, pass, sockets } = start()
    const first = open()
    await pass(1_000)
    const second = open({ threads: ["t1"] })
    await pass(1_000)
    assert.strictEqual(sockets().length, 1)
    assert.deepStrictEqual(sockets()[0]?.sent[0]?.["threads"], undefined)
    await emit()
    await emit()
    assert.deepStrictEqual([first.offsets, second.offsets], [[1, 2], [1, 2]])
    assert.deepStrictEqual([first.statuses, second.statuses], [["connecting", "live"], ["connecting", "live"]])
    assert.deepStrictEqual(sockets()[0]?.sent.filter(({ type }) => type === "ack").length, 0)
    await pass(2_000)
    assert.deepStrictEqual(sockets()[0]?.sent.findLast(({ type }) => type === "ack")?.["offset"], 2)
  })

  it("go on with the next one when the first closes, from where the last of them was", async () => {
    const { emit, open, pass, sockets } = start()
    const first = open()
    await pass(1_000)
    const second = open()
    const third = open()
    await pass(1_000)
    await emit()
    third.hang()
    await emit()
    first.close()
    third.go()
    await pass(3_000)
    await emit()
    assert.strictEqual(sockets().length, 1)
    assert.deepStrictEqual([second.offsets, third.offsets], [[1, 2, 3], [1, 2, 3]])
  })

  it("replace one that is silent for 2 seconds after it was asked, which joins them when it goes on", async () => {
    const { emit, open, pass, sockets } = start()
    const first = open()
    await pass(1_000)
    const second = open()
    await pass(1_000)
    await emit()
    const [old] = sockets()
    first.hang()
    await pass(4_000)
    assert.deepStrictEqual(sockets(), [old])
    await pass(4_000)
    await emit()
    assert.deepStrictEqual(second.offsets, [1, 2])
    first.go()
    await pass(2_000)
    await emit()
    assert.strictEqual(sockets().length, 1)
    assert.notStrictEqual(sockets()[0], old)
    assert.deepStrictEqual([first.offsets, second.offsets], [[1, 2, 3], [1, 2, 3]])
  })

  it("keep one that answers, however long nothing comes", async () => {
    const { open, pass, sockets } = start()
    open()
    await pass(1_000)
    open()
    await pass(1_000)
    const [only] = sockets()
    only?.push(...Array.from({ length: 3 }, () => ({ type: "ping" })))
    for (let times = 0; times < 6; times++) {
      await pass(20_000)
      only?.push({ type: "ping" })
    }
    assert.deepStrictEqual(sockets(), [only])
  })

  it("have each its own for two users, and where the page may have no locks", async () => {
    const { browser, emit, open, pass, sockets } = start()
    const ann = open()
    const bob = open({ user: "bob" })
    await pass(1_000)
    assert.deepStrictEqual([sockets().length, browser.names().length], [2, 2])
    const request: Locks["request"] = () => Promise.reject(new DOMException("no", "SecurityError"))
    const alone = open({ locks: { request } })
    await pass(3_000)
    assert.strictEqual(sockets().length, 3)
    await emit()
    assert.deepStrictEqual([ann.offsets, bob.offsets, alone.offsets], [[1], [1], [1]])
  })

  it.live("have each its own where the browser refuses the page a channel, as Firefox does without cookies", () =>
    Effect.gen(function*() {
      const tiny = yield* tinyServer(1)
      class Refused {
        constructor() {
          throw new DOMException("The operation is insecure.", "SecurityError")
        }
        addEventListener(): void {}
        postMessage(): void {}
        close(): void {}
      }
      const offsets: Array<number> = []
      const { status } = yield* Effect.acquireRelease(
        Effect.sync(() =>
          connect({
            url: `ws://127.0.0.1:${tiny.port}/events`,
            shared: "ann",
            platform: { locks: fakeBrowser().tab().locks, BroadcastChannel: Refused },
            onEvent: ({ offset }) => offsets.push(offset)
          })
        ),
        ({ close }) => Effect.sync(close)
      )
      yield* until("live", () => status.getSnapshot().state === "live", 1)
      tiny.append(2)
      yield* until("its events", () => offsets.length === 2, 1)
      tiny.close(4500)
      yield* until("another connection", () => status.getSnapshot().state === "waiting", 1)
      yield* until("live again", () => status.getSnapshot().state === "live", 1)
    }))

  it.live("renew a connection that looks alive when one of them is told to reconnect", () =>
    Effect.gen(function*() {
      const tiny = yield* tinyServer(1)
      const proxy = yield* proxyTo(() => tiny.port)
      const browser = fakeBrowser()
      const opened = Effect.gen(function*() {
        const { BroadcastChannel, locks } = browser.tab()
        const offsets: Array<number> = []
        const connection = yield* Effect.acquireRelease(
          Effect.sync(() =>
            connect({
              url: `ws://127.0.0.1:${proxy.port}/events`,
              shared: "ann",
              platform: { BroadcastChannel, locks },
              onEvent: ({ offset }) => offsets.push(offset)
            })
          ),
          ({ close }) => Effect.sync(close)
        )
        yield* until("live", () => connection.status.getSnapshot().state === "live", 2)
        return { connection, offsets }
      })
      const tabs = [yield* opened, yield* opened] as const
      yield* until("one connection", () => proxy.stats().open === 1, 2)
      for (const [at, { connection }] of tabs.entries()) {
        // The event is lost on the way, and nobody hears of it.
        proxy.hold()
        tiny.append(1)
        yield* Effect.sleep("100 millis")
        proxy.release()
        connection.reconnect()
        yield* until("the event", () => tabs.every(({ offsets }) => offsets.length === at + 1), 1)
      }
      assert.deepStrictEqual(tabs.map(({ offsets }) => offsets), [[1, 2], [1, 2]])
    }))

  it.live("connect by another one when the one that has the connection gets no token any more", () =>
    Effect.gen(function*() {
      const tiny = yield* tinyServer(1)
      const proxy = yield* proxyTo(() => tiny.port)
      const browser = fakeBrowser()
      let failures = 0
      const tokens = [
        () => {
          if (failures > 0) throw new Error("the session is over")
          return { token: "first", expiresAt: Date.now() + 500 }
        },
        () => "second"
      ]
      const tabs = yield* Effect.forEach(tokens, (token) =>
        Effect.gen(function*() {
          const { BroadcastChannel, locks } = browser.tab()
          const connection = yield* Effect.acquireRelease(
            Effect.sync(() =>
              connect({
                url: `ws://127.0.0.1:${proxy.port}/events`,
                shared: "ann",
                token,
                platform: { BroadcastChannel, locks },
                connectTimeoutMs: 500,
                onError: () => failures++
              })
            ),
            ({ close }) => Effect.sync(close)
          )
          yield* until("live", () => connection.status.getSnapshot().state === "live", 2)
          return connection
        }))
      yield* until("one connection", () => proxy.stats().open === 1, 2)
      failures = 1
      yield* Effect.sleep("600 millis")
      proxy.cut()
      yield* until("waiting", () => tabs[1]?.status.getSnapshot().state !== "live", 1)
      yield* until("the second", () => tabs[1]?.status.getSnapshot().state === "live", 1)
      assert.strictEqual(tabs[0]?.status.getSnapshot().state, "waiting")
    }))

  it("leave nothing behind when they close", async () => {
    const { browser, open, pass, sockets, timers } = start()
    const tabs = [open(), open()]
    await pass(1_000)
    for (const { close } of tabs) close()
    await pass(1_000)
    assert.deepStrictEqual([sockets(), browser.names(), timers()], [[], [], 0])
  })
})
