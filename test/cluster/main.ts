/**
 * `npm run chaos -- --minutes 3 --seed 1` strikes a cluster of real processes with seeded faults, and checks every promise
 * when it is quiet again.
 */
import { Effect, Fiber, Logger } from "effect"
import { readNumber, readOptions, refuse } from "../support/options.ts"
import { type Faults, type Storm, storm } from "./Chaos.ts"
import { command } from "./Commander.ts"
import type { Devices } from "./Devices.ts"
import { type Broker, list, report } from "./report.ts"
import * as SingleTrial from "./SingleTrial.ts"
import * as Store from "./Store.ts"
import * as Trials from "./Trial.ts"

const defaults = { minutes: 3, seed: 1, gateways: 3, emitters: 3, users: 40, devices: 6, pause: 300, commands: 300 }

const help =
  `Strikes a cluster of real processes over one real Redis or Postgres, or one process over a file, with seeded faults, and
checks every promise.

  npm run chaos -- [options]

  --broker s    redis, postgres or sqlite (redis)
  --minutes n   how long faults strike (${defaults.minutes})
  --seed n      which faults, and what agents do (${defaults.seed})
  --gateways n  gateway processes (${defaults.gateways})
  --emitters n  emitter processes (${defaults.emitters})
  --users n     users (${defaults.users}); each has an agent in each emitter process
  --devices n   devices of each user (${defaults.devices})
  --commands n  commands that devices send meanwhile: stop, answer, steer (${defaults.commands})
  --pause n     milliseconds between two events of an agent, on average (${defaults.pause})

It ends with 0 when every promise was kept, else with 1 after it has said what broke. The server must be installed. With --broker sqlite there is one
process, which is killed, frozen and restarted.
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

const brokers: ReadonlyArray<Broker> = [...Store.kinds, "sqlite"]
const broker = brokers.find((one) => one === (values.broker ?? "redis")) ??
  refuse("chaos", `--broker must be one of ${brokers.join(", ")}`)
if (broker === "sqlite" && (values.gateways ?? values.emitters) !== undefined) {
  refuse("chaos", "--broker sqlite is one process: it takes neither --gateways nor --emitters")
}
const started = performance.now()
const say = (what: string) => {
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(`${seconds.padStart(6)} s  ${what}\n`)
}

let faults: Faults = {}

/** Lets faults strike while devices command, and says how it goes. */
const rage = (devices: Devices, strike: (storm: Storm) => Effect.Effect<Faults>) =>
  Effect.gen(function*() {
    const { all, problems, totals } = devices
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
    const commanding = yield* Effect.forkChild(command(devices, { count: commands, ms, seed: options.seed }))
    faults = yield* strike({ seed: options.seed, ms, onFault: say })
    say("everything is healed; waiting until all is quiet")
    return yield* Fiber.join(commanding)
  })

const overServer = (kind: Store.Kind) =>
  Trials.run(
    kind,
    Store.find(kind) ?? refuse("chaos", `the server of --broker ${kind} is not installed`),
    options,
    (trial) => rage(trial.devices, (striking) => storm(trial, striking))
  )

const overFile = () =>
  SingleTrial.run(options, (trial) => rage(trial.devices, (striking) => SingleTrial.storm(trial, striking)))

say(broker === "sqlite" ? "starting the process" : "starting the cluster")
const run: Effect.Effect<Pick<Trials.Outcome, "account" | "devices">> = broker === "sqlite"
  ? overFile()
  : overServer(broker)
const outcome = await Effect.runPromise(Effect.provide(run, Logger.layer([])))
process.stdout.write(`\n${report(options, outcome, faults, broker)}\n`)
process.exit(outcome.account.broken.length === 0 ? 0 : 1)
