/**
 * The hooks in a real Chromium, over a real gateway: on Vite's dev server with StrictMode, as a page is written, drawn by a
 * server first, and built for production.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import react from "@vitejs/plugin-react"
import { Cause, Effect, Exit, Layer, Scope } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { build, createLogger, createServer, type InlineConfig, preview, type ViteDevServer } from "vite"
import { type Proxy, proxyTo } from "../client/Proxy.ts"
import { envelope, serve, type Served, token, user } from "../gateway/server.ts"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { launch } from "./demo.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))
const source = fileURLToPath(new URL("react-page", import.meta.url))

const portOf = (address: unknown): number =>
  typeof address === "object" && address !== null && "port" in address ? Number(address.port) : 0

/** What Vite warned of. */
const said: Array<string> = []
const note = (text: string) => void said.push(text)

/** The page's own Vite, in a copy of the page that the test may edit. */
const configOf = (folder: string): InlineConfig => ({
  root: folder,
  cacheDir: path.join(folder, ".vite"),
  configFile: false,
  plugins: [react()],
  resolve: { alias: { "effect-emitter/react": path.join(root, "src/react/index.ts") } },
  server: { port: 0, host: "127.0.0.1", fs: { allow: [root] } },
  preview: { port: 0, host: "127.0.0.1" },
  optimizeDeps: { include: ["react", "react-dom/client", "react/jsx-runtime", "react/jsx-dev-runtime"] },
  customLogger: { ...createLogger("silent"), warn: note, warnOnce: note, error: note }
})

describe.skipIf(executable === undefined)("the hooks of effect-emitter/react", () => {
  let folder: string
  let scope: Scope.Closeable
  let served: Served
  let proxy: Proxy
  let browser: Browser
  let dev: ViteDevServer
  let page: Page
  /** What the page said on its console, and threw. */
  let problems: Array<string>
  let ann: string

  beforeAll(async () => {
    await fs.mkdir(path.join(root, ".tmp"), { recursive: true })
    folder = await fs.mkdtemp(path.join(root, ".tmp", "react-page-"))
    await fs.cp(source, folder, { recursive: true })
    browser = await launch(executable ?? "chromium")
    dev = await createServer({
      ...configOf(folder),
      plugins: [react(), {
        name: "drawn-by-a-server",
        configureServer: ({ middlewares, ssrLoadModule, transformIndexHtml }) => {
          const drawn = async (url: string) => {
            const { draw } = await ssrLoadModule("/server.tsx")
            const html = await fs.readFile(path.join(folder, "index.html"), "utf8")
            return (await transformIndexHtml(url, html)).replace("<!--app-->", String(draw()))
          }
          middlewares.use("/drawn", (request, response) => {
            response.setHeader("content-type", "text/html")
            drawn(request.originalUrl ?? "/").then((html) => response.end(html), (error) => response.end(String(error)))
          })
        }
      }]
    })
    await dev.listen()
  })
  afterAll(async () => {
    await browser?.close()
    await dev?.close()
    await fs.rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  })

  beforeEach(async () => {
    problems = []
    said.length = 0
    scope = await Effect.runPromise(Scope.make())
    const start = Effect.gen(function*() {
      served = yield* serve({ origins: "any" })
      proxy = yield* proxyTo(() => served.port)
      ann = yield* token("ann")
    })
    await Effect.runPromise(Scope.provide(start, scope))
    page = await newTab(await browser.newContext())
  })
  afterEach(async () => {
    await page.context().close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
    assert.deepStrictEqual([problems, said], [[], []])
  })

  const newTab = async (context: BrowserContext): Promise<Page> => {
    const tab = await context.newPage()
    tab.setDefaultTimeout(20_000 * patience)
    tab.on("pageerror", (error) => problems.push(String(error)))
    tab.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") problems.push(message.text())
    })
    return tab
  }
  const open = async (port: number, at = "/", more = "", tab = page) => {
    const url = encodeURIComponent(`ws://127.0.0.1:${proxy.port}/events`)
    await tab.goto(`http://127.0.0.1:${port}${at}?url=${url}&token=${ann}${more}`)
  }
  const openDev = (at?: string, more?: string, tab?: Page) => open(portOf(dev.httpServer?.address()), at, more, tab)
  const live = (tab = page) => tab.locator("#status[data-state=live]").waitFor()
  const emit = (run: string, type: string, data: Record<string, string | number>) =>
    Effect.runPromise(served.broker.append(user("ann"), [envelope(data, { run, type, thread: "t1" })]))
  const start = (run: string) => emit(run, "agent_started", { agentName: "a" })
  const write = async (run: string, ...deltas: ReadonlyArray<string>) => {
    for (const delta of deltas) await emit(run, "text_delta", { messageId: "m", delta })
  }
  const end = (run: string) => emit(run, "agent_completed", { agentName: "a", durationMs: 1 })
  const shows = (run: string, text: string, status = "active", tab = page) =>
    tab.locator(`#${run}[data-status=${status}] p`, { hasText: new RegExp(`^${text}$`, "u") }).waitFor()
  const heard = (tab = page) => tab.evaluate(() => globalThis.noted?.events)
  const drawn = () => page.evaluate(() => ({ ...globalThis.noted?.drawn }))

  it("draw a run under StrictMode by one connection, also after a reload in mid-run", async () => {
    await openDev()
    await live()
    await start("r1")
    await write("r1", "one ", "two ")
    await shows("r1", "one two ")
    assert.deepStrictEqual(await heard(), ["one ", "two "])
    assert.strictEqual(proxy.stats().total, 1)

    await page.reload()
    await shows("r1", "one two ")
    await write("r1", "three")
    await shows("r1", "one two three")
    assert.deepStrictEqual(await heard(), ["three"])
    await end("r1")
    await shows("r1", "one two three", "completed")
    assert.strictEqual(proxy.stats().total, 2)

    await page.reload()
    await shows("r1", "one two three", "completed")
    assert.strictEqual(proxy.stats().total, 3)
  })

  /** Waits until the server has one connection, after so many in all. */
  const untilOne = async (what: string, total: number) => {
    for (let attempt = 0; attempt < 300 * patience; attempt++) {
      const stats = proxy.stats()
      if (stats.open === 1 && stats.total >= total) return stats
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`never one connection ${what}: ${JSON.stringify(proxy.stats())}`)
  }

  it("share one connection between two tabs of a user, and go on when the tab that has it is closed", async () => {
    const second = await newTab(page.context())
    await openDev("/", "&shared=ann")
    await live()
    // A tab connects by itself first, then it leads by a connection for all, and closes its own.
    assert.deepStrictEqual(await untilOne("of the first tab", 2), { total: 2, open: 1 })
    await openDev("/", "&shared=ann", second)
    await live(second)
    assert.deepStrictEqual(await untilOne("of both tabs", 3), { total: 3, open: 1 })

    const both = [page, second]
    await start("r1")
    await write("r1", "one ", "two ")
    for (const tab of both) {
      await shows("r1", "one two ", "active", tab)
      assert.deepStrictEqual(await heard(tab), ["one ", "two "])
    }

    await page.close()
    await write("r1", "three")
    await shows("r1", "one two three", "active", second)
    await end("r1")
    await shows("r1", "one two three", "completed", second)
    await live(second)
    assert.deepStrictEqual(await heard(second), ["one ", "two ", "three"])
    assert.deepStrictEqual(await untilOne("of the second tab", 4), { total: 4, open: 1 })
  })

  it("keep their connection and the component's state when a component is reloaded hot", async () => {
    await openDev()
    await live()
    await start("r1")
    await write("r1", "one ")
    await shows("r1", "one ")
    await page.locator("#r1 button").click()
    await page.locator("#r1[data-clicks='1']").waitFor()

    for (const version of ["2", "3"]) {
      const file = path.join(folder, "RunCard.tsx")
      const text = await fs.readFile(file, "utf8")
      await fs.writeFile(file, text.replace(/data-version="\d"/u, `data-version="${version}"`))
      await page.locator(`#r1[data-version='${version}'][data-clicks='1']`).waitFor()
      await write("r1", version)
    }
    await shows("r1", "one 23")
    assert.deepStrictEqual(await heard(), ["one ", "2", "3"])
    assert.strictEqual(proxy.stats().total, 1)
  })

  it("keep their connection when the file of the provider is reloaded hot, also where that mounts it anew", async () => {
    await openDev()
    await live()
    await start("r1")
    await write("r1", "one ")
    await shows("r1", "one ")
    const file = path.join(folder, "App.tsx")
    const text = await fs.readFile(file, "utf8")
    await fs.writeFile(file, text.replace(`"not waiting"`, `"still not waiting"`))
    await page.locator("#waiting", { hasText: "still not waiting" }).waitFor()
    await live()
    await write("r1", "two ")
    await shows("r1", "one two ")
    assert.deepStrictEqual([await heard(), proxy.stats()], [["one ", "two "], { total: 1, open: 1 }])

    await fs.writeFile(file, `// @refresh reset\n${text}`)
    await page.locator("#waiting", { hasText: /^not waiting$/u }).waitFor()
    await live()
    await write("r1", "three")
    await shows("r1", "one two three")
    assert.deepStrictEqual([await heard(), proxy.stats().open], [["one ", "two ", "three"], 1])
  })

  it("keep their connection while a part of the page waits, and show what came meanwhile", async () => {
    await openDev()
    await live()
    await start("r1")
    await write("r1", "one ")
    await shows("r1", "one ")
    await page.locator("#wait").click()
    await page.locator("#hidden").waitFor()
    await write("r1", "two")
    await page.locator("#waiting", { hasText: /^has waited$/u }).waitFor()
    await shows("r1", "one two")
    assert.deepStrictEqual([await heard(), proxy.stats()], [["one ", "two"], { total: 1, open: 1 }])
  })

  it("give the empty state on a server, which opens nothing, and go on from it without a warning", async () => {
    const { draw } = await dev.ssrLoadModule("/server.tsx")
    assert.match(String(draw()), /data-state="connecting".*<main><\/main>/u)
    assert.strictEqual(proxy.stats().total, 0)

    await start("r1")
    await write("r1", "one")
    await openDev("/drawn")
    await live()
    await shows("r1", "one")
    assert.strictEqual(proxy.stats().total, 1)
  })

  it("show what a run asks, answer it, and stop the run", async () => {
    const engine = EmitterLayer().pipe(Layer.provide(Layer.succeed(Broker.Broker, served.broker)))
    const writer = Effect.gen(function*() {
      const isSure = yield* Emitter.ask({ kind: "approval", title: "Send it?" })
      yield* Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: isSure ? "sent" : "kept" }))
      return yield* Effect.never
    }).pipe(
      Emitter.run({ agentName: "writer" }),
      Effect.provide(Layer.provide(Emitter.layerUser({ userId: "ann", threadId: "t1", runId: "r1" }), engine))
    )
    const running = Effect.runPromiseExit(writer)
    await openDev()
    await live()
    await page.locator(".question", { hasText: "Send it?" }).locator("button").click()
    await shows("r1", "sent")
    await page.locator(".question").waitFor({ state: "detached" })
    await page.locator("#r1 .stop").click()
    await shows("r1", "sent", "cancelled")
    const exit = await running
    assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
  })

  it("draw a component again only when its run has changed, in a page that Vite builds without a warning", async () => {
    const config = configOf(folder)
    await build({ ...config, build: { outDir: "built" } })
    const built = await preview({ ...config, build: { outDir: "built" } })
    try {
      await open(portOf(built.httpServer.address()), "/", "&loose")
      await live()
      await start("r1")
      await start("r2")
      await write("r1", "one")
      await write("r2", "two")
      await shows("r1", "one")
      await shows("r2", "two")
      const before = await drawn()

      await write("r1", "1", "2", "3", "4")
      await shows("r1", "one1234")
      const after = await drawn()
      assert.deepStrictEqual({ ...after, r1: 0, runs: 0 }, { ...before, r1: 0, runs: 0 })
      assert.isAbove(after["r1"] ?? 0, before["r1"] ?? 0)
      assert.isAtMost(after["r1"] ?? 0, (before["r1"] ?? 0) + 4)

      await page.locator("#status").click()
      await live()
      await write("r2", "!")
      await shows("r2", "two!")
      assert.deepStrictEqual((await drawn())["r1"], after["r1"])
      assert.deepStrictEqual(await heard(), ["one", "two", "1", "2", "3", "4", "!"])
    } finally {
      await built.close()
    }
  })
})
