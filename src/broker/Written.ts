/**
 * Texts of entries as bytes, one behind the other on pages, as frames copy them.
 *
 * @since 0.2.0
 */

/**
 * Where the text of an entry's wire event stands as bytes: on `page` from `start`
 * to `end`, with a comma as its last byte. Texts of consecutive entries often
 * stand one behind the other, and can then be copied together.
 *
 * @category models
 * @since 0.1.0
 */
export interface Written {
  readonly page: Uint8Array
  readonly start: number
  readonly end: number
}

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
