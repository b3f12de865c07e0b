/**
 * One sign-in for the whole application: the program's own routes let in whom the gateway lets connect, and nobody else.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, identity, Layer, Logger, Option, Result, Schema, Stream } from "effect"
import { Broker, Emitter, EmitterLayer, Event } from "effect-emitter"
import { Authenticator, Gateway } from "effect-emitter/gateway"
import { SignIn } from "effect-emitter/http"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"
import { authenticator, token, user } from "../gateway/server.ts"

const WhoAmI = Schema.Struct({ user: Schema.String, tenant: Schema.Json, tier: Schema.Json })

const Api = HttpApi.make("app").add(
  HttpApiGroup.make("app")
    .add(HttpApiEndpoint.get("whoami", "/api/whoami", { success: WhoAmI }))
    .middleware(SignIn.SignIn)
)

const Asked = Event.make("asked", { payload: {}, delivery: "critical" })

/** Who asks, and the context of an emitter that has emitted for them. */
const whoAmI = Effect.gen(function*() {
  const { claims, userId } = yield* SignIn.Principal
  const emitter = yield* Emitter.Emitter
  yield* Effect.orDie(emitter.emit(Asked.make({})))
  const tenant = claims?.["tenant"]
  return {
    user: userId === emitter.context.userId ? userId : "another",
    tenant: typeof tenant === "string" ? tenant : null,
    tier: emitter.context.tier ?? null
  }
})

const options: SignIn.Options = {
  context: ({ claims }) => {
    // Whose emitter it is, is not for a context to say, whatever a program spreads into it.
    const others = { userId: "eve" }
    return { ...others, tier: claims?.["plan"] === "paid" ? "paid" : undefined }
  }
}

const api = HttpApiBuilder.layer(Api).pipe(
  Layer.provide(HttpApiBuilder.group(Api, "app", (handlers) => handlers.handle("whoami", () => whoAmI))),
  Layer.provide(SignIn.layer(options))
)

const route = HttpRouter.add(
  "GET",
  "/route/whoami",
  Effect.map(whoAmI, (body) => HttpServerResponse.jsonUnsafe(body))
).pipe(Layer.provide(SignIn.middleware(options).layer))

const Said = Event.make("said", { payload: { text: Schema.String }, delivery: "critical" })

/** Answers with a stream, which is a run that lasts as long as it is read. */
const streaming = HttpRouter.add(
  "GET",
  "/route/streaming",
  Effect.map(Effect.context<Emitter.Emitter>(), (context) =>
    HttpServerResponse.stream(
      Stream.make("one ", "two ").pipe(
        Stream.tap((text) => Effect.andThen(Effect.sleep("20 millis"), Emitter.emit(Said.make({ text })))),
        Emitter.runStream({ agentName: "speaker" }),
        Stream.encodeText,
        Stream.provideContext(context)
      )
    ))
).pipe(Layer.provide(SignIn.middleware().layer))

const Calls = RpcGroup.make(Rpc.make("whoami", { success: WhoAmI })).middleware(SignIn.RpcSignIn)

const rpc = RpcServer.layerHttp({ group: Calls, path: "/rpc", protocol: "http" }).pipe(
  Layer.provide([Calls.toLayer({ whoami: () => whoAmI }), RpcSerialization.layerNdjson]),
  Layer.provide(SignIn.layerRpc(options))
)

/** What a caller is told over RPC, or why it was refused. */
const call = (port: number, headers: Record<string, string>, origin?: string) =>
  Effect.flatMap(RpcClient.make(Calls), (client) => Effect.result(client.whoami(undefined, { headers }))).pipe(
    Effect.provide(
      RpcClient.layerProtocolHttp({
        url: `http://127.0.0.1:${port}/rpc`,
        transformClient: HttpClient.mapRequest(
          origin === undefined ? identity : HttpClientRequest.setHeader("origin", origin)
        )
      }).pipe(
        Layer.provide([FetchHttpClient.layer, RpcSerialization.layerNdjson])
      )
    ),
    Effect.scoped
  )

const open = HttpRouter.add("GET", "/open", HttpServerResponse.text("open"))

interface Answer {
  readonly status: number
  readonly body: string
}

/** Serves the same under `/api` and `/route`, beside a gateway. */
const serve = Effect.fnUntraced(function*(
  layers: {
    readonly authenticator?: Layer.Layer<Authenticator.Authenticator>
    readonly broker?: Layer.Layer<Broker.Broker>
  } = {}
) {
  const context = yield* HttpRouter.serve(
    Layer.mergeAll(api, route, streaming, rpc, open).pipe(
      Layer.provideMerge(Gateway.layer({ origins: ["https://app.example.com"] }))
    ),
    { disableListenLog: true, disableLogger: true }
  ).pipe(
    Layer.provide(EmitterLayer({ tiers: { paid: {} } })),
    Layer.provide(layers.authenticator ?? authenticator),
    Layer.provideMerge(layers.broker ?? Broker.layerMemory()),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.build
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  const port = "port" in address ? address.port : 0
  return {
    port,
    gateway: Context.get(context, Gateway.Gateway),
    broker: Context.get(context, Broker.Broker),
    get: (path: string, headers: Record<string, string> = {}): Effect.Effect<Answer> =>
      Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
        return { status: response.status, body: await response.text() }
      })
  }
})

const bearer = (shown: string) => ({ authorization: `Bearer ${shown}` })

const paths = ["/api/whoami", "/route/whoami"]

describe("SignIn of an HttpApi", () => {
  it("is in its OpenAPI document: each endpoint wants a bearer token", () => {
    const { components, paths } = OpenApi.fromApi(Api)
    assert.deepStrictEqual(components.securitySchemes, { bearer: { type: "http", scheme: "Bearer" } })
    assert.deepStrictEqual(paths["/api/whoami"]?.get?.security, [{ bearer: [] }])
  })
})

describe("SignIn of RPCs", () => {
  it.live("lets in whom the gateway lets in, with an emitter of theirs, and nobody whose access was revoked", () =>
    Effect.gen(function*() {
      const { broker, gateway, port } = yield* serve()
      const issuedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000) - 10
      const early = bearer(yield* token("ada", { issuedAt, claims: { tenant: "acme", plan: "paid" } }))
      const told = { user: "ada", tenant: "acme", tier: "paid" }
      assert.deepStrictEqual(yield* call(port, early), Result.succeed(told))
      assert.strictEqual((yield* broker.head(user("ada"))).offset, 1)
      const refused = (reason: SignIn.NotSignedIn["reason"]) => Result.fail(new SignIn.NotSignedIn({ reason }))
      assert.deepStrictEqual(yield* call(port, {}), refused("missing"))
      // A page's origin is what its browser says, and not what the page writes into its call.
      const foreign = yield* call(port, { ...early, origin: "https://app.example.com" }, "https://evil.example")
      assert.isTrue(Result.isFailure(foreign) && foreign.failure._tag === "OriginNotAllowed")
      yield* gateway.revoke(user("ada"))
      assert.deepStrictEqual(yield* call(port, early), refused("revoked"))
      assert.isTrue(Result.isSuccess(yield* call(port, bearer(yield* token("ada")))))
      assert.strictEqual((yield* broker.head(user("ada"))).offset, 2)
    }))
})

for (const path of paths) {
  describe(`${path}, signed in`, () => {
    it.live("has the user, the claims of the token, and an emitter bound to both", () =>
      Effect.gen(function*() {
        const { broker, get } = yield* serve()
        const paid = yield* token("ada", { claims: { tenant: "acme", plan: "paid" } })
        const { body, status } = yield* get(path, bearer(paid))
        assert.deepStrictEqual([status, JSON.parse(body)], [200, { user: "ada", tenant: "acme", tier: "paid" }])
        const free = yield* get(path, bearer(yield* token("bob")))
        assert.deepStrictEqual([free.status, JSON.parse(free.body)], [200, { user: "bob", tenant: null, tier: null }])
        assert.strictEqual((yield* broker.head(user("ada"))).offset, 1)
        assert.strictEqual((yield* broker.head(user("bob"))).offset, 1)
      }))

    it.live("refuses a token once its user's access was revoked, and takes a later one", () =>
      Effect.gen(function*() {
        const { gateway, get } = yield* serve()
        const early = yield* token("ada", { issuedAt: Math.floor((yield* Clock.currentTimeMillis) / 1000) - 10 })
        assert.strictEqual((yield* get(path, bearer(early))).status, 200)
        yield* gateway.revoke(user("ada"))
        const refused = yield* get(path, bearer(early))
        assert.strictEqual(refused.status, 401)
        assert.include(refused.body, "revoked")
        assert.strictEqual((yield* get(path, bearer(yield* token("ada")))).status, 200)
      }))

    it.live("refuses no token, a bad one and one that has expired, with the reason", () =>
      Effect.gen(function*() {
        const { get } = yield* serve()
        const bad = yield* token("ada", { secret: "another secret of more than 32 characters" })
        const old = yield* token("ada", { expiresIn: -60 })
        for (
          const [headers, reason] of [
            [{}, /missing|no token was shown/u],
            [bearer(bad), /signature/u],
            [bearer(old), /expired/u],
            [{ authorization: "Basic YTpi" }, /malformed/u]
          ] as const
        ) {
          const { body, status } = yield* get(path, headers)
          assert.strictEqual(status, 401)
          assert.match(body, reason)
        }
        assert.strictEqual((yield* get("/open")).status, 200)
      }))

    it.live("refuses a page that is none of the gateway's origins, also with a good cookie", () =>
      Effect.gen(function*() {
        const cookies = Authenticator.layerRequest(({ cookies }) =>
          Effect.map(
            Clock.currentTimeMillis,
            (issuedAt) =>
              cookies["session"] === "s1"
                ? Option.some({ userId: user("ada"), expiresAt: undefined, issuedAt })
                : Option.none()
          )
        )
        const { get } = yield* serve({ authenticator: cookies })
        const cookie = { cookie: "session=s1" }
        const status = (headers: Record<string, string>) => Effect.map(get(path, headers), (answer) => answer.status)
        assert.strictEqual(yield* status(cookie), 200)
        assert.strictEqual(yield* status({ ...cookie, origin: "https://app.example.com" }), 200)
        assert.strictEqual(yield* status({ ...cookie, origin: "https://evil.example.com" }), 403)
        assert.strictEqual(yield* status({ cookie: "session=s2" }), 401)
      }))

    it.live("refuses a session that a store gives though it has run out", () =>
      Effect.gen(function*() {
        const stale = Authenticator.layerRequest(() =>
          Effect.map(Clock.currentTimeMillis, (now) =>
            Option.some({ userId: user("ada"), expiresAt: now - 1, issuedAt: now }))
        )
        const { get } = yield* serve({ authenticator: stale })
        const { body, status } = yield* get(path)
        assert.strictEqual(status, 401)
        assert.match(body, /expired/u)
      }))

    it.live("says to come back where the authenticator gives no answer, and not that the credentials are bad", () =>
      Effect.gen(function*() {
        const away = Authenticator.layerRequest(() =>
          Effect.fail(new Authenticator.AuthenticatorUnavailable({ what: "the session store", cause: "away" }))
        )
        const { get } = yield* serve({ authenticator: away })
        const { body, status } = yield* get(path, { cookie: "session=s1" })
        assert.strictEqual(status, 503)
        assert.notInclude(body, "away")
      }))

    it.live("says to come back where the broker cannot tell whether the access was revoked", () => {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => lines.push(Array.isArray(message) ? message[0] : message))
      return Effect.gen(function*() {
        const away = Layer.effect(
          Broker.Broker,
          Effect.map(Broker.Broker, ({ subscribeUnscoped: _, ...broker }) =>
            Broker.Broker.of({
              ...broker,
              subscribe: () =>
                Effect.fail(
                  new Broker.BrokerError({
                    reason: new Broker.BrokerUnavailable({
                      operation: "subscribe",
                      afterMs: 0,
                      cause: "away",
                      blame: "broker"
                    })
                  })
                )
            }))
        ).pipe(Layer.provide(Broker.layerMemory()), Layer.orDie)
        const { get } = yield* serve({ broker: away })
        const { body, status } = yield* get(path, bearer(yield* token("ada")))
        assert.strictEqual(status, 503)
        assert.notInclude(body, "away")
        assert.include(lines, "A request could not be signed in")
      }).pipe(Effect.provide(Logger.layer([logger])))
    })
  })
}

describe("an answer that is a stream", () => {
  it.live("is a run that its user's emitter lives for, to its end", () =>
    Effect.gen(function*() {
      const { broker, get } = yield* serve()
      const { body } = yield* get("/route/streaming", bearer(yield* token("ada")))
      assert.strictEqual(body, "one two ")
      const { snapshots } = yield* broker.snapshots(user("ada"), 0)
      assert.deepStrictEqual(snapshots.map(({ state }) => state.status), ["completed"])
    }))
})
