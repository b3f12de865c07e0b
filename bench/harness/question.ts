/**
 * What a file of this folder answers, and the form of its answer.
 */
import * as Schema from "effect/Schema"
import { ratioOf, summarize, Summary } from "./statistics.ts"

/**
 * A measured quantity of one contestant.
 */
export const Figure = Schema.Struct({
  contestant: Schema.String,
  unit: Schema.Literals(["per second", "seconds", "bytes", "share"]),
  value: Summary
})

export type Figure = typeof Figure.Type

/**
 * A bound on a ratio, or on the absolute figure of the subject.
 */
export const Target = Schema.Struct({
  on: Schema.Literals(["ratio", "figure"]),
  bound: Schema.Literals(["at least", "at most"]),
  value: Schema.Number
})

export type Target = typeof Target.Type

/**
 * One line of the table: `subject` divided by `baseline`, and what was aimed at.
 */
export const Comparison = Schema.Struct({
  what: Schema.String,
  subject: Figure,
  baseline: Figure,
  ratio: Summary,
  target: Schema.optionalKey(Target)
})

export type Comparison = typeof Comparison.Type

/**
 * The answer to a question. `notes` say what a reader must know to read the figures.
 */
export const Answer = Schema.Struct({
  comparisons: Schema.Array(Comparison),
  notes: Schema.Array(Schema.String)
})

export type Answer = typeof Answer.Type

/**
 * How thoroughly to measure, and whom to tell about progress.
 */
export interface Settings {
  readonly quick: boolean
  readonly progress: (text: string) => void
}

export interface Question {
  readonly asks: string
  readonly answer: (settings: Settings) => Promise<Answer>
}

export const atLeast = (value: number): Target => ({ on: "ratio", bound: "at least", value })

export const atMost = (value: number): Target => ({ on: "ratio", bound: "at most", value })

export const figureAtMost = (value: number): Target => ({ on: "figure", bound: "at most", value })

export const figureAtLeast = (value: number): Target => ({ on: "figure", bound: "at least", value })

export const compare = (what: string, subject: Figure, baseline: Figure, target?: Target): Comparison => ({
  what,
  subject,
  baseline,
  ratio: ratioOf(subject.value, baseline.value),
  ...(target === undefined ? {} : { target })
})

/**
 * A figure that is not measured but given, beside as many measurements as the subject has.
 */
export const given = (contestant: string, value: number, beside: Figure): Figure => ({
  contestant,
  unit: beside.unit,
  value: summarize(beside.value.samples.map(() => value))
})

export const reached = ({ ratio, subject, target }: Comparison): boolean | undefined => {
  if (target === undefined) return undefined
  const measured = target.on === "ratio" ? ratio.median : subject.value.median
  return target.bound === "at least" ? measured >= target.value : measured <= target.value
}

/**
 * Ends a bench whose measurement would not mean what it says.
 */
export const check: (holds: boolean, otherwise: string) => asserts holds = (holds, otherwise) => {
  if (!holds) throw new Error(`self-check failed: ${otherwise}`)
}
