/**
 * Looks into the file of a spool, also while a process works with it.
 *
 * The file is locked by the process that works with it, and opening it beside that
 * process would leave files behind that are not its own. So a copy is read, which is
 * taken again when the file was written to meanwhile; it is readable by its owner
 * alone, and deleted at once.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { DatabaseSync } from "node:sqlite"
import type { StoredLetter } from "../../emitter/fallback/SpoolStore.ts"
import * as SqliteLetters from "../../emitter/fallback/SqliteLetters.ts"
import { schemaVersion } from "../../emitter/fallback/SqliteSpoolStore.ts"
import { decodeBatch } from "../../emitter/fallback/StoredEnvelope.ts"
import { UserId } from "../../protocol/values/Identity.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"

/**
 * The file cannot be read: it does not exist (`missing`), is no spool or is damaged
 * (`damaged`), another version of the package wrote it (`version`), or it may not be
 * read (`unreadable`).
 *
 * @category errors
 * @since 0.2.0
 */
export class SpoolUnreadable extends Schema.TaggedError<SpoolUnreadable>()("SpoolUnreadable", {
  file: Schema.String,
  reason: Schema.Literals(["missing", "damaged", "version", "unreadable"]),
  why: Schema.String
}) {
  override get message() {
    return `The spool file ${this.file} cannot be read: ${this.why}`
  }
}

/**
 * A spool file that was read:
 *
 * - `depth`: the events that wait there, and of how many users;
 * - `waiting` calls its listener with each event that waits, in the order in which
 *   they came, and with its text where that is damaged;
 * - `letters`: the dead letters there.
 *
 * @category models
 * @since 0.2.0
 */
export interface SpoolContents {
  readonly depth: { readonly events: number; readonly users: number }
  readonly waiting: (listener: (user: UserId, event: Envelope | string) => void) => void
  readonly letters: () => ReadonlyArray<StoredLetter>
}

const Depth = Schema.Struct({ events: Schema.NullOr(Schema.Int), users: Schema.Int })
const decodeDepth = Schema.decodeUnknownSync(Depth)
const Row = Schema.Struct({ user: UserId, batch: Schema.String })
const decodeRow = Schema.decodeUnknownSync(Row)
const Version = Schema.Struct({ version: Schema.Int })
const decodeVersion = Schema.decodeUnknownSync(Version)
const Check = Schema.Struct({ quick_check: Schema.String })
const decodeCheck = Schema.decodeUnknownSync(Check)

const tries = 5

const copyTo = (file: string, copy: string): void => {
  for (let attempt = 0; attempt < tries; attempt++) {
    const before = statSync(file)
    // Whoever opens a pipe waits until somebody writes to it.
    if (!before.isFile()) throw new SpoolUnreadable({ file, reason: "unreadable", why: "it is no regular file" })
    copyFileSync(file, copy)
    rmSync(`${copy}-wal`, { force: true })
    // What is newer stands beside it. It is written into the file at times, and then may have been copied in part.
    if (existsSync(`${file}-wal`)) copyFileSync(`${file}-wal`, `${copy}-wal`)
    const after = statSync(file)
    if (before.mtimeMs === after.mtimeMs && before.size === after.size) return
  }
}

const contentsOf = (file: string, database: DatabaseSync): SpoolContents => {
  const { quick_check: found } = decodeCheck(database.prepare("PRAGMA quick_check(1)").get())
  if (found !== "ok") throw new SpoolUnreadable({ file, reason: "damaged", why: found })
  const { version } = decodeVersion(database.prepare("SELECT user_version AS version FROM pragma_user_version").get())
  if (version !== schemaVersion) {
    const why = `it has version ${version}, and this package knows ${schemaVersion}`
    throw new SpoolUnreadable({ file, reason: "version", why })
  }
  const { events, users } = decodeDepth(
    database.prepare("SELECT sum(events) AS events, count(DISTINCT user) AS users FROM spool").get()
  )
  return {
    depth: { events: events ?? 0, users },
    waiting: (listener) => {
      for (const row of database.prepare("SELECT user, batch FROM spool ORDER BY seq").iterate()) {
        const { batch, user } = decodeRow(row)
        for (const event of decodeBatch(user, batch)) listener(user, event)
      }
    },
    letters: SqliteLetters.make(database).load
  }
}

const isMissing = (cause: unknown): boolean => cause instanceof Error && "code" in cause && cause.code === "ENOENT"

const unreadable = (file: string, cause: unknown): SpoolUnreadable => {
  if (cause instanceof SpoolUnreadable) return cause
  if (isMissing(cause)) return new SpoolUnreadable({ file, reason: "missing", why: "there is no such file" })
  const why = cause instanceof Error ? cause.message : String(cause)
  const isFile = cause instanceof Error && "syscall" in cause
  return new SpoolUnreadable({ file, reason: isFile ? "unreadable" : "damaged", why })
}

/**
 * Reads a spool file, and gives what `use` makes of it.
 *
 * @category operations
 * @since 0.2.0
 */
export const read = <A>(file: string, use: (contents: SpoolContents) => A): Effect.Effect<A, SpoolUnreadable> =>
  Effect.tryPromise({
    try: async () => {
      const { DatabaseSync } = await import("node:sqlite")
      const directory = mkdtempSync(join(tmpdir(), "effect-emitter-spool-"))
      try {
        const copy = join(directory, "spool.db")
        copyTo(file, copy)
        const database = new DatabaseSync(copy)
        try {
          return use(contentsOf(file, database))
        } finally {
          database.close()
        }
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    },
    catch: (cause) => unreadable(file, cause)
  })
