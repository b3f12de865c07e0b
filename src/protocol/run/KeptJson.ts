/**
 * Inputs and outputs of a run, as far as they are kept.
 *
 * This module loads no Effect, so that a page can have it without.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import { maxJson } from "./RunLimits.ts"

/**
 * JSON that is kept: as text, so that nobody who holds the value can change it.
 * `bytes` is its length in UTF-8.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeptJson {
  readonly text: string
  readonly bytes: number
}

/**
 * What stands for JSON of so many bytes that is not kept.
 *
 * @category constructors
 * @since 0.1.0
 */
export const omitted = (bytes: number): KeptJson => {
  const text = `{"omitted":${bytes}}`
  return { text, bytes: text.length }
}

/**
 * Whether this text of JSON stands for some that is not kept.
 *
 * @category checks
 * @since 0.2.0
 */
export const isOmitted = (text: string | undefined): boolean => text !== undefined && /^\{"omitted":\d+\}$/.test(text)

/**
 * Keeps a value, or says how large it was where it has more than `max` bytes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keepJson = (value: Json | undefined, max = maxJson): KeptJson | undefined => {
  if (value === undefined) return undefined
  const text = JSON.stringify(value)
  const bytes = isAscii(text) ? text.length : new TextEncoder().encode(text).length
  return bytes > max ? omitted(bytes) : { text, bytes }
}

const isAscii = (text: string): boolean => !/[\u0080-\uffff]/.test(text)
