/**
 * A spool's store in a file, by Node's own `node:sqlite` in WAL mode.
 *
 * What `put` has taken survives the death of the process, and with
 * `sync: "full"` (the default) that of the machine too. Batches that are put at
 * about the same time are written in one transaction.
 *
 * A file belongs to one process at a time: it is locked while it is open, and
 * the lock goes with the process, however that ends. The file is readable by
 * its owner only, since it holds users' events. Its size stays near the most it
 * ever held.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { closeSync, openSync } from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import type { Envelope } from "../protocol/Envelope.ts"
import { DeliveryClass } from "../protocol/Event.ts"
import { EventId, RunId, ThreadId, UserId } from "../protocol/Identity.ts"
import {
  type Chunk,
  plain,
  SpoolFailure,
  type SpoolFull,
  SpoolIndex,
  type SpoolLimits,
  type SpoolStore
} from "./SpoolStore.ts"

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
  readonly sync?: "full" | "normal"
  readonly lockTimeout?: Duration.Input
}

/**
 * The file cannot be used as a spool: another process holds it (`locked`), a
 * newer version of the package wrote it (`version`), or it cannot be opened
 * (`unusable`).
 *
 * @category errors
 * @since 0.1.0
 */
export class SpoolOpenError extends Schema.TaggedError<SpoolOpenError>()("SpoolOpenError", {
  file: Schema.String,
  reason: Schema.Literals(["locked", "version", "unusable"]),
  cause: Schema.Defect()
}) {
  override get message() {
    return `The spool file ${this.file} is ${this.reason}: ${String(this.cause)}`
  }
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
  const database = yield* Effect.acquireRelease(
    open(options),
    (database) => Effect.sync(() => database.close())
  )
  const index = new SpoolIndex(options)
  const insert = database.prepare("INSERT INTO spool (user, events, bytes, batch) VALUES (?, ?, ?, ?)")
  const select = database.prepare(
    "SELECT seq, events, bytes, batch FROM spool WHERE user = ? AND unreadable = 0 ORDER BY seq LIMIT ?"
  )
  const erase = database.prepare("DELETE FROM spool WHERE user = ? AND seq <= ? AND unreadable = 0")
  const setAside = database.prepare("UPDATE spool SET unreadable = 1 WHERE seq = ?")
  loadIndex(database, index)

  let writes: Array<Write> = []
  let closed = false

  const transaction = (group: ReadonlyArray<Write>): Exit.Exit<void, SpoolFailure> => {
    try {
      database.exec("BEGIN IMMEDIATE")
      for (const { bytes, events, text, user } of group) insert.run(user, events, bytes, text)
      database.exec("COMMIT")
      return Exit.void
    } catch (cause) {
      if (database.isTransaction) database.exec("ROLLBACK")
      return Exit.fail(new SpoolFailure({ operation: "put", cause }))
    }
  }

  const flush = Effect.sync(() => {
    const all = writes
    writes = []
    for (let start = 0; start < all.length; start += groupSize) {
      const group = all.slice(start, start + groupSize)
      const exit = transaction(group)
      for (const { bytes, done, events, user } of group) {
        if (Exit.isSuccess(exit)) index.add(user, 1, events)
        else index.release(events, bytes)
        Deferred.doneUnsafe(done, exit)
      }
    }
  })

  const put: SpoolStore["put"] = (user, batch) =>
    Effect.uninterruptible(Effect.suspend((): Effect.Effect<void, SpoolFull | SpoolFailure> => {
      if (closed) return Effect.fail(new SpoolFailure({ operation: "put", cause: new Error("the spool is closed") }))
      const text = JSON.stringify(batch.map(plain))
      const bytes = Buffer.byteLength(text)
      const full = index.reserve(batch.length, bytes)
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
    const unreadable: Array<Row> = []
    let bytes = 0
    let batches = 0
    let upTo = 0
    for (const found of select.iterate(user, limits.maxBatches)) {
      const row = decodeRow(found)
      if (batches > 0) {
        if (bytes + row.bytes > limits.maxBytes || envelopes.length + row.events > limits.maxEvents) break
      }
      const batch = decodeBatch(row.batch)
      if (Option.isNone(batch)) {
        unreadable.push(row)
        continue
      }
      for (const envelope of batch.value) envelopes.push(toEnvelope(envelope))
      bytes += row.bytes
      batches++
      upTo = row.seq
    }
    for (const row of unreadable) {
      setAside.run(row.seq)
      index.remove(user, 1, row.events, row.bytes)
      index.unreadable++
    }
    if (!Arr.isReadonlyArrayNonEmpty(envelopes)) {
      if (unreadable.length > 0) return readChunk(user, limits)
      return undefined
    }
    return { envelopes, upTo, batches, bytes }
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
            `${index.unreadable - before} batches of user ${user} in the spool ${options.file} cannot be read; ` +
              "they are set aside there and will not be delivered"
          )
        )
      )
    })

  const remove: SpoolStore["remove"] = (user, chunk) =>
    Effect.try({
      try: () => {
        erase.run(user, chunk.upTo)
        index.remove(user, chunk.batches, chunk.envelopes.length, chunk.bytes)
      },
      catch: (cause) => new SpoolFailure({ operation: "remove", cause })
    })

  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(() => closed = true), flush))

  return {
    put,
    peek,
    remove,
    users: (limit) => index.users(limit),
    holds: (user) => index.holds(user),
    depth: () => index.depth()
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

const schemaVersion = 1

const Row = Schema.Struct({ seq: Schema.Int, events: Schema.Int, bytes: Schema.Int, batch: Schema.String })
type Row = typeof Row.Type
const decodeRow = Schema.decodeUnknownSync(Row)

const Waiting = Schema.Struct({ user: UserId, batches: Schema.Int, events: Schema.Int, bytes: Schema.Int })
const decodeWaiting = Schema.decodeUnknownSync(Waiting)

const Count = Schema.Struct({ count: Schema.Int })
const decodeCount = Schema.decodeUnknownSync(Count)

const StoredEnvelope = Schema.Struct({
  id: EventId,
  source: Schema.NonEmptyString,
  sequence: Schema.Int,
  type: Schema.NonEmptyString,
  delivery: DeliveryClass,
  at: Schema.Finite,
  run: Schema.optionalKey(RunId),
  thread: Schema.optionalKey(ThreadId),
  confirm: Schema.Boolean,
  body: Schema.NonEmptyString,
  bytes: Schema.Natural,
  data: Schema.JsonObject
})
const decodeBatch = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.NonEmptyArray(StoredEnvelope)))

const toEnvelope = (stored: typeof StoredEnvelope.Type): Envelope => ({
  ...stored,
  run: stored.run,
  thread: stored.thread
})

const loadIndex = (database: DatabaseSync, index: SpoolIndex): void => {
  const waiting = database.prepare(
    "SELECT user, count(*) AS batches, sum(events) AS events, sum(bytes) AS bytes FROM spool " +
      "WHERE unreadable = 0 GROUP BY user ORDER BY min(seq)"
  )
  for (const found of waiting.iterate()) {
    const { batches, bytes, events, user } = decodeWaiting(found)
    index.take(events, bytes)
    index.add(user, batches, events)
  }
  const unreadable = database.prepare("SELECT count(*) AS count FROM spool WHERE unreadable = 1")
  index.unreadable = decodeCount(unreadable.get()).count
}

const lockPoll = Duration.millis(100)

const lockPolls = (options: Options): number =>
  Math.ceil(
    Duration.toMillis(Duration.fromInputUnsafe(options.lockTimeout ?? "10 seconds")) / Duration.toMillis(lockPoll)
  )

const isLocked = (error: SpoolOpenError): boolean => error.reason === "locked"

const open = (options: Options): Effect.Effect<DatabaseSync, SpoolOpenError> => {
  const fail = (cause: unknown): SpoolOpenError =>
    cause instanceof SpoolOpenError
      ? cause
      : new SpoolOpenError({ file: options.file, reason: isBusy(cause) ? "locked" : "unusable", cause })
  return Effect.tryPromise({ try: () => import("node:sqlite"), catch: fail }).pipe(
    Effect.flatMap(({ DatabaseSync }) =>
      Effect.try({
        try: () => {
          // Made first, so that the files beside it, which take over its mode, are readable by their owner only too.
          if (options.file !== ":memory:") closeSync(openSync(options.file, "a", 0o600))
          const database = new DatabaseSync(options.file)
          try {
            prepare(database, options)
            return database
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

const prepare = (database: DatabaseSync, options: Options): void => {
  // Exclusive before WAL: then no memory is shared with other processes, and they find the file locked.
  database.exec("PRAGMA locking_mode = EXCLUSIVE")
  database.exec("PRAGMA journal_mode = WAL")
  database.exec(`PRAGMA synchronous = ${options.sync === "normal" ? "NORMAL" : "FULL"}`)
  const { count: version } = decodeCount(
    database.prepare("SELECT user_version AS count FROM pragma_user_version").get()
  )
  if (version > schemaVersion) {
    const cause = new Error(`it has version ${version}, this package knows ${schemaVersion}`)
    throw new SpoolOpenError({ file: options.file, reason: "version", cause })
  }
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS spool (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      user TEXT NOT NULL,
      events INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      batch TEXT NOT NULL,
      unreadable INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX IF NOT EXISTS spool_by_user ON spool (user, seq);
    PRAGMA user_version = ${schemaVersion};
    COMMIT;
  `)
}

const sqliteBusy = 5

const isBusy = (cause: unknown): boolean =>
  typeof cause === "object" && cause !== null && "errcode" in cause && cause.errcode === sqliteBusy
