import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Fiber, Layer, Logger, Redacted } from "effect"
import { Authenticator } from "effect-emitter/gateway"
import { FetchHttpClient, HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as Jose from "jose"
import { createServer } from "node:http"
import { until } from "../../client/devices.ts"
import { secret, token, user } from "../server.ts"

const shared = (options: Partial<Parameters<typeof Authenticator.layerJwt>[0]> = {}) =>
  Authenticator.layerJwt({ secret: Redacted.make(secret), issuer: "tests", audience: "events", ...options })

const verify = (shown: string) =>
  Effect.flatMap(Authenticator.Authenticator, ({ verify }) => verify(Redacted.make(shown)))

const sign = (claims: Jose.JWTPayload, header: Partial<Jose.JWTHeaderParameters> = {}) =>
  Effect.promise(() =>
    new Jose.SignJWT(claims).setProtectedHeader({ alg: "HS256", ...header }).sign(new TextEncoder().encode(secret))
  )

const claims = { sub: "ada", iss: "tests", aud: "events", exp: 1_000 }

describe("Authenticator.layerJwt", () => {
  it.effect("finds the user, the time of expiry, and the latest moment at which the token can have been issued", () =>
    Effect.gen(function*() {
      const principal = yield* verify(yield* sign(claims))
      assert.deepStrictEqual(principal, { userId: user("ada"), expiresAt: 1_000_000, issuedAt: undefined, claims })
      yield* TestClock.adjust("600 seconds")
      assert.strictEqual((yield* verify(yield* sign({ ...claims, iat: 500 }))).issuedAt, 500_999)
      assert.strictEqual((yield* verify(yield* sign({ ...claims, iat: 500.25 }))).issuedAt, 500_250)
    }).pipe(Effect.provide(shared())))

  it.effect("goes by the test's clock, with tolerance", () =>
    Effect.gen(function*() {
      const shown = yield* sign({ ...claims, nbf: 100 })
      assert.strictEqual((yield* Effect.flip(verify(shown))).message, "the token is not valid yet")
      yield* TestClock.adjust("96 seconds")
      yield* verify(shown)
      yield* TestClock.adjust("900 seconds")
      yield* verify(shown)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Effect.flip(verify(shown))).message, "the token has expired")
    }).pipe(Effect.provide(shared({ clockTolerance: "5 seconds" }))))

  it.effect("refuses whatever is not as asked, with a typed reason", () =>
    Effect.gen(function*() {
      const { exp: _, ...eternal } = claims
      const refused = [
        ["malformed", "garbage"],
        ["malformed", ""],
        ["malformed", "a.b.c"],
        ["signature", yield* token("ada", { secret: "another secret, of 32 characters or more" })],
        ["algorithm", yield* sign(claims, { alg: "HS512" })],
        ["issuer", yield* sign({ ...claims, iss: "another" })],
        ["audience", yield* sign({ ...claims, aud: "others" })],
        ["noExpiry", yield* sign(eternal)],
        ["notYet", yield* sign({ ...claims, iat: 500 })],
        ["user", yield* sign({ ...claims, sub: "a b" })],
        ["user", yield* sign({ ...claims, sub: "undefined" })],
        ["user", yield* sign({ iss: "tests", aud: "events", exp: 1_000 })]
      ] as const
      for (const [reason, shown] of refused) {
        const error = yield* Effect.flip(verify(shown))
        assert.deepStrictEqual([error._tag, "reason" in error ? error.reason : ""], ["Unauthenticated", reason])
      }
      const lenient = shared({ requireExpiry: false })
      assert.deepStrictEqual(yield* verify(yield* sign(eternal)).pipe(Effect.provide(lenient)), {
        userId: user("ada"),
        expiresAt: undefined,
        issuedAt: undefined,
        claims: eternal
      })
    }).pipe(Effect.provide(shared())))

  it.effect("fault 31: tells the operator what was refused, each kind in its own words", () =>
    Effect.gen(function*() {
      const { aud: _, exp: __, ...bare } = claims
      const { sub: ___, ...nobody } = claims
      const refused = [
        [{ ...claims, iss: "https://id.example/" }, `it says "https://id.example/", accepted is "tests"`],
        [{ ...bare, exp: 1_000 }, `it says none, accepted is "events"`],
        [{ ...bare, aud: "events" }, `"requireExpiry: false" would take it`],
        [nobody, `it has no claim "sub"`],
        [{ ...claims, sub: "" }, `claim "sub": an id must not be empty`],
        [{ ...claims, sub: "undefined" }, `claim "sub": "undefined" is a placeholder, not an id`],
        [{ ...claims, iat: 500 }, "it was issued 500 s ahead of this server's clock"]
      ] as const
      for (const [payload, detail] of refused) {
        const error = yield* Effect.flip(verify(yield* sign(payload)))
        assert.strictEqual("detail" in error ? error.detail : undefined, detail)
        assert.notInclude(error.message, detail)
      }
    }).pipe(Effect.provide(shared())))

  it.effect("fault 8: refuses a token whose user is half a surrogate pair, whichever claim names it", () =>
    Effect.gen(function*() {
      for (const id of ["x\ud801", "\udc01x", "a\udc01\ud801"]) {
        for (const [claim, layer] of [["sub", shared()], ["uid", shared({ userClaim: "uid" })]] as const) {
          const error = yield* Effect.flip(Effect.provide(verify(yield* sign({ ...claims, [claim]: id })), layer))
          assert.deepStrictEqual([error._tag, "reason" in error ? error.reason : ""], ["Unauthenticated", "user"])
        }
      }
    }))

  it.effect("takes the user from another claim if told so", () =>
    Effect.gen(function*() {
      const principal = yield* verify(yield* sign({ ...claims, uid: "bob" }))
      assert.strictEqual(principal.userId, user("bob"))
    }).pipe(Effect.provide(shared({ userClaim: "uid" }))))

  it.effect("refuses a secret that is too short, and options that make no sense, without showing the secret", () =>
    Effect.gen(function*() {
      for (const bad of [{ secret: Redacted.make("hunter2") }, { clockTolerance: "soon" as never }, { audience: [] }]) {
        const error = yield* Effect.flip(Layer.build(shared(bad)))
        assert.strictEqual(error._tag, "ConfigError")
        assert.notInclude(error.message, "hunter2")
        assert.notInclude(error.message, secret)
      }
    }))

  it.effect("shows no part of a token in errors or logs", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ cause, message }) => void lines.push(message, cause))
      const shown = yield* sign({ ...claims, iss: "another", secret: "hunter2" })
      const exit = yield* Effect.exit(verify(shown))
      yield* Effect.logError("refused", Exit.isFailure(exit) ? exit.cause : "").pipe(
        Effect.provide(Logger.layer([logger]))
      )
      assert.strictEqual(lines.length, 2)
      const text = lines.map(String).join()
      for (const part of [...shown.split("."), "hunter2"]) assert.notInclude(text, part)
    }).pipe(Effect.provide(shared())))
})

/** An identity provider with keys that a test may change, or that may be away. */
const provider = Effect.gen(function*() {
  const state: { away: boolean; fetches: number; keys: Array<Jose.JWK>; delay: Duration.Input } = {
    away: false,
    fetches: 0,
    keys: [],
    delay: 0
  }
  const pairs = new Map<string, Jose.CryptoKey>()
  const addKey = (kid: string) =>
    Effect.promise(async () => {
      const { privateKey, publicKey } = await Jose.generateKeyPair("ES256")
      pairs.set(kid, privateKey)
      state.keys.push({ ...await Jose.exportJWK(publicKey), kid, alg: "ES256" })
    })
  const signWith = (kid: string, named = kid) =>
    Effect.promise(() =>
      new Jose.SignJWT({ ...claims, exp: 100_000 }).setProtectedHeader({ alg: "ES256", kid: named })
        .sign(pairs.get(kid) ?? assert.fail(`no key ${kid}`))
    )
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      state.fetches++
      const answer = () => HttpClientResponse.fromWeb(request, Response.json({ keys: state.keys }))
      return state.away
        ? Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: new Error("away") })
          })
        )
        : state.delay === 0
        ? Effect.sync(answer)
        : Effect.delay(Effect.sync(answer), state.delay)
    })
  )
  const layer = Authenticator.layerJwks({
    url: "https://id.example/jwks.json",
    issuer: "tests",
    audience: "events",
    maxAge: "10 minutes",
    cooldown: "30 seconds"
  }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))
  yield* addKey("k1")
  return { state, addKey, signWith, layer }
})

/** Until so many fetches have begun. Keys are imported beside the test's clock, in real time. */
const untilFetched = (state: { readonly fetches: number }, count: number) =>
  TestClock.withLive(until(`fetch ${count}`, () => state.fetches >= count))

/** Lets what does not wait for the clock go on. Where a machine needs longer, a test shows less, and still passes. */
const settled = Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 30)))

describe("Authenticator.layerJwks", () => {
  const withProvider = <E>(
    test: (id: Effect.Success<typeof provider>) => Effect.Effect<void, E, Authenticator.Authenticator>
  ) => Effect.flatMap(provider, (id) => Effect.provide(test(id), id.layer))

  it.effect("fetches keys once, also for many tokens at once, and again when they are old", () =>
    withProvider(({ signWith, state }) =>
      Effect.gen(function*() {
        const shown = yield* signWith("k1")
        assert.strictEqual(state.fetches, 0)
        yield* Effect.all(Array.from({ length: 20 }, () => verify(shown)), { concurrency: "unbounded" })
        assert.strictEqual(state.fetches, 1)
        yield* TestClock.adjust("9 minutes")
        yield* verify(shown)
        assert.strictEqual(state.fetches, 1)
        yield* TestClock.adjust("1 minute")
        yield* verify(shown)
        yield* untilFetched(state, 2)
        assert.strictEqual(state.fetches, 2)
      })
    ))

  it.effect("fetches keys again for a key it does not know, but not more often than the cooldown allows", () =>
    withProvider(({ addKey, signWith, state }) =>
      Effect.gen(function*() {
        yield* verify(yield* signWith("k1"))
        yield* addKey("k2")
        yield* TestClock.adjust("31 seconds")
        yield* verify(yield* signWith("k2"))
        assert.strictEqual(state.fetches, 2)
        const unknown = yield* signWith("k1", "k9")
        for (let n = 0; n < 10; n++) {
          assert.strictEqual((yield* Effect.flip(verify(unknown)))._tag, "AuthenticatorUnavailable")
        }
        assert.strictEqual(state.fetches, 2)
        yield* TestClock.adjust("31 seconds")
        const error = yield* Effect.flip(verify(unknown))
        assert.strictEqual(error._tag === "Unauthenticated" ? error.reason : "", "key")
        assert.strictEqual(state.fetches, 3)
      })
    ))

  it.effect("fault 9: a device that hangs up stops no fetch, and others get what it brings", () =>
    withProvider(({ addKey, signWith, state }) =>
      Effect.gen(function*() {
        yield* verify(yield* signWith("k1"))
        yield* TestClock.adjust("31 seconds")
        yield* addKey("k2")
        state.delay = "100 millis"
        const rotated = yield* signWith("k2")
        const hangsUp = yield* Effect.forkChild(Effect.flip(verify(yield* signWith("k1", "k9"))))
        yield* untilFetched(state, 2)
        assert.strictEqual(state.fetches, 2)
        yield* Fiber.interrupt(hangsUp)
        // What is known does not wait.
        yield* verify(yield* signWith("k1"))
        const waits = yield* Effect.forkChild(verify(rotated))
        yield* settled
        yield* TestClock.adjust("100 millis")
        assert.strictEqual((yield* Fiber.join(waits)).userId, user("ada"))
        assert.strictEqual(state.fetches, 2)
      })
    ))

  it.effect("fault 9: the cooldown counts from the end of a fetch", () =>
    withProvider(({ signWith, state }) =>
      Effect.gen(function*() {
        yield* verify(yield* signWith("k1"))
        yield* TestClock.adjust("31 seconds")
        state.delay = "4 seconds"
        const unknown = yield* signWith("k1", "k9")
        const first = yield* Effect.forkChild(Effect.flip(verify(unknown)))
        yield* untilFetched(state, 2)
        yield* TestClock.adjust("4 seconds")
        yield* Fiber.join(first)
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual((yield* Effect.flip(verify(unknown)))._tag, "AuthenticatorUnavailable")
        assert.strictEqual(state.fetches, 2)
      })
    ))

  it.effect("fault 9: a key set that was under way before a token came does not decide about it", () =>
    withProvider(({ signWith, state }) =>
      Effect.gen(function*() {
        yield* verify(yield* signWith("k1"))
        yield* TestClock.adjust("31 seconds")
        state.delay = "100 millis"
        const asks = yield* Effect.forkChild(Effect.flip(verify(yield* signWith("k1", "k8"))))
        yield* untilFetched(state, 2)
        const comesLater = yield* Effect.forkChild(Effect.flip(verify(yield* signWith("k1", "k9"))))
        yield* settled
        yield* TestClock.adjust("100 millis")
        const first = yield* Fiber.join(asks)
        assert.strictEqual(first._tag === "Unauthenticated" ? first.reason : "", "key")
        assert.strictEqual((yield* Fiber.join(comesLater))._tag, "AuthenticatorUnavailable")
      })
    ))

  it.effect("fault 9: a fetch that does not end is given up in time, and not begun anew for each token", () =>
    withProvider(({ signWith, state }) =>
      Effect.gen(function*() {
        const shown = yield* signWith("k1")
        state.delay = "1 hour"
        const first = yield* Effect.forkChild(Effect.flip(verify(shown)))
        yield* untilFetched(state, 1)
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(first))._tag, "AuthenticatorUnavailable")
        state.delay = 0
        assert.strictEqual((yield* Effect.flip(verify(shown)))._tag, "AuthenticatorUnavailable")
        assert.strictEqual(state.fetches, 1)
        yield* TestClock.adjust("1 second")
        yield* verify(shown)
      })
    ))

  it.effect("fault 9: a withdrawn key is refused for good, within the cooldown as well", () =>
    withProvider(({ addKey, signWith, state }) =>
      Effect.gen(function*() {
        const old = yield* signWith("k1")
        yield* verify(old)
        state.keys.splice(0)
        yield* addKey("k2")
        yield* TestClock.adjust("31 seconds")
        yield* verify(yield* signWith("k2"))
        const error = yield* Effect.flip(verify(old))
        assert.strictEqual(error._tag === "Unauthenticated" ? error.reason : "", "key")
      })
    ))

  it.effect("fault 9: keys that are old are renewed in the background", () =>
    withProvider(({ signWith, state }) =>
      Effect.gen(function*() {
        const shown = yield* signWith("k1")
        yield* verify(shown)
        state.delay = "1 minute"
        yield* TestClock.adjust("11 minutes")
        yield* verify(shown)
        yield* untilFetched(state, 2)
        assert.strictEqual(state.fetches, 2)
      })
    ))

  it.live("fault 9: a key set of 400 MB is given up after 1 MiB, and no redirect is followed", () =>
    Effect.gen(function*() {
      let sent = 0
      let followed = 0
      const server = createServer((request, response) => {
        if (request.url === "/elsewhere") followed++
        if (request.url === "/moved") return void response.writeHead(302, { location: "/elsewhere" }).end()
        response.writeHead(200, { "content-type": "application/json" })
        const chunk = Buffer.alloc(64 * 1024, " ")
        const write = () => {
          while (sent < 400 * 1024 * 1024 && !response.destroyed) {
            sent += chunk.length
            if (!response.write(chunk)) return void response.once("drain", write)
          }
          response.end(`{"keys":[]}`)
        }
        write()
      })
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => server.close())
      )
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const shown = yield* sign(claims, { alg: "HS256" })
      const [, ...rest] = shown.split(".")
      const header = Buffer.from(JSON.stringify({ alg: "ES256", kid: "k1" })).toString("base64url")
      for (const path of ["huge", "moved"]) {
        const error = yield* verify([header, ...rest].join(".")).pipe(
          Effect.flip,
          Effect.provide(
            Authenticator.layerJwks({ url: `http://127.0.0.1:${port}/${path}` }).pipe(
              Layer.provide(FetchHttpClient.layer)
            )
          )
        )
        assert.strictEqual(error._tag, "AuthenticatorUnavailable")
      }
      assert.isBelow(sent, 16 * 1024 * 1024)
      assert.strictEqual(followed, 0)
    }))

  it.effect("goes on with known keys while the provider is away, and says so when it has none", () =>
    withProvider(({ signWith, state }) =>
      Effect.gen(function*() {
        const shown = yield* signWith("k1")
        state.away = true
        assert.strictEqual((yield* Effect.flip(verify(shown)))._tag, "AuthenticatorUnavailable")
        assert.strictEqual((yield* Effect.flip(verify(shown)))._tag, "AuthenticatorUnavailable")
        assert.strictEqual(state.fetches, 1)
        state.away = false
        yield* TestClock.adjust("2 seconds")
        yield* verify(shown)
        state.away = true
        yield* TestClock.adjust("1 hour")
        const renewal = yield* Effect.forkChild(verify(shown))
        yield* Fiber.join(renewal)
      })
    ))

  it.effect("refuses a token signed with a shared secret made from a public key", () =>
    withProvider(({ state }) =>
      Effect.gen(function*() {
        const forged = yield* Effect.promise(() =>
          new Jose.SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "k1" })
            .sign(new TextEncoder().encode(JSON.stringify(state.keys[0])))
        )
        const error = yield* Effect.flip(verify(forged))
        assert.strictEqual(error._tag === "Unauthenticated" ? error.reason : "", "algorithm")
        assert.strictEqual(state.fetches, 0)
      })
    ))
})
