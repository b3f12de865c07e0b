/**
 * Every part takes its options in the same way, plain, from `Config` or from the environment, and says in the same way
 * what is wrong with them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer, Redacted } from "effect"
import { Broker, type ConfigError, EmitterLayer } from "effect-emitter"
import { Authenticator, Gateway } from "effect-emitter/gateway"
import { PostgresBroker } from "effect-emitter/postgres"
import { RedisBroker } from "effect-emitter/redis"
import { SqliteBroker } from "effect-emitter/sqlite"
import { FetchHttpClient, HttpRouter } from "effect/http"

const secret = "hunter2 and 25 characters more"
const wrong: never = "x" as never

type Build = Layer.Layer<never, Error>

const overBroker = <A, E extends Error>(layer: Layer.Layer<A, E, Broker.Broker>): Build =>
  Layer.effectDiscard(Layer.build(layer.pipe(Layer.provide(Broker.layerMemory()))))

const inServer = <A, E extends Error>(
  layer: Layer.Layer<A, E, Broker.Broker | HttpRouter.HttpRouter | Authenticator.Authenticator>
) =>
  overBroker(
    layer.pipe(Layer.provide([HttpRouter.layer, Authenticator.layerJwt({ secret: Redacted.make("s".repeat(32)) })]))
  )

const alone = <A, E extends Error>(layer: Layer.Layer<A, E>): Build => Layer.effectDiscard(Layer.build(layer))

const online = <A, E, R>(layer: Layer.Layer<A, E, R>) => Layer.provide(layer, FetchHttpClient.layer)

interface Case {
  readonly of: ConfigError.Part
  /** With an option that does not exist. */
  readonly unknown: Build
  /** With a plain value where a `Config` belongs. */
  readonly plain: Build
  readonly fromEnvironment: Build
  readonly env: Record<string, string>
  readonly path: string
  readonly variable: string
}

const cases: ReadonlyArray<Case> = [
  {
    of: "EmitterLayer",
    unknown: overBroker(EmitterLayer({ profil: "balanced" } as never)),
    plain: overBroker(EmitterLayer.layerConfig({ batching: { maxSize: wrong } })),
    fromEnvironment: overBroker(EmitterLayer.layerConfig()),
    env: { EMITTER_BATCHING_MAX_DELAY: "soon" },
    path: "batching.maxDelay",
    variable: "EMITTER_BATCHING_MAX_DELAY"
  },
  {
    of: "Gateway",
    unknown: inServer(Gateway.layer({ paths: "/" } as never)),
    plain: inServer(Gateway.layerConfig({ path: wrong })),
    fromEnvironment: inServer(Gateway.layerConfig()),
    env: { GATEWAY_HELLO_TIMEOUT: "soon" },
    path: "helloTimeout",
    variable: "GATEWAY_HELLO_TIMEOUT"
  },
  {
    of: "MemoryBroker",
    unknown: alone(Broker.layerMemory({ maxEvent: 1 } as never)),
    plain: alone(Broker.layerMemoryConfig({ maxAge: wrong })),
    fromEnvironment: alone(Broker.layerMemoryConfig()),
    env: { BROKER_MAX_EVENTS: "-1" },
    path: "maxEvents",
    variable: "BROKER_MAX_EVENTS"
  },
  {
    of: "RedisBroker",
    unknown: alone(RedisBroker.layer({ url: "redis://127.0.0.1:1", pre: "x" } as never)),
    plain: alone(RedisBroker.layerConfig({ prefix: wrong })),
    fromEnvironment: alone(RedisBroker.layerConfig()),
    env: { REDIS_URL: "redis://127.0.0.1:1", REDIS_DEADLINE: "soon" },
    path: "deadline",
    variable: "REDIS_DEADLINE"
  },
  {
    of: "PostgresBroker",
    unknown: alone(PostgresBroker.layer({ url: "postgres://127.0.0.1:1/db", pre: "x" } as never)),
    plain: alone(PostgresBroker.layerConfig({ url: Config.succeed("postgres://127.0.0.1:1/db"), schema: wrong })),
    fromEnvironment: alone(PostgresBroker.layerConfig()),
    env: { POSTGRES_URL: "postgres://127.0.0.1:1/db", POSTGRES_DEADLINE: "soon" },
    path: "deadline",
    variable: "POSTGRES_DEADLINE"
  },
  {
    of: "SqliteBroker",
    unknown: alone(SqliteBroker.layer({ file: "/none/events.db", synchronus: "full" } as never)),
    plain: alone(SqliteBroker.layerConfig({ file: Config.succeed("/none/events.db"), maxAge: wrong })),
    fromEnvironment: alone(SqliteBroker.layerConfig()),
    env: { SQLITE_FILE: "/none/events.db", SQLITE_SYNCHRONOUS: "off" },
    path: "synchronous",
    variable: "SQLITE_SYNCHRONOUS"
  },
  {
    of: "Authenticator",
    unknown: alone(Authenticator.layerJwt({ secret: Redacted.make("s".repeat(32)), isuer: "x" } as never)),
    plain: alone(Authenticator.layerJwtConfig({ secret: wrong })),
    fromEnvironment: alone(Authenticator.layerJwtConfig()),
    env: { JWT_SECRET: "s".repeat(32), JWT_CLOCK_TOLERANCE: "soon" },
    path: "clockTolerance",
    variable: "JWT_CLOCK_TOLERANCE"
  },
  {
    of: "Authenticator",
    unknown: alone(online(Authenticator.layerJwks({ url: "https://a.example", isuer: "x" } as never))),
    plain: alone(online(Authenticator.layerJwksConfig({ url: wrong }))),
    fromEnvironment: alone(online(Authenticator.layerJwksConfig())),
    env: { JWKS_URL: "https://a.example", JWKS_MAX_BYTES: "none" },
    path: "maxBytes",
    variable: "JWKS_MAX_BYTES"
  }
]

const errorOf = (build: Build, env: Record<string, string> = {}) =>
  Effect.scoped(Layer.build(build)).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
    Effect.flip,
    Effect.map((error) => {
      if (!("issues" in error)) return assert.fail(String(error))
      return error as ConfigError.ConfigError
    })
  )

describe("the options of", () => {
  for (const { env, fromEnvironment, of, path, plain, unknown, variable } of cases) {
    it.effect(`${of}: one that does not exist is refused, with those that do`, () =>
      Effect.gen(function*() {
        const error = yield* errorOf(unknown)
        assert.deepStrictEqual([error._tag, error.of], ["ConfigError", of])
        const [issue] = error.issues
        assert.strictEqual(error.issues.length, 1)
        assert.match(issue?.message ?? "", /^there is no such option: there are \w+, /u)
        assert.strictEqual(issue?.remedy, "correct its name, or leave it out")
      }))

    it.effect(`${of}: a plain value where a Config belongs is named, and nothing overflows`, () =>
      Effect.gen(function*() {
        const error = yield* errorOf(plain)
        assert.strictEqual(error.of, of)
        assert.match(error.issues[0]?.message ?? "", /^a Config is needed here/u)
        assert.include(error.issues[0]?.remedy, "Config.succeed")
      }))

    it.effect(`${of}: from the environment, a wrong one names its path and its variable (${variable})`, () =>
      Effect.gen(function*() {
        const error = yield* errorOf(fromEnvironment, env)
        assert.strictEqual(error.of, of)
        assert.deepStrictEqual(error.issues.map((issue) => [issue.path, issue.remedy]), [
          [path, `set ${variable} to what is needed`]
        ])
      }))
  }
})

describe("an error of options", () => {
  it.effect("lists every problem with path, value and remedy", () =>
    Effect.gen(function*() {
      const error = yield* errorOf(alone(Broker.layerMemory({ maxEvents: 0, maxAge: wrong })))
      assert.deepStrictEqual(error.issues.map(({ path, value }) => [path, value]), [["maxEvents", "0"], [
        "maxAge",
        `"x"`
      ]])
      assert.strictEqual(error.message.split("\n").length, 3)
      for (const { message, remedy } of error.issues) assert.include(error.message, `${message}; ${remedy}`)
    }))

  it.effect("says of what is missing that it has to be given", () =>
    Effect.gen(function*() {
      const { issues } = yield* errorOf(alone(Authenticator.layerJwt({} as never)))
      assert.deepStrictEqual(issues, [{
        path: "secret",
        message: "it is missing, and has no default",
        remedy: "give it"
      }])
      for (
        const [layer, variable, path] of [
          [alone(Authenticator.layerJwtConfig()), "JWT_SECRET", "secret"],
          [alone(online(Authenticator.layerJwksConfig())), "JWKS_URL", "url"],
          [alone(SqliteBroker.layerConfig()), "SQLITE_FILE", "file"],
          [alone(PostgresBroker.layerConfig()), "POSTGRES_URL", "url"]
        ] as const
      ) {
        const read = yield* errorOf(layer)
        const expected = {
          path,
          message: "it is missing, and has no default",
          remedy: `set ${variable} to what is needed`
        }
        assert.deepStrictEqual(read.issues, [expected])
      }
      const redis = yield* errorOf(alone(RedisBroker.layerConfig()))
      assert.deepStrictEqual(redis.issues.map(({ message }) => message), [
        "either url or urls must be given: url for one server, urls for several"
      ])
    }))

  it.effect("tells no secret, whatever is wrong with it and wherever it came from", () =>
    Effect.gen(function*() {
      const url = `redis:/user:${secret}@host`
      const builds = [
        alone(RedisBroker.layer({ url })),
        alone(RedisBroker.layer({ urls: [url, { url, name: `user:${secret}@host` }] })),
        alone(RedisBroker.layerConfig({ url: Config.succeed(url), maxEvents: Config.succeed(0) })),
        alone(RedisBroker.layerConfig()),
        alone(Authenticator.layerJwt({ secret: Redacted.make(secret) })),
        alone(Authenticator.layerJwt({ secret } as never)),
        alone(Authenticator.layerJwtConfig()),
        alone(online(Authenticator.layerJwks({ url: `ftp://user:${secret}@a.example` }))),
        alone(online(Authenticator.layerJwksConfig()))
      ]
      for (const build of builds) {
        const env = { REDIS_URL: url, JWT_SECRET: secret, JWKS_URL: `ftp://user:${secret}@a.example` }
        const error = yield* errorOf(build, env)
        assert.isNotEmpty(error.issues)
        assert.notInclude(JSON.stringify(error) + error.message, "hunter2")
      }
    }))

  it.effect("names all Configs that give nothing, not only the first", () =>
    Effect.gen(function*() {
      const error = yield* errorOf(
        alone(RedisBroker.layerConfig({ url: Config.String("EVENTS_URL"), maxEvents: Config.Int("EVENTS_MAX") }))
      )
      assert.deepStrictEqual(error.issues.map(({ path, remedy }) => [path, remedy]), [
        ["url", "set EVENTS_URL to what is needed"],
        ["maxEvents", "set EVENTS_MAX to what is needed"]
      ])
    }))
})

describe("options from the environment", () => {
  const built = (layer: Build, env: Record<string, string>) =>
    Effect.scoped(Layer.build(layer)).pipe(
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
    )

  it.effect("build every part, with no more said than is needed", () =>
    Effect.gen(function*() {
      yield* built(overBroker(EmitterLayer.layerConfig()), {})
      yield* built(inServer(Gateway.layerConfig()), {})
      yield* built(alone(Broker.layerMemoryConfig()), {})
      yield* built(alone(Authenticator.layerJwtConfig()), { JWT_SECRET: "s".repeat(32) })
      yield* built(alone(online(Authenticator.layerJwksConfig())), { JWKS_URL: "https://a.example/keys.json" })
    }))
})
