/**
 * One connection for all who use it: when it opens, and when it goes.
 */
import { assert, describe, it } from "@effect/vitest"
import type { ConnectOptions } from "effect-emitter/client"
import { SharedConnection } from "../../src/react/SharedConnection.ts"
import { welcome } from "../client/FakeSocket.ts"
import { fakeWorld } from "../client/FakeWorld.ts"

const world = () => {
  const fake = fakeWorld()
  const share = (options: Partial<ConnectOptions> = {}) =>
    new SharedConnection({ url: "ws://127.0.0.1/events", platform: fake.platform, ...options })
  const open = () => fake.sockets.filter(({ closedBy }) => closedBy === undefined).length
  return { ...fake, share, open }
}

describe("a shared connection", () => {
  it("opens when it is first held, and not before", async () => {
    const { open, pass, share, timers } = world()
    const shared = share()
    shared.update({ url: "ws://127.0.0.1/events" })
    await pass(10_000)
    assert.deepStrictEqual([shared.peek(), open(), timers()], [undefined, 0, 0])
    const { connection } = shared.retain()
    await pass(0)
    assert.deepStrictEqual([shared.peek(), open()], [connection, 1])
    shared.close()
  })

  it("is the same for all, also for one who comes a moment after the last has left", async () => {
    const { open, pass, share } = world()
    const shared = share()
    const first = shared.retain()
    const second = shared.retain()
    assert.strictEqual(second.connection, first.connection)
    first.release()
    first.release()
    await pass(5_000)
    assert.strictEqual(open(), 1)
    second.release()
    await pass(900)
    const third = shared.retain()
    assert.strictEqual(third.connection, first.connection)
    await pass(5_000)
    assert.strictEqual(open(), 1)
    third.release()
    await pass(1_000)
    assert.deepStrictEqual([open(), shared.peek(), first.connection.status.getSnapshot()], [
      0,
      undefined,
      { state: "stopped", reason: { _tag: "closed" } }
    ])
  })

  it("opens anew for one who comes later", async () => {
    const { open, pass, share, sockets } = world()
    const shared = share()
    shared.retain().release()
    await pass(1_000)
    const { connection } = shared.retain()
    await pass(0)
    assert.deepStrictEqual([open(), sockets.length, shared.peek()], [1, 2, connection])
    shared.close()
  })

  it("is let go at once where another to the same address opens, and never used by the other", async () => {
    const { last, open, pass, share } = world()
    const ada = share({ token: "ada's" })
    const grace = share({ token: "grace's" })
    const elsewhere = share({ url: "ws://127.0.0.2/events" })
    const held = ada.retain()
    await pass(0)
    held.release()
    elsewhere.retain()
    await pass(0)
    assert.strictEqual(open(), 2)
    grace.retain()
    assert.strictEqual(held.connection.status.getSnapshot().state, "stopped")
    await pass(0)
    last().open()
    assert.deepStrictEqual([open(), last().sent.map(({ token }) => token)], [2, ["grace's"]])
    grace.close()
    elsewhere.close()
  })

  it("calls the callbacks that it was given last, and none that is gone", async () => {
    const { last, pass, platform, share } = world()
    const told: Array<string> = []
    const options = { url: "ws://127.0.0.1/events", platform }
    const shared = share({ onStatus: ({ state }) => told.push(`first ${state}`) })
    shared.retain()
    await pass(0)
    shared.update({ ...options, onStatus: ({ state }) => told.push(`second ${state}`) })
    last().open()
    last().push(welcome())
    shared.update(options)
    shared.close()
    assert.deepStrictEqual(told, ["first connecting", "second live"])
  })

  it("sends another token at once, and asks a function only when one is needed", async () => {
    const { last, pass, platform, share } = world()
    const asked: Array<string> = []
    const options = { url: "ws://127.0.0.1/events", platform }
    const shared = share({ token: "one" })
    shared.retain()
    await pass(0)
    last().open()
    last().push(welcome())
    shared.update({ ...options, token: "one" })
    await pass(0)
    shared.update({ ...options, token: "two" })
    await pass(0)
    shared.update({
      ...options,
      token: () => {
        asked.push("three")
        return "three"
      }
    })
    await pass(0)
    assert.deepStrictEqual([last().sent.map(({ token, type }) => [type, token]), asked], [
      [["hello", "one"], ["token", "two"]],
      []
    ])
    shared.close()
  })
})
