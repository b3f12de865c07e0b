/**
 * What compressing came to.
 *
 * @since 0.2.0
 */

/**
 * What a compressor did since it was made, and the memory it takes now.
 *
 * - `frames` that were compressed, `before` and `after`: their bytes;
 * - `passed`: frames that went out as they are, since there was no room;
 * - `memory`: bytes of frames that wait and of contexts.
 *
 * @category models
 * @since 0.2.0
 */
export interface Counts {
  readonly frames: number
  readonly before: number
  readonly after: number
  readonly passed: number
  readonly memory: number
}

/**
 * The counts of a gateway that does not compress.
 *
 * @category constants
 * @since 0.2.0
 */
export const noCounts: Counts = { frames: 0, before: 0, after: 0, passed: 0, memory: 0 }
