/**
 * Keeps the folded runs of users to whom this process appends, so that a checkpoint
 * need not read back what was appended here.
 *
 * A fold goes on with an append that came right behind it, all of it new. Behind any
 * other (another process appended, the epoch is another, part of it was a repetition,
 * an answer was lost) the log has what was not seen here: the fold is forgotten, the
 * next checkpoint reads the log, and another fold goes on from there. So a user who
 * has no checkpoint yet costs nothing.
 *
 * As many are kept as the bounds allow; those go first that were appended to least
 * lately.
 *
 * @since 0.2.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import type { Appended, Folded } from "../codec/Entry.ts"

/**
 * How many users' folds are kept, and about how much memory they may take.
 *
 * @category models
 * @since 0.2.0
 */
export interface Bounds {
  readonly users: number
  readonly bytes: number
}

/**
 * The bounds of a process, for each server.
 *
 * @category constants
 * @since 0.2.0
 */
export const bounds: Bounds = { users: 1_024, bytes: 32 * 1024 * 1024 }

// A fold, its place in the map, and the names of its runs.
const overhead = 2_000

const bytesOf = ({ runs }: Folded): number => overhead + runs.bytes

/**
 * The folds by user, within bounds over all of them.
 *
 * @category models
 * @since 0.2.0
 */
export class KeptFolds {
  private readonly bounds: Bounds
  // In the order of the last appends.
  private readonly folds = new Map<UserId, Folded>()
  private bytes = 0

  constructor(bounds: Bounds) {
    this.bounds = bounds
  }

  /** The runs of a user as of the last append of this process, if nothing else came between. */
  get(user: UserId): Folded | undefined {
    return this.folds.get(user)
  }

  /** Keeps a fold, which goes on from where it was read. */
  keep(user: UserId, fold: Folded): void {
    this.forget(user)
    this.put(user, fold)
  }

  /** Takes what was appended. */
  appended(user: UserId, batch: NonEmptyReadonlyArray<Envelope>, { log, position }: Appended): void {
    const fold = this.folds.get(user)
    if (fold === undefined) return
    this.forget(user)
    const isNext = log.epoch === fold.epoch && log.offset === fold.offset
    const isAllNew = position.epoch === log.epoch && position.offset === log.offset + batch.length
    if (!isNext || !isAllNew) return
    for (const envelope of batch) goOn(fold, envelope)
    this.put(user, fold)
  }

  forget(user: UserId): void {
    const fold = this.folds.get(user)
    if (fold === undefined) return
    this.folds.delete(user)
    this.bytes -= bytesOf(fold)
  }

  /** Forgets all: another server may answer from now on. */
  clear(): void {
    this.folds.clear()
    this.bytes = 0
  }

  private put(user: UserId, fold: Folded): void {
    this.folds.set(user, fold)
    this.bytes += bytesOf(fold)
    for (const eldest of this.folds.keys()) {
      if (this.folds.size <= this.bounds.users && this.bytes <= this.bounds.bytes) return
      this.forget(eldest)
    }
  }
}

// The next event. Those of no run behind the checkpoint belong to it, since there is nothing to fold of them.
const goOn = (fold: Folded, { at, data, keep, run, thread, type }: Envelope): void => {
  const offset = ++fold.offset
  if (run !== undefined) fold.runs.apply(run, type, data, at, offset, thread, keep)
  else if (fold.checkpoint === offset - 1) fold.checkpoint = offset
}
