/**
 * What a leading tab tells the others, and what it acknowledges for them.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Relay } from "../../../src/client/driver/PlainDriver.ts"
import type { Item } from "../../../src/client/session/SessionIO.ts"
import type { Status } from "../../../src/client/session/Status.ts"
import * as ServerFrames from "../../../src/client/transport/ServerFrames.ts"
import { Leader } from "../../../src/client/shared/Leader.ts"
import type { ToTab } from "../../../src/client/shared/Message.ts"
import { welcome } from "../FakeSocket.ts"
import { fakeWorld } from "../FakeWorld.ts"

const event = (offset: number, thread?: string): Item => ({
  _tag: "Event",
  epoch: "E1",
  event: { offset, id: `e-${offset}`, type: "custom", at: 1, data: {}, ...(thread === undefined ? {} : { thread }) }
})
const at = (offset: number, epoch = "E1") => ({ epoch, offset })

const start = () => {
  const { pass, platform } = fakeWorld()
  const said: Array<ToTab> = []
  const starts: Array<unknown> = []
  const handled: Array<number> = []
  const done: Array<string> = []
  let relay: Relay | undefined
  let hear: (data: unknown) => void = () => {}
  let status: Status = { state: "connecting" }
  const listeners = new Set<() => void>()
  const show = (next: Status) => {
    status = next
    for (const tell of listeners) tell()
  }
  const leader = new Leader({
    id: "L",
    decode: ServerFrames.decode,
    say: (message) => said.push(message),
    after: platform.after,
    resign: () => done.push("resign"),
    connect: (position, its, heard) => {
      starts.push(position)
      relay = its
      hear = heard
      return {
        status: {
          subscribe: (tell) => {
            listeners.add(tell)
            return () => listeners.delete(tell)
          },
          getSnapshot: () => status
        },
        handled: ({ offset }) => handled.push(offset),
        ask: ({ id }) => done.push(`ask ${id}`),
        forget: (id) => done.push(`forget ${id}`),
        renew: () => done.push("renew"),
        reconnect: () => done.push("reconnect"),
        close: () => done.push("close")
      }
    }
  })
  const hello = (from: string, offset: number, threads?: ReadonlyArray<string>, epoch = "E1") =>
    leader.take({ type: "hello", from, position: at(offset, epoch), threads })
  const live = () => {
    hear(JSON.stringify(welcome()))
    show({ state: "live", transport: "websocket" })
  }
  const ack = (from: string, offset: number) =>
    leader.take({ type: "sent", from, frame: { type: "ack", offset, epoch: "E1" } })
  const deliver = (items: ReadonlyArray<Item>, offset: number, epoch = "E1") => relay?.deliver(items, { epoch, offset })
  /** What was said since the last time, in short. */
  const heard = () => said.splice(0).map((message) => "to" in message ? `${message.type} ${message.to}` : message.type)
  return {
    leader,
    pass,
    said,
    starts,
    handled,
    done,
    hello,
    live,
    ack,
    deliver,
    show,
    heard,
    hear: (data: unknown) => hear(data)
  }
}

/** Two tabs that take part from offset 0, one of them with a filter. */
const started = async (threads?: ReadonlyArray<string>) => {
  const made = start()
  made.hello("a", 0)
  made.hello("b", 0, threads)
  await made.pass(200)
  made.live()
  made.said.length = 0
  return made
}

describe("a leading tab", () => {
  it("connects from the least position of the tabs that have come, and brings each to where it is", async () => {
    const { deliver, heard, hello, live, pass, said, starts } = start()
    hello("a", 7)
    hello("b", 5)
    hello("other", 2, undefined, "E0")
    await pass(199)
    assert.deepStrictEqual([starts, heard()], [[], ["lead", "alive a", "alive b", "alive other"]])
    await pass(1)
    assert.deepStrictEqual(starts, [at(5)])
    deliver([event(6), event(7), event(8)], 8)
    live()
    const frames = said.flatMap((message) =>
      message.type === "joined" ? [[message.to, ...message.frames.map((frame) => JSON.parse(frame))]] : []
    )
    assert.deepStrictEqual(
      frames.map(([to, first, second]) => [to, first.offset, first.recovered, second.events.length]),
      [["a", 8, true, 1], ["b", 8, true, 3]]
    )
    assert.deepStrictEqual(heard().filter((each) => each.startsWith("alone")), ["alone other"])
  })

  it("waits for its own events before a tab joins that has had them by itself", async () => {
    const { deliver, heard, hello, said } = await started()
    hello("c", 2)
    assert.deepStrictEqual(heard(), ["alive c"])
    deliver([event(1)], 1)
    assert.isFalse(said.some(({ type }) => type === "joined"))
    deliver([event(2)], 2)
    assert.deepStrictEqual(heard().filter((each) => each.startsWith("joined")), ["joined c"])
  })

  for (const state of ["connecting", "resuming"] as const) {
    it(`tells that its connection was lost also where the next one is ${state} at once, and none was seen to wait`, async () => {
      const { done, heard, leader, show } = await started()
      leader.take({ type: "sent", from: "a", frame: { type: "command", id: "c1", run: "r1", name: "cancel" } })
      show({ state })
      assert.deepStrictEqual(heard(), ["down"])
      assert.deepStrictEqual(done, ["ask c1", "forget c1"])
    })
  }

  it("acknowledges what all have handled that take it", async () => {
    const { ack, deliver, handled } = await started(["t1"])
    deliver([event(1, "t1"), event(2, "t2")], 2)
    assert.deepStrictEqual(handled, [])
    ack("a", 2)
    assert.deepStrictEqual(handled, [])
    ack("b", 1)
    assert.deepStrictEqual(handled, [2])
    deliver([event(3, "t2")], 3)
    ack("a", 3)
    assert.deepStrictEqual(handled, [2, 3])
  })

  it("waits no longer than 2 seconds for a tab that does not answer, and as long as it likes for one that does", async () => {
    const { ack, deliver, handled, heard, leader, pass } = await started()
    deliver([event(1)], 1)
    ack("a", 1)
    leader.take({ type: "here", from: "b" })
    await pass(2_000)
    assert.deepStrictEqual([handled, heard()], [[], ["frame", "ask", "ask"]])
    await pass(1_999)
    leader.take({ type: "here", from: "a" })
    assert.deepStrictEqual(handled, [])
    await pass(1)
    assert.deepStrictEqual([handled, heard()], [[1], ["down b"]])
    deliver([event(2)], 2)
    ack("a", 2)
    assert.deepStrictEqual(handled, [1, 2])
    leader.take({ type: "probe", from: "b" })
    assert.include(heard(), "down b")
  })

  it("waits for no tab that has gone", async () => {
    const { ack, deliver, handled, leader } = await started()
    deliver([event(1)], 1)
    ack("a", 1)
    leader.take({ type: "bye", from: "b" })
    assert.deepStrictEqual(handled, [1])
  })

  it("lets all tabs ask the gateway where a gap or another log came", async () => {
    const { deliver, handled, heard, hello } = await started()
    deliver([{ _tag: "Gap", epoch: "E2", from: 1, to: 4, reason: "epoch", previous: at(0) }], 4, "E2")
    assert.deepStrictEqual([heard(), handled], [["down a", "down b"], [4]])
    hello("a", 0)
    hello("b", 4, undefined, "E2")
    assert.deepStrictEqual(heard(), ["alive a", "alone a", "alive b", "joined b"])
  })

  it("passes on how its connection was lost, and what becomes of it", async () => {
    const { done, heard, hello, said, show } = await started()
    show({
      state: "waiting",
      retryAt: 1,
      attempt: 1,
      cause: { _tag: "closed", code: 4500, name: "draining", detail: "soon" }
    })
    assert.deepStrictEqual<unknown>(said.splice(0), [{ type: "down", leader: "L", code: 4500, reason: "soon" }])
    hello("a", 0)
    assert.deepStrictEqual([done, heard()], [["reconnect"], ["alive a"]])
    show({ state: "degraded" })
    assert.deepStrictEqual(heard(), ["frame", "joined a"])
    show({ state: "stopped", reason: { _tag: "refused", code: 4403, name: "revoked", detail: "revoked" } })
    assert.deepStrictEqual<unknown>(said.splice(0), [{ type: "down", leader: "L", code: 4403, reason: "revoked" }])
    assert.deepStrictEqual(done, ["reconnect", "resign"])
  })

  it("passes on commands and their answers, tokens to renew, and signs of life", async () => {
    const { done, hear, leader, said } = await started()
    leader.take({ type: "sent", from: "b", frame: { type: "command", id: "c1", run: "r1", name: "cancel" } })
    leader.take({ type: "sent", from: "b", frame: { type: "token", token: "" } })
    assert.deepStrictEqual(done, ["ask c1", "renew"])
    hear(`{"type":"ping"}`)
    assert.deepStrictEqual<unknown>(said, [{ type: "frame", leader: "L", frame: `{"type":"ping"}` }])
  })

  it("keeps a command while its tab repeats it, and none of a connection that was lost", async () => {
    const { done, leader, pass, show } = await started()
    const command = (id: string) =>
      leader.take({ type: "sent", from: "b", frame: { type: "command", id, run: "r1", name: "cancel" } })
    command("c1")
    await pass(10_000)
    command("c1")
    await pass(14_999)
    assert.deepStrictEqual(done, ["ask c1", "ask c1"])
    await pass(1)
    assert.deepStrictEqual(done.splice(0), ["ask c1", "ask c1", "forget c1"])
    command("c2")
    show({ state: "waiting", retryAt: 0, attempt: 1, cause: { _tag: "silent", silentMs: 1 } })
    assert.deepStrictEqual(done.splice(0), ["ask c2", "forget c2"])
    await pass(20_000)
    assert.deepStrictEqual(done, [])
  })

  it("keeps the newest 2,048 events for tabs that come", async () => {
    const { deliver, heard, hello } = await started()
    for (let offset = 1; offset <= 2_100; offset++) deliver([event(offset)], offset)
    heard()
    hello("old", 51)
    hello("new", 52)
    assert.deepStrictEqual(heard(), ["alive old", "alone old", "alive new", "joined new"])
  })
})
