/**
 * Leaves out of a slice what a slow device does not get, and fetches the
 * snapshots that stand for it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Broker, BrokerError, RunSnapshotAt, Slice } from "../../broker/Broker.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { isLeftOut, type SheddingLevel, type SlowConsumer } from "./SlowConsumer.ts"

/**
 * A slice of the log for one device. With a `level`, the events that it sheds are
 * left out, and `replacements` are the snapshots that stand for them.
 *
 * @category models
 * @since 0.1.0
 */
export interface OutgoingSlice extends Slice {
  readonly level?: SheddingLevel
  readonly replacements?: ReadonlyArray<RunSnapshotAt>
}

/**
 * The outgoing slice of a slice that begins after `cursor`, for a device at the
 * level of `slowConsumer`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const shed = (
  broker: Broker["Service"],
  user: UserId,
  cursor: Position,
  slice: Slice,
  slowConsumer: SlowConsumer
): Effect.Effect<OutgoingSlice, BrokerError> => {
  const { level } = slowConsumer
  const lastLeftOut = slice.entries.findLast(({ delivery }) => isLeftOut(level, delivery))
  if (lastLeftOut === undefined) return Effect.succeed(slice)
  if (lastLeftOut.offset <= slowConsumer.replacedUpTo) return Effect.succeed({ ...slice, level })
  // A run that ended within what is left out has no later event that would show it: its snapshot has to.
  return Effect.map(broker.snapshots(user, cursor.offset + 1), ({ position, snapshots }) => {
    if (position.epoch !== slice.next.epoch) return slice
    slowConsumer.replacedUpTo = position.offset
    return { ...slice, level, replacements: snapshots }
  })
}
