/**
 * Variants of a metric by its labels, each made once: with their labels made anew, an
 * update takes twice as long.
 *
 * @since 0.2.0
 */
import * as Metric from "effect/Metric"

/**
 * Gives the variant of a metric for the values of its labels, in the order in which these
 * are named. All carry the label `server` as well.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <Input, State>(
  server: string,
  metric: Metric.Metric<Input, State>,
  ...labels: ReadonlyArray<string>
): (...values: ReadonlyArray<string>) => Metric.Metric<Input, State> => {
  const known = new Map<string, Metric.Metric<Input, State>>()
  return (...values) => {
    const key = values.join(" ")
    const found = known.get(key)
    if (found !== undefined) return found
    const attributes: Record<string, string> = { server }
    for (const [index, label] of labels.entries()) attributes[label] = values[index] ?? ""
    const variant = Metric.withAttributes(metric, attributes)
    known.set(key, variant)
    return variant
  }
}
