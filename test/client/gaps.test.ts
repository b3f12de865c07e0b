/**
 * What a page shows of a run whose ending it missed, over a real gateway.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker } from "effect-emitter"
import { connect } from "effect-emitter/client"
import { envelope, serve, token, user } from "../gateway/server.ts"
import { until } from "./devices.ts"
import { proxyTo } from "./Proxy.ts"

describe("a run that ended while a page was away", () => {
  it.live("is not shown as active where the server has forgotten it, and its events", () =>
    Effect.gen(function*() {
      const broker = Layer.orDie(Broker.layerMemory({ maxEvents: 4, maxRuns: 2 }))
      const served = yield* serve({}, { broker })
      const proxy = yield* proxyTo(() => served.port)
      const emit = (run: string, type: string, data: Record<string, string | number>) =>
        served.broker.append(user("ada"), [envelope(data, { run, type })])
      const start = (run: string) => emit(run, "agent_started", { agentName: "a" })
      const end = (run: string) => emit(run, "agent_completed", { agentName: "a", durationMs: 1 })
      const given = yield* token("ada")
      const lost: Array<string> = []
      const page = yield* Effect.acquireRelease(
        Effect.sync(() =>
          connect({
            url: `ws://127.0.0.1:${proxy.port}/events`,
            token: given,
            backoff: { baseMs: 5, capMs: 50 },
            onLost: (run) => lost.push(run)
          })
        ),
        ({ close }) => Effect.sync(close)
      )
      yield* until("live", () => page.status.getSnapshot().state === "live")
      yield* start("r1")
      yield* start("r2")
      yield* until("both runs", () => page.runs.getSnapshot().length === 2)
      proxy.upgrades("down")
      proxy.cut()
      yield* until("away", () => page.status.getSnapshot().state === "waiting")
      yield* end("r1")
      for (const run of ["r3", "r4", "r5"]) yield* Effect.andThen(start(run), end(run))
      proxy.upgrades("pass")
      yield* until("live again", () => page.status.getSnapshot().state === "live")
      assert.deepStrictEqual(
        page.runs.getSnapshot().map(({ id, status }) => [id, status]),
        [["r1", "lost"], ["r2", "active"], ["r5", "completed"], ["r4", "completed"]]
      )
      assert.deepStrictEqual(lost, ["r1"])
    }))
})
