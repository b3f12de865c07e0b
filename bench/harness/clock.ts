import { performance } from "node:perf_hooks"

/**
 * Seconds on the machine's monotonic clock, the same in every process of this machine.
 */
export const seconds = (): number => Number(process.hrtime.bigint()) / 1e9

/**
 * A stopwatch, in seconds, for work that happens on this thread alone: the processor time the thread used, and the time
 * its event loop waited for something. On a quiet machine that is the time by the clock; on a busy one it leaves out
 * the time in which other programs had the processor.
 */
export const startWatch = (): () => number => {
  const loop = performance.eventLoopUtilization()
  const used = process.threadCpuUsage()
  return () => {
    const { system, user } = process.threadCpuUsage(used)
    return (system + user) / 1e6 + performance.eventLoopUtilization(loop).idle / 1e3
  }
}
