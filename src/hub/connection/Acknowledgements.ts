/**
 * What the device of one connection has confirmed, on its way to the broker.
 *
 * An acknowledgement that the broker cannot take is kept, and passed on when the
 * log can be read again.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Broker } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { Counters } from "../Stats.ts"

/**
 * The most acknowledgements that are kept.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxKept = 128

/**
 * Where acknowledgements of a user go, and where they are counted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly broker: Broker["Service"]
  readonly counters: Counters
  readonly user: UserId
}

/**
 * Passes one on. `false` if the broker did not take it.
 *
 * @category operations
 * @since 0.2.0
 */
export const pass = ({ broker, counters, user }: Options, position: Position): Effect.Effect<boolean> =>
  broker.acknowledge(user, position).pipe(
    Effect.match({
      onSuccess: () => {
        counters.acknowledgements++
        return true
      },
      onFailure: () => false
    })
  )

const none: ReadonlyArray<Position> = []

/**
 * Mutable. Most connections have none: one is made for a device that resumes, or once
 * something is kept.
 *
 * @category models
 * @since 0.1.0
 */
export class Acknowledgements {
  // What the device was sent on an earlier connection, and may yet confirm by name: the offsets past `earlierAfter`, up
  // to `earlierUpTo`.
  private earlierAfter = 0
  private readonly earlierUpTo: number
  private kept = none

  /** `earlierUpTo`: the device was sent events up to this offset before. */
  constructor(earlierUpTo = 0) {
    this.earlierUpTo = earlierUpTo
  }

  /** The device handled everything up to `offset`. Of the events it names, those that it was sent before. */
  confirmEarlier(offset: number, named: ReadonlyArray<number>): ReadonlyArray<number> {
    const upTo = Math.min(offset, this.earlierUpTo)
    const confirmed = named.filter((each) => each > this.earlierAfter && each <= upTo)
    this.earlierAfter = Math.max(this.earlierAfter, upTo)
    return confirmed
  }

  /** Whether some are kept. */
  get hasKept(): boolean {
    return this.kept.length > 0
  }

  /** Keeps one: of more than `maxKept` the last, and those of one epoch alone. */
  keep(position: Position): void {
    const others = this.kept.filter(({ epoch, offset }) => epoch === position.epoch && offset !== position.offset)
    this.kept = [...others.slice(1 - maxKept), position]
  }

  /** Passes on those that are kept. Others may come meanwhile. */
  passKept(options: Options): Effect.Effect<void> {
    return Effect.forEach(this.kept, (position) =>
      Effect.map(pass(options, position), (isTaken) => {
        if (isTaken) this.kept = this.kept.filter((kept) => kept !== position)
      }), { discard: true })
  }
}
