/**
 * Where a reader stands in a user's log.
 *
 * Offsets count a user's events from 1 and rise by one. They mean something
 * only within an epoch: a log that lost its memory starts a new epoch, so an
 * offset never means two events. A reader that has seen nothing yet stands at
 * offset 0.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as PositionText from "./PositionText.ts"

/**
 * An offset: 0 before the first event, then 1, 2, 3, …
 *
 * @category models
 * @since 0.1.0
 */
export const Offset = Schema.Natural

/**
 * Names one life of a user's log: 1 to 32 characters of `A–Z a–z 0–9 _ -`.
 *
 * @category models
 * @since 0.1.0
 */
export const Epoch = Schema.String.check(Schema.isPattern(PositionText.epochPattern))

/**
 * The position after the event with this offset.
 *
 * @category models
 * @since 0.1.0
 */
export const Position = Schema.Struct({ epoch: Epoch, offset: Offset })

/**
 * An epoch, and the offset of the last event before this place.
 *
 * @category models
 * @since 0.1.0
 */
export type Position = typeof Position.Type

/**
 * `toText` writes a position as `<epoch>:<offset>`, the form of an SSE event id.
 * `fromText` reads it, and gives `undefined` when the text is no position.
 *
 * @category conversions
 * @since 0.1.0
 */
export { fromText, toText } from "./PositionText.ts"
