/**
 * Tells what became better or worse against an earlier run.
 *
 * Ratios are compared, not figures: both of a line were measured in one run, so that a machine which was slower in the
 * other run falls out. A line has changed if the ratios of the two runs, round by round, do not overlap; or else if the
 * one's median lies outside of the other's spread, and then only perhaps.
 */
import type { Figures } from "./figures.ts"
import type { Comparison, Figure } from "./question.ts"
import type { Summary } from "./statistics.ts"

export interface Change {
  readonly question: string
  readonly line: string
  readonly before: Summary
  readonly now: Summary
  /** The median now, divided by the median before. */
  readonly factor: number
  readonly verdict: "better" | "worse" | "perhaps better" | "perhaps worse" | "within the spread"
}

export interface Changes {
  readonly changes: ReadonlyArray<Change>
  /** Lines that only one of the two runs has. */
  readonly added: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
}

type Answered = ReadonlyArray<
  { readonly name: string; readonly comparisons?: ReadonlyArray<Comparison> | undefined }
>

const isLessBetter: Record<Figure["unit"], boolean> = { "per second": false, seconds: true, bytes: true, share: false }

const isWithin = (value: number, { max, min }: Summary): boolean => value >= min && value <= max

const verdictOf = (unit: Figure["unit"], before: Summary, now: Summary): Change["verdict"] => {
  if (isWithin(now.median, before) && isWithin(before.median, now)) return "within the spread"
  const better = isLessBetter[unit] ? now.median < before.median : now.median > before.median
  const isApart = now.max < before.min || now.min > before.max
  if (!isApart) return better ? "perhaps better" : "perhaps worse"
  return better ? "better" : "worse"
}

// One question may compare a figure with several others.
const lineOf = ({ baseline, what }: Comparison): string => `${what}, beside ${baseline.contestant}`

const linesOf = (questions: Answered): ReadonlyMap<string, readonly [question: string, Comparison]> =>
  new Map(
    questions.flatMap(({ comparisons = [], name }) =>
      comparisons.map((comparison) => [`${name}: ${lineOf(comparison)}`, [name, comparison] as const] as const)
    )
  )

/**
 * Of the questions that were answered now, what changed since then.
 */
export const changesSince = (before: Figures, now: Answered): Changes => {
  const asked = new Set(now.map(({ name }) => name))
  const earlier = linesOf(before.questions.filter(({ name }) => asked.has(name)))
  const later = linesOf(now)
  const changes = [...later].flatMap(([key, [question, comparison]]): ReadonlyArray<Change> => {
    const [, known] = earlier.get(key) ?? []
    if (known === undefined) return []
    return [{
      question,
      line: lineOf(comparison),
      before: known.ratio,
      now: comparison.ratio,
      factor: comparison.ratio.median / known.ratio.median,
      verdict: verdictOf(comparison.subject.unit, known.ratio, comparison.ratio)
    }]
  })
  return {
    changes,
    added: [...later.keys()].filter((key) => !earlier.has(key)),
    missing: [...earlier.keys()].filter((key) => !later.has(key))
  }
}
