/**
 * Where a spool keeps what the broker could not take: each user's batches, in
 * order, until they are removed.
 *
 * Two implementations: `MemorySpoolStore`, and `SqliteSpoolStore`, which
 * survives the death of its process.
 *
 * Effect's `PersistedQueue` is no third, whatever its store: it cannot keep a
 * user's order. An element whose worker died comes back only when its lock
 * expires, and meanwhile later ones are handed out; one that is retried goes
 * behind later ones; and it cannot tell which users have something waiting, so
 * that after a restart a user's new events would overtake those in the queue.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * The oldest batches of one user, joined in order. `upTo` is the store's own
 * mark of the last of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chunk {
  readonly envelopes: NonEmptyReadonlyArray<Envelope>
  readonly upTo: number
  readonly batches: number
  readonly bytes: number
}

/**
 * How much a chunk holds at most; always one batch at least, however large.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChunkLimits {
  readonly maxBatches: number
  readonly maxEvents: number
  readonly maxBytes: number
}

/**
 * What a spool holds. `unreadable` counts events that could not be read back as
 * they were written; they became dead letters, and are never delivered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Depth {
  readonly users: number
  readonly batches: number
  readonly events: number
  readonly bytes: number
  readonly unreadable: number
}

/**
 * What a store may hold, and its defaults: 100,000 events (`maxEvents`) and
 * 256 MiB of their text as it is kept (`maxBytes`).
 *
 * A user may hold at most `userShare` of the room that the other users leave,
 * by default a quarter (0.25). So one user alone fills a quarter of the spool, and
 * there is always room for one more, however much the others emit. With 1 a
 * single user may fill the spool.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpoolLimits {
  readonly maxEvents?: number | undefined
  readonly maxBytes?: number | undefined
  readonly userShare?: number | undefined
}

/**
 * A dead letter as a store keeps it: `why` is what each way out failed with, as
 * text.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredLetter {
  readonly user: UserId
  readonly event: Envelope
  readonly trigger: string
  readonly reasons: ReadonlyArray<{ readonly outlet: string; readonly why: string }>
  readonly at: number
}

/**
 * Where dead letters outlive their process. An event of a user has one at most.
 * What cannot be written or erased is logged.
 *
 * - `load` gives what is there, oldest first.
 * - `onFound` is told of letters that the store makes itself, of what it found to
 *   be damaged; they are there already.
 *
 * @category models
 * @since 0.1.0
 */
export interface DurableLetters {
  readonly load: () => ReadonlyArray<StoredLetter>
  readonly put: (letters: ReadonlyArray<StoredLetter>) => void
  readonly remove: (letters: ReadonlyArray<Pick<StoredLetter, "user" | "event">>) => void
  readonly onFound: (listener: (letters: ReadonlyArray<StoredLetter>) => void) => void
}

/**
 * A store of spooled batches.
 *
 * - `put` keeps a batch behind all others of its user. When it succeeds the
 *   batch is kept as safely as the store can; when it fails nothing is kept. It
 *   is not interruptible, and takes no longer than the write.
 * - `peek` gives a user's oldest batches and keeps them; `remove` forgets them.
 *   Between the two nobody else may remove batches of this user.
 * - `shrink` forgets a chunk of one batch but for its last events, `rest`, which stay
 *   in its place.
 * - `users` lists users with something kept, those who wait longest first.
 * - `remove` succeeds also where the store cannot erase: then it no longer gives
 *   what was removed, and erases it as soon as it can. A process that dies before
 *   that finds it again.
 * - `holds` tells whether a user has something kept. It costs a look-up.
 * - `letters` is there on a store that outlives its process: it keeps the dead
 *   letters of what it held.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpoolStore {
  readonly put: (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>
  ) => Effect.Effect<void, SpoolFull | SpoolFailure>
  readonly peek: (user: UserId, limits: ChunkLimits) => Effect.Effect<Chunk | undefined, SpoolFailure>
  readonly remove: (user: UserId, chunk: Chunk) => Effect.Effect<void, SpoolFailure>
  readonly shrink: (
    user: UserId,
    chunk: Chunk,
    rest: NonEmptyReadonlyArray<Envelope>
  ) => Effect.Effect<void, SpoolFailure>
  readonly users: (limit: number) => ReadonlyArray<UserId>
  readonly holds: (user: UserId) => boolean
  readonly depth: () => Depth
  readonly letters?: DurableLetters
}

/**
 * There is no room for `asked` more events or bytes. The whole spool holds `held`
 * of its `limit`, or, with `scope` `user`, the user holds `held` of the share that
 * it may have now.
 *
 * @category errors
 * @since 0.1.0
 */
export class SpoolFull extends Schema.TaggedError<SpoolFull>()("SpoolFull", {
  scope: Schema.Literals(["spool", "user"]),
  unit: Schema.Literals(["events", "bytes"]),
  limit: Schema.Int,
  held: Schema.Int,
  asked: Schema.Int
}) {
  override get message() {
    const held = `${this.held} of ${this.limit} ${this.unit}`
    return this.scope === "spool"
      ? `The spool holds ${held}, and was asked to take ${this.asked} more; raise its limit`
      : `The user holds ${held} that its share of the spool allows, and was asked to take ${this.asked} more; ` +
        "raise the spool's limit, or userShare"
  }
}

/**
 * The store could not read or write.
 *
 * @category errors
 * @since 0.1.0
 */
export class SpoolFailure extends Schema.TaggedError<SpoolFailure>()("SpoolFailure", {
  operation: Schema.Literals(["put", "peek", "remove", "shrink"]),
  cause: Schema.Defect()
}) {
  override get message() {
    return `The spool could not ${this.operation}: ${String(this.cause)}`
  }
}

/**
 * The fields of an envelope and nothing else: what a program's own object may
 * carry besides must not be kept alive.
 *
 * @category conversions
 * @since 0.1.0
 */
export const plain = (envelope: Envelope): Envelope => ({
  id: envelope.id,
  source: envelope.source,
  sequence: envelope.sequence,
  type: envelope.type,
  delivery: envelope.delivery,
  at: envelope.at,
  run: envelope.run,
  thread: envelope.thread,
  confirm: envelope.confirm,
  keep: envelope.keep,
  body: envelope.body,
  bytes: envelope.bytes,
  data: envelope.data
})
