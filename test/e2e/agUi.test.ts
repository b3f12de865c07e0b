/**
 * AG-UI in a real Chromium, with the published clients of both versions: the page that users write, over a real gateway.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import { AgUi } from "effect-emitter/ag-ui"
import { Authenticator } from "effect-emitter/gateway"
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { authenticator, token, user } from "../gateway/server.ts"
import { type App, serveApp } from "../interop/app.ts"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { launch } from "./demo.ts"
import { servePage } from "./servePage.ts"
import { pageOf, spokenRuns } from "./spokenRuns.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))

/** The published clients, by the version that their users have. */
const clients = { "1.0.0": "@ag-ui/client", "0.0.59": "ag-ui-client-0.0.59" } as const

/** The page of the program, in a thread of each user's own. */
const bundle = async (
  version: keyof typeof clients,
  change: (program: string) => string = (program) => program
) => {
  const program = await readFile(new URL("../programs/agUiPage.ts", import.meta.url), "utf8")
  const { outputFiles } = await build({
    stdin: { contents: change(program), resolveDir: root, loader: "ts" },
    alias: {
      "effect-emitter/ag-ui/client": `${root}src/interop/ag-ui/client.ts`,
      "@ag-ui/client": `${root}node_modules/${clients[version]}`
    },
    bundle: true,
    format: "esm",
    logLevel: "silent",
    minify: true,
    platform: "browser",
    write: false
  })
  return outputFiles[0]?.text ?? assert.fail("nothing was built")
}

/** The same for a page of another origin, which shows a cookie in place of a token. */
const elsewhere = (program: string) =>
  `const server = new URLSearchParams(location.search).get("server")\n${program}`
    .replace("api: \"/agent\"", "api: server + \"/agent\", credentials: \"include\"")
    .replace("{ url: \"/events\", token }", "{ url: server + \"/events\", transports: [\"websocket\"] }")
    .replaceAll(
      "void agent.connectAgent()",
      "agent.connectAgent().catch((error) => { document.title = error.message })"
    )
    .replace("void agent.runAgent()", "agent.runAgent().catch((error) => { main.title = error.message })")

const cookies = Authenticator.withRequest((request) =>
  Effect.succeed(
    request.cookies["session"] === "anns"
      ? Option.some({ userId: user("ann"), expiresAt: undefined })
      : Option.none()
  )
)

describe.skipIf(executable === undefined)("AG-UI in a browser", () => {
  let browser: Browser
  let context: BrowserContext
  let scope: Scope.Closeable
  let app: App
  /** A server that takes pages of one other origin, and two such origins. */
  let other: App
  let allowed: string
  let refused: string
  let problems: Array<string>

  const { prepare, run } = spokenRuns()

  beforeAll(async () => {
    scope = await Effect.runPromise(Scope.make())
    const launching = launch(executable ?? "chromium")
    const [newest, older, page] = await Promise.all([bundle("1.0.0"), bundle("0.0.59"), bundle("1.0.0", elsewhere)])
    const agent = AgUi.layer({ path: "/agent", run })
    const pages = Layer.mergeAll(...pageOf("1.0.0", newest), ...pageOf("0.0.59", older))
    const start = Effect.gen(function*() {
      app = yield* serveApp(Layer.mergeAll(agent, pages))
      const served = `document.body ??= document.createElement("body")\n${page}`
      allowed = (yield* servePage(served)).url
      refused = (yield* servePage(served)).url
      other = yield* serveApp(agent, { origins: [allowed] }, { authenticator: cookies(Layer.orDie(authenticator)) })
    })
    await Effect.runPromise(Scope.provide(start, scope))
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

  const load = async (address: string): Promise<Page> => {
    const page = await context.newPage()
    page.setDefaultTimeout(20_000 * patience)
    page.on("pageerror", (error) => problems.push(String(error)))
    await page.goto(address)
    return page
  }
  const shows = (page: Page, text: string, status: string) =>
    page.locator(`main[data-status=${status}] .assistant`, { hasText: text }).waitFor()
  const answers = (page: Page) => page.locator(".assistant").allTextContents()
  const statusOf = async (of: App, name: string) => {
    const { snapshots } = await Effect.runPromise(
      of.broker.snapshots(user(name), undefined, { count: 5, threads: undefined })
    )
    return snapshots.toSorted((a, b) => (b.state.startedAt ?? 0) - (a.state.startedAt ?? 0))[0]?.state
  }

  for (const version of ["1.0.0", "0.0.59"] as const) {
    it(`shows a run character by character, after a reload in its middle, in a second tab, and stops it in both (${version})`, async () => {
      const name = `ann-${version}`
      const address = `${app.url}/${version}?token=${await Effect.runPromise(token(name))}`
      const { end, say } = await prepare(name)
      const first = await load(address)
      await first.locator("#ask").click()
      await say("Streams ", "are 👩\n")
      await shows(first, "Streams are 👩", "running")
      assert.deepStrictEqual(await first.locator(".user").allTextContents(), ["hello"])

      await first.reload()
      await shows(first, "Streams are 👩", "running")
      const second = await load(address)
      await shows(second, "Streams are 👩", "running")
      await say("{pull}", " <b>-based")
      await end()
      for (const page of [first, second]) {
        await shows(page, "{pull} <b>-based", "ready")
        assert.deepStrictEqual(await answers(page), ["Streams are 👩\n{pull} <b>-based"])
      }

      const next = await prepare(name)
      await second.locator("#ask").click()
      await next.say("one")
      for (const page of [first, second]) await shows(page, "one", "running")
      await first.locator("#stop").click()
      for (const page of [first, second]) {
        await shows(page, "one", "ready")
        assert.deepStrictEqual(await answers(page), ["Streams are 👩\n{pull} <b>-based", "one"])
      }
      const ended = await statusOf(app, name)
      assert.deepStrictEqual([ended?.status, ended?.endedBy], ["cancelled", "user"])
    })
  }

  it("takes a cookie from a page of another origin that is listed, and tells one that is not what to do", async () => {
    await context.addCookies([{ name: "session", value: "anns", url: other.url }])
    const server = `?server=${encodeURIComponent(other.url)}`
    const { end, say } = await prepare("ann")
    const page = await load(allowed + server)
    await page.locator("#ask").click()
    await say("over there")
    await end()
    await shows(page, "over there", "ready")
    assert.deepStrictEqual(await answers(page), ["over there"])

    const stranger = await load(refused + server)
    await stranger.waitForFunction(() => document.title.includes("origins"))
    assert.match(
      await stranger.title(),
      /add it to the gateway's "origins" .*the page's origin "http:\/\/127\.0\.0\.1:\d+"/u
    )
    await stranger.locator("#ask").click()
    await stranger.locator("main[title*=origins]").waitFor()
    assert.deepStrictEqual(await answers(stranger), [])
  })
})
