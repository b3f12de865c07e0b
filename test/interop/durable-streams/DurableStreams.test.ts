/**
 * A user's log and runs by the Durable Streams protocol: read by its published client, and by plain requests.
 */
import { assert, describe, it } from "@effect/vitest"
import { stream } from "@durable-streams/client"
import { Effect, Fiber } from "effect"
import { DurableStreams } from "effect-emitter/durable-streams"
import { until, untilEffect } from "../../client/devices.ts"
import { envelope, token, user } from "../../gateway/server.ts"
import { ownTimed } from "../../support/ownTime.ts"
import { type App, serveApp } from "../app.ts"

const make = Effect.gen(function*() {
  const app = yield* serveApp(DurableStreams.layer({ path: "/streams" }), { origins: "any" })
  const headers = { authorization: `Bearer ${yield* token("ada")}` }
  const get = (path: string, options: RequestInit = {}) =>
    Effect.promise(() =>
      fetch(`${app.url}/streams${path}`, { ...options, headers: { ...headers, ...options.headers } })
    )
  return { app, headers, get, emit: emitter(app) }
})

const emitter = (app: App) => (run: string, type: string, data: Record<string, string | number>) =>
  app.broker.append(user("ada"), [envelope(data, { run, type })])

const json = (response: Response) =>
  Effect.promise((): Promise<ReadonlyArray<{ readonly data: unknown }>> => response.json())

const next = (response: Response) => encodeURIComponent(response.headers.get("stream-next-offset") ?? "")

const start = { agentName: "a" }
const text = (delta: string) => ({ messageId: "m", delta })
const end = { agentName: "a", durationMs: 1 }

describe("a stream of events", () => {
  it.live("is read from its beginning, from an offset and from its end, and known when it did not change", () =>
    Effect.gen(function*() {
      const { emit, get } = yield* make
      assert.deepStrictEqual(yield* json(yield* get("")), [])
      yield* emit("r1", "agent_started", start)
      const first = yield* get("?offset=-1")
      assert.deepStrictEqual((yield* json(first)).map(({ data }) => data), [start])
      assert.strictEqual(first.headers.get("content-type"), "application/json")
      assert.strictEqual(first.headers.get("stream-up-to-date"), "true")
      yield* emit("r1", "text_delta", text("one"))
      const second = yield* get(`?offset=${next(first)}`)
      assert.deepStrictEqual((yield* json(second)).map(({ data }) => data), [text("one")])
      assert.isTrue((first.headers.get("stream-next-offset") ?? "") < (second.headers.get("stream-next-offset") ?? ""))
      assert.match(second.headers.get("stream-next-offset") ?? "", /^[^,&=?/]+$/u)
      assert.deepStrictEqual(yield* json(yield* get("?offset=now")), [])
      const etag = second.headers.get("etag") ?? ""
      const again = (offset: string) => get(`?offset=${offset}`, { headers: { "if-none-match": etag } })
      assert.strictEqual((yield* again(next(first))).status, 304)
      yield* emit("r1", "text_delta", text("two"))
      assert.strictEqual((yield* again(next(first))).status, 200)
      const head = yield* get("", { method: "HEAD" })
      assert.strictEqual(
        head.headers.get("stream-next-offset"),
        (yield* get("?offset=now")).headers.get("stream-next-offset")
      )
    }))

  it.live("tells a page of another origin by which headers it goes on, and lets it ask whether something changed", () =>
    Effect.gen(function*() {
      const { get } = yield* make
      const origin = { origin: "https://elsewhere.example" }
      const exposed = (yield* get("", { headers: origin })).headers.get("access-control-expose-headers")?.split(", ")
      assert.includeMembers(exposed ?? [], [
        "stream-next-offset",
        "stream-cursor",
        "stream-closed",
        "etag",
        "retry-after"
      ])
      const preflight = yield* get("", { method: "OPTIONS", headers: origin })
      assert.include(preflight.headers.get("access-control-allow-headers") ?? "", "if-none-match")
    }))

  it.live("of a run has that run alone, and is closed with its ending", () =>
    Effect.gen(function*() {
      const { emit, get } = yield* make
      assert.strictEqual((yield* get("/runs/r1")).status, 404)
      yield* emit("r1", "agent_started", start)
      yield* emit("r2", "agent_started", start)
      const open = yield* get("/runs/r1?offset=-1")
      assert.deepStrictEqual([(yield* json(open)).length, open.headers.get("stream-closed")], [1, null])
      const waiting = yield* Effect.forkChild(get(`/runs/r1?offset=${next(open)}&live=long-poll`))
      yield* emit("r2", "text_delta", text("other"))
      yield* emit("r1", "agent_completed", end)
      const closed = yield* Fiber.join(waiting)
      assert.deepStrictEqual((yield* json(closed)).map(({ data }) => data), [end])
      assert.strictEqual(closed.headers.get("stream-closed"), "true")
      const over = yield* get(`/runs/r1?offset=${next(closed)}&live=long-poll`)
      assert.deepStrictEqual([over.status, over.headers.get("stream-closed")], [204, "true"])
      assert.strictEqual((yield* get("/runs/r1", { method: "HEAD" })).headers.get("stream-closed"), "true")
      assert.isNull((yield* get("", { method: "HEAD" })).headers.get("stream-closed"))
    }))

  it.live("is not waited for on a server that closes: the poll ends as one that nothing came for", () =>
    Effect.gen(function*() {
      const { app, emit, get } = yield* make
      yield* emit("r1", "agent_started", start)
      const head = yield* get("?offset=-1")
      const waiting = yield* Effect.forkChild(get(`?offset=${next(head)}&live=long-poll`))
      yield* untilEffect("it waits", Effect.map(app.gateway.stats, ({ sessions }) => sessions === 1))
      const [ownMs, response] = yield* ownTimed(Effect.andThen(app.close, Fiber.join(waiting)))
      assert.deepStrictEqual([response.status, next(response)], [204, next(head)])
      assert.isBelow(ownMs, 1_500)
    }))

  it.live("is not waited for on a gateway that drains: a poll is refused", () =>
    Effect.gen(function*() {
      const { app, get } = yield* make
      yield* app.gateway.drain
      for (const live of ["long-poll", "sse"]) {
        const refused = yield* get(`?offset=now&live=${live}`)
        assert.deepStrictEqual([refused.status, refused.headers.get("retry-after")], [503, "1"])
      }
      assert.strictEqual((yield* get("?offset=now")).status, 200)
    }))

  it.live("gives a poll nothing that comes after its user's access is revoked", () =>
    Effect.gen(function*() {
      const { app, emit, get } = yield* make
      yield* emit("r1", "agent_started", start)
      const early = yield* token("ada", { issuedAt: Math.floor(Date.now() / 1000) - 10 })
      const head = yield* get("?offset=-1")
      const waiting = yield* Effect.forkChild(
        get(`?offset=${next(head)}&live=long-poll`, { headers: { authorization: `Bearer ${early}` } })
      )
      yield* untilEffect("it waits", Effect.map(app.gateway.stats, ({ sessions }) => sessions === 1))
      yield* app.gateway.revoke(user("ada"))
      yield* emit("r1", "text_delta", text("a secret"))
      assert.strictEqual((yield* Fiber.join(waiting)).status, 204)
    }))

  for (const live of ["sse", "long-poll"] as const) {
    it.live(`is read live by the published client (${live})`, () =>
      Effect.gen(function*() {
        const { app, emit, headers } = yield* make
        yield* emit("r1", "agent_started", start)
        const response = yield* Effect.promise(() =>
          stream<{ readonly type: string }>({ url: `${app.url}/streams/runs/r1`, headers, offset: "-1", live })
        )
        const types: Array<string> = []
        response.subscribeJson(async ({ items }) => void types.push(...items.map(({ type }) => type)))
        yield* until("the start", () => types.length === 1, 20)
        yield* emit("r1", "text_delta", text("one"))
        yield* until("the text", () => types.length === 2, 20)
        yield* emit("r1", "agent_completed", end)
        yield* Effect.promise(() => response.closed)
        yield* until("the ending", () => types.length === 3, 20)
        assert.deepStrictEqual(types, ["agent_started", "text_delta", "agent_completed"])
      }), 60_000)
  }

  it.live("refuses what does not fit, what is gone and what writes, and shows nobody another's", () =>
    Effect.gen(function*() {
      const { emit, get } = yield* make
      yield* emit("r1", "agent_started", start)
      for (
        const query of ["?offset=", "?offset=x", "?offset=-2", "?offset=1&offset=2", "?live=sse", "?offset=-1&live=x"]
      ) {
        assert.strictEqual((yield* get(query)).status, 400, query)
      }
      for (const live of ["", "&live=sse", "&live=long-poll"]) {
        assert.strictEqual((yield* get(`?offset=other~0000000000000001${live}`)).status, 410, live)
        assert.strictEqual((yield* get(`/runs/r9?offset=-1${live}`)).status, 404, live)
      }
      for (const method of ["PUT", "POST", "DELETE", "PATCH"]) {
        const response = yield* get("", { method })
        assert.deepStrictEqual([response.status, response.headers.get("allow")], [405, "GET, HEAD, OPTIONS"])
      }
      const bob = { authorization: `Bearer ${yield* token("bob")}` }
      assert.deepStrictEqual(yield* json(yield* get("?offset=-1", { headers: bob })), [])
      assert.strictEqual((yield* get("/runs/r1", { headers: bob })).status, 404)
      assert.strictEqual((yield* get("", { headers: { authorization: "Bearer nonsense" } })).status, 401)
    }))
})
