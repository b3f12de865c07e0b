import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { append, connect, serve } from "./server.ts"

describe("Gateway", () => {
  it.live("welcomes a device at the head, and hands it what comes after, in order", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* append(served, "ada", 1, 2)
      const device = yield* connect(served, "ada")
      assert.strictEqual(device.welcome.offset, 2)
      assert.isTrue(device.welcome.recovered)

      yield* append(served, "ada", 3, 4, 5)
      yield* device.received(3)
      assert.deepStrictEqual(device.numbers(), [3, 4, 5])
    }))
})
