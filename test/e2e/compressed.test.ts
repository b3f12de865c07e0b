/**
 * A real browser at a gateway that compresses: its own `WebSocket`, which compresses what it sends as well, and its own
 * `EventSource`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { Authenticator } from "effect-emitter/gateway"
import { Frame } from "effect-emitter/protocol"
import { untilEffect, upTo } from "../client/devices.ts"
import { authenticator, envelope, serve, user } from "../gateway/server.ts"
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
  const seen = { extensions: "", frames: [], streamed: [], closed: undefined }
  globalThis.seen = seen
  const source = new EventSource("/events")
  source.addEventListener("custom", (event) => seen.streamed.push(JSON.parse(event.data).data.n))
  const socket = new WebSocket("/events", "${Frame.subprotocol}")
  socket.onopen = () => {
    seen.extensions = socket.extensions
    // Long enough that a browser compresses it.
    socket.send(JSON.stringify({ type: "hello", padding: "x".repeat(64) }))
  }
  socket.onclose = ({ code }) => { seen.closed = code }
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data)
    if (frame.type !== "events") return
    seen.frames.push(...frame.events.map((event) => event.data.n))
    socket.send(JSON.stringify({ type: "ack", offset: frame.events.at(-1).offset }))
  }
`

interface Seen {
  readonly extensions: string
  readonly frames: ReadonlyArray<number>
  readonly streamed: ReadonlyArray<number>
  readonly closed: number | undefined
}

describe.skipIf(executable === undefined)("a browser at a gateway that compresses", () => {
  it.live("reads every frame over WebSocket and server-sent events, in order, and is read", () =>
    Effect.gen(function*() {
      const served = yield* serve({ compression: { enabled: true, contextTakeover: true } }, {
        authenticator: cookies(Layer.orDie(authenticator))
      })
      const browser = yield* Effect.acquireRelease(
        Effect.promise(() => launch(executable ?? "chromium")),
        (browser) => Effect.promise(() => browser.close())
      )
      const seen = yield* Effect.promise(async () => {
        const context = await browser.newContext()
        await context.addCookies([{ name: "session", value: "anns", url: served.http }])
        const page = await context.newPage()
        // A page of the gateway's own server: a browser lets no other open a WebSocket to this machine.
        await page.goto(`${served.http}/hello`)
        await page.evaluate(script)
        return Effect.promise((): Promise<Seen> => page.evaluate(() => Reflect.get(globalThis, "seen")))
      })
      const { stats } = served.gateway
      yield* untilEffect("both are connected", Effect.map(stats, ({ connections }) => connections === 2))
      const count = 30
      for (const n of upTo(count)) {
        const text = "so ".repeat(n % 9 === 0 ? 30_000 : n)
        yield* served.broker.append(user("ann"), [envelope({ n, text }, { confirm: true })])
        if (n % 10 !== 0) continue
        yield* untilEffect(
          `event ${n}`,
          Effect.map(seen, ({ frames, streamed }) => frames.length === n && streamed.length === n)
        )
      }
      const { closed, extensions, frames, streamed } = yield* seen
      assert.isUndefined(closed)
      assert.include(extensions, "permessage-deflate")
      assert.deepStrictEqual([frames, streamed], [upTo(count), upTo(count)])
      yield* untilEffect(
        "its acknowledgements were read",
        Effect.map(stats, ({ acknowledgements }) => acknowledgements >= count)
      )
      assert.isBelow((yield* stats).compression.after, (yield* stats).compression.before / 10)
    }))
})
