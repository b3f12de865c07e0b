import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Doubt from "../../../src/broker/postgres/connection/Doubt.ts"

describe("A Postgres in doubt", () => {
  it.effect("is checked until it is well, also after a check that broke, and tells each change once", () =>
    Effect.gen(function*() {
      const checks = [Effect.die(new Error("a driver's fault")), Effect.succeed(false), Effect.succeed(true)]
      let checked = 0
      const doubt = yield* Doubt.make(
        Effect.suspend(() => checks[checked++] ?? Effect.succeed(true)),
        Effect.sleep("1 second")
      )
      const told: Array<string> = []
      yield* doubt.watch((signal) => void told.push(signal))
      doubt.lift()
      for (const wanted of [checks.length, checks.length + 1]) {
        doubt.raise()
        doubt.raise()
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(checked, wanted)
      }
      assert.deepStrictEqual(told, ["up", "down", "up", "down", "up"])
    }))
})
