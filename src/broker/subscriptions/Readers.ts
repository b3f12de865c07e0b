/**
 * Who reads one user's log in this process.
 *
 * Most users have one device, so one reader is held as it is, and only others in a list.
 * What is held is replaced, not changed, since a wake-up may end its reader, or bring
 * another.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { Broker, Reader, Signal, Unscoped } from "../Broker.ts"

/**
 * The readers of one user, in the order in which they came. One may be there twice.
 *
 * @category models
 * @since 0.2.0
 */
export type Readers = Reader | ReadonlyArray<Reader>

/**
 * The readers of a user whom nobody reads.
 *
 * @category constants
 * @since 0.2.0
 */
export const nobody: Readers = []

const listOf = (readers: Readers): ReadonlyArray<Reader> => "wake" in readers ? [readers] : readers

const heldAs = (list: ReadonlyArray<Reader>): Readers => {
  const [first] = list
  if (first === undefined) return nobody
  return list.length === 1 ? first : list
}

/**
 * How many there are.
 *
 * @category getters
 * @since 0.2.0
 */
export const count = (readers: Readers): number => "wake" in readers ? 1 : readers.length

/**
 * One more.
 *
 * @category operations
 * @since 0.2.0
 */
export const add = (readers: Readers, reader: Reader): Readers => heldAs([...listOf(readers), reader])

/**
 * One less, if it is there.
 *
 * @category operations
 * @since 0.2.0
 */
export const remove = (readers: Readers, reader: Reader): Readers => {
  const list = listOf(readers)
  const at = list.indexOf(reader)
  return at < 0 ? readers : heldAs(list.toSpliced(at, 1))
}

/**
 * Wakes all of them.
 *
 * @category operations
 * @since 0.2.0
 */
export const wake = (readers: Readers, signal?: Signal): void => {
  if ("wake" in readers) return readers.wake(signal)
  for (const reader of readers) reader.wake(signal)
}

/**
 * `subscribe` of a broker that has it as plain calls.
 *
 * @category constructors
 * @since 0.2.0
 */
export const subscribeBy = (unscoped: Unscoped): Broker["Service"]["subscribe"] => (user, wake) =>
  Effect.suspend(() => {
    const reader: Reader = { wake }
    return Effect.acquireRelease(
      Effect.sync(() => unscoped.add(user, reader)),
      () => Effect.sync(() => unscoped.delete(user, reader))
    )
  })
