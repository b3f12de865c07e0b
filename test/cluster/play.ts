/**
 * One run of the chaos: faults strike while devices command, and every promise is checked when it is quiet again.
 */
import { Effect, Fiber, Logger } from "effect"
import { refuse } from "../support/options.ts"
import { type Faults, type Storm, storm } from "./Chaos.ts"
import { command } from "./Commander.ts"
import type { Devices } from "./Devices.ts"
import { list, report } from "./report.ts"
import type { Broker } from "./settings.ts"
import * as SingleTrial from "./SingleTrial.ts"
import * as Store from "./Store.ts"
import * as Trials from "./Trial.ts"

/** What the program was told. */
export interface Told {
  readonly broker: Broker
  /** How many commands devices send while faults strike. */
  readonly commands: number
  /** How long they strike. */
  readonly minutes: number
  readonly options: Trials.Options
}

/** Tells how it goes and what came of it, and gives what the program ends with. */
export const play = async ({ broker, commands, minutes, options }: Told): Promise<number> => {
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
  return outcome.account.broken.length === 0 ? 0 : 1
}
