/**
 * Counts the work of an event, and tells what became of the figures in the repository. With `--update` it renews them.
 *
 * ```sh
 * node test/bench/work/main.ts --update
 * ```
 */
import { parseArgs } from "node:util"
import { howToRenew, readFigures, writeFigures } from "./figures.ts"
import { measureWork } from "./measure.ts"
import { judge } from "./verdict.ts"

const { values } = parseArgs({ options: { update: { type: "boolean", default: false } } })
const measured = await measureWork()
for (const { bytes, calls, what } of measured.counted) {
  process.stdout.write(`${what}: ${bytes.toFixed(0)} bytes, ${calls.toFixed(1)} calls\n`)
}
if (values.update) {
  writeFigures(measured)
} else {
  const { better, worse } = judge(readFigures(), measured)
  for (const line of [...worse, ...better]) process.stdout.write(`\n${line}`)
  if (worse.length + better.length > 0) process.stdout.write(`\n${howToRenew}\n`)
  if (worse.length > 0) process.exitCode = 1
}
