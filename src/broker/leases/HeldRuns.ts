/**
 * The runs that this process holds: those whose latest event it appended or that it
 * took over, until they end or another has them. What it knows of each is enough to write down anew where it stands,
 * should the server forget it: how it began, but no texts.
 *
 * @since 0.1.0
 */
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import { type RunId, ThreadId, type UserId } from "../../protocol/values/Identity.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import { RunFold, type RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import * as RunState from "../../protocol/run/RunState.ts"

/**
 * A run that is active: its thread, when it started (unknown if another process
 * saw that), the epoch of the latest log that is known to know of it, and its state at the start.
 *
 * @category models
 * @since 0.1.0
 */
export interface HeldRun {
  readonly run: RunId
  readonly thread: ThreadId | undefined
  readonly startedAt: number | undefined
  readonly epoch: string
  readonly state: RunSnapshot
}

/**
 * What is held of one user, and when the log was last written to from here, on the
 * monotonic clock.
 *
 * @category models
 * @since 0.1.0
 */
export interface HeldUser {
  readonly runs: Map<RunId, HeldRun>
  epoch: string
  touchedAt: number
}

/**
 * The runs that this process holds, by user.
 *
 * @category models
 * @since 0.1.0
 */
export class HeldRuns {
  private readonly users = new Map<UserId, HeldUser>()

  /** What is held of a user. */
  of(user: UserId): HeldUser | undefined {
    return this.users.get(user)
  }

  /** The users whose log was not written to from here since `before`. */
  quietSince(before: number): ReadonlyArray<UserId> {
    return Array.from(this.users).flatMap(([user, { touchedAt }]) => touchedAt <= before ? [user] : [])
  }

  /**
   * Notes what was appended of runs. Tells whether the log is another than that
   * which earlier runs of the user are in: then it may know nothing of them.
   */
  appended(user: UserId, batch: ReadonlyArray<Envelope>, epoch: string, now: number): boolean {
    const held = this.users.get(user) ?? { runs: new Map<RunId, HeldRun>(), epoch, touchedAt: now }
    const isOther = held.epoch !== epoch && held.runs.size > 0
    held.epoch = epoch
    held.touchedAt = now
    for (const envelope of batch) {
      const { run, type } = envelope
      if (run === undefined) continue
      if (RunState.isTerminal(type)) held.runs.delete(run)
      else if (RunState.isStart(type) || !held.runs.has(run)) held.runs.set(run, begin(run, envelope, epoch))
    }
    if (held.runs.size > 0) this.users.set(user, held)
    else this.users.delete(user)
    return isOther
  }

  /** Notes a run that was taken over, in the state that it has now; nothing is known of its texts. */
  taken(user: UserId, run: RunId, { agentName, startedAt, thread }: RunSnapshot, epoch: string, now: number): void {
    const held = this.users.get(user) ?? { runs: new Map<RunId, HeldRun>(), epoch, touchedAt: now }
    const id = thread === undefined ? undefined : ThreadId.make(thread)
    const fold = new RunFold()
    fold.apply(RunEvents.started, agentName === undefined ? {} : { agentName }, startedAt ?? 0, id)
    held.runs.set(run, { run, thread: id, startedAt, epoch, state: fold.snapshot() })
    this.users.set(user, held)
  }

  /** These runs have ended, by whomever, or are another process's. */
  ended(user: UserId, runs: Iterable<RunId>): void {
    const held = this.users.get(user)
    if (held === undefined) return
    for (const run of runs) held.runs.delete(run)
    if (held.runs.size === 0) this.users.delete(user)
  }

  /** The log in this epoch was looked at from here, and knows of these runs. */
  kept(user: UserId, runs: ReadonlyArray<HeldRun>, epoch: string, now: number): void {
    const held = this.users.get(user)
    if (held === undefined) return
    held.epoch = epoch
    held.touchedAt = now
    // One that began anew meanwhile is another.
    for (const one of runs) if (held.runs.get(one.run) === one) held.runs.set(one.run, { ...one, epoch })
  }
}

const begin = (run: RunId, { at, data, thread, type }: Envelope, epoch: string): HeldRun => {
  const fold = new RunFold()
  const isStart = RunState.isStart(type)
  if (isStart) fold.apply(type, data, at, thread)
  return { run, thread, startedAt: isStart ? at : undefined, epoch, state: fold.snapshot() }
}
