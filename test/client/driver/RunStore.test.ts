import { assert, describe, it } from "@effect/vitest"
import { RunStore } from "../../../src/client/driver/RunStore.ts"
import type { Item } from "../../../src/client/session/SessionIO.ts"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"
import { settledMemory } from "../../support/memory.ts"
import { textOf } from "../../support/runs.ts"

let offset = 0
const event = (run: string, type: string, data = {}, thread?: string): Item => ({
  _tag: "Event",
  epoch: "E1",
  event: {
    offset: ++offset,
    id: `e-${offset}`,
    type,
    at: offset,
    run,
    ...(thread === undefined ? {} : { thread }),
    data
  }
})
const started = (run: string, thread?: string) => event(run, "agent_started", { agentName: "a" }, thread)
const delta = (run: string, text: string, messageId = "m") => event(run, "text_delta", { messageId, delta: text })
const completed = (run: string) => event(run, "agent_completed", { agentName: "a", durationMs: 1, result: { n: [1] } })

const storeOf = (...items: ReadonlyArray<Item>) => {
  const store = new RunStore(64)
  const errors: Array<unknown> = []
  const frame = (...more: ReadonlyArray<Item>) => {
    for (const item of more) store.apply(item)
    store.flush((error) => errors.push(error))
  }
  frame(...items)
  return { store, frame, errors }
}

const fail = (error: unknown) => assert.fail(String(error))

describe("RunStore", () => {
  it("gives the same values while nothing changed: the list, each run, and each part of a run", () => {
    const tool = { toolCallId: "t", toolName: "search" }
    const { frame, store } = storeOf(
      started("r1"),
      delta("r1", "a"),
      delta("r1", "b", "m2"),
      event("r1", "tool_executing", { ...tool, input: {} }),
      completed("r2")
    )
    const before = store.getSnapshot()
    assert.deepStrictEqual(before.map(({ id, status }) => [id, status]), [["r1", "active"], ["r2", "completed"]])
    assert.strictEqual(store.getSnapshot(), before)
    assert.strictEqual(store.run("r1").get(), before[0])

    // What says nothing new changes nothing either.
    frame(event("r1", "tool_executing", { ...tool, input: {} }), event("r1", "order_placed"))
    assert.strictEqual(store.getSnapshot(), before)

    frame(delta("r1", "c", "m2"))
    const after = store.getSnapshot()
    assert.notStrictEqual(after, before)
    assert.strictEqual(after[1], before[1])
    assert.deepStrictEqual(after[0]?.parts.map(textOf), ["a", "bc", ""])
    assert.deepStrictEqual(before[0]?.parts.map(textOf), ["a", "b", ""])
    assert.strictEqual(after[0]?.parts[0], before[0]?.parts[0])
    assert.strictEqual(after[0]?.parts[2], before[0]?.parts[2])
    assert.strictEqual(after[0]?.usage, before[0]?.usage)

    // Whoever looks at one run alone sees the same values as whoever looks at all.
    frame(delta("r1", "d", "m2"))
    const alone = store.run("r1").get()
    assert.strictEqual(alone?.parts[0], before[0]?.parts[0])
    assert.strictEqual(store.getSnapshot()[0], alone)
  })

  it("tells subscribers once for each frame, and those of a run when it changed", () => {
    const { errors, frame, store } = storeOf()
    const told: Array<string> = []
    const leave = store.subscribe(() => told.push("all"))
    store.run("r1").subscribe(() => told.push(`r1 ${textOf(store.run("r1").get()?.parts[0])}`))
    store.run("r2").subscribe(() => {
      told.push("r2")
      throw new Error("of a listener")
    })
    frame(started("r1"), delta("r1", "a"), delta("r1", "b"))
    frame()
    frame(event("r1", "custom", { name: "n", data: 1 }))
    assert.deepStrictEqual(told.splice(0), ["all", "r1 ab"])
    frame(started("r2"), delta("r1", "c"))
    assert.deepStrictEqual([told.splice(0), errors.length], [["all", "r1 abc", "r2"], 1])
    leave()
    frame(delta("r1", "d"))
    assert.deepStrictEqual(told, ["r1 abcd"])
  })

  it("shows a run as stopping from the call on until it has ended, and of no other", () => {
    const { frame, store } = storeOf(started("r1"), started("r2"))
    const told: Array<unknown> = []
    const run = store.run("r1")
    run.subscribe(() => told.push([run.get()?.status, run.get()?.stopping]))
    const before = store.getSnapshot()
    const settle = store.stopping("r1", fail)
    assert.strictEqual(store.getSnapshot()[0]?.stopping, true)
    assert.strictEqual(store.getSnapshot()[1], before[1])
    settle(true)
    frame(delta("r1", "a"))
    frame(completed("r1"))
    assert.deepStrictEqual(told, [["active", true], ["active", true], ["completed", undefined]])
    assert.notProperty(run.get(), "stopping")
    // The run begins anew, and nobody has asked it to stop.
    frame(started("r1"))
    assert.isUndefined(run.get()?.stopping)
  })

  it("shows it as stopping no more once each that asked was refused", () => {
    const { store } = storeOf(started("r1"))
    const before = store.getSnapshot()
    const [first, second] = [store.stopping("r1", fail), store.stopping("r1", fail)]
    first(false)
    assert.strictEqual(store.run("r1").get()?.stopping, true)
    second(false)
    assert.isUndefined(store.run("r1").get()?.stopping)
    assert.deepStrictEqual(store.getSnapshot(), before)
  })

  it("shows a run as stopping that it learns of only later, and keeps nothing of one that it never does", () => {
    const { frame, store } = storeOf()
    const settle = store.stopping("r1", fail)
    assert.deepStrictEqual(store.getSnapshot(), [])
    frame(started("r1"))
    assert.strictEqual(store.run("r1").get()?.stopping, true)
    settle(false)
    store.stopping("r2", fail)(true)
    frame(started("r2"))
    assert.isUndefined(store.run("r2").get()?.stopping)
  })

  it("gives the runs of a thread, the same list while they are the same", () => {
    const { frame, store } = storeOf(started("r1", "a"), started("r2", "b"), started("r3"))
    const { getSnapshot } = store.inThread("a")
    const before = getSnapshot()
    assert.deepStrictEqual(before.map(({ id }) => id), ["r1"])
    frame(delta("r2", "x"))
    assert.strictEqual(store.inThread("a").getSnapshot(), before)
    assert.strictEqual(store.inThread("none").getSnapshot(), store.inThread("nobody").getSnapshot())
    frame(delta("r1", "x"), started("r4", "a"))
    assert.deepStrictEqual(getSnapshot().map(({ id }) => id), ["r1", "r4"])
  })

  it("gives no member of a state what objects inherit, whatever its name", () => {
    const { frame, store } = storeOf(event("r1", "state_snapshot", { state: {} }))
    const state = () => store.run("r1").get()?.state
    assert.deepStrictEqual(state(), {})
    frame(event("r1", "state_snapshot", { state: JSON.parse(`{"__proto__":{}}`) }))
    const given = Object.values(state() ?? {})
    assert.strictEqual(JSON.stringify(state()), `{"__proto__":{}}`)
    assert.notInclude(given, Object.prototype)
  })

  it("folds no event that a snapshot has in it, and goes on from there", () => {
    const { frame, store } = storeOf()
    const fold = new RunFold()
    fold.apply("text_delta", { messageId: "m", delta: "ab" }, 1)
    const early = [delta("r1", "a"), delta("r1", "b")]
    frame({ _tag: "Snapshot", epoch: "E1", run: "r1", offset, state: fold.snapshot() })
    frame(...early, delta("r1", "c"))
    assert.strictEqual(textOf(store.run("r1").get()?.parts[0]), "abc")
    // A snapshot that is older than what is known says nothing.
    frame({ _tag: "Snapshot", epoch: "E1", run: "r1", offset: 1, state: new RunFold().snapshot() })
    assert.strictEqual(textOf(store.run("r1").get()?.parts[0]), "abc")
  })

  it("takes what comes of a new log, whose offsets begin again", () => {
    const { frame, store } = storeOf(started("r1"), delta("r1", "a"))
    const first = delta("r1", "b")
    const renewed: Item = first._tag === "Event"
      ? { ...first, epoch: "E2", event: { ...first.event, offset: 1 } }
      : first
    frame(renewed)
    assert.strictEqual(textOf(store.run("r1").get()?.parts[0]), "ab")
    frame(renewed)
    assert.strictEqual(textOf(store.run("r1").get()?.parts[0]), "ab")
    const fold = new RunFold()
    fold.apply("text_delta", { messageId: "m", delta: "c" }, 1)
    frame({ _tag: "Snapshot", epoch: "E3", run: "r1", offset: 0, state: fold.snapshot() })
    assert.strictEqual(textOf(store.run("r1").get()?.parts[0]), "c")
  })

  it("leaves out the runs of other threads than those it was made for, as snapshots come for all", () => {
    const store = new RunStore(64, ["a"])
    for (const thread of ["a", "b", undefined]) {
      const state = { ...new RunFold().snapshot(), ...(thread === undefined ? {} : { thread }) }
      store.apply({ _tag: "Snapshot", epoch: "E1", run: `of ${thread}`, offset: 1, state })
    }
    assert.deepStrictEqual(store.getSnapshot().map(({ id }) => id), ["of a", "of undefined"])
  })

  it("ends a run as lost, and goes on with what was known of it when the server knows it after all", () => {
    const { frame, store } = storeOf(started("r1"), delta("r1", "a"))
    frame({ _tag: "Lost", run: "r1", at: 9 }, { _tag: "Lost", run: "unheard of", at: 9 })
    assert.deepStrictEqual(store.getSnapshot().map(({ id, status }) => [id, status]), [["r1", "lost"]])
    frame(delta("r1", "b"))
    const [run] = store.getSnapshot()
    assert.deepStrictEqual([run?.status, textOf(run?.parts[0])], ["active", "ab"])
  })

  it("promises the ending of a run: of one that is on its way, is over, is lost, or never comes", async () => {
    const { frame, store } = storeOf(started("r1"), completed("r2"), started("r3"))
    const [first, second, third, never] = ["r1", "r2", "r3", "r4"].map((id) => store.run(id).done)
    frame(delta("r1", "a"))
    frame(completed("r1"), { _tag: "Lost", run: "r3", at: 9 })
    assert.deepStrictEqual(await first, store.run("r1").get())
    assert.strictEqual((await second)?.status, "completed")
    assert.strictEqual((await third)?.status, "lost")
    store.close()
    assert.isUndefined(await never)
    assert.isUndefined(await store.run("r5").done)
    assert.strictEqual((await store.run("r1").done)?.status, "completed")
  })

  it("promises the ending also of a run that is over and forgotten within one frame", async () => {
    const store = new RunStore(1)
    const ending = store.run("r1").done
    for (const item of [started("r1"), completed("r1"), started("r2")]) store.apply(item)
    store.flush(() => {})
    assert.isUndefined(store.run("r1").get())
    assert.deepInclude(await ending, { id: "r1", status: "completed" })
  })

  it("makes one promise for all who ask for the ending of a run", async () => {
    const { frame, store } = storeOf(started("r1"))
    const asked = Array.from({ length: 100 }, () => store.run("r1").done)
    assert.strictEqual(new Set(asked).size, 1)
    frame(completed("r1"))
    assert.deepStrictEqual(await asked[0], store.run("r1").get())
  })

  it("keeps so many runs, and forgets those that have ended before others", () => {
    const store = new RunStore(3)
    for (const item of [started("r1"), completed("r2"), completed("r3"), started("r4"), started("r5")]) {
      store.apply(item)
    }
    assert.deepStrictEqual(store.getSnapshot().map(({ id }) => id), ["r1", "r4", "r5"])
    store.apply(started("r6"))
    assert.deepStrictEqual(store.getSnapshot().map(({ id }) => id), ["r4", "r5", "r6"])
    assert.isUndefined(store.run("r1").get())
  })

  it("holds nothing of a run that it forgot, though somebody has looked at the run's thread", async () => {
    const store = new RunStore(1)
    const look = () => {
      const [run] = store.inThread("a").getSnapshot()
      return new WeakRef(run ?? assert.fail("the thread has no run"))
    }
    store.apply(started("r1", "a"))
    const forgotten = look()
    store.apply(started("r2", "b"))
    assert.deepStrictEqual(store.getSnapshot().map(({ id }) => id), ["r2"])
    await settledMemory()
    assert.isUndefined(forgotten.deref())
  })
})
