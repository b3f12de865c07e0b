/** That a user's access is revoked: on every node, at once or soon, and for older tokens for good. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Option } from "effect"
import { Authenticator } from "effect-emitter/gateway"
import { RedisBroker } from "effect-emitter/redis"
import { type NodeOptions, program, withServer } from "../../broker/redis/redisNode.ts"
import { redisProxy } from "../../broker/redis/redisProxy.ts"
import { until } from "../../client/devices.ts"
import { append, connect, dial, envelope, serve, type Served, token, user } from "../server.ts"
import { patience } from "../../support/patience.ts"

/** Deadlines, and the poll of 30 seconds, are longer than a test takes: a busy machine misses none, and only Redis tells in time. */
const serveOver = (url: string, options: NodeOptions = {}) =>
  serve({}, {
    broker: Layer.orDie(
      RedisBroker.layer({ url, deadline: "20 seconds", silence: "20 seconds", lease: "1 minute", ...options })
    )
  })

const revoked = { code: 4401, reason: "unauthenticated" }

const seconds = Effect.sync(() => Math.floor(Date.now() / 1000))

/** Says hello with a token of this age, and gives the close or the welcome. */
const knock = (served: Served, age: number) =>
  Effect.gen(function*() {
    const device = yield* dial(served.url)
    yield* device.send({ type: "hello", token: yield* token("ada", { issuedAt: (yield* seconds) - age }) })
    return yield* Effect.raceFirst(device.closed, Effect.as(device.take("welcome"), "welcome" as const))
  })

const streamStatus = (served: Served, age: number) =>
  Effect.gen(function*() {
    const authorization = `Bearer ${yield* token("ada", { issuedAt: (yield* seconds) - age })}`
    const leaving = new AbortController()
    const { status } = yield* Effect.promise(() =>
      fetch(`${served.http}/events`, {
        headers: { accept: "text/event-stream", authorization },
        signal: leaving.signal
      })
    )
    leaving.abort()
    return status
  })

describe("A user whose access is revoked", () => {
  it.live("is kept out with tokens from before, and let in with later ones", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const before = yield* connect(served, "ada", { token: yield* token("ada", { issuedAt: (yield* seconds) - 60 }) })
      yield* served.gateway.revoke(user("ada"))
      assert.deepStrictEqual(yield* before.closed, revoked)
      assert.deepStrictEqual(before.frames.at(-1), {
        type: "error",
        code: "unauthenticated",
        message: "the user's access was revoked"
      })
      assert.deepStrictEqual(yield* knock(served, 60), revoked)
      assert.strictEqual(yield* streamStatus(served, 60), 401)
      // Issued in the same second, or later.
      assert.strictEqual(yield* knock(served, 0), "welcome")
      assert.strictEqual(yield* streamStatus(served, 0), 200)
      assert.deepStrictEqual((yield* served.gateway.stats).closed, { unauthenticated: 2 })
    }))

  it.live("fault 10: is kept out with a token that does not say when it was issued, or says so of a time to come", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const undated = yield* token("ada", { issuedAt: undefined })
      yield* connect(served, "ada", { token: undated })
      yield* served.gateway.revoke(user("ada"))
      for (const shown of [undated, yield* token("ada", { issuedAt: (yield* seconds) + 3600 })]) {
        const device = yield* dial(served.url)
        yield* device.send({ type: "hello", token: shown })
        assert.strictEqual((yield* device.closed).code, 4401)
        const headers = { accept: "text/event-stream", authorization: `Bearer ${shown}` }
        const { status } = yield* Effect.promise(() => fetch(`${served.http}/events`, { headers }))
        assert.strictEqual(status, 401)
      }
    }))

  it.live("fault 10: is sent away when a token from before is shown as a renewal", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* served.gateway.revoke(user("ada"))
      const device = yield* connect(served, "ada")
      yield* device.send({ type: "token", token: yield* token("ada") })
      yield* device.send({ type: "token", token: yield* token("ada", { issuedAt: (yield* seconds) - 60 }) })
      assert.deepStrictEqual(yield* device.closed, revoked)
    }))

  it.live("fault 10: acknowledges nothing by POST with a token from before", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* served.broker.append(user("ada"), [envelope({ n: 1 }, { confirm: true })])
      const { epoch } = yield* served.broker.head(user("ada"))
      const post = (age: number) =>
        Effect.gen(function*() {
          const authorization = `Bearer ${yield* token("ada", { issuedAt: (yield* seconds) - age })}`
          const body = JSON.stringify({ type: "ack", epoch, offset: 1, confirmed: [1] })
          return yield* Effect.promise(() =>
            fetch(`${served.http}/events`, { method: "POST", headers: { authorization }, body })
              .then(({ status }) => status)
          )
        })
      assert.strictEqual(yield* post(60), 204)
      yield* served.gateway.revoke(user("ada"))
      assert.strictEqual(yield* post(60), 401)
      assert.strictEqual((yield* served.gateway.stats).acknowledgements, 1)
      assert.strictEqual(yield* post(0), 204)
    }))
})

describe("A session's cookie that has run out", () => {
  it.live("gets no stream, no socket and no answer to a command, however often it is shown", () =>
    Effect.gen(function*() {
      const served = yield* serve({}, {
        authenticator: Authenticator.layerRequest(() =>
          Effect.map(
            Clock.currentTimeMillis,
            (now) => Option.some({ userId: user("ada"), expiresAt: now - 1, issuedAt: now })
          )
        )
      })
      const statusOf = (init: RequestInit) =>
        Effect.promise(async () => {
          const leaving = new AbortController()
          const { status } = await fetch(`${served.http}/events`, { ...init, signal: leaving.signal })
          leaving.abort()
          return status
        })
      const command = JSON.stringify({ type: "command", id: "c1", run: "r1", name: "cancel" })
      const statuses = [
        yield* statusOf({ headers: { accept: "text/event-stream" } }),
        yield* statusOf({ method: "POST", body: command }),
        (yield* Effect.flip(Effect.andThen(dial(served.url), Effect.fail({ status: 101 })))).status
      ]
      assert.deepStrictEqual(statuses, [401, 401, 401])
    }))
})

describe.skipIf(program === undefined)("A user whose access is revoked, on several nodes over one Redis", () => {
  it.live(
    "is sent away by all of them at once, and kept out by all of them",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [one, two] = [yield* serveOver(server.url), yield* serveOver(server.url)]
          const devices = [yield* connect(one, "ada"), yield* connect(two, "ada"), yield* connect(two, "ada")]
          const bob = yield* connect(two, "bob")
          yield* append(one, "ada", 1)
          for (const device of devices) yield* device.received(1)
          assert.strictEqual(yield* one.gateway.revoke(user("ada")), 1)
          // No poll is due before the test is over.
          for (const device of devices) assert.deepStrictEqual(yield* device.closed, revoked)

          for (const served of [one, two]) {
            assert.deepStrictEqual(yield* knock(served, 60), revoked)
            assert.strictEqual(yield* streamStatus(served, 60), 401)
          }
          const fresh = [yield* connect(one, "ada"), yield* connect(two, "ada")]
          yield* append(two, "ada", 2)
          yield* append(two, "bob", 3)
          for (const device of [...fresh, bob]) yield* device.received(1)
        })),
    120_000
  )

  it.live(
    "is sent away soon by a node that missed the word, but not those who came since",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const one = yield* serveOver(server.url)
          const two = yield* serveOver(proxy.url, { poll: "1500 millis" })
          const missed = yield* connect(two, "ada")
          yield* proxy.mute
          yield* one.gateway.revoke(user("ada"))
          yield* until("the word is lost", () => proxy.kept() > 0)
          assert.deepStrictEqual(yield* missed.closed, revoked)
          const fresh = yield* connect(two, "ada")
          yield* Effect.sleep("3 seconds")
          assert.strictEqual(fresh.socket.readyState, fresh.socket.OPEN)
        })),
    120_000
  )

  it.live(
    "is noticed when the next device of theirs comes, if the word was lost",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const one = yield* serveOver(server.url)
          const two = yield* serveOver(proxy.url)
          const missed = yield* connect(two, "ada")
          yield* proxy.mute
          yield* one.gateway.revoke(user("ada"))
          yield* until("the word is lost", () => proxy.kept() > 0)
          const fresh = yield* connect(two, "ada")
          assert.deepStrictEqual(yield* missed.closed, revoked)
          assert.strictEqual(fresh.socket.readyState, fresh.socket.OPEN)
        })),
    120_000
  )

  it.live(
    "is an error to be repeated while Redis is away, though this node's devices are sent away at once",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [one, two] = [yield* serveOver(server.url, { deadline: "3 seconds" }), yield* serveOver(server.url)]
          const [here, there] = [yield* connect(one, "ada"), yield* connect(two, "ada")]
          yield* server.freeze
          const error = yield* Effect.flip(one.gateway.revoke(user("ada")))
          assert.strictEqual(error._tag, "BrokerError")
          assert.deepStrictEqual(yield* here.closed, revoked)
          yield* server.thaw
          yield* one.gateway.revoke(user("ada")).pipe(
            Effect.tapError(() => Effect.sleep("20 millis")),
            Effect.eventually,
            Effect.timeout(15_000 * patience)
          )
          assert.deepStrictEqual(yield* there.closed, revoked)
        })),
    120_000
  )
})
