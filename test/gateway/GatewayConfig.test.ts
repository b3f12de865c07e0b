import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Redacted } from "effect"
import { Broker } from "effect-emitter"
import { Authenticator, Gateway, GatewayConfig } from "effect-emitter/gateway"
import { HttpRouter } from "effect/http"

const fromEnvironment = (env: Record<string, string>) =>
  Effect.provideService(
    Effect.gen(function*() {
      return yield* GatewayConfig.config
    }),
    ConfigProvider.ConfigProvider,
    ConfigProvider.constantCase(ConfigProvider.fromEnv({ env }))
  )

describe("GatewayConfig", () => {
  it.effect("needs no option, from code or from the environment", () =>
    Effect.gen(function*() {
      const defaults = yield* GatewayConfig.decode({})
      assert.strictEqual(defaults.path, "/events")
      assert.strictEqual(Duration.toMillis(defaults.heartbeat), 25_000)
      assert.deepStrictEqual(yield* fromEnvironment({}), defaults)
    }))

  it.effect("is read by its layer from variables in constant case without anything else being provided", () =>
    Effect.gen(function*() {
      const build = (env: Record<string, string>) =>
        Effect.scoped(Layer.build(
          Gateway.layerConfig().pipe(
            Layer.provide(HttpRouter.layer),
            Layer.provide(Authenticator.layerJwt({ secret: Redacted.make("a secret of more than 32 characters") })),
            Layer.provide(Broker.layerMemory())
          )
        )).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })))
      assert.include(String(yield* Effect.flip(build({ GATEWAY_HELLO_TIMEOUT: "soon" }))), "helloTimeout")
      assert.include(String(yield* Effect.flip(build({ GATEWAY_CONNECTIONS_PER_USER: "0" }))), "perUser")
      yield* build({ GATEWAY_HELLO_TIMEOUT: "2 seconds" })
    }))

  it.effect("reads every option from the environment", () =>
    Effect.gen(function*() {
      const config = yield* fromEnvironment({
        GATEWAY_NAME: "node-7",
        GATEWAY_PATH: "/live",
        GATEWAY_ORIGINS: "any",
        GATEWAY_HELLO_TIMEOUT: "1 second",
        GATEWAY_HEARTBEAT: "10 seconds",
        GATEWAY_MAX_FRAME_BYTES_IN: "1000",
        GATEWAY_MAX_FRAME_BYTES_OUT: "2000",
        GATEWAY_FRAMES_PER_SECOND: "7",
        GATEWAY_MAX_SNAPSHOTS: "9",
        GATEWAY_CONNECTIONS_PER_USER: "3",
        GATEWAY_CONNECTIONS_PER_NODE: "4",
        GATEWAY_CONNECTIONS_PER_SECOND: "5",
        GATEWAY_REQUESTS_PER_ADDRESS: "11",
        GATEWAY_ADDRESS_HEADER: "X-Real-IP",
        GATEWAY_STRANGERS_SILENT: "6",
        GATEWAY_STRANGERS_UNAUTHENTICATED: "7",
        GATEWAY_STRANGERS_REFUSED: "8",
        GATEWAY_SILENT_TIMEOUT: "9 seconds",
        GATEWAY_SLOW_VOLATILE_BYTES: "10",
        GATEWAY_SLOW_VOLATILE_AFTER: "1 second",
        GATEWAY_SLOW_BATCHED_BYTES: "20",
        GATEWAY_SLOW_BATCHED_AFTER: "2 seconds",
        GATEWAY_SLOW_CLOSE_BYTES: "30",
        GATEWAY_SLOW_CLOSE_AFTER: "3 seconds",
        GATEWAY_BACKLOG_PER_CONNECTION: "4000",
        GATEWAY_BACKLOG_PER_NODE: "5000",
        GATEWAY_COMPRESSION_ENABLED: "true",
        GATEWAY_COMPRESSION_CONTEXT_TAKEOVER: "true",
        GATEWAY_COMPRESSION_THRESHOLD: "100",
        GATEWAY_COMPRESSION_LEVEL: "2",
        GATEWAY_COMPRESSION_MEMORY: "9000",
        GATEWAY_COMMANDS_WITHIN: "8 seconds",
        GATEWAY_COMMANDS_MAX_DATA_BYTES: "1024",
        GATEWAY_COMMANDS_RATE_PER_CONNECTION: "1",
        GATEWAY_COMMANDS_RATE_PER_USER: "2",
        GATEWAY_COMMANDS_OPEN_PER_CONNECTION: "3",
        GATEWAY_COMMANDS_OPEN_PER_USER: "4",
        GATEWAY_COMMANDS_OPEN_PER_NODE: "5",
        GATEWAY_EXPIRY_GRACE: "4 seconds",
        GATEWAY_DEGRADED_TIMEOUT: "7 seconds",
        GATEWAY_DRAIN_TIMEOUT: "5 seconds",
        GATEWAY_RECONNECT_SPREAD: "6 seconds"
      })
      const seconds = Duration.seconds
      assert.deepStrictEqual(config, {
        name: "node-7",
        path: "/live",
        origins: "any",
        helloTimeout: seconds(1),
        heartbeat: seconds(10),
        maxFrameBytesIn: 1000,
        maxFrameBytesOut: 2000,
        framesPerSecond: 7,
        maxSnapshots: 9,
        connections: { perUser: 3, perNode: 4, perSecond: 5 },
        requestsPerAddress: 11,
        addressHeader: "X-Real-IP",
        strangers: { silent: 6, unauthenticated: 7, refused: 8 },
        silentTimeout: seconds(9),
        slow: {
          volatile: { bytes: 10, after: seconds(1) },
          batched: { bytes: 20, after: seconds(2) },
          close: { bytes: 30, after: seconds(3) }
        },
        backlog: { perConnection: 4000, perNode: 5000 },
        compression: { enabled: true, contextTakeover: true, threshold: 100, level: 2, memory: 9000 },
        commands: {
          within: seconds(8),
          maxDataBytes: 1024,
          rate: { perConnection: 1, perUser: 2 },
          open: { perConnection: 3, perUser: 4, perNode: 5 }
        },
        expiryGrace: seconds(4),
        degradedTimeout: seconds(7),
        drainTimeout: seconds(5),
        reconnectSpread: seconds(6)
      })
    }))

  it.effect("refuses what makes no sense from the environment as well", () =>
    Effect.gen(function*() {
      const conflict = yield* Effect.flip(fromEnvironment({ GATEWAY_CONNECTIONS_PER_USER: "30000" }))
      assert.include(conflict.message, "connections.perNode")
      const nonsense = yield* Effect.flip(fromEnvironment({ GATEWAY_HEARTBEAT: "often" }))
      assert.strictEqual(nonsense._tag, "ConfigError")
    }))

  it.effect("takes names that can stand in the id of a connection, and no others", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* GatewayConfig.decode({ name: "eu_west-1" })).name, "eu_west-1")
      for (const name of ["", "a.b", "a b", "x".repeat(33)]) {
        const error = yield* Effect.flip(GatewayConfig.decode({ name }))
        assert.deepStrictEqual(error.issues.map(({ path }) => path), ["name"], name)
      }
    }))

  it.effect("takes lists of origins, and refuses what is no origin", () =>
    Effect.gen(function*() {
      const origins = ["https://app.example.com", "http://localhost:4321"]
      assert.deepStrictEqual((yield* GatewayConfig.decode({ origins })).origins, origins)
      for (
        const origin of ["app.example.com", "https://app.example.com/", "https://app.example.com/path", "*", "null"]
      ) {
        const error = yield* Effect.flip(GatewayConfig.decode({ origins: [origin] }))
        assert.strictEqual(error.issues.length, 1, origin)
      }
    }))

  it.effect("refuses a backlog without room for two frames, or of one device that is larger than that of all", () =>
    Effect.gen(function*() {
      const small = yield* Effect.flip(GatewayConfig.decode({ backlog: { perConnection: 100_000 } }))
      assert.include(small.message, "twice maxFrameBytesOut (65536)")
      const large = yield* Effect.flip(GatewayConfig.decode({ backlog: { perNode: 1_000_000 } }))
      assert.deepStrictEqual(large.issues.map(({ path }) => path), ["backlog.perConnection"])
    }))

  it.effect("compresses nothing unless told to, small frames only where they may refer to others, and with little work", () =>
    Effect.gen(function*() {
      const of = (compression: GatewayConfig.Options["compression"]) =>
        Effect.map(GatewayConfig.decode({ compression }), (config) => config.compression)
      const defaults = yield* of(undefined)
      assert.deepStrictEqual(defaults, {
        enabled: false,
        contextTakeover: false,
        threshold: 1024,
        level: 1,
        memory: 64 * 1024 * 1024
      })
      assert.strictEqual((yield* of({ enabled: true, contextTakeover: true })).threshold, 64)
      assert.strictEqual((yield* of({ contextTakeover: true, threshold: 5 })).threshold, 5)
    }))

  it.effect("refuses a level that zlib does not have, and memory without room for four frames", () =>
    Effect.gen(function*() {
      const level = yield* Effect.flip(GatewayConfig.decode({ compression: { level: 10 } }))
      assert.deepStrictEqual(level.issues.map(({ path }) => path), ["compression.level"])
      assert.include(level.message, "1 to 9")
      const memory = yield* Effect.flip(GatewayConfig.decode({ compression: { memory: 262_143 } }))
      assert.deepStrictEqual(memory.issues.map(({ path }) => path), ["compression.memory"])
      assert.include(memory.message, "at least four times maxFrameBytesOut (65536), 262144")
    }))

  it.effect("refuses limits on commands that run backwards, or data larger than devices may send", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        GatewayConfig.decode({
          commands: { maxDataBytes: 8_193, rate: { perConnection: 21 }, open: { perConnection: 65, perNode: 63 } }
        })
      )
      assert.deepStrictEqual(error.issues.map(({ message, path }) => [path, message.replaceAll(/.*\(|\).*/g, "")]), [
        ["commands.maxDataBytes", "8193"],
        ["commands.rate.perConnection", "20"],
        ["commands.open.perConnection", "64"],
        ["commands.open.perUser", "63"]
      ])
    }))

  it.effect("refuses limits for slow devices that run backwards", () =>
    Effect.gen(function*() {
      const slow = { volatile: { bytes: 2_000_000 }, close: { after: "5 seconds" } }
      const error = yield* Effect.flip(GatewayConfig.decode({ slow }))
      assert.deepStrictEqual(error.issues.map(({ path }) => path), ["slow.volatile.bytes", "slow.batched.after"])
    }))
})
