/**
 * Spreads the files that start processes and browsers of their own, and wait for them, among the others, so that there is
 * always something that computes beside what waits. Those that are likely to take longest begin first.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** The members of `few` among those of `many`, evenly, the first of `few` at the beginning. */
export const spread = <A>(few: ReadonlyArray<A>, many: ReadonlyArray<A>): Array<A> => {
  const each = many.length / few.length
  return few.length === 0
    ? [...many]
    : few.flatMap((one, n) => [one, ...many.slice(Math.round(n * each), Math.round((n + 1) * each))])
}

export class SpreadSequencer extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    // oxlint-disable-next-line unicorn/no-array-sort -- It is the sequencer's, and sorts nothing in place.
    const sorted = await super.sort(files)
    const of = (name: string) => sorted.filter(({ project }) => project.name === name)
    const [e2e, packages] = [of("e2e"), of("package")]
    const heavy = spread(...(e2e.length < packages.length ? [e2e, packages] as const : [packages, e2e] as const))
    const rest = sorted.filter(({ project: { name } }) => name !== "e2e" && name !== "package")
    return heavy.length < rest.length ? spread(heavy, rest) : spread(rest, heavy)
  }
}
