import { assert, describe, it } from "@effect/vitest"
import type { Run } from "../../../src/client/index.ts"
import { following } from "../../../src/demo/page/connection/following.ts"
import { emptyText } from "../../../src/demo/page/panel.ts"
import { type Stage, stepsOf } from "../../../src/demo/page/run/restored.ts"

const runOf = (id: string, status: Run["status"] = "active"): Run => ({
  id,
  status,
  parts: [],
  usage: { inputTokens: 0, outputTokens: 0 }
})

const snapshotOf = (run: string, offset: number) => {
  const { id: _, ...state } = runOf(run)
  return { _tag: "Snapshot", epoch: "e", run, offset, state } as const
}

const eventOf = (run: string, offset: number) => ({
  _tag: "Event",
  epoch: "e",
  event: {
    type: "agent_thinking",
    payload: { text: "" },
    offset,
    id: `s.${offset}`,
    at: 0,
    run
  }
} as const)

/** A page, whose server's log has these offsets of each run, once it answers. */
const pageOf = (isReload: boolean, log: ReadonlyArray<number> = []) => {
  const asked: Array<string> = []
  const waiting: Array<PromiseWithResolvers<ReadonlyArray<number>>> = []
  const failures: Array<unknown> = []
  let offset = 0
  const page = following({
    isReload,
    position: () => ({ epoch: "e", offset }),
    logged: (run) => {
      asked.push(run)
      const answer = Promise.withResolvers<ReadonlyArray<number>>()
      waiting.push(answer)
      return answer.promise
    },
    changed: () => {},
    failed: (error) => failures.push(error)
  })
  return {
    ...page,
    log: asked,
    failures,
    reach: (at: number) => {
      offset = at
    },
    answer: async () => {
      waiting.shift()?.resolve(log)
      await Promise.resolve()
    },
    refuse: async (error: unknown) => {
      waiting.shift()?.reject(error)
      await new Promise((resolve) => setTimeout(resolve))
    }
  }
}

describe("the three steps of the page", () => {
  it("say what is so, and what to do next", () => {
    const said = (stage: Stage) => stepsOf(stage).map(({ state, text }) => `${text} (${state})`)
    assert.deepStrictEqual(said({ _tag: "Idle" }), [
      "Ask (now)",
      "Reload the page (later)",
      "See what came back (later)"
    ])
    assert.deepStrictEqual(said({ _tag: "Running" }), [
      "Asked (done)",
      "Reload now (now)",
      "See what came back (later)"
    ])
    assert.deepStrictEqual(said({ _tag: "Ended" })[1], "Reload the page (now)")
    assert.deepStrictEqual(said({ _tag: "Restoring", isReload: true }), [
      "Asked (done)",
      "Reloaded (done)",
      "Restoring (now)"
    ])
    assert.deepStrictEqual(said({ _tag: "Restored", isReload: false, had: 1, all: 1 }).slice(1), [
      "Opened later (done)",
      "Restored 1 of 1 event (done)"
    ])
    assert.strictEqual(
      said({ _tag: "Restored", isReload: true, had: 40, all: 1_042 })[2],
      "Restored 40 of 1,042 events (now)"
    )
  })

  it("begin with the run that was asked for here, and claim nothing of what other runs left behind", () => {
    const page = pageOf(false)
    page.item(snapshotOf("old", 9))
    assert.deepStrictEqual(page.follow([runOf("old", "completed")]), { _tag: "Idle" })
    page.asked("new")
    assert.isTrue(page.isWaiting())
    assert.deepStrictEqual(page.follow([runOf("old", "completed")]), { _tag: "Idle" })
    page.item(eventOf("new", 10))
    assert.deepStrictEqual(page.follow([runOf("new"), runOf("old", "completed")]), { _tag: "Running" })
    assert.isFalse(page.isWaiting())
    // A snapshot that makes up for a gap is no restoring.
    page.item(snapshotOf("new", 20))
    assert.deepStrictEqual(page.follow([runOf("new", "completed")]), { _tag: "Ended" })
    assert.deepStrictEqual(page.log, [])
  })

  it("count after a reload what is here of what the log holds, and never less than before", async () => {
    const page = pageOf(true, [3, 4, 6, 8])
    assert.deepStrictEqual(page.follow([]), { _tag: "Idle" })
    page.item(snapshotOf("run", 6))
    page.reach(6)
    assert.deepStrictEqual(page.follow([runOf("run")]), { _tag: "Restoring", isReload: true })
    await page.answer()
    assert.deepStrictEqual(page.follow([runOf("run")]), { _tag: "Restored", isReload: true, had: 3, all: 4 })
    page.item(eventOf("run", 8))
    page.reach(8)
    assert.deepStrictEqual(page.follow([runOf("run")]), { _tag: "Restored", isReload: true, had: 4, all: 4 })
    page.reach(0)
    assert.deepStrictEqual(page.follow([runOf("run")]), { _tag: "Restored", isReload: true, had: 4, all: 4 })
    assert.deepStrictEqual([page.log, page.subject()], [["run"], "run"])
  })

  it("go on with a run that ended before the reload, and on a second device only with one that goes on", () => {
    const reloaded = pageOf(true)
    reloaded.item(snapshotOf("run", 6))
    assert.deepStrictEqual(reloaded.follow([runOf("run", "completed")]), { _tag: "Restoring", isReload: true })
    const second = pageOf(false)
    second.item(snapshotOf("run", 6))
    assert.deepStrictEqual(second.follow([runOf("run")]), { _tag: "Restoring", isReload: false })
  })

  it("claim nothing while the log cannot be asked, and ask again when the connection is live", async () => {
    const page = pageOf(true, [6])
    page.item(snapshotOf("run", 6))
    page.follow([runOf("run")])
    await page.refuse("away")
    assert.deepStrictEqual(page.failures, ["away"])
    assert.deepStrictEqual(page.follow([runOf("run")]), { _tag: "Restoring", isReload: true })
    page.live()
    await page.answer()
    assert.deepStrictEqual(page.follow([runOf("run")]), { _tag: "Restored", isReload: true, had: 1, all: 1 })
  })
})

describe("what stands in place of runs", () => {
  it("is whether there is a connection, and what it waits for", () => {
    const here = { isConnected: true, isGuest: false, isWaiting: false, name: "Ada" }
    assert.match(emptyText(here), /^Connected\. Ask something/)
    assert.strictEqual(emptyText({ ...here, isWaiting: true }), "Connected, waiting for the run.")
    assert.match(emptyText({ ...here, isWaiting: true, isConnected: false }), /^Not connected\. The run shows once/)
    assert.strictEqual(emptyText({ ...here, isConnected: false }), "Not connected.")
    assert.match(emptyText({ ...here, isGuest: true, name: "Grace" }), /Nothing has arrived for Grace/)
  })
})
