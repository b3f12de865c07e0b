/**
 * How long the turns of this process's event loop work, and how long collecting garbage stops it.
 *
 * A turn is what happens between two of the loop's check phases. Its length is the processor time that this thread used
 * in it: that it waited for something, or that another program had the processor, does not count.
 */
import { createHistogram, PerformanceObserver } from "node:perf_hooks"
import { on } from "../harness/process.ts"
import { turns } from "./calls.ts"

interface Turn {
  readonly from: number
  readonly to: number
  readonly micros: number
}

interface Collection {
  readonly from: number
  readonly ms: number
}

// Only a turn that is as long may be the longest, with or without the garbage collected in it.
const longMicros = 200

const watch = () => {
  const histogram = createHistogram()
  let long: Array<Turn> = []
  let collections: Array<Collection> = []
  let used = process.threadCpuUsage()
  let from = performance.now()

  const observer = new PerformanceObserver((list) => {
    for (const { duration, startTime } of list.getEntries()) collections.push({ from: startTime, ms: duration })
  })
  observer.observe({ entryTypes: ["gc"] })

  // Nothing waits for an immediate without a reference, so the loop rests as it does without this one.
  const look = () => {
    const now = process.threadCpuUsage()
    const to = performance.now()
    const micros = now.user + now.system - used.user - used.system
    histogram.record(Math.max(1, micros))
    if (micros >= longMicros) long.push({ from, to, micros })
    used = now
    from = to
    setImmediate(look).unref()
  }
  look()

  const micros = (collection: Collection, { from, to }: Turn): number =>
    1_000 * Math.max(0, Math.min(to, collection.from + collection.ms) - Math.max(from, collection.from))

  const working = (turn: Turn): number =>
    Math.max(0, turn.micros - collections.reduce((sum, collection) => sum + micros(collection, turn), 0))

  const report = () => ({
    count: histogram.count,
    longest: histogram.max / 1e6,
    p99: histogram.percentile(99) / 1e6,
    // Each is worth looking at only while it may be longer than what was found.
    longestWorking: long
      .toSorted((one, other) => other.micros - one.micros)
      .reduce((longest, turn) => turn.micros > longest ? Math.max(longest, working(turn)) : longest, 0) / 1e6,
    longestCollection: collections.reduce((longest, { ms }) => Math.max(longest, ms), 0) / 1e3
  })

  return async () => {
    // Collections are told of later.
    await new Promise((resolve) => setTimeout(resolve, 50))
    const reported = report()
    histogram.reset()
    long = []
    collections = []
    return reported
  }
}

let take: ReturnType<typeof watch> | undefined

/**
 * Answers how long turns were since the last time this was asked; the first time it begins to watch.
 */
export const onTurns = on(turns, () => {
  take ??= watch()
  return take()
})
