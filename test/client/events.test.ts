/**
 * The events of a plain client where its program asks for them.
 */
import { assert, describe, it } from "@effect/vitest"
import { connect, type ConnectOptions, PositionStorage, type Status } from "effect-emitter/client"
import { events, welcome } from "./FakeSocket.ts"
import { fakeWorld } from "./FakeWorld.ts"

const start = (options: Partial<ConnectOptions> = {}) => {
  const world = fakeWorld()
  const storage = PositionStorage.memory()
  const connection = connect({ url: "ws://127.0.0.1/events", platform: world.platform, storage, ...options })
  const saved = () => storage.load()?.offset
  return { ...world, connection, saved }
}

/** A loop that goes on when it is told to. */
const loop = (connection: ReturnType<typeof start>["connection"]) => {
  const seen: Array<number> = []
  let go: (() => void) | undefined
  let isOver = false
  const run = async () => {
    for await (const { offset } of connection.events) {
      seen.push(offset)
      await new Promise<void>((resolve) => {
        go = resolve
      })
    }
    isOver = true
  }
  void run()
  return { seen, next: () => go?.(), isOver: () => isOver }
}

describe("the events of a connection", () => {
  it("come to every loop once and in order, across a lost connection, beside the callback", async () => {
    const called: Array<number> = []
    const { connection, last, pass } = start({ onEvent: ({ offset }) => called.push(offset) })
    const seen: Array<Array<number>> = [[], []]
    for (const list of seen) {
      const run = async () => {
        for await (const { offset } of connection.events) list.push(offset)
      }
      void run()
    }
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]))
    last().drop(4500)
    await pass(200)
    last().open()
    last().push(welcome({ offset: 4 }), events([2, 3]), events([4]))
    await pass(1_000)
    assert.deepStrictEqual([called, ...seen], [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]])
    connection.close()
  })

  it("are acknowledged and saved once the slowest loop has asked for more, and not before", async () => {
    const { connection, last, pass, saved } = start({ onEvent: () => {} })
    const [quick, slow] = [loop(connection), loop(connection)]
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]))
    await pass(2_000)
    quick.next()
    await pass(2_000)
    assert.deepStrictEqual([quick.seen, slow.seen, saved()], [[1, 2], [1], 0])
    assert.deepStrictEqual(last().sent.filter(({ type }) => type === "ack"), [])
    slow.next()
    await pass(2_000)
    assert.deepStrictEqual([connection.position()?.offset, saved()], [1, 1])
    assert.deepStrictEqual(last().sent.filter(({ type }) => type === "ack"), [{ type: "ack", offset: 1, epoch: "E1" }])
    connection.close()
  })

  it("let the connection go while too many wait, and lose none", async () => {
    const { connection, last, pass, sockets } = start({ capacity: 4 })
    const { next, seen } = loop(connection)
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]), events([3, 4]), events([5]))
    await pass(0)
    assert.deepStrictEqual(last().closedBy, { code: 1000, reason: "paused" })
    await pass(60_000)
    assert.lengthOf(sockets, 1)
    for (let taken = 0; taken < 4; taken++) {
      next()
      await pass(0)
    }
    assert.lengthOf(sockets, 2)
    last().open()
    assert.deepInclude(last().sent[0], { resume: { epoch: "E1", offset: 4 } })
    last().push(welcome({ offset: 5 }), events([5]))
    await pass(0)
    next()
    await pass(0)
    assert.deepStrictEqual(seen, [1, 2, 3, 4, 5])
    connection.close()
  })

  it("end when the program closes, and what no loop has handled stays for another time", async () => {
    const { connection, last, pass, saved } = start()
    const { isOver, next, seen } = loop(connection)
    const waiting = loop(connection)
    waiting.next()
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2, 3]))
    await pass(0)
    next()
    waiting.next()
    await pass(0)
    connection.close()
    next()
    waiting.next()
    await pass(0)
    assert.deepStrictEqual([seen, isOver(), waiting.isOver(), saved()], [[1, 2], true, true, 1])
  })

  it("are all seen before a loop ends that the server has stopped", async () => {
    const { connection, last, pass } = start()
    const { isOver, next, seen } = loop(connection)
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]))
    last().drop(4403)
    await pass(0)
    assert.strictEqual(connection.status.getSnapshot().state, "stopped")
    for (let taken = 0; taken < 2; taken++) {
      next()
      await pass(0)
    }
    assert.deepStrictEqual([seen, isOver()], [[1, 2], true])
  })

  it("wait for no loop that was left", async () => {
    const { connection, last, pass, saved } = start()
    const run = async () => {
      for await (const event of connection.events) return event.offset
      return undefined
    }
    const first = run()
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2]))
    assert.strictEqual(await first, 1)
    last().push(events([3]))
    await pass(0)
    assert.strictEqual(saved(), 3)
    connection.close()
  })

  it("wait for the next loop where one that throws had not taken them, and are handled only once they were taken", async () => {
    const { connection, last, pass, saved } = start()
    const seen: Array<number> = []
    const run = async (failsAt: number) => {
      for await (const { offset } of connection.events) {
        seen.push(offset)
        if (offset === failsAt) throw new Error(`at ${failsAt}`)
      }
    }
    const failed = run(1).catch(String)
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2, 3]))
    await pass(2_000)
    assert.deepStrictEqual([seen, await failed, connection.position()?.offset, saved()], [[1], "Error: at 1", 1, 1])
    assert.deepStrictEqual(last().sent.at(-1), { type: "ack", offset: 1, epoch: "E1" })
    const failedAgain = run(2).catch(String)
    await pass(2_000)
    assert.deepStrictEqual([seen, await failedAgain, saved()], [[1, 2], "Error: at 2", 2])
    void run(0)
    await pass(2_000)
    assert.deepStrictEqual([seen, saved()], [[1, 2, 3], 3])
    last().push(events([4]))
    await pass(2_000)
    assert.deepStrictEqual([seen, saved()], [[1, 2, 3, 4], 4])
    connection.close()
  })

  it("wait for nobody once more have come, where a loop that throws had not taken them", async () => {
    const { connection, last, pass, saved } = start()
    const run = async () => {
      for await (const { offset } of connection.events) throw new Error(`at ${offset}`)
    }
    const failed = run().catch(String)
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2, 3]))
    await pass(0)
    assert.deepStrictEqual([await failed, saved()], ["Error: at 1", 1])
    last().push(events([4]))
    await pass(0)
    assert.strictEqual(saved(), 4)
    const { next, seen } = loop(connection)
    last().push(events([5]))
    await pass(0)
    next()
    await pass(0)
    assert.deepStrictEqual([seen, saved()], [[5], 5])
    connection.close()
  })

  it("come again after a loop has thrown where too many wait", async () => {
    const { connection, last, pass, sockets } = start({ capacity: 2 })
    const run = async () => {
      for await (const { offset } of connection.events) if (offset === 1) throw new Error("at 1")
    }
    const failed = run().catch(String)
    await pass(0)
    last().open()
    last().push(welcome(), events([1, 2, 3, 4, 5]))
    await pass(0)
    assert.deepStrictEqual([await failed, sockets.length], ["Error: at 1", 2])
    connection.close()
  })

  it("let go at once of whoever leaves while it waits, and wait for it no more", async () => {
    const { connection, last, pass, saved } = start()
    const leaver = connection.events[Symbol.asyncIterator]()
    const answers: Array<unknown> = []
    void leaver.next().then((answer) => answers.push(answer))
    await pass(0)
    void leaver.return?.().then((answer) => answers.push(answer))
    await pass(0)
    const over = { done: true, value: undefined } as const
    assert.deepStrictEqual(answers, [over, over])
    last().open()
    last().push(welcome(), events([1]))
    await pass(0)
    assert.strictEqual(saved(), 1)
    assert.deepStrictEqual(await leaver.next(), over)
    connection.close()
  })
})

describe("the status of a connection", () => {
  it("is the same value while nothing changed, and its subscribers are told of each change until they leave", async () => {
    const { connection, last, pass } = start()
    const { status } = connection
    const [seen, left]: [Array<Status>, Array<Status>] = [[], []]
    status.subscribe(() => seen.push(status.getSnapshot()))
    const leave = status.subscribe(() => left.push(status.getSnapshot()))
    await pass(0)
    const before = status.getSnapshot()
    last().open()
    assert.strictEqual(status.getSnapshot(), before)
    last().push(welcome())
    const live = status.getSnapshot()
    last().push(events([1]))
    await pass(1_000)
    assert.strictEqual(status.getSnapshot(), live)
    leave()
    connection.close()
    assert.deepStrictEqual(seen.map(({ state }) => state), ["connecting", "live", "stopped"])
    assert.strictEqual(seen[1], live)
    assert.deepStrictEqual(left.map(({ state }) => state), ["connecting", "live"])
  })

  it("reaches every subscriber, also where another throws", async () => {
    const errors: Array<unknown> = []
    const { connection, last, pass } = start({ onError: (error) => errors.push(error) })
    const seen: Array<string> = []
    connection.status.subscribe(() => {
      throw new Error("of the first")
    })
    connection.status.subscribe(() => seen.push(connection.status.getSnapshot().state))
    await pass(0)
    last().open()
    last().push(welcome())
    assert.deepStrictEqual(seen, ["connecting", "live"])
    assert.lengthOf(errors, 2)
    connection.close()
  })
})
