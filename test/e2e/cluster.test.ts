/**
 * Several gateway and emitter processes over one real Redis, with many devices, while processes come and go.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { type Faults, storm } from "../cluster/Chaos.ts"
import * as Cluster from "../cluster/Cluster.ts"
import { command } from "../cluster/Commander.ts"
import * as Devices from "../cluster/Devices.ts"
import { report } from "../cluster/report.ts"
import type { Outcome, Trial } from "../cluster/Trial.ts"
import * as Trials from "../cluster/Trial.ts"
import { findProgram } from "../support/program.ts"

const redis = findProgram("redis-server")

const small: Trials.Options = {
  seed: 1,
  gateways: 2,
  emitters: 2,
  users: 8,
  agents: 1,
  pauseMs: 120,
  devicesPerUser: 4
}

/** Starting the processes of a trial takes a while on a busy machine. */
const timeout = 180_000

const trial = (
  happening: (trial: Trial) => Effect.Effect<void>,
  check: (outcome: Outcome) => void,
  options: Trials.Options = small
) =>
  Trials.run("redis", redis ?? "redis-server", options, (trial) =>
    Effect.map(
      Effect.all([happening(trial), command(trial.devices, { count: 40, ms: 4_000, seed: options.seed })], {
        concurrency: "unbounded"
      }),
      ([, sent]) => sent
    )).pipe(
      Effect.map((outcome) => {
        assert.deepStrictEqual(outcome.account.broken.slice(0, 10), [])
        assert.isAbove(outcome.account.accepted, 100)
        assert.isAbove(outcome.account.commands["accepted"] ?? 0, 0)
        check(outcome)
      }),
      Effect.provide(Logger.layer([]))
    )

/** Every device got every event: nothing was left out, and nothing came twice. */
const assertWhole = ({ account, devices: { totals } }: Outcome) => {
  assert.strictEqual(totals.gaps, 0)
  assert.strictEqual(totals.delivered, account.inLog * small.devicesPerUser)
}

describe.skipIf(redis === undefined)("a cluster", () => {
  // One cluster for all of it: each is a happening of its own, and starting processes takes longer than what they do.
  it.live(
    "loses nothing, shows no gap and ends the right runs while its processes are restarted and killed under load",
    () => {
      let open: ReadonlySet<string> = new Set()
      return trial(
        ({ cluster: { emitters: [emitter], gateways }, devices }) =>
          Effect.gen(function*() {
            yield* Effect.sleep("2 seconds")
            for (const gateway of gateways) {
              assert.deepStrictEqual(yield* gateway.stop, { code: 0, signal: null })
              yield* gateway.start
              yield* Effect.sleep("2 seconds")
            }
            // Each device had to leave the gateway that it was on, at least once.
            yield* Trials.until(() => devices.totals.resumed >= devices.all.length, 20_000)
            assert.isAtLeast(devices.totals.connections, 2 * devices.all.length)
            const { resumed } = devices.totals
            assert.isAtLeast(resumed, devices.all.length)

            yield* emitter?.kill ?? Effect.die("there is an emitter")
            // What it had appended before it died is with the devices by then.
            yield* Effect.sleep("2 seconds")
            open = new Set(
              [...devices.logs.values()].flatMap((log) => [...log.open]).filter((run) => run.startsWith("emitter-1-"))
            )

            yield* gateways[0]?.kill ?? Effect.die("there is a gateway")
            yield* Effect.sleep("4 seconds")
            assert.isAbove(devices.totals.resumed, resumed)
          }),
        (outcome) => {
          assertWhole(outcome)
          // An emitter waited for a device of one of the gateways, each in a process of its own.
          assert.isAbove(outcome.account.confirmed, 0)

          // The runs of the emitter that was killed ended as lost, each once, and no run of the other.
          assert.isAbove(open.size, 0)
          assert.strictEqual(outcome.account.endings["lost"], open.size)
          for (const { events } of outcome.devices.logs.values()) {
            for (const { data, run, type } of events.values()) {
              if (type === "agent_error" && data["reason"] === "lost") assert.isTrue(open.has(run ?? ""), run)
            }
          }
        }
      )
    },
    { tags: ["storm"], timeout: 2 * timeout }
  )

  it.live("ends a revoked user's connections on every gateway, and nobody else's", () =>
    Effect.gen(function*() {
      const { gateways, url, users } = yield* Cluster.make("redis", redis ?? "redis-server", {
        ...small,
        emitters: 0,
        users: 4
      })
      const { all, problems } = yield* Devices.make(url, users, small.devicesPerUser)
      const statusesOf = (isMeant: (device: Devices.Device) => boolean) =>
        new Set(all.filter(isMeant).map(({ status }) => status()))
      const isRevoked = ({ user }: Devices.Device) => user === "user-1"
      assert.isTrue(yield* Trials.until(() => statusesOf(() => true).size === 1 && all[0]?.status() === "live", 30_000))

      const ports = gateways.map(({ child }) => child().ready)
      const answers = yield* Effect.promise(() =>
        Promise.all(ports.map(async (port) => (await fetch(`http://127.0.0.1:${port}/stats`)).json()))
      )
      for (const { users } of answers) assert.strictEqual(users, 4, "every user is on both gateways")
      yield* Effect.promise(() => fetch(`http://127.0.0.1:${ports[0]}/revoke?user=user-1`, { method: "POST" }))
      assert.isTrue(yield* Trials.until(() => !statusesOf(isRevoked).has("live"), 20_000))
      assert.isTrue(yield* Trials.until(() => [...statusesOf(isRevoked)].join() === "stopped", 20_000))
      assert.deepStrictEqual(statusesOf((device) => !isRevoked(device)), new Set(["live"]))
      assert.strictEqual(problems.length, small.devicesPerUser)
      for (const problem of problems) assert.match(problem, /^user-1\/\d+: stopped: .*"noToken"/u)
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), timeout)

  it.live("keeps every promise in a storm of faults", () => {
    const options: Trials.Options = {
      ...small,
      seed: Number(process.env["SEED"] ?? 1),
      users: 20,
      pauseMs: 60,
      devicesPerUser: 10
    }
    let faults: Faults = {}
    return trial(
      (here) =>
        Effect.map(storm(here, { seed: options.seed, ms: 25_000 }), (struck) => {
          faults = struck
        }),
      (outcome) => {
        assert.isAtLeast(Object.keys(faults).length, 17, report(options, outcome, faults))
        assert.isAtLeast(outcome.devices.totals.resumed, 1)
      },
      options
    )
  }, { tags: ["storm"], timeout: 2 * timeout })
})
