/**
 * The runs that were drained without an ending, and whose process is gone.
 *
 * Plain state; every step is atomic.
 *
 * @since 0.1.0
 */
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import * as RunState from "../../protocol/run/RunState.ts"

/**
 * Whether an event of a user is of this process, or of a run that is active in it.
 *
 * @category models
 * @since 0.1.0
 */
export type IsOwn = (user: UserId, envelope: Envelope) => boolean

/**
 * `inherited` are the users of whom an earlier process left something; `isOwn` tells
 * the events of this process from those of earlier ones.
 *
 * @category models
 * @since 0.1.0
 */
export class Orphans {
  // Only what was there at the beginning can be an earlier process's.
  private readonly inherited: Set<UserId>
  private readonly isOwn: IsOwn
  private readonly runs = new Map<UserId, Set<RunId>>()

  constructor(inherited: ReadonlyArray<UserId>, isOwn: IsOwn) {
    this.inherited = new Set(inherited)
    this.isOwn = isOwn
  }

  note(user: UserId, drained: ReadonlyArray<Envelope>): void {
    if (!this.inherited.has(user)) return
    const runs = this.runs.get(user) ?? new Set()
    for (const envelope of drained) {
      const { run, type } = envelope
      if (run === undefined) continue
      if (this.isOwn(user, envelope) || RunState.isTerminal(type)) runs.delete(run)
      else runs.add(run)
    }
    if (runs.size > 0) this.runs.set(user, runs)
    else this.runs.delete(user)
  }

  has(user: UserId): boolean {
    return this.runs.has(user)
  }

  of(user: UserId): ReadonlyArray<RunId> {
    return [...this.runs.get(user) ?? []]
  }

  delete(user: UserId): void {
    this.runs.delete(user)
    this.inherited.delete(user)
  }
}
