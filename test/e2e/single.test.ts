/**
 * One real process that keeps its logs in a file, with agents, a gateway and devices, while it is killed and frozen.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { command } from "../cluster/Commander.ts"
import * as SingleTrial from "../cluster/SingleTrial.ts"
import type { Options } from "../cluster/Trial.ts"

const small: Options = {
  seed: 1,
  gateways: 1,
  emitters: 1,
  users: 6,
  agents: 1,
  pauseMs: 60,
  devicesPerUser: 3
}

/** Starting the process takes a while on a busy machine. */
const timeout = 400_000

describe("one process over a file", () => {
  it.live(
    "keeps every promise when it is killed, frozen and started again: devices resume in the same epochs",
    () =>
      SingleTrial.run(small, ({ devices, service }) =>
        Effect.gen(function*() {
          const striking = Effect.gen(function*() {
            yield* Effect.sleep("2 seconds")
            yield* service.kill
            yield* service.start
            yield* Effect.sleep("1 second")
            yield* service.child().freeze
            yield* Effect.sleep("1 second")
            yield* service.child().thaw
            yield* Effect.sleep("1 second")
          })
          const [, sent] = yield* Effect.all(
            [striking, command(devices, { count: 20, ms: 4_000, seed: small.seed })],
            { concurrency: "unbounded" }
          )
          return sent
        })).pipe(
          Effect.map(({ account, devices: { totals } }) => {
            assert.deepStrictEqual(account.broken.slice(0, 10), [])
            assert.isAbove(account.accepted, 50)
            assert.isAbove(account.endings["lost"] ?? 0, 0)
            assert.isAbove(totals.resumed, 0)
            assert.strictEqual(totals.gaps, 0)
            assert.strictEqual(totals.delivered, account.inLog * small.devicesPerUser)
          }),
          Effect.provide(Logger.layer([]))
        ),
    timeout
  )
})
