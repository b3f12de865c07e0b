/**
 * Looks into the file of the SQLite broker, where no process has it.
 *
 * @since 0.2.0
 */
import { closeSync, openSync, readSync, statSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { applicationId } from "../../../broker/sqlite/worker/Layout.ts"

/**
 * What the first bytes of a file say: of no file at all, of another program's, or which
 * layout it has. What a process that has it wrote last may not be in them yet.
 *
 * @category models
 * @since 0.2.0
 */
export type Header =
  | { readonly _tag: "Missing" }
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Foreign" }
  | { readonly _tag: "Log"; readonly layout: number }

const magic = "SQLite format 3\0"

/**
 * Reads them. Throws where the file may not be read.
 *
 * @category getters
 * @since 0.2.0
 */
export const headerOf = (file: string): Header => {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) return { _tag: "Missing" }
  // Whoever opens a pipe waits until somebody writes to it.
  if (!stat.isFile()) return { _tag: "Foreign" }
  const descriptor = openSync(file, "r")
  try {
    const header = Buffer.alloc(100)
    const length = readSync(descriptor, header, 0, 100, 0)
    if (length === 0) return { _tag: "Empty" }
    const owner = header.readUInt32BE(68)
    // A file that ends before its first commit is done has a header without an owner; its count of changes is 0.
    const isOurs = owner === applicationId || (owner === 0 && header.readUInt32BE(40) === 0)
    return isOurs && header.toString("latin1", 0, 16) === magic
      ? { _tag: "Log", layout: header.readUInt32BE(60) }
      : { _tag: "Foreign" }
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Uses the file as the one process that has it. Throws what SQLite says: `isHeld` tells
 * whether that is that another process has it.
 *
 * @category operations
 * @since 0.2.0
 */
export const use = <A>(file: string, look: (database: DatabaseSync) => A): A => {
  // SQLite would make one that is not there.
  if (!statSync(file).isFile()) throw new Error("it is no regular file")
  const database = new DatabaseSync(file)
  try {
    // So it makes no file beside it that a process which has it would not expect.
    database.exec("PRAGMA locking_mode = EXCLUSIVE")
    return look(database)
  } finally {
    database.close()
  }
}

const codeOf = (cause: unknown): number | undefined =>
  cause instanceof Error && "errcode" in cause && typeof cause.errcode === "number" ? cause.errcode & 0xff : undefined

const held = [5, 6]
const damaged = [11, 26]

/**
 * Whether an error says that another process has the file.
 *
 * @category checks
 * @since 0.2.0
 */
export const isHeld = (cause: unknown): boolean => held.includes(codeOf(cause) ?? -1)

/**
 * Whether an error says that the file is damaged.
 *
 * @category checks
 * @since 0.2.0
 */
export const isDamaged = (cause: unknown): boolean => damaged.includes(codeOf(cause) ?? -1)
