/**
 * The grammar of a position's text, `<epoch>:<offset>`: the id of a server-sent
 * event, and what a device keeps. Server and client read and write it here.
 *
 * This module loads nothing, so that a page can have it without Effect.
 *
 * @since 0.1.0
 */

/**
 * Matches an epoch: 1 to 32 characters of `A–Z a–z 0–9 _ -`.
 *
 * @category patterns
 * @since 0.1.0
 */
export const epochPattern = /^[A-Za-z0-9_-]{1,32}$/u

// A number has one form, so a position has one text.
const positionPattern = /^([A-Za-z0-9_-]{1,32}):(0|[1-9][0-9]{0,15})$/

/**
 * Writes a position as `<epoch>:<offset>`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toText = ({ epoch, offset }: { readonly epoch: string; readonly offset: number }): string =>
  `${epoch}:${offset}`

/**
 * Reads `<epoch>:<offset>`; `undefined` when the text is no position.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromText = (text: string): { readonly epoch: string; readonly offset: number } | undefined => {
  const match = positionPattern.exec(text)
  if (match === null) return undefined
  const [, epoch = "", digits = ""] = match
  const offset = Number(digits)
  return Number.isSafeInteger(offset) ? { epoch, offset } : undefined
}
