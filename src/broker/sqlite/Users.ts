/**
 * The users of this process: where their logs stand, who reads them, who waits for a
 * confirmation, and what is known of their runs while they have commands.
 *
 * Plain synchronous state. Where nobody uses a user's record it may go, and is read
 * from the file again.
 *
 * @since 0.2.0
 */
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import type { Signal } from "../Broker.ts"
import * as Readers from "../subscriptions/Readers.ts"
import type { LogState, RunStanding, Standing } from "./Messages.ts"

/**
 * Who waits until the event at `offset` of an epoch is acknowledged.
 *
 * @category models
 * @since 0.2.0
 */
export interface Waiter {
  readonly epoch: string
  readonly offset: number
  readonly resume: () => void
}

/**
 * What is known of a user. `commands` counts those that use `standings`.
 *
 * @category models
 * @since 0.2.0
 */
export interface User {
  log: LogState | undefined
  readers: Readers.Readers
  readonly waiters: Set<Waiter>
  standings: Map<RunId, Standing> | undefined
  commands: number
}

// So many of whom nothing is used stay, and so many are looked at when one comes.
const maxIdle = 10_000
const looksAtOnce = 16

const isIdle = ({ commands, readers, waiters }: User): boolean =>
  Readers.count(readers) === 0 && waiters.size === 0 && commands === 0

/**
 * The users of this process.
 *
 * @category models
 * @since 0.2.0
 */
export class Users {
  private readonly users = new Map<UserId, User>()

  /** What is known of a user, if anything is. */
  find(user: UserId): User | undefined {
    return this.users.get(user)
  }

  /** The record of a user. */
  of(user: UserId): User {
    const known = this.users.get(user)
    if (known !== undefined) return known
    if (this.users.size >= maxIdle) this.makeRoom()
    const made: User = {
      log: undefined,
      readers: Readers.nobody,
      waiters: new Set(),
      standings: undefined,
      commands: 0
    }
    this.users.set(user, made)
    return made
  }

  /** Those of these users that nobody uses are not known any more; gives them. */
  forgetIdle(users: ReadonlyArray<UserId>): ReadonlyArray<UserId> {
    return users.filter((user) => {
      const known = this.users.get(user)
      if (known !== undefined && !isIdle(known)) return false
      this.users.delete(user)
      return true
    })
  }

  /** The logs are others from now on. */
  clear(): void {
    for (const [user, known] of this.users) {
      if (isIdle(known)) this.users.delete(user)
      known.log = undefined
      known.standings = undefined
    }
  }

  /** Tells all readers, of all users. */
  tellAll(signal?: Signal): void {
    for (const { readers } of Array.from(this.users.values())) Readers.wake(readers, signal)
  }

  /** Notes where runs of a user stand now. */
  turn({ standings }: User, runs: ReadonlyArray<RunStanding>): void {
    if (standings === undefined) return
    for (const [run, standing] of runs) {
      if (standing === "unknown") standings.delete(run)
      else standings.set(run, standing)
    }
  }

  private makeRoom(): void {
    let looks = 0
    for (const [user, known] of this.users) {
      if (looks++ === looksAtOnce) return
      this.users.delete(user)
      if (!isIdle(known)) this.users.set(user, known)
    }
  }
}
