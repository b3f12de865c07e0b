/**
 * What is too much in the data of a command, before anybody reads it.
 *
 * @since 0.2.0
 */
import type * as Schema from "effect/Schema"
import { maxDataDepth } from "../../protocol/command/Command.ts"

/**
 * What is too much in words; `undefined` where the data is fine.
 *
 * @category checks
 * @since 0.2.0
 */
export const tooMuch = (data: Schema.Json | undefined, maxBytes: number): string | undefined => {
  if (data === undefined) return undefined
  // Writing what is nested too deeply would take the stack.
  if (isDeeperThan(data, maxDataDepth)) return `it may be nested ${maxDataDepth} levels deep`
  const bytes = Buffer.byteLength(JSON.stringify(data))
  return bytes > maxBytes ? `it may have ${maxBytes} bytes of JSON, and has ${bytes}` : undefined
}

const isDeeperThan = (data: Schema.Json, levels: number): boolean => {
  let level: ReadonlyArray<unknown> = [data]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > levels) return true
    level = level.flatMap((value) => typeof value === "object" && value !== null ? Object.values(value) : [])
  }
  return false
}
