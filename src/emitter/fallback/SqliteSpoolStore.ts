/**
 * A spool's store in a file, by Node's own `node:sqlite` in WAL mode.
 *
 * What `put` has taken survives the death of the process, and with
 * `sync: "full"` (the default) that of the machine too. Batches that are put at
 * about the same time are written in one transaction.
 *
 * A file belongs to one process at a time: it is locked while it is open, and
 * the lock goes with the process, however that ends; opening it twice in one
 * process fails too, and gives nothing away. Nobody else may open and close the
 * file in the process that holds it, not even to copy it: on most systems that
 * gives up the lock. The file is readable by its owner only, since it holds
 * users' events, also where it was readable by others before. Its size stays near
 * the most it ever held.
 *
 * Each event has a checksum. One that is not read as it was written becomes a
 * dead letter (`damaged`), and goes to no log; its neighbours do. Dead letters of
 * what the file held are in the file too, until they are delivered or cleared.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { chmodSync, closeSync, openSync, statSync } from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { EventId, UserId } from "../../protocol/values/Identity.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import { SpoolIndex } from "./SpoolIndex.ts"
import {
  type Chunk,
  type DurableLetters,
  SpoolFailure,
  type SpoolFull,
  type SpoolLimits,
  type SpoolStore,
  type StoredLetter
} from "./SpoolStore.ts"
import * as SqliteLetters from "./SqliteLetters.ts"
import { decodeBatch, encodeBatch } from "./StoredEnvelope.ts"

/**
 * Options of the store.
 *
 * - `file`: its path; the directory must exist.
 * - `sync`: `full` (default) waits for the disk at each transaction; `normal`
 *   leaves that to the operating system, is several times faster, and may lose
 *   the newest batches when the machine (not the process) dies.
 * - `lockTimeout`: how long to wait for another process to let go of the file,
 *   as when a service is replaced; default 10 seconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends SpoolLimits {
  readonly file: string
  readonly sync?: "full" | "normal" | undefined
  readonly lockTimeout?: Duration.Input | undefined
}

/**
 * The file cannot be used as a spool: another process, or another spool of this
 * one, holds it (`locked`), another version of the package wrote it (`version`),
 * it is damaged or no database (`damaged`), or it cannot be opened (`unusable`).
 * The file is left as it was, so nothing in it is lost.
 *
 * @category errors
 * @since 0.1.0
 */
export class SpoolOpenError extends Schema.TaggedError<SpoolOpenError>()("SpoolOpenError", {
  file: Schema.String,
  reason: Schema.Literals(["locked", "version", "damaged", "unusable"]),
  cause: Schema.Defect()
}) {
  override get message() {
    return `The spool file ${this.file} ${remedies[this.reason]} (${String(this.cause)})`
  }
}

const moveAway = "move it and the files beside it (-wal, -shm) away, to begin with a new one"

const remedies = {
  locked: "is held by another process, or by another spool of this one: give each process a file of its own",
  version: `was written by another version of effect-emitter: let that version drain it, or ${moveAway}`,
  damaged: `is damaged: ${moveAway}, and look with "sqlite3 … .recover" for what can be saved`,
  unusable: "cannot be opened: see that its directory exists, and that file and directory belong to this user"
}

/**
 * Opens the file, and makes it if there is none. It is closed with the scope,
 * after what was put before has been written.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<SpoolStore, SpoolOpenError, Scope.Scope> {
  const { database, index } = yield* Effect.acquireRelease(
    open(options),
    ({ database }) => Effect.sync(() => database.close())
  )
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const insert = database.prepare("INSERT INTO spool (user, events, bytes, batch) VALUES (?, ?, ?, ?)")
  const select = database.prepare(
    "SELECT seq, events, bytes, batch FROM spool WHERE user = ? AND seq > ? ORDER BY seq LIMIT ?"
  )
  const eraseUpTo = database.prepare("DELETE FROM spool WHERE user = ? AND seq <= ?")
  const eraseRow = database.prepare("DELETE FROM spool WHERE seq = ?")
  const rewrite = database.prepare("UPDATE spool SET events = ?, bytes = ?, batch = ? WHERE seq = ?")
  const stored = SqliteLetters.make(database)
  const listeners: Array<(letters: ReadonlyArray<StoredLetter>) => void> = []
  // What was removed and could not be erased yet, by user: all up to there.
  const removed = new Map<UserId, number>()

  let writes: Array<Write> = []
  let closed = false

  const transaction = (steps: () => void): void => {
    database.exec("BEGIN IMMEDIATE")
    try {
      steps()
      database.exec("COMMIT")
    } catch (cause) {
      if (database.isTransaction) database.exec("ROLLBACK")
      throw cause
    }
  }

  const write = (group: ReadonlyArray<Write>): Exit.Exit<void, SpoolFailure> => {
    try {
      transaction(() => {
        for (const { bytes, events, text, user } of group) insert.run(user, events, bytes, text)
      })
      return Exit.void
    } catch (cause) {
      return Exit.fail(new SpoolFailure({ operation: "put", cause }))
    }
  }

  const flush = Effect.sync(() => {
    const all = writes
    writes = []
    for (let start = 0; start < all.length; start += groupSize) {
      const group = all.slice(start, start + groupSize)
      const exit = write(group)
      for (const { bytes, done, events, user } of group) {
        if (Exit.isSuccess(exit)) index.add(user, 1, events)
        else index.release(user, events, bytes)
        Deferred.doneUnsafe(done, exit)
      }
    }
  })

  const put: SpoolStore["put"] = (user, batch) =>
    Effect.uninterruptible(Effect.suspend((): Effect.Effect<void, SpoolFull | SpoolFailure> => {
      if (closed) return Effect.fail(new SpoolFailure({ operation: "put", cause: new Error("the spool is closed") }))
      const text = encodeBatch(user, batch)
      const bytes = Buffer.byteLength(text)
      const full = index.reserve(user, batch.length, bytes)
      if (full !== undefined) return Effect.fail(full)
      const done = Deferred.makeUnsafe<void, SpoolFailure>()
      const isFirst = writes.push({ user, events: batch.length, bytes, text, done }) === 1
      // Who comes first writes for all who come until its next turn.
      return isFirst
        ? Effect.andThen(Effect.yieldNow, flush).pipe(Effect.andThen(Deferred.await(done)))
        : Deferred.await(done)
    }))

  const readChunk = (user: UserId, limits: Parameters<SpoolStore["peek"]>[1]): Chunk | undefined => {
    const envelopes: Array<Envelope> = []
    let bytes = 0
    let batches = 0
    let upTo = 0
    let damaged: Row | undefined
    for (const found of select.iterate(user, removed.get(user) ?? 0, limits.maxBatches)) {
      const row = decodeRow(found)
      if (batches > 0) {
        if (bytes + row.bytes > limits.maxBytes || envelopes.length + row.events > limits.maxEvents) break
      }
      const batch = decodeBatch(user, row.batch)
      const whole = batch.filter((event) => typeof event !== "string")
      if (whole.length < batch.length || whole.length !== row.events) {
        damaged = row
        break
      }
      for (const envelope of whole) envelopes.push(envelope)
      bytes += row.bytes
      batches++
      upTo = row.seq
    }
    if (Arr.isReadonlyArrayNonEmpty(envelopes)) return { envelopes, upTo, batches, bytes }
    if (damaged === undefined) return undefined
    repair(user, damaged)
    return readChunk(user, limits)
  }

  // Parts what can still be read from what cannot, which becomes dead letters in the same step.
  const repair = (user: UserId, row: Row): void => {
    const at = clock.currentTimeMillisUnsafe()
    const whole: Array<Envelope> = []
    const letters: Array<StoredLetter> = []
    for (const [line, event] of decodeBatch(user, row.batch).entries()) {
      if (typeof event !== "string") whole.push(event)
      else letters.push(SqliteLetters.damagedLetter(user, EventId.make(`spool-${row.seq}-${line}`), event, at))
    }
    const text = encodeBatch(user, whole)
    const bytes = Buffer.byteLength(text)
    transaction(() => {
      if (whole.length === 0) eraseRow.run(row.seq)
      else rewrite.run(whole.length, bytes, text, row.seq)
      stored.put(letters)
    })
    index.remove(user, 1, row.events, row.bytes)
    if (whole.length > 0) {
      index.take(user, whole.length, bytes)
      index.add(user, 1, whole.length)
    }
    index.unreadable += letters.length
    for (const listener of listeners) listener(letters)
  }

  const peek: SpoolStore["peek"] = (user, limits) =>
    Effect.suspend(() => {
      const before = index.unreadable
      return Effect.try({
        try: () => readChunk(user, limits),
        catch: (cause) => new SpoolFailure({ operation: "peek", cause })
      }).pipe(
        Effect.tap(() =>
          index.unreadable === before ? Effect.void : Effect.logError(
            `${index.unreadable - before} events of user ${user} in the spool ${options.file} are not as they were ` +
              "written; they are dead letters now"
          )
        )
      )
    })

  const erase = (user: UserId, upTo: number): unknown => {
    try {
      eraseUpTo.run(user, upTo)
      removed.delete(user)
      return undefined
    } catch (cause) {
      return cause
    }
  }

  const eraseRemoved = Effect.sync(() => {
    for (const [user, upTo] of removed) erase(user, upTo)
  })

  // One fiber tries again for all, as long as there is something to erase.
  const eraseLater = Effect.gen(function*() {
    while (removed.size > 0) {
      yield* Effect.sleep(eraseAgain)
      yield* eraseRemoved
    }
  })

  const remove: SpoolStore["remove"] = (user, chunk) =>
    Effect.suspend((): Effect.Effect<void, SpoolFailure> => {
      if (closed) return Effect.fail(new SpoolFailure({ operation: "remove", cause: new Error("the spool is closed") }))
      index.remove(user, chunk.batches, chunk.envelopes.length, chunk.bytes)
      const problem = erase(user, chunk.upTo)
      if (problem === undefined) return Effect.void
      // The broker has it. It must not get it again and again, nor keep newer events waiting, for want of a working disk.
      const isFirst = removed.size === 0
      removed.set(user, chunk.upTo)
      if (!isFirst) return Effect.void
      return Effect.logError(`The spool ${options.file} cannot erase what was delivered, and tries on`, problem).pipe(
        Effect.andThen(Effect.forkIn(eraseLater, scope)),
        Effect.asVoid
      )
    })

  const shrink: SpoolStore["shrink"] = (user, chunk, rest) =>
    Effect.try({
      try: () => {
        const text = encodeBatch(user, rest)
        const bytes = Buffer.byteLength(text)
        rewrite.run(rest.length, bytes, text, chunk.upTo)
        index.remove(user, 0, chunk.envelopes.length - rest.length, chunk.bytes - bytes)
      },
      catch: (cause) => new SpoolFailure({ operation: "shrink", cause })
    })

  const attempt = (what: string, step: () => void): void => {
    try {
      step()
    } catch (cause) {
      runFork(Effect.logError(`The spool ${options.file} could not ${what} dead letters`, cause))
    }
  }

  const letters: DurableLetters = {
    load: () => stored.load(),
    put: (some) => attempt("keep", () => stored.put(some)),
    remove: (some) => attempt("erase", () => stored.remove(some)),
    onFound: (listener) => void listeners.push(listener)
  }

  yield* Effect.addFinalizer(() =>
    Effect.andThen(Effect.andThen(Effect.sync(() => closed = true), flush), eraseRemoved)
  )

  return {
    put,
    peek,
    remove,
    shrink,
    users: (limit) => index.users(limit),
    holds: (user) => index.holds(user),
    depth: () => index.depth(),
    letters
  }
})

interface Write {
  readonly user: UserId
  readonly events: number
  readonly bytes: number
  readonly text: string
  readonly done: Deferred.Deferred<void, SpoolFailure>
}

// Bounds how long one transaction keeps the process from anything else.
const groupSize = 256

const eraseAgain = "1 second"

/**
 * The version of the file's tables. Another one in a file is refused.
 *
 * @category constants
 * @since 0.2.0
 */
export const schemaVersion = 2

const Row = Schema.Struct({ seq: Schema.Int, events: Schema.Int, bytes: Schema.Int, batch: Schema.String })
type Row = typeof Row.Type
const decodeRow = Schema.decodeUnknownSync(Row)

const Waiting = Schema.Struct({ user: UserId, batches: Schema.Int, events: Schema.Int, bytes: Schema.Int })
const decodeWaiting = Schema.decodeUnknownSync(Waiting)

const Count = Schema.Struct({ count: Schema.Int })
const decodeCount = Schema.decodeUnknownSync(Count)

const loadIndex = (database: DatabaseSync, index: SpoolIndex): void => {
  const waiting = database.prepare(
    "SELECT user, count(*) AS batches, sum(events) AS events, sum(bytes) AS bytes FROM spool " +
      "GROUP BY user ORDER BY min(seq)"
  )
  for (const found of waiting.iterate()) {
    const { batches, bytes, events, user } = decodeWaiting(found)
    index.take(user, events, bytes)
    index.add(user, batches, events)
  }
}

const lockPoll = Duration.millis(100)

const lockPolls = (options: Options): number =>
  Math.ceil(
    Duration.toMillis(Duration.fromInputUnsafe(options.lockTimeout ?? "10 seconds")) / Duration.toMillis(lockPoll)
  )

const isLocked = (error: SpoolOpenError): boolean => error.reason === "locked"

interface Opened {
  readonly database: DatabaseSync
  readonly index: SpoolIndex
}

const open = (options: Options): Effect.Effect<Opened, SpoolOpenError> => {
  const { file } = options
  const fail = (cause: unknown): SpoolOpenError =>
    cause instanceof SpoolOpenError ? cause : new SpoolOpenError({ file, reason: reasonOf(cause), cause })
  return Effect.tryPromise({ try: () => import("node:sqlite"), catch: fail }).pipe(
    Effect.flatMap(({ DatabaseSync }) =>
      Effect.try({
        try: () => {
          restrict(file)
          const database = new DatabaseSync(file)
          try {
            prepare(database, options)
            const index = new SpoolIndex(options)
            loadIndex(database, index)
            return { database, index }
          } catch (cause) {
            database.close()
            throw cause
          }
        },
        catch: fail
      }).pipe(
        Effect.retry({ schedule: Schedule.spaced(lockPoll), times: lockPolls(options), while: isLocked })
      )
    )
  )
}

// Sees that the file and those beside it, which take over its mode, are their owner's only.
const restrict = (file: string): void => {
  if (file === ":memory:") return
  try {
    // Only where it is not there yet: who closes a file gives up the locks that this process has on it.
    closeSync(openSync(file, "ax", ownerOnly))
  } catch (cause) {
    if (!isExisting(cause)) throw cause
  }
  for (const name of [file, `${file}-wal`, `${file}-shm`]) {
    const found = statSync(name, { throwIfNoEntry: false })
    if (found !== undefined && (found.mode & othersToo) !== 0) chmodSync(name, ownerOnly)
  }
}

const ownerOnly = 0o600
const othersToo = 0o077

const isExisting = (cause: unknown): boolean => cause instanceof Error && "code" in cause && cause.code === "EEXIST"

const prepare = (database: DatabaseSync, options: Options): void => {
  // Exclusive before WAL: then no memory is shared with other processes, and they find the file locked.
  database.exec("PRAGMA locking_mode = EXCLUSIVE")
  database.exec("PRAGMA journal_mode = WAL")
  database.exec(`PRAGMA synchronous = ${options.sync === "normal" ? "NORMAL" : "FULL"}`)
  const { quick_check: found } = decodeCheck(database.prepare("PRAGMA quick_check(1)").get())
  if (found !== "ok") {
    throw new SpoolOpenError({ file: options.file, reason: "damaged", cause: new Error(found) })
  }
  const { count: version } = decodeCount(
    database.prepare("SELECT user_version AS count FROM pragma_user_version").get()
  )
  const { count: tables } = decodeCount(database.prepare("SELECT count(*) AS count FROM sqlite_schema").get())
  const isNew = version === 0 && tables === 0
  if (!isNew && version !== schemaVersion) {
    const cause = new Error(`it has version ${version}, and this package knows ${schemaVersion}`)
    throw new SpoolOpenError({ file: options.file, reason: "version", cause })
  }
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS spool (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      user TEXT NOT NULL,
      events INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      batch TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS spool_by_user ON spool (user, seq);
    ${SqliteLetters.table}
    PRAGMA user_version = ${schemaVersion};
    COMMIT;
  `)
}

const Check = Schema.Struct({ quick_check: Schema.String })
const decodeCheck = Schema.decodeUnknownSync(Check)

// SQLite's codes; what stands above the lowest byte tells them further apart.
const reasons = new Map<number, SpoolOpenError["reason"]>([[5, "locked"], [11, "damaged"], [26, "damaged"]])

const reasonOf = (cause: unknown): SpoolOpenError["reason"] => {
  // A row that cannot be read has been tampered with, or has rotted.
  if (cause instanceof Schema.SchemaError) return "damaged"
  const code = typeof cause === "object" && cause !== null && "errcode" in cause ? cause.errcode : undefined
  return typeof code === "number" ? reasons.get(code & 0xff) ?? "unusable" : "unusable"
}
