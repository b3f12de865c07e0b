/** The streams of other protocols in gzip, as a plain client reads them: one that takes it, beside one that does not. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { AgentEvents, Emitter, Event } from "effect-emitter"
import { AgUi } from "effect-emitter/ag-ui"
import { AiSdk } from "effect-emitter/ai-sdk"
import { DurableStreams } from "effect-emitter/durable-streams"
import { type IncomingMessage, request } from "node:http"
import { constants, gunzipSync } from "node:zlib"
import { until, untilEffect } from "../../client/devices.ts"
import { token } from "../../gateway/server.ts"
import { type App, serveApp } from "../app.ts"

const words = "what takes long is told as it comes; ".repeat(20)

/** A run that says something, waits to be told to, and says the same again. */
const makeProgram = Effect.map(Deferred.make<void>(), (more) => ({
  more,
  program: Effect.gen(function*() {
    const say = (delta: string) => Emitter.emit(Event.critical(AgentEvents.TextDelta.make({ messageId: "m", delta })))
    yield* say(`first ${words}`)
    yield* Deferred.await(more)
    for (let n = 0; n < 8; n++) yield* say(`${n} ${words}`)
    yield* say("last")
  }).pipe(Emitter.run({ agentName: "speaker" }))
}))

const routes = <E>(program: Effect.Effect<unknown, E, Emitter.Emitter>, compression: boolean) =>
  Layer.mergeAll(
    AgUi.layer({ path: "/agent", run: () => program, compression }),
    AiSdk.layer({ path: "/chat", run: () => program, compression }),
    DurableStreams.layer({ path: "/streams", compression })
  )

const input = { threadId: "t1", runId: "r1", state: {}, messages: [], tools: [], context: [], forwardedProps: {} }

/** How each protocol is asked for a run, by whoever comes later. */
const asks = {
  "AG-UI": { method: "POST", path: "/agent", body: JSON.stringify(input) },
  "AI SDK": { method: "GET", path: "/chat/t1/stream", body: undefined },
  "Durable Streams": { method: "GET", path: "/streams/runs/r1?offset=-1&live=sse", body: undefined }
} as const

const open = (app: App, { body, method, path }: typeof asks[keyof typeof asks], encoding: string) =>
  Effect.acquireRelease(
    Effect.gen(function*() {
      const authorization = `Bearer ${yield* token("ada")}`
      const headers = { authorization, "content-type": "application/json", "accept-encoding": encoding }
      return yield* Effect.callback<IncomingMessage>((resume) => {
        const asked = request(`${app.url}${path}`, { method, headers })
        asked.on("error", () => {}).on("response", (answered) => resume(Effect.succeed(answered))).end(body)
      })
    }),
    (answered) => Effect.sync(() => answered.destroy())
  ).pipe(Effect.map((answered) => {
    const read: Array<Buffer> = []
    const state = { ended: false }
    answered.on("error", () => {}).on("data", (more: Buffer) => read.push(more)).on("end", () => state.ended = true)
    const isZipped = answered.headers["content-encoding"] === "gzip"
    const text = (finishFlush = constants.Z_SYNC_FLUSH) => {
      const all = Buffer.concat(read)
      return isZipped ? gunzipSync(all, { finishFlush }).toString() : all.toString()
    }
    return {
      answered,
      isZipped,
      state,
      text,
      whole: () => text(constants.Z_FINISH),
      size: () => read.reduce((sum, { length }) => sum + length, 0)
    }
  }))

const enabled = { compression: { enabled: true, contextTakeover: true } }

describe("compression of other protocols", () => {
  for (const [name, ask] of Object.entries(asks)) {
    it.live(`${name}: a client that takes gzip reads each event as it comes, and the same as one that does not`, () =>
      Effect.gen(function*() {
        const { more, program } = yield* makeProgram
        const app = yield* serveApp(routes(program, true), { ...enabled, origins: ["https://app.example.com"] })
        const first = yield* open(app, asks["AG-UI"], "identity")
        yield* until("the run to speak", () => first.text().includes("first what"))
        const [zipped, plain] = [yield* open(app, ask, "br, gzip"), yield* open(app, ask, "gzip;q=0")]
        assert.deepStrictEqual([zipped.isZipped, plain.isZipped], [true, false])
        for (const { answered: { headers } } of [zipped, plain]) {
          assert.strictEqual(headers["content-type"], "text/event-stream")
          assert.include(headers["vary"], "Accept-Encoding")
        }
        // The run waits, so what it said is here although nothing follows it.
        for (const { text } of [zipped, plain]) yield* until("what it said", () => text().includes("first what"))
        yield* Deferred.succeed(more, undefined)
        for (const { state } of [zipped, plain]) yield* until("the end", () => state.ended)
        const told = (text: string) => Array.from(text.matchAll(/(first|\d) what/gu), ([, which]) => which)
        assert.deepStrictEqual(told(zipped.whole()), told(plain.text()))
        assert.includeMembers(told(plain.text()), ["first", "0", "7"])
        assert.isBelow(zipped.size(), plain.size() / 2)
        const { compression } = yield* app.gateway.stats
        assert.isAbove(compression.frames, 0)
        assert.isBelow(compression.after, compression.before)
        yield* untilEffect("all is free", Effect.map(app.gateway.stats, (stats) => stats.compression.memory === 0))
      }))
  }

  it.live("is off by default, also where the gateway compresses, and lets go of what a client left behind", () =>
    Effect.gen(function*() {
      const { program } = yield* makeProgram
      const off = yield* serveApp(AgUi.layer({ path: "/agent", run: () => program }), enabled)
      assert.isFalse((yield* open(off, asks["AG-UI"], "gzip")).isZipped)

      const on = yield* serveApp(routes(program, true), enabled)
      const left = yield* open(on, asks["AG-UI"], "gzip")
      yield* until("the run to speak", () => left.text().includes("first what"))
      assert.isAbove((yield* on.gateway.stats).compression.memory, 0)
      left.answered.destroy()
      yield* untilEffect("it is let go of", Effect.map(on.gateway.stats, ({ compression }) => compression.memory === 0))
    }))

  it.live("is refused with its remedy where the gateway does not compress", () =>
    Effect.gen(function*() {
      const { program } = yield* makeProgram
      for (const  of of["AgUi", "AiSdk", "DurableStreams"] as const) {
        const layers = {
          AgUi: AgUi.layer({ path: "/agent", run: () => program, compression: true }),
          AiSdk: AiSdk.layer({ path: "/chat", run: () => program, compression: true }),
          DurableStreams: DurableStreams.layer({ path: "/streams", compression: true })
        }
        const error = yield* Effect.flip(serveApp(layers[of]))
        assert.strictEqual(error._tag, "ConfigError")
        if (error._tag !== "ConfigError") return
        assert.strictEqual(error.of, of)
        assert.deepStrictEqual(error.issues.map(({ path }) => path), ["compression"])
        assert.match(error.issues[0]?.remedy ?? "", /Gateway\.layer\(\{ compression: \{ enabled: true \} \}\)/u)
      }
    }))
})
