/**
 * Calls of what the program gave: handlers, a storage, a token function, a
 * socket. Whatever they throw, the client goes on.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import { fromText, toText } from "../../protocol/values/PositionText.ts"
import type { PositionStorage } from "./PositionStorage.ts"

/**
 * Calls, and gives what came back; `undefined` if it threw. `failed` is told what
 * it threw, or later what its promise was rejected with.
 *
 * @category calls
 * @since 0.1.0
 */
export const call = <A>(run: () => A, failed: (error: unknown) => void): A | undefined => {
  try {
    const result = run()
    if (isThenable(result)) result.then(undefined, failed)
    return result
  } catch (error) {
    failed(error)
    return undefined
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function"

/**
 * The position that a storage has kept; `undefined` if there is none. `failed` is
 * told what the storage threw, or that it gave something else.
 *
 * @category calls
 * @since 0.1.0
 */
export const loadPosition = (
  storage: PositionStorage | undefined,
  failed: (error: unknown) => void
): Position | undefined => {
  const stored = call(() => storage?.load(), failed)
  return call(() => {
    if (stored === undefined || stored === null) return undefined
    const position = fromText(toText(stored))
    if (position === undefined) throw new TypeError("load must return { epoch, offset } or undefined, and no promise")
    return position
  }, failed)
}

/**
 * Hands an error to the platform, as if nobody had caught it.
 *
 * @category calls
 * @since 0.1.0
 */
export const rethrow = (error: unknown): void =>
  queueMicrotask(() => {
    throw error
  })
