/**
 * `npm run chaos -- --minutes 3 --seed 1` strikes a cluster of real processes with seeded faults, and checks every promise
 * when it is quiet again.
 */
import { Effect, Fiber, Logger } from "effect"
import { readNumber, readOptions, refuse } from "../support/options.ts"
import { type Faults, storm } from "./Chaos.ts"
import { command } from "./Commander.ts"
import { list, report } from "./report.ts"
import * as Store from "./Store.ts"
import * as Trials from "./Trial.ts"

const defaults = { minutes: 3, seed: 1, gateways: 3, emitters: 3, users: 40, devices: 6, pause: 300, commands: 300 }

const help =
  `Strikes a cluster of real processes over one real Redis or Postgres with seeded faults, and checks every promise.

  npm run chaos -- [options]

  --broker s    redis or postgres (redis)
  --minutes n   how long faults strike (${defaults.minutes})
  --seed n      which faults, and what agents do (${defaults.seed})
  --gateways n  gateway processes (${defaults.gateways})
  --emitters n  emitter processes (${defaults.emitters})
  --users n     users (${defaults.users}); each has an agent in each emitter process
  --devices n   devices of each user (${defaults.devices})
  --commands n  commands that devices send meanwhile: stop, answer, steer (${defaults.commands})
  --pause n     milliseconds between two events of an agent, on average (${defaults.pause})

It ends with 0 when every promise was kept, else with 1 after it has said what broke. The server must be installed.
`

const text = { type: "string" } as const
const values = readOptions("chaos", {
  help: { type: "boolean", short: "h" },
  minutes: text,
  broker: text,
  seed: text,
  gateways: text,
  emitters: text,
  users: text,
  devices: text,
  pause: text,
  commands: text
})
if (values.help === true) {
  process.stdout.write(help)
  process.exit(0)
}

const number = (name: keyof typeof defaults, least: number, isWhole = true): number =>
  readNumber("chaos", name, values[name] ?? String(defaults[name]), least, isWhole)

const commands = number("commands", 0)
const minutes = number("minutes", 0.1, false)
const options: Trials.Options = {
  seed: number("seed", 0),
  gateways: number("gateways", 2),
  emitters: number("emitters", 1),
  users: number("users", 1),
  agents: 1,
  pauseMs: number("pause", 1),
  devicesPerUser: number("devices", 1)
}

const kind = Store.kinds.find((one) => one === (values.broker ?? "redis")) ??
  refuse("chaos", `--broker must be ${Store.kinds.join(" or ")}`)
const program = Store.find(kind) ?? refuse("chaos", `the server of --broker ${kind} is not installed`)
const started = performance.now()
const say = (what: string) => {
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(`${seconds.padStart(6)} s  ${what}\n`)
}

let faults: Faults = {}
say("starting the cluster")
const outcome = await Effect.runPromise(
  Trials.run(kind, program, options, (trial) =>
    Effect.gen(function*() {
      const { all, problems, totals } = trial.devices
      let told = 0
      say(`${all.length} devices are live; faults strike for ${minutes} minutes`)
      const progress = Effect.sync(() => {
        const statuses: Record<string, number> = {}
        for (const device of all) statuses[device.status()] = (statuses[device.status()] ?? 0) + 1
        const delivered = totals.delivered.toLocaleString("en")
        say(`${delivered} events delivered, ${totals.resumed} resumed; devices: ${list(statuses)}`)
        for (const problem of problems.slice(told, 20)) say(`  ${problem}`)
        told = problems.length
      })
      yield* progress.pipe(Effect.delay("10 seconds"), Effect.forever, Effect.forkChild)
      const ms = minutes * 60_000
      const commanding = yield* Effect.forkChild(command(trial.devices, { count: commands, ms, seed: options.seed }))
      faults = yield* storm(trial, { seed: options.seed, ms, onFault: say })
      say("everything is healed; waiting until all is quiet")
      return yield* Fiber.join(commanding)
    })).pipe(Effect.provide(Logger.layer([])))
)
process.stdout.write(`\n${report(options, outcome, faults)}\n`)
process.exit(outcome.account.broken.length === 0 ? 0 : 1)
