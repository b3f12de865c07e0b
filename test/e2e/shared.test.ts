/**
 * Tabs of one browser that share a connection, in a real Chromium over a real gateway: who has the connection, and what
 * becomes of the others when its tab is closed, hangs or crashes, or the page is put aside.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { type Proxy, proxyTo } from "../client/Proxy.ts"
import { append, envelope, serve, type Served, token, user } from "../gateway/server.ts"
import { patience } from "../support/patience.ts"
import { findBrowser, findProgram } from "../support/program.ts"
import { launch } from "./demo.ts"
import { servePage } from "./servePage.ts"
import { startTabs, type Tab } from "./tabs.ts"

const executable = findBrowser()
// Pages are frozen and put aside as everybody's are in a whole browser alone.
const chromium = findProgram("chromium")
const root = fileURLToPath(new URL("../..", import.meta.url))

interface Seen {
  readonly offsets: ReadonlyArray<number>
  readonly statuses: ReadonlyArray<string>
  readonly gaps: number
  /** Sockets that the page opened, and those of them that are open. */
  readonly opened: number
  readonly open: number
  readonly restored: number
}

const nothing: Seen = { offsets: [], statuses: [], gaps: 0, opened: 0, open: 0, restored: 0 }

type Until = (tab: Tab, what: string, isIt: (seen: Seen) => boolean) => Promise<Seen>

/** The page connects as its address says, and notes what it is told. */
const script = `
  import { connect } from ${JSON.stringify(`${root}src/client/index.ts`)}
  const seen = { offsets: [], statuses: [], gaps: 0, opened: 0, open: 0, restored: 0 }
  Object.assign(globalThis, { seen })
  addEventListener("pageshow", (event) => { if (event.persisted) seen.restored++ })
  class Counted extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols)
      seen.opened++
      this.addEventListener("open", () => { seen.open++ })
      this.addEventListener("close", () => { seen.open-- })
    }
  }
  const asked = new URLSearchParams(location.search)
  globalThis.connection = connect({
    url: asked.get("url"),
    token: asked.get("token"),
    shared: asked.get("user") ?? undefined,
    threads: asked.get("thread") === null ? undefined : [asked.get("thread")],
    recentRuns: asked.get("recent") === null ? undefined : Number(asked.get("recent")),
    platform: { WebSocket: Counted },
    onEvent: ({ offset }) => { seen.offsets.push(offset) },
    onGap: () => { seen.gaps++ },
    onStatus: ({ state }) => { seen.statuses.push(state) }
  })`

describe.skipIf(executable === undefined)("tabs that share a connection", { timeout: 60_000 * patience }, () => {
  let scope: Scope.Closeable
  let served: Served
  let proxy: Proxy
  let browser: Browser
  let context: BrowserContext
  let pageUrl: string
  let text: string

  beforeAll(async () => {
    browser = await launch(executable ?? "chromium")
    const { outputFiles } = await build({
      stdin: { contents: script, resolveDir: root, loader: "ts" },
      bundle: true,
      format: "iife",
      write: false,
      logLevel: "silent"
    })
    text = outputFiles[0]?.text ?? ""
  })
  afterAll(() => browser?.close())

  beforeEach(async () => {
    scope = await Effect.runPromise(Scope.make())
    const start = Effect.gen(function*() {
      served = yield* serve({ origins: "any" })
      proxy = yield* proxyTo(() => served.port)
      const page = yield* servePage(text)
      pageUrl = page.url
    })
    await Effect.runPromise(Scope.provide(start, scope))
    context = await browser.newContext()
  })
  afterEach(async () => {
    await context.close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  const open = async (name: string, more: Record<string, string> = {}): Promise<Page> => {
    const page = await context.newPage()
    const query = new URLSearchParams({
      url: `ws://127.0.0.1:${proxy.port}/events`,
      token: await Effect.runPromise(token(name)),
      user: name,
      ...more
    })
    await page.goto(`${pageUrl}/?${query}`)
    return page
  }
  const seen = (page: Page) => page.evaluate<Seen>("globalThis.seen")
  const until = async (page: Page, what: string, look: (seen: Seen) => boolean): Promise<Seen> => {
    let last: Seen | undefined
    for (let attempt = 0; attempt < 300 * patience; attempt++) {
      last = await seen(page)
      if (look(last)) return last
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`never: ${what}: ${JSON.stringify(last)}`)
  }
  const emit = (name: string, ...numbers: ReadonlyArray<number>) => Effect.runPromise(append(served, name, ...numbers))
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)
  /** Waits until one connection is left, of one of the pages. */
  const untilOne = async (...pages: ReadonlyArray<Page>): Promise<Page> => {
    for (let attempt = 0; attempt < 300 * patience; attempt++) {
      const all = await Promise.all(pages.map(seen))
      const [leader, ...others] = pages.filter((_, index) => all[index]?.open === 1)
      const areLive = all.every(({ statuses }) => statuses.at(-1) === "live")
      if (leader !== undefined && others.length === 0 && areLive && proxy.stats().open === 1) return leader
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`never one connection: ${JSON.stringify(await Promise.all(pages.map(seen)))}`)
  }

  it("have one connection, and each sees every event once", async () => {
    const pages = [await open("ann"), await open("ann"), await open("ann")] as const
    await untilOne(...pages)
    await emit("ann", 1, 2, 3)
    for (const page of pages) {
      const { gaps, offsets } = await until(page, "three events", ({ offsets }) => offsets.length >= 3)
      assert.deepStrictEqual([offsets, gaps], [upTo(3), 0])
    }
  })

  it("never share between two users", async () => {
    const ann = await open("ann")
    const bob = await open("bob")
    await until(ann, "live", ({ open, statuses }) => open === 1 && statuses.at(-1) === "live")
    await until(bob, "live", ({ open, statuses }) => open === 1 && statuses.at(-1) === "live")
    await emit("ann", 1, 2)
    await emit("bob", 1)
    assert.deepStrictEqual((await until(ann, "both", ({ offsets }) => offsets.length > 1)).offsets, [1, 2])
    assert.deepStrictEqual((await until(bob, "its own", ({ offsets }) => offsets.length > 0)).offsets, [1])
    // A tab that comes connects by itself first, and closes that once it has what the others have.
    for (const page of [ann, bob]) await until(page, "a connection of its own", ({ open }) => open === 1)
  })

  it("filter each for itself", async () => {
    const all = await open("ann")
    const one = await open("ann", { thread: "t1" })
    await untilOne(all, one)
    const thread = (number: number, thread: string) => envelope({ number }, { thread })
    await Effect.runPromise(
      served.broker.append(user("ann"), [thread(1, "t2"), thread(2, "t1"), thread(3, "t2"), thread(4, "t1")])
    )
    assert.deepStrictEqual((await until(all, "all", ({ offsets }) => offsets.length > 3)).offsets, [1, 2, 3, 4])
    assert.deepStrictEqual((await until(one, "its own", ({ offsets }) => offsets.length > 1)).offsets, [2, 4])
  })

  /** Tabs that share, and events that come while something happens to the tab that has the connection. */
  const losing = async (what: (leader: Page, emitted: () => Promise<void>) => Promise<void>) => {
    const pages = [await open("ann"), await open("ann"), await open("ann")] as const
    const leader = await untilOne(...pages)
    const others = pages.filter((page) => page !== leader)
    let count = 0
    const more = () => emit("ann", ++count)
    await more()
    for (const page of pages) await until(page, "the first", ({ offsets }) => offsets.length > 0)
    await what(leader, more)
    await more()
    for (const page of others) {
      const { gaps, offsets } = await until(page, "all", ({ offsets }) => offsets.length >= count)
      assert.deepStrictEqual([offsets, gaps], [upTo(count), 0])
    }
    return { leader, others, more, count: () => count }
  }

  it("lose and repeat nothing when the one that has the connection is closed", async () => {
    const { others } = await losing(async (leader, more) => {
      await more()
      await leader.close()
      await more()
    })
    assert.include(others, await untilOne(...others))
  })

  it("lose and repeat nothing when the one that has the connection crashes", async () => {
    const { others } = await losing(async (leader, more) => {
      const session = await context.newCDPSession(leader)
      const crashed = leader.waitForEvent("crash")
      session.send("Page.crash").catch(() => {})
      await more()
      await crashed
      await more()
    })
    assert.include(others, await untilOne(...others))
  })

  it("replace one that has the connection and hangs, which then catches up", async () => {
    let hanging: Promise<unknown> = Promise.resolve()
    const { count, leader, others } = await losing(async (leader, more) => {
      hanging = leader.evaluate("{ const end = Date.now() + 12_000; while (Date.now() < end); }")
      await more()
      await new Promise((resolve) => setTimeout(resolve, 500))
      await more()
    })
    await hanging
    const { gaps, offsets } = await until(leader, "all", ({ offsets }) => offsets.length >= count())
    assert.deepStrictEqual([offsets, gaps], [upTo(count()), 0])
    assert.notStrictEqual(await untilOne(leader, ...others), leader)
  })

  /** Two tabs of a browser that puts pages aside as it does for everybody; the first has the connection. */
  const asInLife = async (run: (first: Tab, second: Tab, until: Until) => Promise<void>) => {
    const tabs = await startTabs(chromium ?? "chromium", [])
    try {
      const query = new URLSearchParams({
        url: `ws://127.0.0.1:${proxy.port}/events`,
        token: await Effect.runPromise(token("ann")),
        user: "ann"
      })
      const address = `${pageUrl}/?${query}`
      const look = async (tab: Tab): Promise<Seen> => {
        const text = await tab.read("JSON.stringify(globalThis.seen)")
        return typeof text === "string" ? JSON.parse(text) : nothing
      }
      const until: Until = async (tab, what, isIt) => {
        let last = nothing
        for (let attempt = 0; attempt < 300 * patience; attempt++) {
          last = await look(tab)
          if (isIt(last)) return last
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
        throw new Error(`never: ${what}: ${JSON.stringify(last)}`)
      }
      const first = await tabs.open(address)
      await until(first, "the connection of all", ({ open, opened }) => opened > 1 && open === 1)
      const second = await tabs.open(address)
      await until(
        second,
        "a share of it",
        ({ open, opened, statuses }) => opened === 1 && open === 0 && statuses.at(-1) === "live"
      )
      await run(first, second, until)
    } finally {
      await tabs.close()
    }
  }
  const hasAll = (count: number) => ({ offsets }: Seen) => offsets.length >= count

  it.skipIf(chromium === undefined)(
    "lose and repeat nothing when the one that has the connection is frozen, and thawed",
    () =>
      asInLife(async (first, second, until) => {
        await emit("ann", 1)
        await until(first, "the first", hasAll(1))
        await first.freeze()
        await emit("ann", 2)
        await until(second, "the second", hasAll(2))
        await first.thaw()
        await emit("ann", 3)
        for (const tab of [first, second]) {
          const { gaps, offsets } = await until(tab, "all", hasAll(3))
          assert.deepStrictEqual([offsets, gaps], [upTo(3), 0])
        }
      })
  )

  it.skipIf(chromium === undefined)(
    "keep no page out of the back-forward cache, and a page that comes back catches up",
    () =>
      asInLife(async (first, second, until) => {
        await emit("ann", 1)
        await until(first, "the first", hasAll(1))
        await first.evaluate("void setTimeout(() => { location.href = '/script.js' }, 0)")
        await until(first, "another page", ({ opened }) => opened === 0)
        await emit("ann", 2)
        await until(second, "the second", hasAll(2))
        await first.evaluate("void setTimeout(() => history.back(), 0)")
        await until(first, "the page as it was", ({ restored }) => restored === 1)
        await emit("ann", 3)
        for (const tab of [first, second]) {
          const { gaps, offsets } = await until(tab, "all", hasAll(3))
          assert.deepStrictEqual([offsets, gaps], [upTo(3), 0])
        }
      })
  )
})
