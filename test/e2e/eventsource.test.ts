/**
 * A browser's own `EventSource` at the gateway: it shows a session cookie, reconnects by itself, and resumes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { Authenticator } from "effect-emitter/gateway"
import { proxyTo } from "../client/Proxy.ts"
import { append, authenticator, serve, user } from "../gateway/server.ts"
import { findBrowser } from "../support/program.ts"
import { launch } from "./demo.ts"

const executable = findBrowser()

const cookies = Authenticator.withRequest((request) =>
  Effect.succeed(
    request.cookies["session"] === "anns"
      ? Option.some({ userId: user("ann"), expiresAt: undefined })
      : Option.none()
  )
)

const script = `
  const seen = { offsets: [], ids: [], opened: 0 }
  globalThis.seen = seen
  const source = new EventSource("/events")
  source.onopen = () => { seen.opened++ }
  source.addEventListener("custom", (event) => {
    seen.offsets.push(JSON.parse(event.data).offset)
    seen.ids.push(event.lastEventId)
  })
`

interface Seen {
  readonly offsets: ReadonlyArray<number>
  readonly ids: ReadonlyArray<string>
  readonly opened: number
}

describe.skipIf(executable === undefined)("a browser's EventSource", () => {
  it.live(
    "gets every event once and in order, across a lost connection, and none without the cookie",
    () =>
      Effect.gen(function*() {
        const served = yield* serve({ reconnectSpread: "1 millis" }, {
          authenticator: cookies(Layer.orDie(authenticator))
        })
        const proxy = yield* proxyTo(() => served.port)
        const browser = yield* Effect.acquireRelease(
          Effect.promise(() => launch(executable ?? "chromium")),
          (browser) => Effect.promise(() => browser.close())
        )
        const origin = `http://127.0.0.1:${proxy.port}`
        const open = (cookie: string | undefined) =>
          Effect.promise(async () => {
            const context = await browser.newContext()
            if (cookie !== undefined) await context.addCookies([{ name: "session", value: cookie, url: origin }])
            const page = await context.newPage()
            await page.route(
              "**/page",
              (route) => route.fulfill({ contentType: "text/html", body: `<!doctype html><script>${script}</script>` })
            )
            await page.goto(`${origin}/page`)
            return (): Promise<Seen> => page.evaluate(() => Reflect.get(globalThis, "seen"))
          })
        const ann = yield* open("anns")
        const nobody = yield* open(undefined)
        const until = Effect.fnUntraced(function*(look: (seen: Seen) => boolean) {
          for (let attempt = 0; attempt < 200; attempt++) {
            if (look(yield* Effect.promise(ann))) return
            yield* Effect.sleep("50 millis")
          }
          return yield* Effect.die(new Error(`never: ${JSON.stringify(yield* Effect.promise(ann))}`))
        })

        yield* until(({ opened }) => opened === 1)
        yield* append(served, "ann", 1, 2, 3)
        yield* until(({ offsets }) => offsets.length === 3)
        proxy.cut()
        yield* append(served, "ann", 4, 5)
        yield* until(({ offsets }) => offsets.length === 5)
        yield* append(served, "ann", 6)
        yield* until(({ offsets }) => offsets.length === 6)
        const { epoch } = yield* served.broker.head(user("ann"))
        const offsets = [1, 2, 3, 4, 5, 6]
        assert.deepStrictEqual(yield* Effect.promise(ann), {
          offsets,
          ids: offsets.map((offset) => `${epoch}:${offset}`),
          opened: 2
        })
        assert.deepStrictEqual(yield* Effect.promise(nobody), { offsets: [], ids: [], opened: 0 })
      }),
    120_000
  )
})
