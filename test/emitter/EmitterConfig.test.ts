import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer } from "effect"
import { Broker, EmitterConfig, EmitterLayer, Emitters } from "effect-emitter"

const { decode } = EmitterConfig

/** Every problem of settings that cannot be used: its path, and what is said of it. */
const problems = (options: unknown) =>
  Effect.map(Effect.flip(decode(options)), ({ issues }) => issues.map(({ message, path }) => [path, message]))

/** Durations in milliseconds, so that whole values can be compared. */
const inMillis = (value: unknown): unknown =>
  Duration.isDuration(value)
    ? Duration.toMillis(value)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, field]) => [key, inMillis(field)]))
    : value

const kibi = 1024
const common = { cancelTimeout: 10_000, maxEventBytes: 256 * kibi, lifecycle: "enforce", spans: true, tiers: {} }

const profiles = {
  lowLatency: {
    profile: "lowLatency",
    batching: {
      maxDelay: 5,
      maxSize: 16,
      maxBytes: 16 * kibi,
      capacity: 1_024,
      capacityBytes: 1_024 * kibi,
      overflow: "suspend"
    },
    retry: { attempts: 1, base: 1, cap: 5 },
    breaker: { failures: 3, openFor: 1_000, maxOpenFor: 10_000 },
    closeTimeout: 2_000,
    ...common
  },
  balanced: {
    profile: "balanced",
    batching: {
      maxDelay: 20,
      maxSize: 64,
      maxBytes: 64 * kibi,
      capacity: 4_096,
      capacityBytes: 4_096 * kibi,
      overflow: "suspend"
    },
    retry: { attempts: 3, base: 5, cap: 25 },
    breaker: { failures: 5, openFor: 5_000, maxOpenFor: 30_000 },
    closeTimeout: 5_000,
    ...common
  },
  throughput: {
    profile: "throughput",
    batching: {
      maxDelay: 100,
      maxSize: 512,
      maxBytes: 256 * kibi,
      capacity: 16_384,
      capacityBytes: 16_384 * kibi,
      overflow: "suspend"
    },
    retry: { attempts: 5, base: 10, cap: 100 },
    breaker: { failures: 10, openFor: 10_000, maxOpenFor: 60_000 },
    closeTimeout: 10_000,
    ...common
  }
} as const

describe("a profile", () => {
  for (const [profile, expected] of Object.entries(profiles)) {
    it.effect(`${profile} sets every field`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(inMillis(yield* decode({ profile })), expected)
      }))
  }

  it.effect("balanced is what is taken when nothing is said", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(inMillis(yield* decode({})), profiles.balanced)
    }))

  it.effect("gives way to explicit fields, one by one", () =>
    Effect.gen(function*() {
      const config = yield* decode({
        profile: "throughput",
        batching: { maxDelay: "50 millis", overflow: "fail" },
        retry: { attempts: 2 },
        breaker: { maxOpenFor: "2 minutes" },
        closeTimeout: "1 second",
        lifecycle: "observe"
      })
      const { throughput } = profiles
      assert.deepStrictEqual(inMillis(config), {
        ...throughput,
        batching: { ...throughput.batching, maxDelay: 50, overflow: "fail" },
        retry: { ...throughput.retry, attempts: 2 },
        breaker: { ...throughput.breaker, maxOpenFor: 120_000 },
        closeTimeout: 1_000,
        lifecycle: "observe"
      })
    }))
})

describe("settings that disagree", () => {
  const conflicts: ReadonlyArray<readonly [EmitterConfig.Options, string, RegExp]> = [
    [{ batching: { capacity: 10 } }, "batching.capacity", /capacity \(10\).*less than batching\.maxSize \(64\)/],
    [
      { batching: { capacityBytes: 10 } },
      "batching.capacityBytes",
      /capacityBytes \(10\).*less than batching\.maxBytes \(65536\)/
    ],
    [
      { profile: "lowLatency", batching: { maxDelay: "21 millis" } },
      "batching.maxDelay",
      /maxDelay \(21 ms\).*over 20 ms with profile lowLatency/
    ],
    [{ retry: { base: "1 second" } }, "retry.cap", /retry\.cap \(25 ms\).*less than retry\.base \(1000 ms\)/],
    [
      { breaker: { openFor: "1 minute" } },
      "breaker.maxOpenFor",
      /maxOpenFor \(30000 ms\).*less than breaker\.openFor \(60000 ms\)/
    ],
    [
      { retry: { attempts: 10, base: "1 second", cap: "1 second" } },
      "retry.attempts",
      /retry\.attempts, retry\.base and retry\.cap give up to 10000 ms.*before breaker\.openFor \(5000 ms\)/
    ]
  ]
  for (const [options, path, message] of conflicts) {
    it.effect(`are refused, both named: ${path}`, () =>
      Effect.gen(function*() {
        const found = yield* problems(options)
        const [problem] = found.filter(([at]) => at === path)
        assert.strictEqual(problem?.[0], path)
        assert.match(problem?.[1] ?? "", message)
      }))
  }

  it.effect("are all listed", () =>
    Effect.gen(function*() {
      const found = yield* problems({
        profile: "lowLatency",
        batching: { maxDelay: "1 second", capacity: 1 },
        retry: { base: "2 seconds" },
        breaker: { openFor: "20 seconds" }
      })
      assert.deepStrictEqual(found.map(([path]) => path), [
        "batching.capacity",
        "batching.maxDelay",
        "retry.cap",
        "breaker.maxOpenFor"
      ])
    }))

  it.effect("fault 8: refuses a tier whose name no emitter could have", () =>
    Effect.gen(function*() {
      for (const name of ["x\ud801", "a b", "null"]) {
        const [[path, message = ""] = []] = yield* problems({ tiers: { [name]: {} } })
        assert.strictEqual(path, `tiers.${name}`)
        assert.match(message, /an id must be well-formed|is a placeholder/)
      }
    }))

  it.effect("are refused within a tier too", () =>
    Effect.gen(function*() {
      const [[path, message = ""] = []] = yield* problems({ tiers: { free: { batching: { capacity: 1 } } } })
      assert.strictEqual(path, "tiers.free.batching.capacity")
      assert.match(message, /tiers\.free\.batching\.maxSize \(64\)/)
    }))
})

describe("settings that are wrong", () => {
  it.effect("are all listed, with path and value", () =>
    Effect.gen(function*() {
      const found = yield* problems({
        profile: "fastest",
        batching: { maxDelay: "soon", maxSize: 0, overflow: "explode" },
        retry: { attempts: 0 },
        closeTimeout: "-1 seconds",
        cancelTimeout: "0 millis",
        maxEventBytes: 1.5
      })
      const byPath = Object.fromEntries(found)
      assert.deepStrictEqual(Object.keys(byPath), [
        "profile",
        "batching.maxDelay",
        "batching.maxSize",
        "batching.overflow",
        "retry.attempts",
        "closeTimeout",
        "cancelTimeout",
        "maxEventBytes"
      ])
      assert.include(byPath["profile"], "\"fastest\"")
      assert.include(byPath["batching.maxSize"], "0")
      assert.include(byPath["maxEventBytes"], "1.5")
    }))

  it.effect("are refused where a key is unknown, at any depth", () =>
    Effect.gen(function*() {
      const found = yield* problems({ batchingMode: true, batching: { size: 3 }, retry: { attempt: 1 } })
      assert.deepStrictEqual(found.map(([path]) => path), ["batchingMode", "batching.size", "retry.attempt"])
    }))

  it.effect("are refused where a duration would never end or is none", () =>
    Effect.gen(function*() {
      const found = yield* problems({ batching: { maxDelay: "Infinity" }, closeTimeout: "0 millis" })
      assert.deepStrictEqual(found.map(([path]) => path), ["batching.maxDelay", "closeTimeout"])
    }))

  it.effect("keep the layer from being built, with every problem in the message", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Layer.build(EmitterLayer({ batching: { capacity: 1 } }).pipe(Layer.provide(Broker.layerMemory())))
      )
      assert.strictEqual(error._tag, "ConfigError")
      assert.match(error.message, /^The options of EmitterLayer cannot be used:\n {2}batching\.capacity: /)
    }))
})

describe("the profiles in order", () => {
  /** Every number of a value, by path. */
  const numbers = (value: unknown, path = ""): ReadonlyArray<readonly [string, number]> =>
    typeof value === "number"
      ? [[path, value]]
      : typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([key, field]) => numbers(field, `${path}.${key}`))
      : []

  const assertOrdered = Effect.fnUntraced(function*(overrides: EmitterConfig.Options) {
    const [low, balanced, high] = yield* Effect.forEach(
      ["lowLatency", "balanced", "throughput"] as const,
      (profile) => Effect.map(decode({ ...overrides, profile }), (config) => new Map(numbers(inMillis(config))))
    )
    assert.isAbove(low?.size ?? 0, 10)
    for (const [path, value] of balanced ?? []) {
      assert.isAtMost(low?.get(path) ?? Infinity, value, path)
      assert.isAtLeast(high?.get(path) ?? 0, value, path)
    }
  })

  it.effect("never fall: lowLatency ≤ balanced ≤ throughput in every field", () => assertOrdered({}))

  // What is set by hand is the same in all three, so the rest must keep its order whatever that is.
  const choices = {
    attempts: [1, 2, 4],
    closeTimeout: ["1 second", "1 minute"],
    maxDelay: ["1 millis", "20 millis"],
    maxSize: [1, 16]
  } as const
  for (const attempts of choices.attempts) {
    for (const closeTimeout of choices.closeTimeout) {
      for (const maxDelay of choices.maxDelay) {
        for (const maxSize of choices.maxSize) {
          it.effect(`keep their order around ${attempts}, ${closeTimeout}, ${maxDelay}, ${maxSize}`, () =>
            assertOrdered({ closeTimeout, retry: { attempts }, batching: { maxDelay, maxSize } }))
        }
      }
    }
  }
})

describe("settings from Config", () => {
  const from = (env: Record<string, string>) =>
    EmitterConfig.config.pipe(
      Effect.provideService(
        ConfigProvider.ConfigProvider,
        ConfigProvider.fromEnv({ env }).pipe(ConfigProvider.constantCase)
      )
    )

  it.effect("are those of environment variables in constant case", () =>
    Effect.gen(function*() {
      const config = yield* from({
        EMITTER_PROFILE: "lowLatency",
        EMITTER_BATCHING_MAX_DELAY: "10 millis",
        EMITTER_BATCHING_MAX_SIZE: "8",
        EMITTER_BATCHING_OVERFLOW: "dropOldest",
        EMITTER_RETRY_ATTEMPTS: "2",
        EMITTER_BREAKER_OPEN_FOR: "2 seconds",
        EMITTER_BREAKER_MAX_OPEN_FOR: "20 seconds",
        EMITTER_CLOSE_TIMEOUT: "3 seconds",
        EMITTER_CANCEL_TIMEOUT: "4 seconds",
        EMITTER_MAX_EVENT_BYTES: "1000"
      })
      const { lowLatency } = profiles
      assert.deepStrictEqual(inMillis(config), {
        ...lowLatency,
        batching: { ...lowLatency.batching, maxDelay: 10, maxSize: 8, overflow: "dropOldest" },
        retry: { ...lowLatency.retry, attempts: 2 },
        breaker: { ...lowLatency.breaker, openFor: 2_000, maxOpenFor: 20_000 },
        closeTimeout: 3_000,
        cancelTimeout: 4_000,
        maxEventBytes: 1_000
      })
    }))

  it.effect("are the defaults where nothing is set", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(inMillis(yield* from({})), profiles.balanced)
      assert.deepStrictEqual(inMillis(yield* from({ PATH: "/bin" })), profiles.balanced)
    }))

  it.effect("are checked like options", () =>
    Effect.gen(function*() {
      const wrong = yield* Effect.flip(from({ EMITTER_PROFILE: "fastest" }))
      assert.include(String(wrong), "profile")
      const conflict = yield* Effect.flip(from({ EMITTER_BATCHING_CAPACITY: "1" }))
      assert.include(String(conflict), "must not be less than batching.maxSize (64)")
    }))

  it.effect("build the same layer", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      assert.strictEqual(ada.context.userId, "ada")
    }).pipe(
      Effect.provide(EmitterLayer.layerConfig().pipe(Layer.provide(Broker.layerMemory()))),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: {} }))
    ))
})

describe("a layer from the environment", () => {
  const build = (env: Record<string, string>) =>
    Effect.scoped(Layer.build(EmitterLayer.layerConfig().pipe(Layer.provide(Broker.layerMemory())))).pipe(
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
    )

  it.effect("reads variables in constant case without anything else being provided", () =>
    Effect.gen(function*() {
      assert.include(String(yield* Effect.flip(build({ EMITTER_PROFILE: "fastest" }))), "profile")
      assert.include(String(yield* Effect.flip(build({ EMITTER_BATCHING_MAX_DELAY: "soon" }))), "maxDelay")
      assert.include(
        String(yield* Effect.flip(build({ EMITTER_PROFILE: "lowLatency", EMITTER_BATCHING_MAX_DELAY: "50 millis" }))),
        "batching.maxDelay (50 ms) must not be over 20 ms with profile lowLatency"
      )
      yield* build({ EMITTER_PROFILE: "throughput", EMITTER_BATCHING_MAX_DELAY: "50 millis" })
    }))
})

describe("secrets", () => {
  it.effect("have no place in the settings: values from elsewhere in the environment stay out of errors", () =>
    Effect.gen(function*() {
      const error = yield* EmitterConfig.config.pipe(
        Effect.provideService(
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromEnv({ env: { EMITTER_PROFILE: "fastest", TOKEN_SECRET: "hunter2" } }).pipe(
            ConfigProvider.constantCase
          )
        ),
        Effect.flip
      )
      assert.notInclude(String(error) + JSON.stringify(error), "hunter2")
    }))
})
