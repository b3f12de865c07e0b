/**
 * The server's end of other protocols, with a protocol of the tests' own: each event of a run is one message, its type, and
 * a text is two, so that a stream can break between them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Schema, Scope, Stream } from "effect"
import { AgentEvents, Broker, Emitter, Event, Identity, UserLog } from "effect-emitter"
import { HttpRouter } from "effect/http"
import { request } from "node:http"
import { connect as connectTo } from "node:net"
import type { Mapping } from "../../../src/interop/Mapping.ts"
import { encode } from "../../../src/interop/server/EventStream.ts"
import * as RunServer from "../../../src/interop/server/RunServer.ts"
import type { Options } from "../../../src/interop/server/ServerOptions.ts"
import { until, untilEffect } from "../../client/devices.ts"
import { envelope, token, user } from "../../gateway/server.ts"
import { ownTimed } from "../../support/ownTime.ts"
import { type App, parseEvents, serveApp } from "../app.ts"

const Asked = Schema.Struct({ run: Identity.RunId, thread: Identity.ThreadId })

const mapping: Mapping<number, string> = {
  initial: 0,
  next: (count, item) => {
    if (item._tag !== "Event") {
      return [count, [item._tag === "Missing" ? "missing" : `${item.state.status} with ${item.state.parts.length}`]]
    }
    const { event } = item
    return event.type === "text_delta"
      ? [count + 1, [`text ${count + 1}`, event.payload.delta]]
      : [count, [event.type === "$unknown" ? event.name : event.type]]
  }
}

/** A run of three texts that waits for `more` before the last, and for `done` before its end. */
const makeProgram = Effect.gen(function*() {
  const more = yield* Deferred.make<void>()
  const done = yield* Deferred.make<void>()
  const starts: Array<string> = []
  const say = (delta: string) => Emitter.emit(Event.critical(AgentEvents.TextDelta.make({ messageId: "m", delta })))
  const program = Effect.gen(function*() {
    const { context } = yield* Emitter.Emitter
    starts.push(`${context.userId} ${context.threadId} ${context.runId}`)
    yield* say("a")
    yield* say("b")
    yield* Deferred.await(more)
    yield* say("c")
    yield* Deferred.await(done)
  }).pipe(Emitter.run({ agentName: "speaker" }))
  return { done, more, program, starts }
})

const routes = (program: Effect.Effect<unknown, unknown, Emitter.Emitter>, options: Options = {}) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const router = yield* HttpRouter.HttpRouter
    const server = yield* RunServer.make("AgUi", options)
    const provided = yield* RunServer.provided<Emitter.Emitter>()
    yield* router.add("OPTIONS", "/runs", server.preflight)
    yield* router.add("POST", "/runs", (request) =>
      server.signedIn(request, (principal) =>
        Effect.gen(function*() {
          const asked = yield* server.body(request, principal, Asked)
          const cursor = yield* server.cursor(request)
          // @effect-diagnostics-next-line anyUnknownInErrorContext:off
          const items = yield* server.start(request, principal, asked, provided(program), cursor)
          if (RunServer.isStartAlone(request)) return yield* server.startedAlone(request, principal, items, asked)
          return yield* server.respond(request, principal, encode(mapping, (message) => message, cursor)(items))
        })))
  }))

const asked = { run: "r1", thread: "t1" }

const messages = (text: string) => parseEvents(text).map(({ data }) => data)

/** Begins a request whose body comes as `end` is called, and waits until the server reads it. */
const beginPost = Effect.fnUntraced(function*(app: App, authorization: string) {
  const body = JSON.stringify(asked)
  let status: number | undefined
  let isRead = false
  const posting = yield* Effect.acquireRelease(
    Effect.sync(() =>
      request(`${app.url}/runs`, {
        method: "POST",
        headers: { authorization, "content-length": body.length, expect: "100-continue" }
      }, (response) => {
        status = response.statusCode
        response.resume()
      })
    ),
    (posting) => Effect.sync(() => posting.destroy())
  )
  posting.on("error", () => {}).on("continue", () => {
    isRead = true
  })
  posting.write(body.slice(0, 3))
  yield* until("it is read", () => isRead)
  return { status: () => status, end: () => posting.end(body.slice(3)) }
})

const textOf = (response: Response) => Effect.promise(() => response.text())

/** Reads a stream until its text holds what is looked for. */
const readUntil = (response: Response, wanted: string) =>
  Effect.promise(async () => {
    let text = ""
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += piece
      if (text.includes(wanted)) break
    }
    return text
  })

/** A connection that the server has, and that nothing was asked on. */
const heldConnection = Effect.fnUntraced(function*({ url }: { readonly url: string }) {
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => connectTo(Number(new URL(url).port), "127.0.0.1").on("error", () => {})),
    (socket) => Effect.sync(() => socket.destroy())
  )
  let text = ""
  socket.on("data", (bytes) => {
    text += String(bytes)
  })
  const shown = yield* token("ada")
  return {
    ready: until("it is connected", () => !socket.connecting),
    /** Posts JSON as ada, and gives all that comes until the end. */
    send: (path: string, body: unknown) =>
      Effect.suspend(() => {
        const json = JSON.stringify(body)
        const lines = [
          `POST ${path} HTTP/1.1`,
          "host: localhost",
          `authorization: Bearer ${shown}`,
          "content-type: application/json",
          `content-length: ${json.length}`
        ]
        socket.write(`${lines.join("\r\n")}\r\n\r\n${json}`)
        return Effect.map(until("it has ended", () => socket.destroyed), () => text)
      })
  }
})

const whole = ["agent_started", "text 1", "a", "text 2", "b", "text 3", "c", "agent_completed"]

describe("a request for a run", () => {
  it.live("starts the program with an emitter of its user, thread and run, and is answered with all of it", () =>
    Effect.gen(function*() {
      const { done, more, program, starts } = yield* makeProgram
      yield* Deferred.succeed(more, undefined)
      yield* Deferred.succeed(done, undefined)
      const app = yield* serveApp(routes(program))
      const response = yield* app.post("/runs", asked)
      assert.strictEqual(response.status, 200)
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
      assert.deepStrictEqual(messages(yield* textOf(response)), whole)
      assert.deepStrictEqual(starts, ["ada t1 r1"])
    }))

  it.live("that comes again reads the run and starts nothing, at the same time, in its middle and after its end", () =>
    Effect.gen(function*() {
      const { done, more, program, starts } = yield* makeProgram
      const app = yield* serveApp(routes(program))
      const [first, second] = yield* Effect.all([app.post("/runs", asked), app.post("/runs", asked)], {
        concurrency: 2
      })
      yield* Deferred.succeed(more, undefined)
      const { runs } = yield* UserLog.runs(user("ada")).pipe(
        Effect.provideService(Broker.Broker, app.broker),
        Effect.repeat({ until: ({ runs }) => runs[0]?.state.parts.length === 1 && runs[0].offset === 4 })
      )
      assert.lengthOf(runs, 1)
      const third = yield* app.post("/runs", asked)
      assert.include(yield* readUntil(third.clone(), "active"), "active with 1")
      yield* Deferred.succeed(done, undefined)
      const texts = [yield* textOf(first), yield* textOf(second)].map(messages)
      assert.isTrue(texts.some((text) => text.join() === whole.join()))
      for (const text of texts) assert.strictEqual(text.at(-1), "agent_completed")
      assert.deepStrictEqual(messages(yield* textOf(third)), ["active with 1", "agent_completed"])
      assert.deepStrictEqual(messages(yield* textOf(yield* app.post("/runs", asked))), ["completed with 1"])
      assert.lengthOf(starts, 1)
    }))

  it.live("whose client leaves costs the run nothing", () =>
    Effect.gen(function*() {
      const { done, more, program } = yield* makeProgram
      const app = yield* serveApp(routes(program))
      const leaving = new AbortController()
      const response = yield* app.post("/runs", asked, { signal: leaving.signal })
      yield* readUntil(response, "text 2")
      leaving.abort()
      yield* Deferred.succeed(more, undefined)
      yield* Deferred.succeed(done, undefined)
      const ended = yield* UserLog.awaitRun(user("ada"), Identity.RunId.make("r1")).pipe(
        Effect.provideService(Broker.Broker, app.broker)
      )
      assert.strictEqual(ended.status, "completed")
    }))

  it.live("with the id of any message gets what lies behind it, in its middle and after its end", () =>
    Effect.gen(function*() {
      const { done, more, program } = yield* makeProgram
      const app = yield* serveApp(routes(program))
      const running = yield* app.post("/runs", asked)
      const sofar = parseEvents(yield* readUntil(running, "data: b"))
      const resumed = yield* Effect.forEach(
        sofar,
        ({ id = "" }) => app.post("/runs", asked, { headers: { "last-event-id": id } })
      )
      yield* Deferred.succeed(more, undefined)
      yield* Deferred.succeed(done, undefined)
      for (const [index, response] of resumed.entries()) {
        assert.deepStrictEqual(messages(yield* textOf(response)), whole.slice(index + 1))
      }
      // The very first id lies in front of the run.
      const [{ id: firstId = "" } = { id: "" }] = sofar
      const all = parseEvents(
        yield* textOf(yield* app.post("/runs", asked, { headers: { "last-event-id": firstId.replace(/:1$/u, ":0") } }))
      )
      assert.deepStrictEqual(all.map(({ data }) => data), whole)
      assert.lengthOf(new Set(all.map(({ id }) => id)), whole.length)
      for (const [index, { id = "" }] of all.entries()) {
        const response = yield* app.post("/runs", asked, { headers: { "last-event-id": id } })
        assert.deepStrictEqual(messages(yield* textOf(response)), whole.slice(index + 1))
      }
    }))

  it.live("with an id from elsewhere gets the state of the run, and one that is no id is refused", () =>
    Effect.gen(function*() {
      const { done, more, program } = yield* makeProgram
      yield* Deferred.succeed(more, undefined)
      yield* Deferred.succeed(done, undefined)
      const app = yield* serveApp(routes(program))
      const all = parseEvents(yield* textOf(yield* app.post("/runs", asked)))
      const [epoch] = all[0]?.id?.split(":") ?? []
      for (const id of ["another:3", `${epoch}:9999`]) {
        const response = yield* app.post("/runs", asked, { headers: { "last-event-id": id } })
        assert.deepStrictEqual(messages(yield* textOf(response)), ["completed with 1"])
      }
      for (const id of ["7", "a:b", `${epoch}:1.0`, `${epoch}:1.x`]) {
        const response = yield* app.post("/runs", asked, { headers: { "last-event-id": id } })
        assert.strictEqual(response.status, 400)
        assert.include(yield* textOf(response), "Last-Event-ID")
      }
    }))

  it.live("is told where the program ends without beginning the run", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(routes(Effect.void))
      assert.deepStrictEqual(messages(yield* textOf(yield* app.post("/runs", asked))), ["missing"])
    }))

  it.live("gets comments while nothing happens", () =>
    Effect.gen(function*() {
      const { done, more, program } = yield* makeProgram
      const app = yield* serveApp(routes(program, { heartbeat: "5 millis" }))
      const response = yield* app.post("/runs", asked)
      assert.include(yield* readUntil(response.clone(), ": \n\n: \n\n"), "text 2")
      yield* Deferred.succeed(more, undefined)
      yield* Deferred.succeed(done, undefined)
      assert.deepStrictEqual(messages(yield* textOf(response)), whole)
    }))

  it.live("is refused where it does not fit, with each path and reason", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(routes(Effect.void, { maxBodyBytes: 200 }))
      const refused = Effect.fnUntraced(function*(body: unknown) {
        const response = yield* app.post("/runs", body)
        const answer: unknown = JSON.parse(yield* textOf(response))
        return [response.status, answer] as const
      })
      const [status, answer] = yield* refused({ run: "a b", thread: 7 })
      assert.strictEqual(status, 400)
      assert.deepStrictEqual(answer, {
        code: "invalid",
        message: "run: an id must be well-formed Unicode without white space, braces and invisible characters, "
          + "this one has U+0020 at index 1; thread: Expected string",
        issues: [{
          path: "run",
          message: "an id must be well-formed Unicode without white space, braces and invisible characters, "
            + "this one has U+0020 at index 1"
        }, { path: "thread", message: "Expected string" }]
      })
      assert.strictEqual((yield* refused("{"))[0], 400)
      assert.strictEqual((yield* refused({ ...asked, more: "x".repeat(200) }))[0], 413)
    }))

  it.live("is refused for a run of another thread, and where its user has too many runs or streams", () =>
    Effect.gen(function*() {
      const { done, more, program } = yield* makeProgram
      const app = yield* serveApp(routes(program, { runsPerUser: 1, streamsPerUser: 2 }))
      const first = yield* app.post("/runs", asked)
      yield* readUntil(first.clone(), "text 2")
      const status = (wanted: object, as?: string) =>
        Effect.map(app.post("/runs", wanted, { as }), (response) => response.status)
      assert.strictEqual(yield* status({ run: "r1", thread: "t2" }), 409)
      assert.strictEqual(yield* status({ run: "r2", thread: "t1" }), 429)
      const second = yield* app.post("/runs", asked)
      assert.strictEqual(second.status, 200)
      yield* readUntil(second.clone(), "active")
      assert.strictEqual(yield* status(asked), 429)
      assert.strictEqual(yield* status(asked, "bob"), 200)
      yield* Deferred.succeed(more, undefined)
      yield* Deferred.succeed(done, undefined)
      yield* textOf(first)
      yield* textOf(second)
      assert.strictEqual(yield* status({ run: "r1", thread: "t2" }), 409)
      assert.strictEqual(yield* status({ run: "r2", thread: "t1" }), 200)
    }))

  it.live("is held to the gateway's sign-in and origins, and its page may read the answer", () =>
    Effect.gen(function*() {
      const { program } = yield* makeProgram
      const app = yield* serveApp(routes(program), { origins: ["https://app.example.com"] })
      const origin = "https://app.example.com"
      const unsigned = yield* app.post("/runs", asked, { headers: { authorization: "Bearer nonsense", origin } })
      assert.strictEqual(unsigned.status, 401)
      assert.strictEqual(unsigned.headers.get("access-control-allow-origin"), origin)
      const foreign = yield* app.post("/runs", asked, { headers: { origin: "https://evil.example" } })
      assert.strictEqual(foreign.status, 403)
      const signed = yield* app.post("/runs", asked, { headers: { origin } })
      assert.strictEqual(signed.status, 200)
      assert.strictEqual(signed.headers.get("access-control-allow-origin"), origin)
      const preflight = yield* Effect.promise(() =>
        fetch(`${app.url}/runs`, { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } })
      )
      assert.strictEqual(preflight.status, 204)
      assert.include(preflight.headers.get("access-control-allow-headers"), "content-type")
    }))
})

describe("a request that is long in coming", () => {
  it.live("holds up no server that closes, is refused with 503, and starts nothing", () =>
    Effect.gen(function*() {
      const { program, starts } = yield* makeProgram
      const app = yield* serveApp(routes(program))
      const { status } = yield* beginPost(app, `Bearer ${yield* token("ada")}`)
      const [ownMs] = yield* ownTimed(app.close)
      yield* until("it is answered", () => status() !== undefined)
      assert.deepStrictEqual([status(), starts], [503, []])
      assert.isBelow(ownMs, 2_500)
    }), 120_000)

  for (const [what, options] of [["access was revoked", {}], ["token lapsed", { expiresIn: 2 }]] as const) {
    it.live(`starts nothing for a user whose ${what} meanwhile`, () =>
      Effect.gen(function*() {
        const { program, starts } = yield* makeProgram
        const app = yield* serveApp(routes(program))
        const early = yield* token("ada", { issuedAt: Math.floor(Date.now() / 1000) - 10, ...options })
        const { end, status } = yield* beginPost(app, `Bearer ${early}`)
        if (what === "access was revoked") yield* app.gateway.revoke(user("ada"))
        else yield* Effect.sleep("2500 millis")
        end()
        yield* until("it is answered", () => status() !== undefined)
        assert.deepStrictEqual([status(), starts], [401, []])
      }), 120_000)
  }
})

describe("a gateway that drains", () => {
  it.live("takes no further streams and starts no further runs", () =>
    Effect.gen(function*() {
      const { program, starts } = yield* makeProgram
      const app = yield* serveApp(routes(program))
      yield* app.gateway.drain
      const response = yield* app.post("/runs", asked)
      assert.deepStrictEqual([response.status, starts], [503, []])
      assert.isNotNull(response.headers.get("retry-after"))
    }))
})

describe("a client that asks for the start of a run alone", () => {
  /** It waits for a run that does not begin. */
  const waiting = Effect.gen(function*() {
    const called = yield* Deferred.make<void>()
    const app = yield* serveApp(routes(Effect.andThen(Deferred.succeed(called, undefined), Effect.never)))
    const early = yield* token("ada", { issuedAt: Math.floor(Date.now() / 1000) - 10 })
    const headers = { accept: "application/json", authorization: `Bearer ${early}` }
    const answer = yield* Effect.forkChild(app.post("/runs", asked, { headers }))
    yield* Deferred.await(called)
    return { app, answer }
  })

  it.live("holds up no server that closes", () =>
    Effect.gen(function*() {
      const { answer, app } = yield* waiting
      const [ownMs] = yield* ownTimed(app.close)
      assert.isBelow(ownMs, 2_500)
      assert.isAtLeast((yield* Fiber.join(answer)).status, 500)
    }), 120_000)

  it.live("is refused when its user's access is revoked", () =>
    Effect.gen(function*() {
      const { answer, app } = yield* waiting
      yield* app.gateway.revoke(user("ada"))
      assert.strictEqual((yield* Fiber.join(answer)).status, 401)
    }), 120_000)
})

describe("a client that does not read", () => {
  const endless = (scopes: Array<Scope.Closeable>) =>
    Layer.effectDiscard(Effect.gen(function*() {
      const router = yield* HttpRouter.HttpRouter
      const own = yield* Scope.fork(yield* Effect.scope)
      scopes.push(own)
      const server = yield* Scope.provide(RunServer.make("AgUi", { streamsPerUser: 1 }), own)
      yield* router.add(
        "GET",
        "/endless",
        (request) =>
          server.signedIn(
            request,
            (principal) =>
              server.respond(request, principal, Stream.forever(Stream.make(`data: ${"x".repeat(100_000)}\n\n`)))
          )
      )
    }))
  const make = Effect.gen(function*() {
    const scopes: Array<Scope.Closeable> = []
    const app = yield* serveApp(endless(scopes))
    const authorization = `Bearer ${yield* token("ada", { issuedAt: Math.floor(Date.now() / 1000) - 10 })}`
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => connectTo(Number(new URL(app.url).port), "127.0.0.1").on("error", () => {})),
      (socket) => Effect.sync(() => socket.destroy())
    )
    socket.pause()
    socket.write(`GET /endless HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\n\r\n`)
    yield* untilEffect("it is answered", Effect.map(app.gateway.stats, ({ sessions }) => sessions === 1))
    // Until the network takes no more.
    yield* Effect.sleep("300 millis")
    return { app, closeRoutes: Effect.forEach(scopes, (own) => Scope.close(own, Exit.void)) }
  })

  it.live("holds up no server that closes", () =>
    Effect.gen(function*() {
      const { app } = yield* make
      const [ownMs] = yield* ownTimed(app.close)
      assert.isBelow(ownMs, 4_000)
    }), 120_000)

  it.live("holds up no server whose routes closed before it", () =>
    Effect.gen(function*() {
      const { app, closeRoutes } = yield* make
      const [ownMs] = yield* ownTimed(Effect.andThen(closeRoutes, app.close))
      assert.isBelow(ownMs, 5_000)
    }), 120_000)

  it.live("is cut when its user's access is revoked, and its place is free", () =>
    Effect.gen(function*() {
      const { app } = yield* make
      yield* app.gateway.revoke(user("ada"))
      // A token says in which second it was issued.
      yield* Effect.sleep("1100 millis")
      const authorization = `Bearer ${yield* token("ada")}`
      const status = Effect.promise(async () => {
        const leaving = new AbortController()
        const { status } = await fetch(`${app.url}/endless`, { headers: { authorization }, signal: leaving.signal })
        leaving.abort()
        return status
      })
      yield* untilEffect("its place is free", Effect.map(status, (found) => found === 200), 5)
    }), 120_000)
})

describe("a stream", () => {
  // A token says in which second it was issued, and clocks differ: one that was shown before may look later.
  for (const [when, seconds] of [["long ago", -10], ["just now", 1]] as const) {
    it.live(`ends when its user's access is revoked, also by a token that was issued ${when}, and the run goes on`, () =>
      Effect.gen(function*() {
        const { program } = yield* makeProgram
        const app = yield* serveApp(routes(program))
        const shown = yield* token("ada", { issuedAt: Math.floor(Date.now() / 1000) + seconds })
        const response = yield* app.post("/runs", asked, { headers: { authorization: `Bearer ${shown}` } })
        yield* readUntil(response.clone(), "text 2")
        yield* app.gateway.revoke(user("ada"))
        assert.deepStrictEqual(messages(yield* textOf(response)), whole.slice(0, 5))
        const { snapshot } = yield* app.broker.snapshot(user("ada"), Identity.RunId.make("r1"))
        assert.strictEqual(snapshot?.state.status, "active")
      }))
  }

  it.live("tells the ending of its run when the layer closes", () =>
    Effect.gen(function*() {
      const { program } = yield* makeProgram
      const app = yield* serveApp(routes(program))
      const response = yield* app.post("/runs", asked)
      yield* readUntil(response.clone(), "text 2")
      const [text] = yield* Effect.all([textOf(response), app.close], { concurrency: 2 })
      assert.deepStrictEqual(messages(text), [...whole.slice(0, 5), "agent_error"])
    }))

  it.live("that begins while the broker goes away waits for it", () =>
    Effect.gen(function*() {
      // The first is of the sign-in.
      let asks = 0
      const away = new Broker.BrokerError({
        reason: new Broker.BrokerUnavailable({ operation: "subscribe", afterMs: 0, cause: new Error("away") })
      })
      const leaving = Layer.effect(
        Broker.Broker,
        Effect.map(Layer.build(Layer.orDie(Broker.layerMemory())), (built) => {
          const broker = Context.get(built, Broker.Broker)
          return {
            ...broker,
            subscribe: (...of: Parameters<typeof broker.subscribe>) =>
              Effect.suspend(() => ++asks > 1 && asks < 6 ? Effect.fail(away) : broker.subscribe(...of))
          }
        })
      )
      const { done, more, program } = yield* makeProgram
      yield* Deferred.succeed(more, undefined)
      yield* Deferred.succeed(done, undefined)
      const app = yield* serveApp(routes(program), {}, { broker: leaving })
      assert.deepStrictEqual(messages(yield* textOf(yield* app.post("/runs", asked))), whole)
      assert.isAtLeast(asks, 6)
    }))

  const late = [
    ["a run that is not known", "r1"],
    ["a run that goes on elsewhere", "r2"]
  ] as const

  for (const [what, run] of late) {
    it.live(`on a server that closes is told to come back, and holds nothing up: for ${what}`, () =>
      Effect.gen(function*() {
        const { program, starts } = yield* makeProgram
        const app = yield* serveApp(routes(program))
        yield* app.broker.append(user("ada"), [envelope({ agentName: "a" }, { run: "r2", type: "agent_started" })])
        const { ready, send } = yield* heldConnection(app)
        yield* ready
        const [ownMs, text] = yield* ownTimed(Effect.gen(function*() {
          const closing = yield* Effect.forkChild(app.close)
          yield* untilEffect("it drains", Effect.map(app.gateway.stats, ({ draining }) => draining))
          const text = yield* send("/runs", { run, thread: "t1" })
          yield* Fiber.join(closing)
          return text
        }))
        assert.match(text, /^HTTP\/1\.1 503 [^]*\r\nretry-after: 1\r\n[^]*"code":"draining"/iu)
        assert.deepStrictEqual(starts, [])
        assert.isBelow(ownMs, 1_500)
      }))
  }
})
