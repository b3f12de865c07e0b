/**
 * `useChat` of the AI SDK in a real Chromium: over a connection, as its program has it, and by the SDK's own transport.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { AiSdk } from "effect-emitter/ai-sdk"
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { token } from "../gateway/server.ts"
import { serveApp } from "../interop/app.ts"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { launch } from "./demo.ts"
import { pageOf, spokenRuns } from "./spokenRuns.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))

/** The same page with the SDK's own transport, which leaves a run when it stops. */
const ownTransport = (program: string) =>
  program
    .replace(
      "new EmitterChatTransport({ url: \"/events\", api: \"/api/chat\", token })",
      "new DefaultChatTransport({ headers: { authorization: `Bearer ${token}` } })"
    )
    .replace(
      "import { EmitterChatTransport } from \"effect-emitter/ai-sdk/client\"",
      "import { DefaultChatTransport } from \"ai\""
    )
    .replace("  useEffect(() => transport.watch(\"t1\", () => void resumeStream()), [resumeStream])\n", "")

const bundle = async (change: (program: string) => string) => {
  const program = fileURLToPath(new URL("../programs/aiSdk.tsx", import.meta.url))
  const { outputFiles } = await build({
    stdin: { contents: change(await readFile(program, "utf8")), resolveDir: root, loader: "tsx" },
    alias: { "effect-emitter/ai-sdk/client": `${root}src/interop/ai-sdk/client.ts` },
    bundle: true,
    define: { "process.env.NODE_ENV": "\"production\"" },
    format: "esm",
    jsx: "automatic",
    logLevel: "silent",
    minify: true,
    platform: "browser",
    write: false
  })
  return outputFiles[0]?.text ?? assert.fail("nothing was built")
}

describe.skipIf(executable === undefined)("useChat in a browser", () => {
  let browser: Browser
  let context: BrowserContext
  let scope: Scope.Closeable
  let url: string
  let problems: Array<string>

  const { prepare, run } = spokenRuns()

  beforeAll(async () => {
    scope = await Effect.runPromise(Scope.make())
    const launching = launch(executable ?? "chromium")
    const [ours, own] = await Promise.all([bundle((program) => program), bundle(ownTransport)])
    const chat = AiSdk.layer({ path: "/api/chat", run })
    const pages = Layer.mergeAll(...pageOf("ours", ours), ...pageOf("own", own))
    const app = await Effect.runPromise(Scope.provide(serveApp(Layer.mergeAll(chat, pages)), scope))
    url = app.url
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

  const open = async (name: "ours" | "own", user: string): Promise<Page> => {
    const page = await context.newPage()
    page.setDefaultTimeout(20_000 * patience)
    page.on("pageerror", (error) => problems.push(String(error)))
    await page.goto(`${url}/${name}?token=${await Effect.runPromise(token(user))}`)
    await page.locator("main").waitFor()
    return page
  }
  const shows = (page: Page, text: string, status: string) =>
    page.locator(`main[data-status=${status}] .assistant`, { hasText: text }).waitFor()
  const answer = (page: Page) => page.locator(".assistant").allTextContents()

  for (const name of ["ours", "own"] as const) {
    it(`shows a run character by character, also after a reload in its middle and in a second tab (${name})`, async () => {
      const { end, say } = await prepare(name)
      const first = await open(name, name)
      await first.locator("#ask").click()
      await say("Streams ", "are 👩\n")
      await shows(first, "Streams are 👩", "streaming")
      assert.deepStrictEqual(await first.locator(".user").allTextContents(), ["hello"])

      await first.reload()
      await shows(first, "Streams are 👩", "streaming")
      const second = await open(name, name)
      await shows(second, "Streams are 👩", "streaming")
      await say("{pull}", " <b>-based")
      await end()
      for (const page of [first, second]) {
        await shows(page, "{pull} <b>-based", "ready")
        assert.deepStrictEqual(await answer(page), ["Streams are 👩\n{pull} <b>-based"])
      }
    })
  }

  it("shows a run that another tab began, and stops it in both", async () => {
    const { say } = await prepare("ann")
    const first = await open("ours", "ann")
    const second = await open("ours", "ann")
    await second.locator("#ask").click()
    await say("one")
    await shows(first, "one", "streaming")
    await shows(second, "one", "streaming")
    await first.locator("#stop").click()
    for (const page of [first, second]) {
      await shows(page, "one", "ready")
      assert.deepStrictEqual(await answer(page), ["one"])
    }
    await first.reload()
    await first.locator("main[data-status=ready]").waitFor()
    assert.deepStrictEqual(await answer(first), [])
  })
})
