/**
 * Opens the file, and says why it cannot be opened.
 *
 * A file that is damaged is moved aside, and a new one begun: nothing of it is
 * erased. One that is no file of this package's is left alone.
 *
 * @since 0.2.0
 */
import { accessSync, chmodSync, closeSync, constants, openSync, readSync, renameSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { OpenFailure, Settings } from "../Messages.ts"
import * as NetworkShare from "./NetworkShare.ts"
import { applicationId, fromVersion1, pageBytes, tables, version } from "./Layout.ts"
import * as Rows from "./Rows.ts"
import { prepare, type Statements } from "./Statements.ts"

/**
 * Why it cannot be opened.
 *
 * @category errors
 * @since 0.2.0
 */
export class Refusal extends Error {
  readonly reason: OpenFailure
  constructor(reason: OpenFailure, message: string) {
    super(message)
    this.reason = reason
  }
}

/**
 * A file that is open. `setAside` is where a damaged one was moved to.
 *
 * @category models
 * @since 0.2.0
 */
export interface Opened {
  readonly database: DatabaseSync
  readonly sql: Statements
  readonly setAside: string | undefined
}

/**
 * SQLite's code of an error, if it is one of SQLite's. What stands above the lowest byte tells them further apart.
 *
 * @category getters
 * @since 0.2.0
 */
export const codeOf = (cause: unknown): number | undefined => {
  const code = cause instanceof Error && "errcode" in cause ? cause.errcode : undefined
  return typeof code === "number" ? code & 0xff : undefined
}

const busy = 5
const corrupt = 11
const notADatabase = 26

/**
 * Whether an error says that the file is damaged.
 *
 * @category checks
 * @since 0.2.0
 */
export const isDamage = (cause: unknown): boolean => {
  const code = codeOf(cause)
  return code === corrupt || code === notADatabase
}

/**
 * Opens the file, and makes it if there is none; one of the layout before gets this one, in one transaction. Waits for another process to let go of it, for as long as it may. Each commit
 * waits for the disk until somebody says otherwise.
 *
 * @category constructors
 * @since 0.2.0
 */
export const open = (settings: Settings): Opened => {
  const { file } = settings
  refuseNetworkShares(file)
  const header = attempt(() => headerOf(file))
  if (header !== undefined && isForeign(header)) {
    throw new Refusal("foreign", "it is no file of effect-emitter's: it was left as it is")
  }
  try {
    return { ...openWaiting(settings), setAside: undefined }
  } catch (cause) {
    if (!isDamage(cause) && !(cause instanceof Rows.Unreadable)) throw cause
    const setAside = moveAside(settings)
    return { ...openWaiting(settings), setAside }
  }
}

/**
 * Moves the file, and what belongs to it, out of the way. Gives where it is now.
 *
 * @category operations
 * @since 0.2.0
 */
export const moveAside = ({ file, wallMs }: Settings): string => {
  // @effect-diagnostics-next-line globalDate:off
  const stem = `${file}.damaged-${new Date(wallMs).toISOString().replaceAll(":", "-")}`
  let aside = stem
  for (let n = 2; statSync(aside, { throwIfNoEntry: false }) !== undefined; n++) aside = `${stem}-${n}`
  for (const suffix of ["-wal", "-shm", ""]) {
    if (statSync(`${file}${suffix}`, { throwIfNoEntry: false }) !== undefined) {
      renameSync(`${file}${suffix}`, `${aside}${suffix}`)
    }
  }
  return aside
}

const attempt = <A>(step: () => A): A => {
  try {
    return step()
  } catch (cause) {
    throw cause instanceof Error && "code" in cause && "syscall" in cause
      ? new Refusal("unusable", cause.message)
      : cause
  }
}

const refuseNetworkShares = (file: string): void => {
  const share = attempt(() => NetworkShare.kindOf(file))
  if (share === undefined) return
  throw new Refusal("networkShare", `it is on a network share (${share}), where two processes could hold it at once`)
}

const magic = "SQLite format 3\0"

// The first hundred bytes; fewer where there are fewer, nothing where there is no file.
const headerOf = (file: string): Buffer | undefined => {
  if (statSync(file, { throwIfNoEntry: false }) === undefined) return undefined
  const descriptor = openSync(file, "r")
  try {
    const header = Buffer.alloc(100)
    return header.subarray(0, readSync(descriptor, header, 0, 100, 0))
  } finally {
    closeSync(descriptor)
  }
}

// An empty file is as good as none; one whose beginning is lost counts as ours.
const isForeign = (header: Buffer): boolean => {
  if (header.every((byte) => byte === 0)) return false
  if (header.length < 100) return true
  // A file that ends before its first commit is done has a header without an owner.
  const owner = header.readUInt32BE(68)
  return owner !== applicationId && (header.toString("latin1", 0, 16) !== magic || owner !== 0 || hasTables(header))
}

// The schema's cookie counts its changes.
const hasTables = (header: Buffer): boolean => header.readUInt32BE(40) > 0

const lockPollMs = 100

const openWaiting = (settings: Settings): Omit<Opened, "setAside"> => {
  for (let waitedMs = 0;; waitedMs += lockPollMs) {
    try {
      return openOnce(settings)
    } catch (cause) {
      if (codeOf(cause) === busy) {
        if (waitedMs >= settings.lockTimeoutMs) {
          throw new Refusal("locked", "another process, or another broker of this one, has it")
        }
      } else if (isDamage(cause) || cause instanceof Refusal || cause instanceof Rows.Unreadable) throw cause
      else throw new Refusal("unusable", cause instanceof Error ? cause.message : String(cause))
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lockPollMs)
  }
}

const openOnce = ({ file }: Settings): Omit<Opened, "setAside"> => {
  restrict(file)
  const database = new DatabaseSync(file)
  try {
    // Exclusive before WAL: then no memory is shared with other processes, and they find the file locked.
    database.exec("PRAGMA locking_mode = EXCLUSIVE")
    // These two do nothing to a file that is there.
    database.exec(`PRAGMA page_size = ${pageBytes}`)
    database.exec("PRAGMA auto_vacuum = INCREMENTAL")
    database.exec("PRAGMA journal_mode = WAL")
    database.exec("PRAGMA synchronous = FULL")
    database.exec("PRAGMA journal_size_limit = 16777216")
    database.exec("PRAGMA cache_size = -32768")
    database.exec("PRAGMA temp_store = MEMORY")
    database.exec("BEGIN IMMEDIATE")
    make(database)
    database.exec("COMMIT")
    return { database, sql: prepare(database) }
  } catch (cause) {
    database.close()
    throw cause
  }
}

const make = (database: DatabaseSync): void => {
  const row = database.prepare("SELECT user_version AS found FROM pragma_user_version").get() ?? {}
  const found = Rows.int(row, "found")
  switch (found) {
    case version:
      return
    case 0: {
      const count = database.prepare("SELECT count(*) AS count FROM sqlite_schema").get() ?? {}
      if (Rows.int(count, "count") > 0) throw new Refusal("foreign", "it is another program's: it was left as it is")
      database.exec(tables)
      database.exec(`PRAGMA application_id = ${applicationId}`)
      break
    }
    case 1: {
      database.exec(fromVersion1)
      break
    }
    default:
      throw new Refusal(
        "version",
        `it has layout ${found}, and this version of effect-emitter knows ${version}: it was left as it is`
      )
  }
  database.exec(`PRAGMA user_version = ${version}`)
}

const ownerOnly = 0o600
const othersToo = 0o077

// It holds users' events. What SQLite makes beside it takes over its mode.
const restrict = (file: string): void => {
  const known = statSync(file, { throwIfNoEntry: false })
  if (known === undefined) return closeSync(openSync(file, "ax", ownerOnly))
  // SQLite would call what it may not write to a broken disk.
  accessSync(dirname(resolve(file)), constants.W_OK)
  for (const name of [file, `${file}-wal`, `${file}-shm`]) {
    const found = statSync(name, { throwIfNoEntry: false })
    if (found !== undefined) accessSync(name, constants.R_OK | constants.W_OK)
    if (found !== undefined && (found.mode & othersToo) !== 0) chmodSync(name, ownerOnly)
  }
}
