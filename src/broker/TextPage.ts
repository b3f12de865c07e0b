/**
 * Pages of texts of entries (see `Written`): how bodies are read from them, and how large they are.
 *
 * @since 0.2.0
 */

/**
 * The body of an entry whose text ends there: so many bytes before the comma.
 *
 * @category getters
 * @since 0.2.0
 */
export const bodyBefore = (page: Buffer, end: number, bytes: number): string =>
  page.toString("utf8", end - 1 - bytes, end - 1)

const leastBytes = 1024

/**
 * A page for a text of so many bytes, where the one before has no room for it. Pages
 * double in size, up to `most`, so that a log of few events has small ones.
 *
 * @category constructors
 * @since 0.2.0
 */
export const pageAfter = (before: Buffer | undefined, bytes: number, most: number): Buffer =>
  Buffer.allocUnsafeSlow(Math.max(bytes, before === undefined ? leastBytes : Math.min(most, 2 * before.length)))
