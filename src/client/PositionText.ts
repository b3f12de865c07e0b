/**
 * A position as text, `<epoch>:<offset>`: how it is stored, and how it travels
 * as the id of a server-sent event.
 *
 * @since 0.1.0
 */
import type { Position } from "../protocol/Position.ts"

/**
 * @category conversions
 * @since 0.1.0
 */
export const toText = ({ epoch, offset }: Position): string => `${epoch}:${offset}`

/**
 * `undefined` if the text is no position.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromText = (text: string): Position | undefined => {
  const match = /^([A-Za-z0-9_-]{1,32}):(\d{1,16})$/.exec(text)
  if (match === null) return undefined
  const [, epoch = "", digits = ""] = match
  const offset = Number(digits)
  return Number.isSafeInteger(offset) ? { epoch, offset } : undefined
}
