/**
 * What a set of repeated measurements says.
 */
import * as Schema from "effect/Schema"

/**
 * The middle of the samples, and the smallest and the largest of them.
 */
export const Summary = Schema.Struct({
  median: Schema.Number,
  min: Schema.Number,
  max: Schema.Number,
  samples: Schema.Array(Schema.Number)
})

export type Summary = typeof Summary.Type

/**
 * The value below which the given part of the sorted samples lies, between two samples by their distance.
 */
export const quantile = (sorted: ArrayLike<number>, part: number): number => {
  if (sorted.length === 0) throw new Error("no samples")
  const at = part * (sorted.length - 1)
  const below = sorted[Math.floor(at)] ?? Number.NaN
  const above = sorted[Math.ceil(at)] ?? below
  return below + (above - below) * (at - Math.floor(at))
}

export const summarize = (samples: ReadonlyArray<number>): Summary => {
  const sorted = samples.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), min: quantile(sorted, 0), max: quantile(sorted, 1), samples }
}

/**
 * What stood side by side in the same round is compared with each other, so that what slows a whole round, such as
 * another program on the same machine, falls out.
 */
export const ratioOf = (subject: Summary, baseline: Summary): Summary =>
  summarize(subject.samples.map((sample, round) => {
    const other = baseline.samples[round]
    const ratio = sample / (other ?? Number.NaN)
    // A figure that cannot be compared is none; the question fails, and the run goes on.
    if (!Number.isFinite(ratio)) {
      throw new Error(`round ${round + 1} measured ${sample} beside ${other}: that has no ratio`)
    }
    return ratio
  }))
