/**
 * Which events a connection with a filter takes.
 *
 * @since 0.2.0
 */

/**
 * Whether a connection of these threads takes an event of this thread: those of none
 * come to all.
 *
 * @category lookups
 * @since 0.2.0
 */
export const takes = (threads: ReadonlyArray<string> | undefined, thread: string | undefined): boolean =>
  threads === undefined || thread === undefined || threads.includes(thread)
