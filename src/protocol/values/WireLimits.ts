/**
 * How much a frame may hold of something: server and device keep to the same.
 *
 * This module loads nothing, so that a page can have it without Effect.
 *
 * @since 0.2.0
 */

/**
 * How many events an acknowledgement names at most.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxConfirmed = 64

/**
 * How many bytes of JSON the data of a command may have: 8 KiB.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxDataBytes = 8_192

/**
 * How deep the data of a command may be nested: 64 levels.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxDataDepth = 64
