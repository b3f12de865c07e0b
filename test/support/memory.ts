/**
 * What a process holds in memory, for tests of bounds.
 *
 * One reading says little: a collection may be late, a buffer that nobody refers to is freed a turn after the object that
 * owned it, and whoever was let go may still be on its way out. So garbage is collected again and again until the figure
 * falls no further, and the least reading counts.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

const reading = (): number => {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** How many readings in a row may bring nothing new, and how far apart they are, in milliseconds. */
const quietReadings = 3
const apartMs = 35

/** By how many bytes a reading must be less to count as less. */
const noise = 16 * 1024

/** The bytes that this process holds, on the heap and in buffers, once garbage is collected. */
export const settledMemory = async (): Promise<number> => {
  let least = reading()
  for (let quiet = 0; quiet < quietReadings; quiet++) {
    await new Promise((resolve) => setTimeout(resolve, apartMs))
    const now = reading()
    if (now < least - noise) quiet = -1
    least = Math.min(least, now)
  }
  return least
}

/**
 * By how much a process grew from one reading to the next, most of the time: the lower median. What leaks with each round of
 * something makes it grow each time; what is made once, such as compiled code, or goes at last, once or twice.
 */
export const steadyGrowth = (readings: ReadonlyArray<number>): number => {
  const growths = readings.slice(1).map((reading, at) => reading - (readings[at] ?? reading))
  return growths.toSorted((one, other) => one - other)[Math.floor((growths.length - 1) / 2)] ?? 0
}
