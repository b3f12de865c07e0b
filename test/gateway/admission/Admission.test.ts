import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Option, Redacted } from "effect"
import { Admission, Authenticator, type GatewayConfig } from "effect-emitter/gateway"
import { HttpServerRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { Agent, get } from "node:http"
import { untilEffect } from "../../client/devices.ts"
import * as WallClock from "../../support/wallClock.ts"
import { connect, dial, envelope, serve, type Served, token, user } from "../server.ts"

const ask = (served: Served, headers: Record<string, string>, method = "GET") =>
  Effect.promise((signal) =>
    fetch(`${served.http}/events`, { method, signal, headers: { accept: "text/event-stream", ...headers } })
  ).pipe(Effect.tap((response) => Effect.promise(async () => response.body?.cancel())))

// All at once, so that a slow machine gives the rate little time to fill up again in between.
const askAll = (served: Served, times: number, headers: Record<string, string>, method?: string) =>
  Effect.forEach(Array.from({ length: times }), () => ask(served, headers, method), { concurrency: "unbounded" })

const statuses = (...asked: Parameters<typeof askAll>) =>
  Effect.map(askAll(...asked), (answers) => answers.map(({ status }) => status))

/** The same again and again, until one of them is not looked at: a slow machine gives the rate time to fill up again. */
const untilRefused = <A extends { readonly status: number }, R>(burst: Effect.Effect<ReadonlyArray<A>, never, R>) =>
  Effect.map(
    Effect.repeat(burst, { until: (answers) => answers.some(({ status }) => status === 429) }),
    (answers) => answers.find(({ status }) => status === 429) ?? assert.fail("nothing was refused")
  )

const some = { requestsPerAddress: 5 } satisfies GatewayConfig.Options

describe("Admission", () => {
  it.live(
    "fault 2: strangers of one address take no place of devices, nor of the node's rate",
    () =>
      Effect.gen(function*() {
        const served = yield* serve({ requestsPerAddress: 2, connections: { perSecond: 20 } })
        const began = performance.now()
        const refused = yield* statuses(served, 120, {})
        const tookSeconds = (performance.now() - began) / 1_000
        assert.deepStrictEqual(new Set(refused), new Set([401, 429]))
        yield* Effect.sleep("1 second")
        for (let n = 0; n < 15; n++) yield* connect(served, `user-${n}`)
        const { connections, refused: by } = yield* served.gateway.stats
        assert.strictEqual(connections, 15)
        assert.strictEqual(by.rate, 0)
        // Two pass at once, and two more for each second that the machine takes to ask.
        assert.isAtLeast(by.address, 120 - 2 * (2 + Math.ceil(tookSeconds)))
        assert.strictEqual(by.address, refused.filter((status) => status === 429).length)
      }),
    120_000
  )

  it.live(
    "fault 2: holds upgrades, streams and POST to the same limit, and says when to come back",
    () =>
      Effect.gen(function*() {
        const post = yield* serve(some)
        yield* untilRefused(askAll(post, 12, {}, "POST"))
        const upgrades = yield* serve(some)
        const knock = dial(upgrades.url).pipe(
          Effect.as({ status: 101 }),
          Effect.catch(({ status }) => Effect.succeed({ status }))
        )
        yield* untilRefused(Effect.all(Array.from({ length: 12 }, () => knock), { concurrency: "unbounded" }))
        const streams = yield* serve(some)
        const late = yield* untilRefused(askAll(streams, 12, {}))
        assert.deepStrictEqual([late.status, late.headers.get("retry-after")], [429, "1"])
        // Who may come, by then, is not held against others at the same address.
        const headers = { authorization: `Bearer ${yield* token("ada")}` }
        const devices = yield* serve(some)
        assert.deepStrictEqual(new Set(yield* statuses(devices, 12, headers)), new Set([200]))
      }),
    120_000
  )

  it.live("fault 2: hangs up on what it does not look at, so that no refused socket is left", () =>
    Effect.gen(function*() {
      const served = yield* serve({ requestsPerAddress: 1, silentTimeout: "1 minute" })
      const agent = new Agent({ keepAlive: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
      const answer = (headers: Record<string, string>) =>
        Effect.callback<string>((resume) => {
          get(`${served.http}/events`, { agent, headers }, (response) => {
            response.resume()
            response.on("end", () => resume(Effect.succeed(`${response.statusCode} ${response.headers.connection}`)))
          })
        })
      const all = Array.from({ length: 20 }, () => answer({}))
      const answers = yield* Effect.all(all, { concurrency: "unbounded" })
      assert.include(answers, "429 close")
      assert.notInclude(answers, "429 keep-alive")
      assert.strictEqual(yield* answer({ origin: "https://evil.example" }), "403 close")
    }))

  it.live("fault 2: behind a proxy that nobody told of nothing is counted, and by the named header if one is", () =>
    Effect.gen(function*() {
      const behind = yield* serve(some)
      assert.deepStrictEqual(new Set(yield* statuses(behind, 12, { "x-forwarded-for": "203.0.113.7" })), new Set([401]))
      const told = yield* serve({ ...some, addressHeader: "X-Real-IP" })
      yield* untilRefused(askAll(told, 12, { "x-real-ip": "203.0.113.7" }))
      assert.deepStrictEqual(yield* statuses(told, 1, { "x-real-ip": "203.0.113.8" }), [401])
    }))

  it.live("fault 2: is the program's own where it provides one", () =>
    Effect.gen(function*() {
      const served = yield* serve({}, {
        admission: Layer.succeed(Admission.Admission, {
          admit: () => Effect.fail(new Admission.NotAdmitted({ retryAfterMs: 7_000 }))
        })
      })
      const answer = yield* ask(served, { authorization: `Bearer ${yield* token("ada")}` })
      assert.deepStrictEqual([answer.status, answer.headers.get("retry-after")], [429, "7"])
    }))

  it.effect("counts addresses of IPv6 by their network", () =>
    Effect.gen(function*() {
      const { admit } = Admission.makeAddresses({ clock: yield* Clock.Clock, perSecond: 1 })
      const from = (address: string) =>
        HttpServerRequest.fromWeb(new Request("http://app.example/events")).modify({
          remoteAddress: Option.some(address)
        })
      const admits = (address: string) =>
        Effect.match(admit(from(address)), { onFailure: () => false, onSuccess: () => true })
      assert.isTrue(yield* admits("2001:db8:0:1::1"))
      assert.isFalse(yield* admits("2001:db8:0:1:ffff::2"))
      assert.isTrue(yield* admits("2001:db8:0:2::1"))
      assert.isTrue(yield* admits("::ffff:203.0.113.7"))
      assert.isTrue(yield* admits("::ffff:203.0.113.8"))
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* admits("2001:db8:0:1::3"))
    }))
})

describe("Admission, while the wall clock steps back", () => {
  it.effect("fault 35: takes as many requests of an address again a second later", () =>
    Effect.gen(function*() {
      const { admit } = Admission.makeAddresses({ clock: yield* Clock.Clock, perSecond: 1 })
      const request = HttpServerRequest.fromWeb(new Request("http://app.example/events")).modify({
        remoteAddress: Option.some("203.0.113.7")
      })
      const admits = Effect.match(admit(request), { onFailure: () => false, onSuccess: () => true })
      assert.deepStrictEqual([yield* admits, yield* admits], [true, false])
      yield* WallClock.step("-1 hours")
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* admits)
    }).pipe(Effect.provide(WallClock.WallClock.layer)))
})

describe("A node's limit on connections", () => {
  it.live("fault 14: leaves its places to devices, however many strangers are there", () =>
    Effect.gen(function*() {
      const served = yield* serve({ connections: { perNode: 2, perUser: 2 }, helloTimeout: "1 minute" })
      for (let n = 0; n < 5; n++) yield* dial(served.url)
      yield* connect(served, "ada")
      const { socket } = yield* connect(served, "bob")
      const full = yield* Effect.flip(dial(served.url))
      assert.deepStrictEqual([full.status, JSON.parse(full.body).code], [503, "full"])
      // A stranger that is there says hello once the node is full.
      assert.strictEqual((yield* served.gateway.stats).refused.node, 1)
      socket.close()
      yield* untilEffect("there is room", Effect.map(served.gateway.stats, ({ connections }) => connections === 1))
      yield* connect(served, "carol")
    }))
})

describe("An authenticator that hangs", () => {
  it.live("fault 17: with a renewal holds up no acknowledgement, and is given up in time", () =>
    Effect.gen(function*() {
      const hangs = Layer.succeed(Authenticator.Authenticator, {
        verify: (shown) =>
          Redacted.value(shown) === "first"
            ? Effect.succeed({ userId: user("ada"), expiresAt: undefined, issuedAt: 0 })
            : Effect.never,
        recognize: () => Effect.succeedNone
      })
      const served = yield* serve({ helloTimeout: "200 millis" }, { authenticator: hangs })
      const device = yield* connect(served, "ada", { token: "first" })
      for (let n = 0; n < 20; n++) yield* device.send({ type: "token", token: `never ${n}` })
      yield* served.broker.append(user("ada"), [envelope({ n: 1 }, { confirm: true })])
      yield* device.received(1)
      yield* device.send({ type: "ack", offset: 1 })
      yield* served.broker.acknowledged(user("ada"), { epoch: device.welcome.epoch, offset: 1 })
      assert.strictEqual((yield* device.closed).code, 4500)
      const late = yield* dial(served.url)
      yield* late.send({ type: "hello", token: "never" })
      assert.strictEqual((yield* late.closed).code, 4500)
    }))
})
