/**
 * Pages of another origin that are signed in by the published clients of AG-UI and of the AI SDK, in a real Chromium.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import { AgUi } from "effect-emitter/ag-ui"
import { AiSdk } from "effect-emitter/ai-sdk"
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
import { spokenRuns } from "./spokenRuns.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))

const start = `
document.body ??= document.createElement("body")
const { server, token } = Object.fromEntries(new URLSearchParams(location.search))
const main = document.body.appendChild(document.createElement("main"))
`

/** A program of the documentation with a page around it. */
const bundle = async (program: string, page: string) => {
  const contents = await readFile(new URL(`../programs/${program}`, import.meta.url), "utf8") + page
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

/** A page that asks in each of four ways, and shows what it is answered. */
const signedInPage = `${start}
import { readUIMessageStream } from "ai"
const ways = { token: byToken(server, () => token), cookie: byCookie(server) }
const asked = { id: "u1", role: "user", parts: [{ type: "text", text: "hello" }], content: "hello" }
const ask = {
  agent: async ({ agent }, run) => {
    agent.threadId = run
    await agent.runAgent({ runId: run })
    return agent.messages.map(({ content }) => content).join()
  },
  transport: async ({ transport }, run) => {
    const stream = await transport.sendMessages({ trigger: "submit-message", chatId: run, messages: [asked] })
    let shown
    for await (const message of readUIMessageStream({ stream })) shown = message
    return shown.parts.map(({ text = "" }) => text).join("")
  }
}
window.ask = (way, what) =>
  ask[what](ways[way], way + "-" + what).then((text) => text, (error) => "refused: " + error.message)
`

const cookies = Authenticator.withRequest((request) =>
  Effect.succeed(
    request.cookies["session"] === "eves" ? Option.some({ userId: user("eve"), expiresAt: undefined }) : Option.none()
  )
)

describe.skipIf(executable === undefined)("A page of another origin", () => {
  let browser: Browser
  let context: BrowserContext
  let scope: Scope.Closeable
  let app: App
  /** Where each page is. */
  let at: Record<"listed" | "refused", string>
  let problems: Array<string>

  const { prepare, run } = spokenRuns()

  beforeAll(async () => {
    scope = await Effect.runPromise(Scope.make())
    const launching = launch(executable ?? "chromium")
    const script = await bundle("signedIn.ts", signedInPage)
    const begin = Effect.gen(function*() {
      const [one, two] = yield* Effect.all([script, script].map(servePage))
      at = { listed: one?.url ?? "", refused: two?.url ?? "" }
      const routes = Layer.mergeAll(
        AgUi.layer({ path: "/agent", run }),
        AiSdk.layer({ path: "/api/chat", run })
      )
      app = yield* serveApp(
        routes,
        { origins: [at.listed] },
        { authenticator: cookies(Layer.orDie(authenticator)) }
      )
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
    const query = new URLSearchParams({ server: app.url, token: await Effect.runPromise(token(as)) })
    await page.goto(`${address}?${query}`)
    await page.locator("main").waitFor({ state: "attached" })
    return page
  }
  const asks = (page: Page, way: "token" | "cookie", what: "agent" | "transport") =>
    page.evaluate(({ way, what }) => Reflect.apply(Reflect.get(window, "ask"), window, [way, what]), { way, what })

  it("is signed in by a token or a cookie, by the clients of AG-UI and of the AI SDK, where it is listed", async () => {
    await context.addCookies([{ name: "session", value: "eves", url: app.url }])
    const listed = await load(at.listed, "dan")
    const stranger = await load(at.refused, "dan")
    for (const [way, name] of [["token", "dan"], ["cookie", "eve"]] as const) {
      for (const what of ["agent", "transport"] as const) {
        const { end, say } = await prepare(name)
        const answered = asks(listed, way, what)
        await say("Streams ", `are for ${name} 👩`)
        await end()
        assert.strictEqual(await answered, `Streams are for ${name} 👩`)
        assert.match(String(await asks(stranger, way, what)), /^refused: /u)
      }
    }
  })
})
