/**
 * How much a client keeps where its program says nothing else, and what it may say.
 *
 * @since 0.2.0
 */

/**
 * What a program may limit: how many events may wait for a loop or a stream, how many
 * runs are kept, and how many that have ended are asked for.
 *
 * @category models
 * @since 0.2.0
 */
export interface Limits {
  readonly capacity?: number | undefined
  readonly maxRuns?: number | undefined
  readonly recentRuns?: number | undefined
}

/**
 * How many events may wait.
 *
 * @category limits
 * @since 0.2.0
 */
export const capacity = 4_096

/**
 * How many runs are kept.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxRuns = 64

/**
 * What is wrong with a limit: it is to be a whole number from `least` up.
 *
 * @category models
 * @since 0.2.0
 */
export interface Wrong {
  readonly option: string
  readonly least: number
}

/**
 * The first of the limits that is none; `undefined` if all are right.
 *
 * @category checks
 * @since 0.2.0
 */
export const wrong = (limits: Limits): Wrong | undefined => {
  for (const [option, least] of [["capacity", 1], ["maxRuns", 1], ["recentRuns", 0]] as const) {
    const { [option]: value = least } = limits
    if (!Number.isSafeInteger(value) || value < least) return { option, least }
  }
  return undefined
}
