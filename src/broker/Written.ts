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
