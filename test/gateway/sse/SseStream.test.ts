import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Fiber, Layer, Option, type Scope } from "effect"
import { Broker } from "effect-emitter"
import { Authenticator } from "effect-emitter/gateway"
import { EventSource } from "eventsource"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { createServer, request } from "node:http"
import { untilEffect } from "../../client/devices.ts"
import type { Session } from "../../../src/gateway/session/Session.ts"
import type { SessionContext } from "../../../src/gateway/session/SessionContext.ts"
import * as SseStream from "../../../src/gateway/sse/SseStream.ts"
import { Strangers } from "../../../src/gateway/admission/Strangers.ts"
import * as OperatorLog from "../../../src/gateway/OperatorLog.ts"
import { ConnectionId } from "../../../src/protocol/values/Identity.ts"
import { FakeBroker } from "../../hub/fakes.ts"
import { makeHub } from "../../hub/hub.ts"
import { ownTimed } from "../../support/ownTime.ts"
import { makeCommands } from "../commands.ts"
import { append, authenticator, connect, envelope, serve, type Served, token, user } from "../server.ts"

interface Received {
  readonly id: string
  readonly type: string
  readonly data: unknown
}

interface Stream {
  readonly source: EventSource
  readonly received: ReadonlyArray<Received>
  readonly until: (look: (received: ReadonlyArray<Received>) => boolean) => Effect.Effect<void>
}

const types = [
  "custom",
  "agent_started",
  "frame:welcome",
  "frame:gap",
  "frame:snapshot",
  "frame:goodbye",
  "frame:error"
]

/** Listens with the `eventsource` package, which behaves as a browser's own does. */
const listen = (
  url: string,
  headers: Record<string, string> = {}
): Effect.Effect<Stream, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const received: Array<Received> = []
      let waiting: Array<() => void> = []
      const source = new EventSource(url, {
        fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } })
      })
      for (const type of types) {
        source.addEventListener(type, (event) => {
          received.push({ id: event.lastEventId, type: event.type, data: JSON.parse(String(event.data)) })
          const waiters = waiting
          waiting = []
          for (const waiter of waiters) waiter()
        })
      }
      const until = (look: (received: ReadonlyArray<Received>) => boolean) =>
        Effect.callback<void>((resume) => {
          const attempt = () => {
            if (look(received)) resume(Effect.void)
            else waiting.push(attempt)
          }
          attempt()
        })
      return { source, received, until }
    }),
    ({ source }) => Effect.sync(() => source.close())
  )

const bearer = (name: string) => Effect.map(token(name), (text) => ({ authorization: `Bearer ${text}` }))

const events = (received: ReadonlyArray<Received>) => received.filter(({ type }) => !type.startsWith("frame:"))

const offsets = (received: ReadonlyArray<Received>) =>
  events(received).map(({ data }) =>
    typeof data === "object" && data !== null && "offset" in data ? data.offset : undefined
  )

const get = (served: Served, path: string, headers: Record<string, string>) =>
  Effect.promise((signal) =>
    fetch(served.http + path, { headers: { accept: "text/event-stream", ...headers }, signal })
  )

const post = (served: Served, headers: Record<string, string>, body: unknown) =>
  Effect.promise((signal) =>
    fetch(`${served.http}/events`, {
      method: "POST",
      headers,
      body: typeof body === "string" ? body : JSON.stringify(body),
      signal
    })
  )

describe("Server-sent events", () => {
  it.live("bring the recent runs that are asked for, with a position as well, and refuse what is too many", () =>
    Effect.gen(function*() {
      const served = yield* serve({ maxSnapshots: 3 })
      const run = (id: string, type: string) => envelope({ agentName: "a", durationMs: 1 }, { type, run: id })
      for (const id of ["r1", "r2"]) {
        yield* served.broker.append(user("ada"), [run(id, "agent_started"), run(id, "agent_completed")])
      }
      yield* served.broker.append(user("ada"), [run("r3", "agent_started")])
      const { epoch } = yield* served.broker.head(user("ada"))
      for (const query of ["snapshots=1", `snapshots=1&resume=${epoch}:4`]) {
        const stream = yield* listen(`${served.http}/events?${query}`, yield* bearer("ada"))
        const expected = [
          "frame:welcome",
          "frame:snapshot",
          "frame:snapshot",
          ...query.includes("resume") ? ["agent_started"] : []
        ]
        yield* stream.until((received) => received.length === expected.length)
        assert.deepStrictEqual(stream.received.map(({ type }) => type), expected)
      }
      for (
        const [asked, why] of [
          ["4", "3 runs at most, not 4"],
          ["-1", "a number of runs"],
          ["1e3", "a number of runs"]
        ] as const
      ) {
        const response = yield* get(served, `/events?snapshots=${asked}`, yield* bearer("ada"))
        assert.strictEqual(response.status, 400)
        assert.include(yield* Effect.promise(() => response.text()), why)
      }
    }))

  it.live("bring the same events, with their positions as ids", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* append(served, "ada", 1)
      const stream = yield* listen(`${served.http}/events`, yield* bearer("ada"))
      yield* stream.until((received) => received.length === 1)
      const { epoch } = yield* served.broker.head(user("ada"))
      assert.strictEqual(stream.received[0]?.type, "frame:welcome")
      assert.strictEqual(stream.received[0]?.id, `${epoch}:1`)

      const device = yield* connect(served, "ada")
      yield* append(served, "ada", 2, 3)
      yield* device.received(2)
      yield* stream.until((received) => events(received).length === 2)
      assert.deepStrictEqual(events(stream.received).map(({ id }) => id), [`${epoch}:2`, `${epoch}:3`])
      const websocket = device.frames.flatMap((frame) => frame.type === "events" ? frame.events : [])
      assert.deepStrictEqual(events(stream.received).map(({ data }) => data), websocket)
    }))

  it.live("resume by themselves after a lost connection, with Last-Event-ID", () =>
    Effect.gen(function*() {
      const first = yield* serve({ reconnectSpread: "1 millis" })
      const stream = yield* listen(`${first.http}/events`, yield* bearer("ada"))
      yield* stream.until((received) => received.length === 1)
      yield* append(first, "ada", 1)
      yield* stream.until((received) => events(received).length === 1)
      // The server restarts on the same port, over the same log.
      yield* first.close
      yield* append(first, "ada", 2)
      yield* serve({}, { port: first.port, broker: Layer.succeed(Broker.Broker, first.broker) })
      yield* append(first, "ada", 3)
      yield* stream.until((received) => events(received).length === 3)
      assert.deepStrictEqual(offsets(stream.received), [1, 2, 3])
      assert.isTrue(stream.received.some(({ type }) => type === "frame:goodbye"))
    }))

  it.live("say what is gone, with snapshots, and go on behind it", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* served.broker.append(user("ada"), [envelope({ agentName: "a" }, { type: "agent_started", run: "r1" })])
      const stream = yield* listen(`${served.http}/events?resume=elsewhere:3`, yield* bearer("ada"))
      yield* stream.until((received) => received.length === 4)
      assert.deepStrictEqual(
        stream.received.map(({ type }) => type),
        ["frame:welcome", "frame:gap", "frame:snapshot", "agent_started"]
      )
    }))

  it.live("filter threads", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const stream = yield* listen(`${served.http}/events?thread=t1`, yield* bearer("ada"))
      yield* stream.until((received) => received.length === 1)
      for (const thread of ["t1", "t2", "t1"]) {
        yield* served.broker.append(user("ada"), [envelope({ n: 1 }, { thread })])
      }
      yield* stream.until((received) => events(received).length === 2)
      assert.deepStrictEqual(offsets(stream.received), [1, 3])
    }))

  it.live("accept a session that the request shows, such as a cookie", () =>
    Effect.gen(function*() {
      const cookies = Authenticator.withRequest((request) =>
        Effect.succeed(
          request.cookies["session"] === "ada's"
            ? Option.some({ userId: user("ada"), expiresAt: undefined })
            : Option.none()
        )
      )
      const served = yield* serve({}, { authenticator: cookies(Layer.orDie(authenticator)) })
      const stream = yield* listen(`${served.http}/events`, { cookie: "session=ada's" })
      yield* stream.until((received) => received.length === 1)
      const refused = yield* get(served, "/events", { cookie: "session=forged" })
      assert.strictEqual(refused.status, 401)
    }))

  it.live("are refused with 503 while credentials cannot be checked", () =>
    Effect.gen(function*() {
      const hangs = Authenticator.layerRequest(() => Effect.never)
      const served = yield* serve({ helloTimeout: "100 millis" }, { authenticator: hangs })
      assert.strictEqual((yield* get(served, "/events", {})).status, 503)
    }))

  it.live("send a comment every heartbeat", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "50 millis" })
      const response = yield* get(served, "/events", yield* bearer("ada"))
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream; charset=utf-8")
      const reader = response.body?.getReader() ?? assert.fail("no body")
      let text = ""
      while (!text.includes(": ping\n\n: ping\n\n")) {
        const { value } = yield* Effect.promise(() => reader.read())
        text += new TextDecoder().decode(value)
      }
      assert.notInclude(text, "\r")
      yield* Effect.promise(() => reader.cancel())
      yield* untilEffect(
        "it is forgotten",
        Effect.map(served.gateway.stats, ({ connections, sessions, users }) => connections + sessions + users === 0)
      )
    }))

  it.live("have the same limits, said by status", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perUser: 1 } })
      const headers = yield* bearer("ada")
      const status = (path: string, more: Record<string, string>) =>
        Effect.map(get(served, path, more), (response) => response.status)
      assert.strictEqual(yield* status("/events", {}), 401)
      assert.strictEqual(yield* status("/events", { authorization: "Bearer forged" }), 401)
      assert.strictEqual(yield* status("/events", { ...headers, origin: "https://evil.example" }), 403)
      assert.strictEqual(yield* status("/events?resume=nowhere", headers), 400)
      assert.strictEqual(yield* status("/events?thread=a%20b", headers), 400)
      assert.strictEqual(yield* status(`/events?token=${yield* token("ada")}`, {}), 401)
      const { socket } = yield* connect(served, "ada")
      socket.on("message", (data) => {
        if (String(data).includes(`"ping"`)) socket.send(`{"type":"pong"}`)
      })
      const full = yield* get(served, "/events", headers)
      assert.strictEqual(full.status, 429)
      assert.isAtLeast(Number(full.headers.get("retry-after")), 30)
    }))

  it.live("are acknowledged by POST, on any node and by their own user alone", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const other = yield* serve({}, { broker: Layer.succeed(Broker.Broker, served.broker) })
      const position = yield* served.broker.append(user("ada"), [envelope({ n: 1 }, { confirm: true })])
      const confirmed = yield* Effect.forkChild(served.broker.acknowledged(user("ada"), position))
      const ack = { type: "ack", ...position, confirmed: [position.offset] }
      assert.strictEqual((yield* post(other, yield* bearer("bob"), ack)).status, 204)
      assert.strictEqual((yield* post(other, yield* bearer("ada"), { ...ack, epoch: "elsewhere" })).status, 204)
      yield* Effect.sleep("20 millis")
      assert.isUndefined(confirmed.pollUnsafe())
      assert.strictEqual((yield* post(other, yield* bearer("ada"), { ...ack, future: "field" })).status, 204)
      yield* Fiber.join(confirmed)
      // All three were passed on; what they are worth is the broker's to say.
      assert.strictEqual((yield* other.gateway.stats).acknowledgements, 3)
    }))

  it.live("fault 37: confirm by POST only the events that they name, and nothing past the head", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const headers = yield* bearer("ada")
      const ofA = yield* served.broker.append(user("ada"), [envelope({ n: 1 }, { confirm: true, thread: "a" })])
      const ofB = yield* served.broker.append(user("ada"), [envelope({ n: 2 }, { confirm: true, thread: "b" })])
      const { epoch } = ofB
      const acknowledge = (offset: number, confirmed?: ReadonlyArray<number>) =>
        Effect.map(post(served, headers, { type: "ack", epoch, offset, confirmed }), ({ status }) => status)
      const [first, second] = yield* Effect.forEach(
        [ofA, ofB],
        (position) => Effect.forkChild(served.broker.acknowledged(user("ada"), position))
      )
      assert.strictEqual(yield* acknowledge(2), 204)
      assert.strictEqual(yield* acknowledge(1, [2]), 204)
      assert.strictEqual(yield* acknowledge(9, [9]), 204)
      assert.strictEqual(yield* acknowledge(2, Array.from({ length: 65 }, () => 2)), 400)
      assert.deepStrictEqual([first?.pollUnsafe(), second?.pollUnsafe()], [undefined, undefined])
      assert.strictEqual(yield* acknowledge(2, [2]), 204)
      yield* Fiber.join(second ?? assert.fail("no wait"))
      assert.isUndefined(first?.pollUnsafe())
      assert.strictEqual(yield* acknowledge(2, [1]), 204)
      yield* Fiber.join(first ?? assert.fail("no wait"))
    }))

  it.live("fault 22: a filter without threads means no thread, over both transports, and events of no thread come", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const device = yield* connect(served, "ada", { threads: [] })
      const stream = yield* listen(`${served.http}/events?thread=`, yield* bearer("ada"))
      yield* stream.until((received) => received.length > 0)
      yield* served.broker.append(user("ada"), [
        envelope({ n: 1 }, { thread: "a" }),
        envelope({ n: 2 }),
        envelope({ n: 3 }, { thread: "b" }),
        envelope({ n: 4 })
      ])
      yield* device.received(2)
      assert.deepStrictEqual(device.numbers(), [2, 4])
      yield* stream.until((received) => events(received).length === 2)
      assert.deepStrictEqual(offsets(stream.received), [2, 4])
    }))

  it.live("hold acknowledgements to the same limits, and repeat nothing of what is wrong with one", () =>
    Effect.gen(function*() {
      const served = yield* serve({ framesPerSecond: 5, maxFrameBytesIn: 2_000 })
      const headers = yield* bearer("ada")
      const ack = { type: "ack", epoch: "E", offset: 1 }
      const answer = Effect.fnUntraced(function*(more: Record<string, string>, body: unknown) {
        const response = yield* post(served, more, body)
        const text = yield* Effect.promise(() => response.text())
        assert.notInclude(text, "s3cret")
        return [response.status, text === "" ? undefined : JSON.parse(text).code]
      })
      assert.deepStrictEqual(yield* answer({}, ack), [401, "unauthenticated"])
      assert.deepStrictEqual(yield* answer({ authorization: "Bearer s3cret" }, ack), [401, "unauthenticated"])
      const foreign = { ...headers, origin: "https://evil.example" }
      assert.deepStrictEqual(yield* answer(foreign, ack), [403, "originRefused"])
      const frames = [{ ...ack, epoch: undefined }, { ...ack, offset: "s3cret" }, { type: "pong" }]
      for (const frame of frames) {
        assert.deepStrictEqual(yield* answer(headers, frame), [400, "badFrame"])
      }
      assert.deepStrictEqual(yield* answer(headers, "x".repeat(2_001)), [413, "frameTooLarge"])
      assert.deepStrictEqual(yield* answer(headers, ack), [204, undefined])
      const many = yield* Effect.forEach(Array.from({ length: 40 }), () => answer(headers, ack), {
        concurrency: "unbounded"
      })
      assert.includeDeepMembers(many, [[429, "tooManyFrames"]])
      assert.deepStrictEqual(yield* answer(yield* bearer("bob"), ack), [204, undefined])
      yield* untilEffect("they are taken again", Effect.map(answer(headers, ack), ([status]) => status === 204))
    }))

  it.live("cut a request whose acknowledgement does not arrive in time", () =>
    Effect.gen(function*() {
      const served = yield* serve({ helloTimeout: "100 millis" })
      const headers = { ...yield* bearer("ada"), "content-length": "100" }
      const cut = Effect.callback<string>((resume) => {
        const sending = request(`${served.http}/events`, { method: "POST", headers })
        sending.on("response", () => resume(Effect.succeed("answered")))
        sending.on("error", () => resume(Effect.succeed("cut")))
        sending.write("{")
      })
      assert.strictEqual(yield* cut, "cut")
    }))

  it.live("fault 18: are told of by HEAD, which holds no place", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      // Not of the second in which the user's access is revoked.
      const issuedAt = Math.floor(Date.now() / 1000) - 60
      const headers = { accept: "text/event-stream", authorization: `Bearer ${yield* token("ada", { issuedAt })}` }
      const head = (more: Record<string, string>, query = "") =>
        Effect.promise(() => fetch(`${served.http}/events${query}`, { method: "HEAD", headers: more }))
      const answer = yield* head(headers)
      assert.strictEqual(answer.status, 200)
      assert.include(answer.headers.get("content-type"), "text/event-stream")
      assert.strictEqual((yield* head({ accept: "text/event-stream" })).status, 401)
      for (const query of ["?resume=here", `?thread=${"x".repeat(129)}`]) {
        assert.strictEqual((yield* head(headers, query)).status, 400, query)
      }
      assert.strictEqual((yield* head({ ...headers, "last-event-id": "here" })).status, 400)
      assert.strictEqual((yield* head(headers, "?resume=k3J9xQ:4&thread=t1")).status, 200)
      const busy = yield* serve({ connections: { perSecond: 1 } })
      const heads = yield* Effect.forEach(
        Array.from({ length: 5 }),
        () => Effect.promise(() => fetch(`${busy.http}/events`, { method: "HEAD", headers }))
      )
      assert.deepStrictEqual(new Set(heads.map(({ status }) => status)), new Set([200]))
      yield* served.gateway.revoke(user("ada"))
      assert.strictEqual((yield* head(headers)).status, 401)
      assert.deepStrictEqual((yield* served.gateway.stats).sessions, 0)
    }))

  it.live("fault 46: name the wait and the position in the fields of welcome, gap and goodbye", () =>
    Effect.gen(function*() {
      const served = yield* serve({ reconnectSpread: "2 seconds" })
      yield* append(served, "ada", 1, 2)
      const { epoch } = yield* served.broker.head(user("ada"))
      const open = (path: string, more: Record<string, string> = {}) =>
        Effect.gen(function*() {
          const { body } = yield* get(served, path, { ...more, ...yield* bearer("ada") })
          const reader = body?.getReader() ?? assert.fail("no body")
          let text = ""
          const until = (part: string) =>
            Effect.promise(async () => {
              while (!text.includes(part)) {
                const { done, value } = await reader.read()
                if (done) throw new Error(`the end came before ${part}: ${text}`)
                text += new TextDecoder().decode(value)
              }
              return text
            })
          return until
        })
      const fresh = yield* open("/events")
      // A device that begins stands at the head, and comes back to it.
      assert.match(yield* fresh("\n\n"), new RegExp(`^retry: [12]\\d{3}\nid: ${epoch}:2\nevent: frame:welcome\n`, "u"))
      const resumed = yield* open(`/events?resume=${epoch}:1`)
      // One that resumes has not been handed what lies before the head.
      assert.match(yield* resumed(`id: ${epoch}:2`), /^retry: [12]\d{3}\nevent: frame:welcome\n/u)
      const past = yield* open("/events?resume=elsewhere:9")
      assert.match(yield* past("frame:gap"), new RegExp(`\nid: ${epoch}:\\d+\nevent: frame:gap\n`, "u"))
      // An EventSource has come further since the page chose its address; its first request has no position.
      const both = yield* open(`/events?resume=${epoch}:0`, { "last-event-id": `${epoch}:1` })
      const told = yield* both(`id: ${epoch}:2`)
      assert.notInclude(told, `id: ${epoch}:1\n`)
      const empty = yield* open(`/events?resume=${epoch}:0`, { "last-event-id": "" })
      assert.include(yield* empty(`id: ${epoch}:2`), `id: ${epoch}:1\n`)
      yield* served.gateway.drain
      assert.match(yield* fresh("frame:goodbye"), /\nretry: \d{1,4}\nevent: frame:goodbye\n/u)
    }))

  it.live(
    "fault 45: get no ping while they are full, since it could not be read before what waits",
    () =>
      Effect.gen(function*() {
        const patient = { bytes: 64 * 1024 * 1024, after: "1 hour" } as const
        const served = yield* serve({
          heartbeat: "50 millis",
          slow: { volatile: patient, batched: patient, close: patient }
        })
        const stuck = yield* get(served, "/events", yield* bearer("ada"))
        const text = "x".repeat(256 * 1024)
        const backlog = Effect.map(served.gateway.stats, (stats) => stats.backlog)
        let n = 0
        let before = 0
        yield* untilEffect(
          "the network takes no more",
          Effect.gen(function*() {
            yield* Effect.orDie(served.broker.append(user("ada"), [envelope({ n: ++n, text })]))
            yield* Effect.sleep("20 millis")
            const waiting = yield* backlog
            const isFull = waiting > 0 && waiting === before
            before = waiting
            return isFull
          })
        )
        yield* Effect.sleep("500 millis")
        assert.strictEqual(yield* backlog, before)
        yield* Effect.promise(() => stuck.body?.cancel() ?? Promise.resolve())
      }),
    20_000
  )

  it.live("fault 38: let go of a device that stops reading, and of its place", () =>
    Effect.gen(function*() {
      const served = yield* serve({
        slow: { close: { after: "300 millis" }, batched: { after: "200 millis" }, volatile: { after: "100 millis" } },
        heartbeat: "2 seconds"
      })
      const stuck = yield* get(served, "/events", yield* bearer("ada"))
      const text = "x".repeat(256 * 1024)
      for (let n = 0; n < 40; n++) {
        yield* served.broker.append(user("ada"), [envelope({ n, text })])
        yield* Effect.sleep("10 millis")
      }
      yield* untilEffect(
        "it is let go",
        Effect.map(served.gateway.stats, ({ closed, connections, sessions }) =>
          closed["tooSlow"] === 1 && sessions === 0 && connections === 0)
      )
      yield* Effect.promise(() =>
        stuck.body?.cancel() ?? Promise.resolve()
      )
    }), 120_000)

  it.live("fault 39: that are refused while they open say why, and when to come back", () =>
    Effect.gen(function*() {
      const hanging = Layer.effect(
        Broker.Broker,
        Effect.map(Layer.build(Layer.orDie(Broker.layerMemory())), (built) => ({
          ...Context.get(built, Broker.Broker),
          snapshots: () => Effect.never
        }))
      )
      const refused = new Broker.BrokerError({
        reason: new Broker.BrokerRefused({ operation: "snapshots", detail: "out of memory" })
      })
      const refusing = Layer.effect(
        Broker.Broker,
        Effect.map(Layer.build(Layer.orDie(Broker.layerMemory())), (built) => ({
          ...Context.get(built, Broker.Broker),
          snapshots: () => Effect.fail(refused)
        }))
      )
      const served = yield* serve({}, { broker: hanging })
      const failing = yield* serve({ reconnectSpread: "3 seconds" }, { broker: refusing })
      const away = yield* get(failing, "/events", yield* bearer("ada"))
      assert.strictEqual(away.status, 503)
      assert.include(["1", "2", "3"], away.headers.get("retry-after"))
      assert.strictEqual((yield* Effect.promise(() => away.json())).code, "brokerUnavailable")

      const headers = yield* bearer("ada")
      const revoked = yield* Effect.forkChild(get(served, "/events", headers))
      yield* untilEffect("it opens", Effect.map(served.gateway.stats, ({ sessions }) => sessions === 1))
      yield* served.gateway.revoke(user("ada"))
      const unauthenticated = yield* Fiber.join(revoked)
      assert.strictEqual(unauthenticated.status, 401)
      assert.strictEqual((yield* Effect.promise(() => unauthenticated.json())).code, "unauthenticated")

      const draining = yield* Effect.forkChild(get(served, "/events", yield* bearer("bob")))
      yield* untilEffect("it opens", Effect.map(served.gateway.stats, ({ sessions }) => sessions === 1))
      yield* served.gateway.drain
      const unavailable = yield* Fiber.join(draining)
      assert.strictEqual(unavailable.status, 503)
      assert.isAtLeast(Number(unavailable.headers.get("retry-after")), 1)
      assert.strictEqual((yield* Effect.promise(() => unavailable.json())).code, "draining")
    }))

  it.live("fault 45: end with a device that had gone before anybody listened to it", () =>
    Effect.gen(function*() {
      const hub = yield* makeHub(new FakeBroker({ maxEvents: 10, delay: Effect.void }))
      const clock = yield* Clock.Clock
      const few = { count: 10, ms: Infinity }
      const sessions = new Set<Session>()
      const context: SessionContext = {
        limits: {
          helloTimeoutMs: 5_000,
          heartbeatMs: 25_000,
          silenceMs: 37_500,
          expiryGraceMs: 10_000,
          framesPerSecond: 50,
          maxSnapshots: 100,
          maxFrameBytesIn: 16_384,
          retentionMs: 1
        },
        hub,
        commands: yield* makeCommands(),
        authenticator: { verify: () => Effect.never, recognize: () => Effect.never },
        strangers: new Strangers({ silent: few, unauthenticated: few, refused: few }, () => 0),
        clock,
        compressor: undefined,
        run: Effect.runFork,
        add: (session) => sessions.add(session),
        remove: (session) => sessions.delete(session),
        nextId: () => ConnectionId.make("c1"),
        tell: OperatorLog.make(clock),
        admits: () => true,
        comeBackAfterMs: () => 0,
        closed: () => {}
      }
      let began = 0
      let ended = 0
      // What is done before, such as to identify the device, cannot be interrupted.
      const route = HttpRouter.add("GET", "/stream", (request) => {
        const response = NodeHttpServerRequest.toServerResponse(request)
        const hasGone = Effect.callback<void>((resume) => {
          response.once("close", () => resume(Effect.void))
        })
        const stream = SseStream.serve(context, request, {
          headers: {},
          principal: { userId: user("ada"), expiresAt: undefined },
          resume: undefined,
          threads: undefined,
          snapshots: undefined
        })
        began++
        return Effect.andThen(hasGone, stream).pipe(
          Effect.orDie,
          Effect.ensuring(Effect.sync(() => ended++)),
          Effect.as(HttpServerResponse.empty()),
          Effect.uninterruptible
        )
      })
      const built = yield* Layer.build(
        HttpRouter.serve(route, { disableListenLog: true, disableLogger: true }).pipe(
          Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
        )
      )
      const { address } = Context.get(built, HttpServer.HttpServer)
      const port = "port" in address ? address.port : 0
      const device = request({ host: "127.0.0.1", port, path: "/stream" })
      device.on("error", () => {})
      device.end()
      yield* untilEffect("it has begun", Effect.sync(() => began === 1))
      device.destroy()
      yield* untilEffect("it has ended", Effect.sync(() => ended === 1))
      assert.deepStrictEqual([sessions.size, (yield* hub.stats).connections], [0, 0])
    }))

  it.live("fault 24: can be read by the pages of listed origins, with preflight and POST", () =>
    Effect.gen(function*() {
      const origin = "https://app.example.com"
      const served = yield* serve({ origins: [origin] })
      const ask = (method: string, more: Record<string, string>, body?: string) =>
        Effect.promise((signal) =>
          fetch(`${served.http}/events`, { method, signal, headers: more, ...(body === undefined ? {} : { body }) })
        )
      const preflight = yield* ask("OPTIONS", { origin, "access-control-request-method": "GET" })
      assert.strictEqual(preflight.status, 204)
      assert.strictEqual(preflight.headers.get("access-control-allow-origin"), origin)
      assert.include(preflight.headers.get("access-control-allow-headers"), "authorization")
      assert.include(preflight.headers.get("access-control-allow-headers"), "last-event-id")
      assert.strictEqual((yield* ask("OPTIONS", { origin: "https://evil.example" })).status, 403)

      const headers = { origin, ...yield* bearer("ada") }
      const stream = yield* get(served, "/events", headers)
      assert.deepStrictEqual(
        [
          stream.status,
          stream.headers.get("access-control-allow-origin"),
          stream.headers.get("access-control-allow-credentials")
        ],
        [200, origin, "true"]
      )
      const { epoch } = yield* served.broker.head(user("ada"))
      const posted = yield* ask("POST", headers, JSON.stringify({ type: "ack", epoch, offset: 0 }))
      assert.deepStrictEqual([posted.status, posted.headers.get("access-control-allow-origin")], [204, origin])
      const refused = yield* get(served, "/events", { origin })
      assert.deepStrictEqual([refused.status, refused.headers.get("access-control-allow-origin")], [401, origin])
      // An answer that a cache gives to another page would not be readable there.
      for (const { headers: sent } of [stream, posted, refused]) assert.strictEqual(sent.get("vary"), "Origin")
      const methods = preflight.headers.get("access-control-allow-methods")?.split(", ")
      assert.sameMembers(methods ?? [], ["GET", "POST"])
      const anywhere = yield* serve({ origins: "any" })
      const open = yield* get(anywhere, "/events", headers)
      assert.strictEqual(open.headers.get("access-control-allow-origin"), "*")
      assert.isNull(open.headers.get("access-control-allow-credentials"))
    }))

  it.live("fault 24: that are refused because a node is full or draining say so to pages of listed origins as well", () =>
    Effect.gen(function*() {
      const origin = "https://app.example.com"
      const served = yield* serve({ origins: [origin], connections: { perNode: 1, perUser: 1 } })
      const headers = { origin, ...yield* bearer("bob") }
      const refusal = Effect.map(
        get(served, "/events", headers),
        (answer) => [
          answer.status,
          answer.headers.get("access-control-allow-origin"),
          answer.headers.get("access-control-expose-headers")?.split(", ").includes("retry-after"),
          answer.headers.has("retry-after")
        ]
      )
      const readable = [503, origin, true, true]
      yield* connect(served, "ada")
      assert.deepStrictEqual(yield* refusal, readable)
      assert.strictEqual((yield* served.gateway.stats).refused.node, 1)
      yield* served.gateway.drain
      assert.deepStrictEqual(yield* refusal, readable)
      const evil = yield* get(served, "/events", { ...headers, origin: "https://evil.example" })
      // It may read that it is refused, and nothing else.
      const readBy = ["origin", "credentials"].map((what) => evil.headers.get(`access-control-allow-${what}`))
      assert.deepStrictEqual([evil.status, ...readBy], [403, "https://evil.example", null])
    }))

  it.live("fault 13: are not opened by pages elsewhere that send no origin", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const listed = yield* serve({ origins: ["https://app.example.com"] })
      const headers = yield* bearer("ada")
      for (
        const [site, status] of [["same-site", 403], ["cross-site", 403], ["same-origin", 200], ["none", 200]] as const
      ) {
        const answer = yield* get(served, "/events", { ...headers, "sec-fetch-site": site })
        assert.strictEqual(answer.status, status, site)
        const ofAList = yield* get(listed, "/events", { ...headers, "sec-fetch-site": site })
        assert.strictEqual(ofAList.status, status, site)
      }
    }))

  it.live("end with a goodbye when the server closes", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const stream = yield* listen(`${served.http}/events`, yield* bearer("ada"))
      yield* stream.until((received) => received.length === 1)
      const [ownMs] = yield* ownTimed(served.close)
      assert.isBelow(ownMs, 1_500)
      yield* stream.until((received) => received.some(({ type }) => type === "frame:goodbye"))
    }))

  it.live("do not grow the server when nobody reads them", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const stuck = yield* get(served, "/events", yield* bearer("ada"))
      const text = "x".repeat(256 * 1024)
      let largest = 0
      for (let n = 0; n < 200; n++) {
        yield* served.broker.append(user("ada"), [envelope({ n, text })])
        yield* Effect.sleep(0)
        largest = Math.max(largest, (yield* served.gateway.stats).backlog)
      }
      assert.isAbove(largest, 0)
      assert.isAtMost(largest, 512 * 1024)
      yield* Effect.promise(() => stuck.body?.cancel() ?? Promise.resolve())
    }))
})
