import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { times } from "../../src/demo/agent/Pace.ts"
import * as DemoConfig from "../../src/demo/settings/DemoConfig.ts"

/** With nothing but these variables in its environment. */
const within = (env: Record<string, string>) => Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))

const portOf = (env: Record<string, string>) => DemoConfig.port.pipe(within(env))

describe("the demo's port", () => {
  it.effect("is 4321 unless PORT says otherwise, and 0 means any free one", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* portOf({}), 4321)
      assert.strictEqual(yield* portOf({ PORT: "8080" }), 8080)
      assert.strictEqual(yield* portOf({ PORT: "0" }), 0)
      assert.strictEqual(yield* portOf({ PORT: "65535" }), 65_535)
    }))

  it.effect("is refused with its value when it is no port", () =>
    Effect.gen(function*() {
      for (const value of ["abc", "-1", "65536", "80.5", "1e3", "0x50", " "]) {
        assert.deepStrictEqual(yield* Effect.flip(portOf({ PORT: value })), new DemoConfig.InvalidPort({ value }))
      }
    }))

  it("says what to do when it is taken or may not be used", () => {
    assert.match(
      new DemoConfig.PortUnavailable({ port: 4321, code: "EADDRINUSE" }).message,
      /^Port 4321 is taken: .* PORT=4322 npm start$/
    )
    assert.match(
      new DemoConfig.PortUnavailable({ port: 80, code: "EACCES" }).message,
      /^Port 80 cannot be used \(EACCES\): .* PORT=4321 npm start$/
    )
  })
})

describe("the demo's log", () => {
  it.effect("is a file for each port, and in memory where any port will do or somebody says so", () =>
    Effect.gen(function*() {
      const logOf = (port: number, env: Record<string, string> = {}) => DemoConfig.log(port).pipe(within(env))
      assert.strictEqual(yield* logOf(4321), ".tmp/demo/events-4321.db")
      assert.isUndefined(yield* logOf(0))
      assert.isUndefined(yield* logOf(4321, { DEMO_LOG: "memory" }))
      assert.strictEqual(yield* logOf(0, { DEMO_LOG: "/tmp/log.db" }), "/tmp/log.db")
    }))
})

describe("the demo's pace", () => {
  const paceOf = (env: Record<string, string>) => DemoConfig.pace.pipe(within(env))

  it.effect("is a reader's unless DEMO_PACE says otherwise", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* paceOf({}), 1)
      assert.strictEqual(yield* paceOf({ DEMO_PACE: "0.5" }), 0.5)
      assert.strictEqual(yield* paceOf({ DEMO_PACE: "100" }), 100)
      const { step, word } = times(4)
      assert.deepStrictEqual([step, word], [175, 15])
    }))

  it.effect("is refused with its value when it is none", () =>
    Effect.gen(function*() {
      for (const value of ["fast", "-1", "0", "101", "1e1", " "]) {
        assert.deepStrictEqual(yield* Effect.flip(paceOf({ DEMO_PACE: value })), new DemoConfig.InvalidPace({ value }))
      }
    }))
})
