/**
 * `npm run simulate -- --seeds 10000 --from 1` holds the package to its promises through that many random schedules. It
 * prints a line as it goes, ends with 0 when all hold, and else with 1 after it has printed the seed and the fewest steps
 * that break one.
 */
import { readNumber, readOptions } from "../support/options.ts"

const values = readOptions("simulate", {
  seeds: { type: "string", default: "1000" },
  from: { type: "string", default: "1" },
  help: { type: "boolean", default: false }
})
if (values.help) {
  process.stdout.write(`Holds the package to its promises through seeded random schedules.

  npm run simulate -- [--seeds 1000] [--from 1]

  --seeds  how many schedules to play, 1,000 by default
  --from   the first seed, 1 by default; the next ones follow from it
  --help   this text

It ends with 0 when every promise holds, else with 1 and the fewest steps that break one.
`)
  process.exit()
}
const count = readNumber("simulate", "seeds", values.seeds, 1)
const from = readNumber("simulate", "from", values.from, 0)

// What it takes to run is loaded only by who runs it: help and a refusal are there at once.
const { Effect } = await import("effect")
const { describe, simulate } = await import("./simulate.ts")
const started = performance.now()
let done = 0
const seconds = () => ((performance.now() - started) / 1000).toFixed(1)
const report = (end: string) => process.stdout.write(`${done} of ${count} schedules, ${seconds()} s${end}`)

const failure = await Effect.runPromise(simulate({
  from,
  count,
  onSeed: () => {
    done++
    if (done % 50 === 0 && process.stdout.isTTY) report("\r")
    else if (done % 1000 === 0) report("\n")
  }
}))
if (failure === undefined) {
  report(", every promise holds\n")
} else {
  report("\n")
  process.stdout.write(`\n${describe(failure)}\n`)
  process.exitCode = 1
}
