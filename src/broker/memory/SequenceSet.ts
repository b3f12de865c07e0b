/**
 * Which numbers of a source a log has taken.
 *
 * The numbers of a source mostly come one after another, so they are kept as
 * ranges: one range where no number is missing. Past `maxRanges` the lowest range
 * is forgotten. Its numbers then count as not taken, so that one may be taken
 * again; but no number is refused that never came.
 *
 * @since 0.1.0
 */

interface Range {
  from: number
  to: number
}

/**
 * The most ranges kept of one source.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxRanges = 1024

/**
 * The most sources that a log remembers of those it holds no event of any more.
 * Past it, the source whose last event is the oldest is forgotten.
 *
 * It bounds what an append may be repeated across: so many other sources, each
 * of which appended and left the log again.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxSpentSources = 128

/**
 * The numbers that were taken of one source.
 *
 * @category models
 * @since 0.1.0
 */
export class SequenceSet {
  // Ascending, and never touching each other.
  private readonly ranges: Array<Range> = []
  // The highest of them, to which nearly every number is added.
  private last: Range | undefined = undefined

  /** The ranges in order, as pairs of their first and last numbers: what `from` goes on with. */
  toJSON(): ReadonlyArray<readonly [from: number, to: number]> {
    return this.ranges.map(({ from, to }) => [from, to])
  }

  /** Goes on with what `toJSON` gave. */
  static from(ranges: ReadonlyArray<readonly [from: number, to: number]>): SequenceSet {
    const set = new SequenceSet()
    for (const [from, to] of ranges) set.ranges.push({ from, to })
    set.last = set.ranges[set.ranges.length - 1]
    return set
  }

  /** How many ranges are kept. */
  get size(): number {
    return this.ranges.length
  }

  /** Whether a number was added, and is not forgotten. */
  has(number: number): boolean {
    const at = this.lastFrom(number)
    return at !== undefined && number <= at.to
  }

  /** Adds a number; `false` if it was there. */
  add(number: number): boolean {
    const { last, ranges } = this
    if (last !== undefined && last.to + 1 === number) {
      last.to = number
      return true
    }
    let index = ranges.length
    while (index > 0 && (ranges[index - 1]?.from ?? 0) > number) index--
    const before = ranges[index - 1]
    const after = ranges[index]
    if (before !== undefined && number <= before.to) return false
    const joinsAfter = after !== undefined && number + 1 === after.from
    if (before !== undefined && before.to + 1 === number) {
      before.to = joinsAfter ? after.to : number
      if (joinsAfter) ranges.splice(index, 1)
    } else if (joinsAfter) {
      after.from = number
    } else {
      ranges.splice(index, 0, { from: number, to: number })
      if (ranges.length > maxRanges) ranges.shift()
    }
    this.last = ranges[ranges.length - 1]
    return true
  }

  // The last range that starts at or before the number.
  private lastFrom(number: number): Range | undefined {
    return this.ranges.findLast(({ from }) => from <= number)
  }
}
