/**
 * Durable Streams in a real Chromium, by its published client, from pages of other origins: the program that users write,
 * over a real gateway.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { AgUi } from "effect-emitter/ag-ui"
import { DurableStreams } from "effect-emitter/durable-streams"
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { token } from "../gateway/server.ts"
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
const { server, run, token } = Object.fromEntries(new URLSearchParams(location.search))
const main = document.body.appendChild(document.createElement("main"))
`

/** A page that shows what a run writes, and that it is over. */
const readerPage = `${start}
follow(server, run, token, (text) => main.append(text)).then(
  () => { main.dataset.status = "over" },
  (error) => { main.dataset.status = error.message }
)
`

/** A program of the documentation with a page around it. */
const bundle = async (program: string, page: string, change: (text: string) => string = (text) => text) => {
  const contents = change(await readFile(new URL(`../programs/${program}`, import.meta.url), "utf8")) + page
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    bundle: true,
    format: "iife",
    logLevel: "silent",
    minify: true,
    platform: "browser",
    write: false
  })
  return outputFiles[0]?.text ?? assert.fail("nothing was built")
}

const polling = (text: string) => text.replace("live: \"sse\"", "live: \"long-poll\"")

describe.skipIf(executable === undefined)("A page of another origin", () => {
  let browser: Browser
  let context: BrowserContext
  let scope: Scope.Closeable
  let app: App
  /** Where each page is. */
  let at: Record<"sse" | "long-poll" | "refused", string>
  let problems: Array<string>

  const { prepare, run } = spokenRuns()

  beforeAll(async () => {
    scope = await Effect.runPromise(Scope.make())
    const launching = launch(executable ?? "chromium")
    const [sse, longPoll] = await Promise.all([
      bundle("durableStreams.ts", readerPage),
      bundle("durableStreams.ts", readerPage, polling)
    ])
    const begin = Effect.gen(function*() {
      const [one, two, three] = yield* Effect.all([sse, longPoll, sse].map(servePage))
      at = { sse: one?.url ?? "", "long-poll": two?.url ?? "", refused: three?.url ?? "" }
      const routes = Layer.mergeAll(
        AgUi.layer({ path: "/agent", run }),
        DurableStreams.layer({ path: "/streams", longPoll: "1 second" })
      )
      app = yield* serveApp(routes, { origins: [at.sse, at["long-poll"]] })
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

  const load = async (address: string, as: string): Promise<Page> => {
    const page = await context.newPage()
    page.setDefaultTimeout(20_000 * patience)
    page.on("pageerror", (error) => problems.push(String(error)))
    const query = new URLSearchParams({ server: app.url, run: "r1", token: await Effect.runPromise(token(as)) })
    await page.goto(`${address}?${query}`)
    await page.locator("main").waitFor({ state: "attached" })
    return page
  }
  const shows = (page: Page, text: string) => page.locator("main", { hasText: text }).waitFor()

  it("reads a run by Durable Streams, live over server-sent events and by long poll, after a reload, to its end", async () => {
    const { end, say } = await prepare("bob")
    const input = {
      threadId: "t1",
      runId: "r1",
      state: {},
      messages: [],
      tools: [],
      context: [],
      forwardedProps: {}
    }
    const running = await Effect.runPromise(app.post("/agent", input, { as: "bob" }))
    await say("Streams ", "are 👩\n")
    const pages = [await load(at.sse, "bob"), await load(at["long-poll"], "bob")]
    for (const page of pages) await shows(page, "Streams are 👩")
    await say("{pull}")
    for (const page of pages) await shows(page, "{pull}")
    for (const page of pages) {
      await page.reload()
      await shows(page, "{pull}")
    }
    await say(" <b>-based")
    await end()
    for (const page of pages) {
      await page.locator("main[data-status=over]").waitFor()
      assert.strictEqual(await page.locator("main").textContent(), "Streams are 👩\n{pull} <b>-based")
    }
    await running.text()
  })

  it("that is not listed reads nothing", async () => {
    const page = await context.newPage()
    await page.goto(`${at.refused}?server=&run=r1&token=none`)
    const shown = await Effect.runPromise(token("bob"))
    const read = (address: string) =>
      page.evaluate(
        ({ address, shown }) =>
          fetch(address, { headers: { authorization: `Bearer ${shown}` } }).then(() => "read", () => "refused"),
        { address, shown }
      )
    assert.strictEqual(await read(`${app.url}/streams?offset=-1`), "refused")
  })
})
