/**
 * How much is kept of a run: its state is held for each run of each user, so all of
 * it has a bound.
 *
 * This module loads nothing, so that a page can have it without Effect.
 *
 * @since 0.1.0
 */

/**
 * The most characters that are kept of one text.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxText = 65_536

/**
 * The most characters that are kept of all texts of a run together.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxTotalText = 4 * maxText

/**
 * The most parts that are kept of a run.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxParts = 128

/**
 * The most bytes of JSON that are kept of one input or output.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxJson = 4_096

/**
 * The most bytes of JSON that are kept of all inputs and outputs of a run
 * together, the run's own input included.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxTotalJson = 16 * maxJson

/**
 * The most bytes of JSON that are kept of the state that a run shares. It is written
 * anew with each change of it.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxState = 4 * maxJson

/**
 * How many requests of a run may be open at a time. They stay in its state as long
 * as they are open, whatever else goes for want of room.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxOpenRequests = 32

/**
 * How many requests of a run are remembered, so that no id is used twice.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxKnownRequests = 1_024

/**
 * How many messages of a run are remembered as completed, so that nothing more is
 * added to them.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxKnownMessages = 256
