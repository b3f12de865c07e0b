/**
 * Reads what stands in rows, and tells when it is not what was written.
 *
 * @since 0.2.0
 */
import type { SQLOutputValue } from "node:sqlite"
import type { RunId, UserId } from "../../../protocol/values/Identity.ts"

/**
 * A row of the file.
 *
 * @category models
 * @since 0.2.0
 */
export type Row = Record<string, SQLOutputValue>

/**
 * The file holds something else than was written.
 *
 * @category errors
 * @since 0.2.0
 */
export class Unreadable extends Error {
  constructor(what: string) {
    super(`the file holds something else than was written: ${what}`)
  }
}

/**
 * The number in a column.
 *
 * @category getters
 * @since 0.2.0
 */
export const int = (row: Row, column: string): number => {
  const value = row[column]
  if (typeof value === "number") return value
  throw new Unreadable(`no number in ${column}`)
}

/**
 * The text in a column.
 *
 * @category getters
 * @since 0.2.0
 */
export const text = (row: Row, column: string): string => {
  const value = row[column]
  if (typeof value === "string") return value
  throw new Unreadable(`no text in ${column}`)
}

// An id was checked before it was written.
const isUser = (name: string): name is UserId => name.length > 0
const isRun = (name: string): name is RunId => name.length > 0

/**
 * The id of a user in a column.
 *
 * @category getters
 * @since 0.2.0
 */
export const user = (row: Row, column: string): UserId => {
  const name = text(row, column)
  if (isUser(name)) return name
  throw new Unreadable(`no user in ${column}`)
}

/**
 * The id of a run in a column.
 *
 * @category getters
 * @since 0.2.0
 */
export const run = (row: Row, column: string): RunId => {
  const name = text(row, column)
  if (isRun(name)) return name
  throw new Unreadable(`no run in ${column}`)
}

/**
 * Pairs of numbers, as JSON in a column.
 *
 * @category getters
 * @since 0.2.0
 */
export const ranges = (row: Row, column: string): ReadonlyArray<readonly [number, number]> =>
  list(row, column).map((pair) => {
    if (Array.isArray(pair) && typeof pair[0] === "number" && typeof pair[1] === "number") return [pair[0], pair[1]]
    throw new Unreadable(`no ranges in ${column}`)
  })

/**
 * Numbers, as JSON in a column.
 *
 * @category getters
 * @since 0.2.0
 */
export const numbers = (row: Row, column: string): ReadonlyArray<number> =>
  list(row, column).map((value) => {
    if (typeof value === "number") return value
    throw new Unreadable(`no numbers in ${column}`)
  })

const list = (row: Row, column: string): ReadonlyArray<unknown> => {
  const value: unknown = JSON.parse(text(row, column))
  if (Array.isArray(value)) return value
  throw new Unreadable(`no list in ${column}`)
}
