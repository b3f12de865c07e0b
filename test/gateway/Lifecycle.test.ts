import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { Broker } from "effect-emitter"
import { Authenticator, CommandPolicy } from "effect-emitter/gateway"
import { request } from "node:http"
import { until, untilEffect } from "../client/devices.ts"
import { patience } from "../support/patience.ts"
import { ownTimed } from "../support/ownTime.ts"
import { append, authenticator, connect, dial, envelope, serve, token, user } from "./server.ts"

/** A memory broker whose operations fail, die or never end when told to. */
const unreliable = (mode: { current: "works" | "fails" | "dies" | "hangs" }) =>
  Layer.effect(
    Broker.Broker,
    Effect.gen(function*() {
      const broker = Context.get(yield* Layer.build(Layer.orDie(Broker.layerMemory())), Broker.Broker)
      const failure = new Broker.BrokerError({
        reason: new Broker.BrokerRefused({ operation: "pull", detail: "out of memory" })
      })
      const guard = <A, E>(effect: Effect.Effect<A, E>, ofAda: boolean): Effect.Effect<A, E | Broker.BrokerError> =>
        Effect.suspend((): Effect.Effect<A, E | Broker.BrokerError> => {
          if (!ofAda) return effect
          switch (mode.current) {
            case "works":
              return effect
            case "fails":
              return Effect.fail(failure)
            case "dies":
              return Effect.die(new Error("a bug"))
            case "hangs":
              return Effect.never
          }
        })
      return {
        ...broker,
        pull: (of, after, limits) => guard(broker.pull(of, after, limits), of === "ada"),
        snapshots: (of, since, recent) => guard(broker.snapshots(of, since, recent), of === "ada"),
        snapshot: (of, run) => guard(broker.snapshot(of, run), of === "ada"),
        acknowledge: (of, position) => guard(broker.acknowledge(of, position), of === "ada")
      }
    })
  )

describe("Closing", () => {
  it.live("says goodbye with 4500 to every device, and is over soon", () =>
    Effect.gen(function*() {
      const served = yield* serve({ reconnectSpread: "2 seconds" })
      const ada = yield* connect(served, "ada")
      const bob = yield* connect(served, "bob")
      const silent = yield* dial(served.url)
      const [ownMs] = yield* ownTimed(served.close)
      assert.isBelow(ownMs, 1_500)
      for (const device of [ada, bob, silent]) {
        assert.deepStrictEqual(yield* device.closed, { code: 4500, reason: "draining" })
        const last = device.frames.at(-1)
        assert.strictEqual(last?.type, "goodbye")
        if (last?.type === "goodbye") assert.isBelow(last.reconnectAfterMs, 2_000)
      }
    }))

  it.live("still sends what was appended just before", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const device = yield* connect(served, "ada")
      yield* append(served, "ada", 1, 2, 3)
      yield* served.gateway.drain
      assert.deepStrictEqual(device.frames.map(({ type }) => type), ["welcome", "events", "goodbye"])
      assert.deepStrictEqual(device.numbers(), [1, 2, 3])
    }))

  it.live("fault 25: still sends what was appended just before, also where no wake-up has told of it yet", () =>
    Effect.gen(function*() {
      const deaf = Layer.effect(
        Broker.Broker,
        Effect.map(Layer.build(Layer.orDie(Broker.layerMemory())), (built) => {
          const { subscribeUnscoped: _, ...broker } = Context.get(built, Broker.Broker)
          return { ...broker, subscribe: () => Effect.void }
        })
      )
      const served = yield* serve({}, { broker: deaf })
      const device = yield* connect(served, "ada")
      yield* append(served, "ada", 1, 2, 3)
      yield* served.close
      assert.deepStrictEqual(device.frames.map(({ type }) => type), ["welcome", "events", "goodbye"])
      assert.deepStrictEqual(device.numbers(), [1, 2, 3])
    }))

  it.live("does not wait for devices that never answer", () =>
    Effect.gen(function*() {
      const served = yield* serve({ drainTimeout: "300 millis" })
      const device = yield* connect(served, "ada")
      device.socket.pause()
      const [ownMs] = yield* ownTimed(served.close)
      assert.isBelow(ownMs, 1_500)
    }))

  it.live("refuses new devices while draining, with 503", () =>
    Effect.gen(function*() {
      const served = yield* serve({ drainTimeout: "300 millis" })
      const device = yield* connect(served, "ada")
      device.socket.pause()
      const draining = yield* Effect.forkChild(served.gateway.drain)
      yield* untilEffect("it drains", Effect.map(served.gateway.stats, (stats) => stats.draining))
      const error = yield* Effect.flip(dial(served.url))
      assert.strictEqual(error._tag === "Refused" ? error.status : 0, 503)
      yield* Fiber.join(draining)
      assert.strictEqual((yield* served.gateway.stats).sessions, 0)
    }))

  it.live("has said goodbye to whoever asks for it later", () =>
    Effect.gen(function*() {
      const { gateway } = yield* serve()
      const early = yield* Effect.forkChild(gateway.goodbye)
      yield* untilEffect("it waits", Effect.map(gateway.stats, ({ sessions }) => sessions === 1))
      yield* gateway.drain
      yield* Fiber.join(early)
      yield* Effect.timeout(gateway.goodbye, 1_000 * patience)
      assert.strictEqual((yield* gateway.stats).sessions, 0)
    }))

  it.live(
    "waits for no device that is signed in only after the goodbye, and refuses it with 503",
    () =>
      Effect.gen(function*() {
        const known = yield* Deferred.make<void>()
        const late = Layer.effect(
          Authenticator.Authenticator,
          Effect.map(Authenticator.Authenticator, (inner) => ({
            ...inner,
            verify: (shown) => Effect.andThen(Deferred.await(known), inner.verify(shown))
          }))
        ).pipe(Layer.provide(Layer.orDie(authenticator)))
        const served = yield* serve({}, { authenticator: late })
        const authorization = `Bearer ${yield* token("ada")}`
        const stream = yield* Effect.forkChild(
          Effect.promise(() =>
            fetch(`${served.http}/events`, { headers: { authorization, accept: "text/event-stream" } })
          )
        )
        const socket = yield* Effect.forkChild(Effect.flip(dial(served.url, { authorization })))
        const strangers = Effect.map(served.gateway.stats, (stats) => stats.strangers.unauthenticated)
        yield* untilEffect("both are being signed in", Effect.map(strangers, (count) => count === 2))
        const [ownMs] = yield* ownTimed(
          Effect.all([served.close, Effect.andThen(served.gateway.goodbye, Deferred.succeed(known, undefined))], {
            concurrency: 2
          })
        )
        assert.strictEqual((yield* Fiber.join(stream)).status, 503)
        assert.strictEqual((yield* Fiber.join(socket)).status, 503)
        assert.isBelow(ownMs, 2_000)
      }),
    120_000
  )

  it.live("waits for no frame whose body does not come, and refuses it with 503", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      let status: number | undefined
      let isRead = false
      const posting = yield* Effect.acquireRelease(
        Effect.map(token("ada"), (shown) =>
          request(`${served.http}/events`, {
            method: "POST",
            headers: { authorization: `Bearer ${shown}`, "content-length": 100, expect: "100-continue" }
          })),
        (posting) => Effect.sync(() => posting.destroy())
      )
      posting.on("error", () => {}).on("continue", () => {
        isRead = true
      }).on("response", (response) => {
        status = response.statusCode
        response.resume()
      })
      posting.write("{")
      yield* until("it is read", () => isRead)
      const [ownMs] = yield* ownTimed(served.close)
      yield* until("it is answered", () => status !== undefined)
      assert.strictEqual(status, 503)
      assert.isBelow(ownMs, 1_500)
    }), 120_000)

  it.live("waits for no device that cannot be signed in", () =>
    Effect.gen(function*() {
      const never = Layer.effect(
        Authenticator.Authenticator,
        Effect.map(Authenticator.Authenticator, (inner) => ({ ...inner, verify: () => Effect.never }))
      ).pipe(Layer.provide(Layer.orDie(authenticator)))
      const served = yield* serve({}, { authenticator: never })
      const headers = { authorization: "Bearer shown", accept: "text/event-stream" }
      const asking = fetch(`${served.http}/events`, { headers }).then(({ status }) => status, () => "cut" as const)
      const strangers = Effect.map(served.gateway.stats, (stats) => stats.strangers.unauthenticated)
      yield* untilEffect("it is being signed in", Effect.map(strangers, (count) => count === 1))
      const [ownMs] = yield* ownTimed(served.close)
      assert.strictEqual(yield* Effect.promise(() => asking), "cut")
      assert.isBelow(ownMs, 2_500)
    }), 120_000)

  it.live(
    "waits for no command that nobody decides: its device is told to send it again",
    () =>
      Effect.gen(function*() {
        let isAsked = false
        const policy = Layer.succeed(CommandPolicy.CommandPolicy, {
          check: () =>
            Effect.suspend(() => {
              isAsked = true
              return Effect.never
            })
        })
        const served = yield* serve({ commands: { within: "20 seconds" } }, { policy })
        const authorization = `Bearer ${yield* token("ada")}`
        const body = JSON.stringify({ type: "command", id: "c1", run: "r1", name: "cancel" })
        const posting = fetch(`${served.http}/events`, { method: "POST", headers: { authorization }, body })
        yield* until("it is being decided", () => isAsked)
        const [ownMs] = yield* ownTimed(served.close)
        const response = yield* Effect.promise(() => posting)
        assert.strictEqual(response.status, 503)
        assert.include(yield* Effect.promise(() => response.text()), "undecided")
        assert.isBelow(ownMs, 2_500)
      }),
    120_000
  )

  it.live("leaves no reader behind", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* connect(served, "ada")
      assert.strictEqual(yield* served.broker.readers(user("ada")), 1)
      yield* served.gateway.drain
      assert.strictEqual(yield* served.broker.readers(user("ada")), 0)
    }))

  it.live("of all connections of a user at once, with 4401, when the user is revoked", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const ada = [yield* connect(served, "ada"), yield* connect(served, "ada")]
      const bob = yield* connect(served, "bob")
      assert.strictEqual(yield* served.gateway.revoke(user("ada")), 2)
      for (const device of ada) {
        assert.deepStrictEqual(yield* device.closed, { code: 4401, reason: "unauthenticated" })
      }
      yield* append(served, "bob", 1)
      yield* bob.received(1)
    }))
})

describe("Code of others that throws", () => {
  const bug = () => {
    throw new Error("a bug")
  }

  it.live("in an authenticator ends the connection it was asked about, and no other", () =>
    Effect.gen(function*() {
      const throws = Layer.succeed(Authenticator.Authenticator, {
        verify: (token) =>
          Redacted.value(token) === "bob" ? Effect.succeed({ userId: user("bob"), expiresAt: undefined }) : bug(),
        recognize: () => Effect.succeedNone
      })
      const served = yield* serve({}, { authenticator: throws })
      const bob = yield* dial(served.url)
      yield* bob.send({ type: "hello", token: "bob" })
      yield* bob.take("welcome")
      const ada = yield* dial(served.url)
      yield* ada.send({ type: "hello", token: "ada" })
      assert.strictEqual((yield* ada.closed).code, 4503)
      const renewing = yield* dial(served.url)
      yield* renewing.send({ type: "hello", token: "bob" })
      yield* renewing.take("welcome")
      yield* renewing.send({ type: "token", token: "ada" })
      assert.strictEqual((yield* renewing.closed).code, 4503)
      const refused = yield* Effect.flip(dial(served.url, { authorization: "Bearer ada" }))
      assert.strictEqual(refused.status, 500)
      yield* append(served, "bob", 1)
      yield* bob.received(1)
    }))

  it.live("in a broker does so too", () =>
    Effect.gen(function*() {
      const broker = Layer.effect(
        Broker.Broker,
        Effect.map(Layer.build(Layer.orDie(Broker.layerMemory())), (built) => ({
          ...Context.get(built, Broker.Broker),
          acknowledge: bug
        }))
      )
      const served = yield* serve({}, { broker })
      const ada = yield* connect(served, "ada")
      const bob = yield* connect(served, "bob")
      yield* served.broker.append(user("ada"), [envelope({ n: 1 }, { confirm: true })])
      yield* ada.received(1)
      yield* ada.send({ type: "ack", offset: 1 })
      assert.strictEqual((yield* ada.closed).code, 4503)
      yield* append(served, "bob", 1)
      yield* bob.received(1)
    }))
})

describe("A broker that does not answer", () => {
  it.live("and dies closes the connections it serves with 4503, and no other", () =>
    Effect.gen(function*() {
      const state: Parameters<typeof unreliable>[0] = { current: "works" }
      const served = yield* serve({}, { broker: unreliable(state) })
      const ada = yield* connect(served, "ada")
      const bob = yield* connect(served, "bob")
      state.current = "dies"
      yield* append(served, "ada", 1)
      assert.deepStrictEqual(yield* ada.closed, { code: 4503, reason: "brokerUnavailable" })

      const greeted = yield* dial(served.url)
      yield* greeted.send({ type: "hello", token: yield* token("ada") })
      assert.strictEqual((yield* greeted.closed).code, 4503)

      yield* append(served, "bob", 1)
      yield* bob.received(1)
      state.current = "works"
      const again = yield* connect(served, "ada", { resume: { epoch: ada.welcome.epoch, offset: 0 } })
      yield* again.received(1)
      assert.deepStrictEqual((yield* served.gateway.stats).closed, { brokerUnavailable: 2 })
    }))

  it.live("and fails keeps the connections it serves, which say so, and greets no new ones", () =>
    Effect.gen(function*() {
      const state: Parameters<typeof unreliable>[0] = { current: "works" }
      const served = yield* serve({ heartbeat: "400 millis" }, { broker: unreliable(state) })
      const ada = yield* connect(served, "ada")
      const bob = yield* connect(served, "bob")
      for (const { socket } of [ada, bob]) {
        socket.on("message", (data) => {
          if (String(data).includes(`"ping"`)) socket.send(`{"type":"pong"}`)
        })
      }
      yield* served.broker.append(user("ada"), [envelope({ n: 1 }, { confirm: true })])
      yield* ada.received(1)
      state.current = "fails"
      yield* append(served, "ada", 2, 3)
      assert.deepStrictEqual(yield* ada.take("status"), { type: "status", state: "degraded" })
      yield* ada.send({ type: "ack", offset: 1 })
      yield* ada.send({ type: "token", token: yield* token("ada") })
      yield* ada.take("ping")

      const greeted = yield* dial(served.url)
      yield* greeted.send({ type: "hello", token: yield* token("ada") })
      assert.strictEqual((yield* greeted.closed).code, 4503)
      yield* append(served, "bob", 1)
      yield* bob.received(1)
      const stats = yield* served.gateway.stats
      assert.deepStrictEqual([stats.degraded, stats.degradations, stats.acknowledgements], [1, 1, 0])

      state.current = "works"
      assert.deepStrictEqual(yield* ada.take("status"), { type: "status", state: "live" })
      yield* ada.received(3)
      assert.deepStrictEqual(ada.numbers(), [1, 2, 3])
      yield* served.broker.acknowledged(user("ada"), { epoch: ada.welcome.epoch, offset: 1 })
      const after = yield* served.gateway.stats
      assert.deepStrictEqual([after.degraded, after.acknowledgements], [0, 1])
      assert.deepStrictEqual(after.closed, { brokerUnavailable: 1 })
    }))

  it.live("and fails is told to the operator once a minute, however many devices come", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => lines.push(String(Array.isArray(message) ? message[0] : message)))
    return Effect.gen(function*() {
      const mode: Parameters<typeof unreliable>[0] = { current: "fails" }
      const served = yield* serve({}, { broker: unreliable(mode) })
      const headers = { authorization: `Bearer ${yield* token("ada")}`, accept: "text/event-stream" }
      for (let n = 0; n < 3; n++) {
        const device = yield* dial(served.url)
        yield* device.send({ type: "hello", token: yield* token("ada"), snapshots: 1 })
        assert.strictEqual((yield* device.closed).code, 4503)
        const refused = yield* Effect.promise(() => fetch(`${served.http}/events?snapshots=1`, { headers }))
        assert.strictEqual(refused.status, 503)
      }
      assert.deepStrictEqual(lines.filter((line) => line.startsWith("A device could not be served")).length, 1)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.live("and hangs holds up no stream that leaves, and not the end", () =>
    Effect.gen(function*() {
      const state: Parameters<typeof unreliable>[0] = { current: "hangs" }
      const served = yield* serve({}, { broker: unreliable(state) })
      const headers = { accept: "text/event-stream", authorization: `Bearer ${yield* token("ada")}` }
      const leaving = new AbortController()
      const left = fetch(`${served.http}/events`, { headers, signal: leaving.signal }).catch(() => undefined)
      const sessions = (count: number) =>
        untilEffect(`${count} sessions`, Effect.map(served.gateway.stats, (stats) => stats.sessions === count))
      yield* sessions(1)
      leaving.abort()
      yield* Effect.promise(() => left)
      yield* sessions(0)

      const waiting = fetch(`${served.http}/events`, { headers })
      yield* sessions(1)
      const [ownMs] = yield* ownTimed(served.close)
      assert.isBelow(ownMs, 1_500)
      assert.strictEqual((yield* Effect.promise(() => waiting)).status, 503)
    }))

  it.live("and hangs holds up no other connection, and not the end", () =>
    Effect.gen(function*() {
      const state: Parameters<typeof unreliable>[0] = { current: "works" }
      const served = yield* serve({}, { broker: unreliable(state) })
      const ada = yield* connect(served, "ada")
      const bob = yield* connect(served, "bob")
      state.current = "hangs"
      yield* append(served, "ada", 1)
      yield* append(served, "bob", 1, 2, 3)
      yield* bob.received(3)
      const [ownMs] = yield* ownTimed(served.close)
      assert.isBelow(ownMs, 1_500)
      assert.strictEqual((yield* ada.closed).code, 4500)
    }))
})
