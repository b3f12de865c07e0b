/**
 * Leaves out of a slice what a slow device does not get, and fetches the state
 * that makes up for it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Broker, BrokerError, Slice } from "../broker/Broker.ts"
import type { UserId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"
import type { Portion } from "./FrameComposer.ts"
import { isLeftOut, type Slowness } from "./SlowConsumer.ts"

/**
 * The portion of a slice, which begins after `cursor`, for a device that is on
 * the diet of `slowness`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const shed = (
  broker: Broker["Service"],
  user: UserId,
  cursor: Position,
  slice: Slice,
  slowness: Slowness
): Effect.Effect<Portion, BrokerError> => {
  const { diet } = slowness
  const lastLeftOut = slice.entries.findLast(({ delivery }) => isLeftOut(diet, delivery))
  if (lastLeftOut === undefined) return Effect.succeed(slice)
  if (lastLeftOut.offset <= slowness.madeUpTo) return Effect.succeed({ ...slice, diet })
  // Runs that end inside what is left out have no events left to tell their state.
  return Effect.map(broker.snapshots(user, cursor.offset + 1), ({ position, snapshots }) => {
    if (position.epoch !== slice.next.epoch) return slice
    slowness.madeUpTo = position.offset
    return { ...slice, diet, makeUp: snapshots }
  })
}
