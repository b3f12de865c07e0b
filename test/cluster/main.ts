/**
 * `npm run chaos -- --minutes 3 --seed 1` strikes a cluster of real processes with seeded faults, and checks every promise
 * when it is quiet again.
 */
import { readNumber, readOptions, refuse } from "../support/options.ts"
import { brokers } from "./settings.ts"
import type { Options } from "./Trial.ts"

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
const options: Options = {
  seed: number("seed", 0),
  gateways: number("gateways", 2),
  emitters: number("emitters", 1),
  users: number("users", 1),
  agents: 1,
  pauseMs: number("pause", 1),
  devicesPerUser: number("devices", 1)
}

const broker = brokers.find((one) => one === (values.broker ?? "redis")) ??
  refuse("chaos", `--broker must be one of ${brokers.join(", ")}`)
if (broker === "sqlite" && (values.gateways ?? values.emitters) !== undefined) {
  refuse("chaos", "--broker sqlite is one process: it takes neither --gateways nor --emitters")
}

// What it takes to run is loaded only by who runs it: help and a refusal are there at once.
const { play } = await import("./play.ts")
process.exit(await play({ broker, commands, minutes, options }))
