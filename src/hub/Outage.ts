/**
 * One time in which a connection cannot read its user's log.
 *
 * @since 0.1.0
 */
import type { Position } from "../protocol/Position.ts"

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
  private kept: Position | undefined

  constructor(until: number) {
    this.until = until
  }

  /** The acknowledgement that could not be passed on. */
  get acknowledged(): Position | undefined {
    return this.kept
  }

  /** Keeps an acknowledgement, the highest of an epoch. */
  keep(position: Position): void {
    const { kept } = this
    if (kept === undefined || kept.epoch !== position.epoch || kept.offset < position.offset) this.kept = position
  }

  /** An acknowledgement was passed on; a higher one may have come meanwhile. */
  passed(position: Position): void {
    if (this.kept === position) this.kept = undefined
  }
}
