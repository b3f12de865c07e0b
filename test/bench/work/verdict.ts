/**
 * Holds what was counted against what was counted before.
 */
import type { Counted, Measured } from "./measure.ts"

/** By what part a figure may rise, or fall, before somebody has to know. */
const tolerance = 0.05

export interface Verdict {
  /** What rose, or cannot be compared: a line each. */
  readonly worse: ReadonlyArray<string>
  /** What fell: a line each. */
  readonly better: ReadonlyArray<string>
}

const units = { bytes: "bytes", calls: "calls of functions" }

const shown = (value: number): string => value.toLocaleString("en", { maximumFractionDigits: 0 })

const percent = (factor: number): string => `${(Math.abs(factor - 1) * 100).toFixed(1)} %`

export const judge = (before: Measured, now: Measured): Verdict => {
  if (before.node !== now.node) {
    return { worse: [`the figures are of Node ${before.node}, this is Node ${now.node}`], better: [] }
  }
  const worse: Array<string> = []
  const better: Array<string> = []
  const known = new Map(before.counted.map((counted) => [counted.what, counted]))
  const holdAgainst = (unit: keyof typeof units, was: Counted, is: Counted) => {
    const factor = is[unit] / was[unit]
    const line = `${is.what}: ${shown(is[unit])} ${units[unit]} instead of ${shown(was[unit])}, ${percent(factor)}`
    if (factor > 1 + tolerance) worse.push(`${line} more`)
    if (factor < 1 - tolerance) better.push(`${line} less`)
  }
  for (const is of now.counted) {
    const was = known.get(is.what)
    known.delete(is.what)
    if (was === undefined) {
      worse.push(`${is.what} has no figures`)
      continue
    }
    holdAgainst("bytes", was, is)
    holdAgainst("calls", was, is)
  }
  for (const what of known.keys()) worse.push(`${what} is counted no more`)
  return { worse, better }
}
