/**
 * One time in which a connection cannot read its user's log.
 *
 * @since 0.1.0
 */
import type { Position } from "../protocol/Position.ts"

/**
 * The most acknowledgements that are kept.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxKept = 128

/**
 * - `until`: when the connection is given up, on the monotonic clock, so
 *   that the device may find a node that is better off.
 * - `isDown`: the broker has said that it is away, and will say when it is back.
 *
 * @category models
 * @since 0.1.0
 */
export class Outage {
  readonly until: number
  isDown = false
  private kept: ReadonlyArray<Position> = []

  constructor(until: number) {
    this.until = until
  }

  /** The acknowledgements that could not be passed on. */
  get acknowledged(): ReadonlyArray<Position> {
    return this.kept
  }

  /** Keeps an acknowledgement; of more than `maxKept` the last, and those of one epoch alone. */
  keep(position: Position): void {
    const others = this.kept.filter(({ epoch, offset }) => epoch === position.epoch && offset !== position.offset)
    this.kept = [...others.slice(1 - maxKept), position]
  }

  /** An acknowledgement was passed on; others may have come meanwhile. */
  passed(position: Position): void {
    this.kept = this.kept.filter((kept) => kept !== position)
  }
}
