/**
 * Writes what was found: a table for people, JSON for programs.
 */
import type { Changes } from "./changes.ts"
import type { Outcome } from "./isolate.ts"
import type { Machine } from "./machine.ts"
import { type Comparison, type Figure, reached, type Target } from "./question.ts"
import type { Summary } from "./statistics.ts"

const digits = (value: number): string => {
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString("en")
  return value.toPrecision(size >= 10 ? 3 : size >= 1 ? 3 : 2)
}

/** A figure as it stands in a table. */
export const withUnit = (value: number, unit: Figure["unit"]): string => {
  switch (unit) {
    case "per second":
      return `${digits(value)}/s`
    case "seconds":
      if (value >= 1) return `${digits(value)} s`
      return value >= 1e-3
        ? `${digits(value * 1e3)} ms`
        : value >= 1e-6
        ? `${digits(value * 1e6)} µs`
        : `${digits(value * 1e9)} ns`
    case "bytes":
      return value >= 1024 ** 2
        ? `${digits(value / 1024 ** 2)} MiB`
        : value >= 1024
        ? `${digits(value / 1024)} KiB`
        : `${digits(value)} B`
    case "share":
      // Only what is whole is 100 %.
      return `${(Math.floor(value * 10_000) / 100).toLocaleString("en")} %`
  }
}

const spread = ({ max, min }: Summary): string => min === max ? "" : `${digits(min)} – ${digits(max)}`

const aim = (target: Target | undefined, unit: Figure["unit"]): string => {
  if (target === undefined) return ""
  const value = target.on === "ratio" ? `${target.value} ×` : withUnit(target.value, unit)
  return `${target.bound === "at least" ? "≥" : "≤"} ${value}`
}

const verdict = (comparison: Comparison): string => {
  const is = reached(comparison)
  return is === undefined ? "" : is ? "yes" : "NO"
}

const columns = ["what", "ratio", "its spread", "measured", "compared with", "", "target", "reached"]

const cells = ({ baseline, ratio, subject, what, ...rest }: Comparison): ReadonlyArray<string> => [
  what,
  `${digits(ratio.median)} ×`,
  spread(ratio),
  withUnit(subject.value.median, subject.unit),
  baseline.contestant,
  withUnit(baseline.value.median, baseline.unit),
  aim(rest.target, subject.unit),
  verdict({ baseline, ratio, subject, what, ...rest })
]

const leftAligned = new Set([0, 4])

const renderTable = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  return rows.map((row) =>
    row.map((cell, at) => leftAligned.has(at) ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)).join(
      "  "
    ).trimEnd()
  ).join("\n")
}

const escaped = (cell: string): string => cell.replaceAll("|", "\\|")

const markdownTarget = (comparison: Comparison): string => {
  const { subject, target } = comparison
  if (target === undefined) return "–"
  const value = target.on === "ratio" ? String(target.value) : withUnit(target.value, subject.unit)
  return `${target.bound === "at least" ? "≥" : "≤"} ${value}${reached(comparison) === true ? ", met" : ""}`
}

/**
 * The table in the form of the README's.
 */
export const renderMarkdown = (comparisons: ReadonlyArray<Comparison>): string => {
  const rows = comparisons.map((comparison) => [
    comparison.what,
    digits(comparison.ratio.median),
    withUnit(comparison.subject.value.median, comparison.subject.unit),
    `${comparison.baseline.contestant}: ${withUnit(comparison.baseline.value.median, comparison.baseline.unit)}`,
    markdownTarget(comparison)
  ])
  const head = ["what", "ratio", "measured", "compared with", "target"]
  const lines = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.map(escaped).join(" | ")} |`)
  return `${lines.join("\n")}\n`
}

const renderMachine = ({ cores, cpu, memoryBytes, node, packages }: Machine): string =>
  `${cpu}, ${cores} cores, ${digits(memoryBytes / 1024 ** 3)} GiB; node ${node}; ${
    Object.entries(packages).map(([name, version]) => `${name} ${version}`).join(", ")
  }`

export const renderReport = (outcomes: ReadonlyArray<Outcome>, machine: Machine, quick: boolean): string => {
  const answered = outcomes.filter(({ answer }) => answer !== undefined)
  const comparisons = answered.flatMap(({ answer }) => answer?.comparisons ?? [])
  const lines = ["", renderMachine(machine)]
  if (quick) lines.push("A quick run: a first impression, not a result.")
  if (comparisons.length > 0) lines.push("", renderTable([columns, ...comparisons.map(cells)]))
  const notes = answered.flatMap(({ answer, name }) => answer?.notes.map((note) => `${name}: ${note}`) ?? [])
  if (notes.length > 0) lines.push("", ...notes)
  for (const { name, problem } of outcomes) if (problem !== undefined) lines.push("", `${name} FAILED: ${problem}`)
  const aimed = comparisons.map(reached).filter((is) => is !== undefined)
  const failed = outcomes.length - answered.length
  lines.push("")
  if (aimed.length > 0) lines.push(`${aimed.filter(Boolean).length} of ${aimed.length} targets reached`)
  lines.push(`${answered.length} of ${outcomes.length} questions answered${failed === 0 ? "" : `, ${failed} FAILED`}`)
  const times = outcomes.map(({ name, seconds }) => `${name} ${seconds.toFixed(0)}`)
  const total = outcomes.reduce((sum, { seconds }) => sum + seconds, 0)
  lines.push(`${(total / 60).toFixed(1)} minutes; in seconds: ${times.join(", ")}`)
  return `${lines.join("\n")}\n`
}

export const toJson = (outcomes: ReadonlyArray<Outcome>, machine: Machine, quick: boolean): string =>
  `${
    JSON.stringify(
      {
        machine,
        quick,
        questions: outcomes.map(({ answer, ...outcome }) => ({
          ...outcome,
          notes: answer?.notes,
          comparisons: answer?.comparisons.map((comparison) => ({ ...comparison, reached: reached(comparison) }))
        }))
      },
      undefined,
      2
    )
  }\n`

const order = ["worse", "perhaps worse", "better", "perhaps better", "within the spread"]

/**
 * What changed since an earlier run, what became worse first.
 */
export const renderChanges = ({ added, changes, missing }: Changes, file: string): string => {
  const rows = changes.toSorted((one, other) => order.indexOf(one.verdict) - order.indexOf(other.verdict)).map((
    { before, factor, line, now, verdict }
  ) => [
    line,
    `${digits(before.median)} ×`,
    spread(before),
    `${digits(now.median)} ×`,
    verdict,
    `${factor >= 1 ? "+" : "−"}${Math.abs((factor - 1) * 100).toFixed(1)} %`,
    spread(now)
  ])
  const head = ["ratio of", "before", "its spread", "now", "", "change", "its spread"]
  const lines = ["", `Compared with ${file}:`]
  if (rows.length > 0) lines.push("", renderTable([head, ...rows]))
  for (const line of added) lines.push(`new: ${line}`)
  for (const line of missing) lines.push(`no more: ${line}`)
  return `${lines.join("\n")}\n`
}
