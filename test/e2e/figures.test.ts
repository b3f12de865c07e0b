/**
 * What runs cost a page, in a real Chromium: its main thread's time, and its memory. Each figure is measured beside another
 * one of the same page, so that it says the same on every machine.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import type { Browser, Page } from "playwright-core"
import { findBrowser } from "../support/program.ts"
import { launch } from "./demo.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))

/** What a page measures. */
interface Figures {
  /** Makes frames of so many pieces of one text. */
  readonly frames: (pieces: number, perFrame: number) => void
  /** Parses these frames, and folds what is in them, drawn after each. */
  readonly parse: () => void
  readonly fold: () => void
  /** Lets so many runs come and end, one after another, and the page reconnect now and then; gives how many are kept. */
  readonly runs: (count: number) => Promise<number>
}

declare global {
  var figures: Figures
}

const script = `
  import { connect } from ${JSON.stringify(`${root}src/client/index.ts`)}
  import { RunStore } from ${JSON.stringify(`${root}src/client/driver/RunStore.ts`)}

  const event = (offset, run, type, data) => ({ offset, id: "e-" + offset, type, at: 1_000 + offset, run, thread: "t1", data })
  const words = "Events reach the page in the order in which they were emitted, ".split(/(?<= )/)

  let batches = []
  let texts = []
  const frames = (pieces, perFrame) => {
    const events = Array.from({ length: pieces }, (_, n) =>
      event(n + 1, "r1", "text_delta", { messageId: "m1", delta: words[n % words.length] }))
    for (let n = 0; n < pieces; n += perFrame) batches.push(events.slice(n, n + perFrame))
    texts = batches.map((events) => JSON.stringify({ type: "events", epoch: "E1", events }))
  }
  const parse = () => {
    for (const text of texts) JSON.parse(text)
  }
  const fold = () => {
    const store = new RunStore(64)
    let drawn = 0
    store.subscribe(() => { drawn += store.getSnapshot()[0].parts[0].text.length })
    for (const events of batches) {
      for (const event of events) store.apply({ _tag: "Event", epoch: "E1", event })
      store.flush(console.error)
    }
    if (drawn === 0) throw new Error("nothing was drawn")
  }

  let server
  class Socket extends EventTarget {
    constructor() {
      super()
      server = this
      queueMicrotask(() => this.dispatchEvent(new Event("open")))
    }
    say(frame) { this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(frame) })) }
    send(text) {
      const { resume, type } = JSON.parse(text)
      if (type !== "hello") return
      this.say({ type: "welcome", connection: "c", epoch: "E1", offset, recovered: resume?.offset === offset,
        snapshots: 0, heartbeatMs: 0, retentionMs: 1_000 })
    }
    close() {}
  }
  const text = words.join("").repeat(20)
  let offset = 0
  let number = 0
  let handled = 0
  const connection = connect({ url: "ws://127.0.0.1/events", platform: { WebSocket: Socket } })
  const list = connection.runs.inThread("t1")
  list.subscribe(() => list.getSnapshot())
  const read = async () => {
    for await (const event of connection.events) handled += event.type === "$unknown" ? 0 : 1
  }
  read()

  const reconnected = () =>
    new Promise((resolve) => {
      const before = server
      const leave = connection.status.subscribe(() => {
        if (server === before || connection.status.getSnapshot().state !== "live") return
        leave()
        resolve()
      })
      connection.reconnect()
    })

  const runs = async (count) => {
    for (const last = number + count; number < last;) {
      const run = "r-" + number++
      const ended = connection.run(run).done
      const say = (type, data) => server.say({ type: "events", epoch: "E1", events: [event(++offset, run, type, data)] })
      say("agent_started", { agentName: "a", input: { text } })
      for (let n = 0; n < 8; n++) say("text_delta", { messageId: "m" + run, delta: text + n })
      say("agent_completed", { agentName: "a", durationMs: 1 })
      if ((await ended)?.status !== "completed") throw new Error("a run did not end")
      for (let turns = 0; handled < offset && turns < 1_000; turns++) await undefined
      if (handled !== offset) throw new Error("the loop over events has " + handled + " of " + offset)
      if (number % 25 === 0) await reconnected()
    }
    return list.getSnapshot().length
  }
  Object.assign(globalThis, { figures: { frames, parse, fold, runs } })`

describe.skipIf(executable === undefined)("what runs cost a page", () => {
  let browser: Browser
  let page: Page
  beforeAll(async () => {
    const { outputFiles } = await build({
      stdin: { contents: script, resolveDir: root, loader: "ts" },
      bundle: true,
      minify: true,
      format: "iife",
      write: false,
      logLevel: "silent"
    })
    browser = await launch(executable ?? "chromium")
    page = await browser.newPage()
    await page.addScriptTag({ content: outputFiles[0]?.text ?? "" })
  })
  afterAll(() => browser?.close())

  it("is less than three times the time that parsing its frames takes, for 100,000 pieces of one text", async () => {
    const session = await page.context().newCDPSession(page)
    await session.send("Performance.enable", { timeDomain: "threadTicks" })
    // The processor's time that the page's main thread has used, whoever else uses the machine.
    const usedMs = async () => {
      const { metrics } = await session.send("Performance.getMetrics")
      return 1_000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN)
    }
    const least = async (what: "parse" | "fold") => {
      const rounds: Array<number> = []
      for (let round = 0; round < 5; round++) {
        const before = await usedMs()
        await page.evaluate((what) => globalThis.figures[what](), what)
        rounds.push(await usedMs() - before)
      }
      return Math.min(...rounds)
    }
    await page.evaluate(() => globalThis.figures.frames(100_000, 100))
    const [parseMs, foldMs] = [await least("parse"), await least("fold")]
    assert.isAbove(parseMs, 0)
    process.stdout.write(`100,000 text_delta: ${foldMs.toFixed(0)} ms to fold, ${parseMs.toFixed(0)} ms to parse\n`)
    assert.isBelow(foldMs, 3 * parseMs)
  })

  it("is the memory of the runs that are kept, after an hour of runs and lost connections as well", async () => {
    const session = await page.context().newCDPSession(page)
    const heap = async () => {
      await session.send("HeapProfiler.collectGarbage")
      return (await session.send("Runtime.getHeapUsage")).usedSize
    }
    const empty = await heap()
    assert.strictEqual(await page.evaluate(() => globalThis.figures.runs(200)), 64)
    const before = await heap()
    assert.strictEqual(await page.evaluate(() => globalThis.figures.runs(2_000)), 64)
    const after = await heap()
    const grown = [before, after].map((size) => ((size - empty) / 1e6).toFixed(2))
    process.stdout.write(`64 of 200 runs take ${grown[0]} MB, 64 of 2,200 ${grown[1]} MB\n`)
    assert.isBelow(after - before, (before - empty) / 2)
  })
})
