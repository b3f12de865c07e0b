/**
 * Both clients in a real Chromium, where they will never be let in: a browser shows a page no more of a refused handshake
 * than that there was none.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import type { Browser } from "playwright-core"
import type { GatewayConfig } from "effect-emitter/gateway"
import { serve, token } from "../gateway/server.ts"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { launch } from "./demo.ts"
import { servePage } from "./servePage.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))

/** Makes a client, and shows its reason to stop as the page's title. */
const clients: Record<"connect" | "Client", string> = {
  connect: `
    import { connect } from ${JSON.stringify(`${root}src/client/index.ts`)}
    connect({ ...options, onStatus: (status) => {
      if (status.state === "stopped") document.title = JSON.stringify(status.reason)
    } })`,
  Client: `
    import { Client } from ${JSON.stringify(`${root}src/client/index.ts`)}
    import { Effect, Stream, SubscriptionRef } from "effect"
    Client.make(options).pipe(
      Effect.flatMap(({ status }) => Stream.runForEach(SubscriptionRef.changes(status), (status) => Effect.sync(() => {
        if (status.state === "stopped") document.title = JSON.stringify(status.reason)
      }))),
      Effect.scoped,
      Effect.runFork
    )`
}

const scriptOf = async (client: string, options: object) => {
  const contents = `const options = ${JSON.stringify(options)}\n${client}`
  const stdin = { contents, resolveDir: root, loader: "ts" } as const
  const { outputFiles } = await build({ stdin, bundle: true, format: "iife", write: false, logLevel: "silent" })
  return outputFiles[0]?.text ?? ""
}

describe.skipIf(executable === undefined)("a client in a browser", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch(executable ?? "chromium")
  })
  afterAll(() => browser?.close())

  /** Why a client stops whose page is of another origin than its gateway's. */
  const reasonOf = Effect.fnUntraced(
    function*(client: string, transport: string, origins: GatewayConfig.Options["origins"]) {
      const served = yield* serve({ origins })
      const options = { url: served.url, token: yield* token("ann"), transports: [transport] }
      const page = yield* servePage(yield* Effect.promise(() => scriptOf(client, options)))
      return yield* Effect.promise(async () => {
        const tab = await browser.newPage()
        await tab.goto(page.url)
        await tab.waitForFunction(() => document.title.startsWith("{"), undefined, { timeout: 10_000 * patience })
        const title = await tab.title()
        await tab.close()
        return JSON.parse(title)
      })
    }
  )

  const cases = [
    ["connect", "websocket", "lists others", ["https://app.example.com"]],
    ["connect", "sse", "takes its own", "same"],
    ["Client", "websocket", "takes its own", "same"],
    ["Client", "sse", "lists others", ["https://app.example.com"]]
  ] as const
  for (const [name, transport, what, origins] of cases) {
    it.live(`fault 31: stops where its origin is refused: ${name} over ${transport}, by a gateway that ${what}`, () =>
      Effect.gen(function*() {
        const { detail, ...reason } = yield* reasonOf(clients[name], transport, origins)
        assert.deepStrictEqual(reason, { _tag: "refused", code: 403, name: "originRefused" })
        assert.match(detail, /add it to the gateway's "origins" .*the page's origin "http:\/\/127\.0\.0\.1:\d+"/u)
      }))
  }
})
