/**
 * The process that counts: for each kind the bytes that an event takes on the heap and in buffers, garbage included, or
 * that something which is kept holds, and the calls of functions that it makes. `measure.ts` starts it, with the flags that make both the same every time.
 *
 * With `--waste` and the name of a kind, that kind is counted once more in the end, when each event makes an object more
 * than it needs: what that changes shows whether the count is one.
 */
import { Session } from "node:inspector/promises"
import { parseArgs } from "node:util"
import { GCProfiler } from "node:v8"
import { type Kind, kindsWith, together, type Work } from "./kinds.ts"
import { type Counted, tell } from "./measure.ts"

const { values } = parseArgs({ options: { waste: { type: "string" } } })

let isWasting = false
let wasted: unknown

const kinds = kindsWith(() => {
  if (isWasting) wasted = new Array(32)
})

const bytesTaken = (): number => {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** The bytes that the work takes. Nothing is collected meanwhile: the young generation has room for all of it. */
const countBytes = async (work: () => Promise<void>): Promise<number> => {
  if (globalThis.gc === undefined) throw new Error("start Node with --expose-gc")
  globalThis.gc()
  const profiler = new GCProfiler()
  profiler.start()
  const before = bytesTaken()
  await work()
  const taken = bytesTaken() - before
  const { statistics } = profiler.stop()
  if (statistics.length > 0) throw new Error("garbage was collected while it was counted: measure fewer events")
  return taken
}

/** The bytes that are still held when the work is done. */
const countHeld = async (work: () => Promise<void>): Promise<number> => {
  globalThis.gc?.()
  const before = bytesTaken()
  await work()
  globalThis.gc?.()
  return bytesTaken() - before
}

/** The calls that the work makes of functions written in JavaScript, of this package and of all others. */
const countCalls = async (work: () => Promise<void>): Promise<number> => {
  const session = new Session()
  session.connect()
  try {
    await session.post("Profiler.enable")
    await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false })
    await work()
    const { result } = await session.post("Profiler.takePreciseCoverage")
    return result.flatMap(({ functions }) => functions).reduce((sum, { ranges }) => sum + (ranges[0]?.count ?? 0), 0)
  } finally {
    session.disconnect()
  }
}

const count = async ({ events, isKept, use, what }: Kind): Promise<Counted> => {
  let counted: Counted | undefined
  await use(async (work: Work) => {
    let from = 0
    const next = async (count: number) => {
      await work(from, count)
      from += count
    }
    await next(events / 2)
    const bytes = await (isKept === true ? countHeld : countBytes)(() => next(events))
    // Calls are the same for every event, so few will do.
    const calls = await countCalls(() => next(4 * together))
    counted = { what, bytes: bytes / events, calls: calls / (4 * together) }
  })
  if (counted === undefined) throw new Error(`nothing was counted of "${what}"`)
  return counted
}

const counted: Array<Counted> = []
for (const kind of kinds) counted.push(await count(kind))

const wasteful: Array<Counted> = []
if (values.waste !== undefined) {
  const kind = kinds.find(({ what }) => what === values.waste)
  if (kind === undefined) throw new Error(`there is no kind "${values.waste}"`)
  isWasting = true
  wasteful.push(await count(kind))
  if (wasted === undefined) throw new Error("nothing was wasted")
}
await tell({ counted, wasteful })
process.exit()
