/**
 * TanStack AI in a real Chromium, by its published client, from a page of another origin: the program that users write, over
 * a real gateway.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it, vi } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { AgUi } from "effect-emitter/ag-ui"
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { token, user } from "../gateway/server.ts"
import { type App, serveApp } from "../interop/app.ts"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { launch } from "./demo.ts"
import { servePage } from "./servePage.ts"
import { spokenRuns } from "./spokenRuns.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))

const start = `
document.body ??= document.createElement("body")
const { server, token } = Object.fromEntries(new URLSearchParams(location.search))
const main = document.body.appendChild(document.createElement("main"))
`

/** A page of a chat: a button to ask, one to stop, and what is said. */
const chatPage = `${start}
const { chat } = open(server, token, "t1", (text) => { main.textContent = text })
for (const [id, act] of [["ask", () => chat.sendMessage("hello")], ["stop", () => chat.stop()]]) {
  document.body.appendChild(Object.assign(document.createElement("button"), { id, textContent: id, onclick: act }))
}
`

/** A program of the documentation with a page around it. */
const bundle = async (program: string, page: string) => {
  const contents = await readFile(new URL(`../programs/${program}`, import.meta.url), "utf8") + page
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    alias: { "effect-emitter/tanstack-ai": `${root}src/interop/tanstack-ai/index.ts` },
    bundle: true,
    format: "iife",
    logLevel: "silent",
    minify: true,
    platform: "browser",
    write: false
  })
  return outputFiles[0]?.text ?? assert.fail("nothing was built")
}

describe.skipIf(executable === undefined)("A page of another origin", () => {
  let browser: Browser
  let context: BrowserContext
  let scope: Scope.Closeable
  let app: App
  let address: string
  let problems: Array<string>

  const { prepare, run } = spokenRuns()

  beforeAll(async () => {
    scope = await Effect.runPromise(Scope.make())
    const launching = launch(executable ?? "chromium")
    const script = await bundle("tanStackAi.ts", chatPage)
    const begin = Effect.gen(function*() {
      address = (yield* servePage(script)).url
      app = yield* serveApp(AgUi.layer({ path: "/agent", run }), { origins: [address] })
    })
    await Effect.runPromise(Scope.provide(begin, scope))
    browser = await launching
  })
  afterAll(async () => {
    await browser?.close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  beforeEach(async () => {
    problems = []
    context = await browser.newContext()
  })
  afterEach(async () => {
    await context.close()
    assert.deepStrictEqual(problems, [])
  })

  const load = async (as: string): Promise<Page> => {
    const page = await context.newPage()
    page.setDefaultTimeout(20_000 * patience)
    page.on("pageerror", (error) => problems.push(String(error)))
    const query = new URLSearchParams({ server: app.url, token: await Effect.runPromise(token(as)) })
    await page.goto(`${address}?${query}`)
    await page.locator("main").waitFor({ state: "attached" })
    return page
  }
  const shows = (page: Page, text: string) => page.locator("main", { hasText: text }).waitFor()
  /** What a chat shows of its answers: a page that was loaded in mid-run does not know what was asked. */
  const said = async (page: Page) =>
    (await page.locator("main").textContent())?.split("\n").filter((line) => line !== "hello").join("\n")
  const statusOf = async (name: string) => {
    const { snapshots } = await Effect.runPromise(
      app.broker.snapshots(user(name), undefined, { count: 5, threads: undefined })
    )
    return snapshots.toSorted((a, b) => (b.state.startedAt ?? 0) - (a.state.startedAt ?? 0))[0]?.state
  }

  it("shows a run by TanStack AI, after a reload in its middle, in a second tab, and stops it in both", async () => {
    const { end, say } = await prepare("ann")
    const first = await load("ann")
    await first.locator("#ask").click()
    await say("Streams ", "are 👩\n")
    await shows(first, "Streams are 👩")
    await first.reload()
    await shows(first, "Streams are 👩")
    const second = await load("ann")
    await shows(second, "Streams are 👩")
    await say("{pull}", " <b>-based")
    await end()
    for (const page of [first, second]) {
      await shows(page, "{pull} <b>-based")
      assert.strictEqual(await said(page), "Streams are 👩\n{pull} <b>-based")
    }

    const next = await prepare("ann")
    await second.locator("#ask").click()
    await next.say("one")
    for (const page of [first, second]) await shows(page, "one")
    await first.locator("#stop").click()
    await second.waitForFunction(() => document.querySelector("main")?.textContent?.endsWith("one"))
    for (const page of [first, second]) assert.strictEqual(await said(page), "Streams are 👩\n{pull} <b>-based\none")
    await vi.waitUntil(async () => (await statusOf("ann"))?.status !== "active", { timeout: 10_000 * patience })
    const ended = await statusOf("ann")
    assert.deepStrictEqual([ended?.status, ended?.endedBy], ["cancelled", "user"])
  })
})
