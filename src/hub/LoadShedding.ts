/**
 * Leaves out of a slice what a slow device does not get, and fetches the state
 * that stands for it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Broker, BrokerError, Slice } from "../broker/Broker.ts"
import type { UserId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"
import type { OutgoingSlice } from "./FrameComposer.ts"
import { isLeftOut, type SlowConsumer } from "./SlowConsumer.ts"

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
  // Runs that end inside what is left out have no events left to tell their state.
  return Effect.map(broker.snapshots(user, cursor.offset + 1), ({ position, snapshots }) => {
    if (position.epoch !== slice.next.epoch) return slice
    slowConsumer.replacedUpTo = position.offset
    return { ...slice, level, replacements: snapshots }
  })
}
