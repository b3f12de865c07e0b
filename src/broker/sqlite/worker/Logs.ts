/**
 * All users' logs in one file: does the steps that the broker asks for.
 *
 * The logs that were used lately stay read, within a bound. After a rollback none
 * does.
 *
 * @since 0.2.0
 */
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { Group, Results, RunStanding, Settings, Step, Swept } from "../Messages.ts"
import * as Rows from "./Rows.ts"
import type { Statements } from "./Statements.ts"
import { UserLog } from "./UserLog.ts"

// How much the logs that stay read may take in memory, and how many there may be.
const maxWeight = 64 * 1024 * 1024
const maxLogs = 10_000

// How many users a sweep deals with at once, and how many rows go at once.
const usersAtOnce = 8
const rowsAtOnce = 256

// How often a sweep lets the oldest events go, where the file is too large.
const shrinksAtOnce = 32

type Value = Results[Step["_tag"]]

/**
 * The life of the process that has the file: it counts up. The logs of earlier lives may lack their last events where
 * they are older than `tornBefore`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Life {
  readonly number: number
  readonly name: string
  readonly tornBefore: number
}

/**
 * The logs of a file.
 *
 * @category models
 * @since 0.2.0
 */
export class Logs {
  private readonly sql: Statements
  private readonly settings: Settings
  private readonly life: Life
  // Those used lately come last.
  private readonly read = new Map<UserId, { readonly log: UserLog; weight: number }>()
  private weight = 0
  private named = 0
  private now = 0
  private wallMs = 0
  private hasOrphans = true

  constructor(sql: Statements, settings: Settings, life: Life) {
    this.sql = sql
    this.settings = settings
    this.life = life
  }

  /** Forgets what was read, since the file says something else. */
  clear(): void {
    this.read.clear()
    this.weight = 0
    this.hasOrphans = true
  }

  /** Does a step of a group within a transaction. */
  perform(step: Step, { now, wallMs }: Group): Value {
    this.now = now
    this.wallMs = wallMs
    switch (step._tag) {
      case "append": {
        const log = this.of(step.user)
        const [lost, ...others] = log.refusedOf(step.batch)
        if (lost !== undefined) return { lost: [lost, ...others] }
        const appended = log.append(step.batch, now)
        this.weigh(step.user)
        return appended
      }
      case "endLost":
        return this.of(step.user).endLost(step.runs, step.source, wallMs, now)
      case "look":
        return { log: this.of(step.user).state }
      case "pull": {
        const log = this.of(step.user)
        log.expire(now)
        return { log: log.state, slice: log.pull(step.after, step.limits) }
      }
      case "snapshots": {
        const log = this.of(step.user)
        return { log: log.state, snapshots: log.states.snapshots(step.since, step.recent) }
      }
      case "snapshot": {
        const log = this.of(step.user)
        return { log: log.state, snapshot: log.states.snapshot(step.run) }
      }
      case "acknowledge":
        return this.of(step.user).acknowledge(step.position)
      case "isAcknowledged":
        return this.of(step.user).isAcknowledged(step.position)
      case "revoke":
        return this.revoke(step.user, step.at)
      case "recall":
        return this.recall(step.user, step.command)
      case "remember": {
        this.sql.setCommand.run(step.user, step.command, step.digest, step.outcome, now)
        return undefined
      }
      case "canary": {
        this.sql.setMeta.run("canary", String(now))
        return undefined
      }
      case "sweep":
        return this.sweep()
      case "forget": {
        for (const user of step.users) this.forget(user)
        return undefined
      }
    }
  }

  private of(user: UserId): UserLog {
    const known = this.read.get(user)
    if (known !== undefined) {
      this.read.delete(user)
      this.read.set(user, known)
      return known.log
    }
    const found = UserLog.read(this.sql, user, this.settings)
    const log = found ?? UserLog.begin(this.sql, user, this.settings, {
      epoch: this.nextEpoch(),
      life: this.life.number,
      now: this.now
    })
    if (log.lastLife < this.life.number) this.enter(log)
    const weight = log.weight
    this.read.set(user, { log, weight })
    this.weight += weight
    this.makeRoom()
    return log
  }

  // The process that had it last is gone, and its runs with it.
  private enter(log: UserLog): void {
    const isTorn = log.lastLife < this.life.tornBefore
    log.enter(this.life.number, isTorn ? this.nextEpoch() : undefined)
    log.endLost(log.active(), `${this.life.name}-over-${log.id}-`, this.wallMs, this.now)
  }

  private nextEpoch(): string {
    return `${this.life.name}-${(this.named++).toString(36)}`
  }

  private weigh(user: UserId): void {
    const known = this.read.get(user)
    if (known === undefined) return
    const weight = known.log.weight
    this.weight += weight - known.weight
    known.weight = weight
    this.makeRoom()
  }

  private makeRoom(): void {
    for (const user of this.read.keys()) {
      if (this.read.size <= 1 || (this.weight <= maxWeight && this.read.size <= maxLogs)) return
      this.drop(user)
    }
  }

  private drop(user: UserId): void {
    const known = this.read.get(user)
    if (known === undefined) return
    this.read.delete(user)
    this.weight -= known.weight
  }

  // After the one before, also where the wall clock has stepped back since.
  private revoke(user: UserId, at: number): number {
    const known = this.sql.revocation.get(user)
    const revokedAt = Math.max(at, known === undefined ? 0 : Rows.int(known, "at") + 1)
    this.sql.setRevoked.run(user, revokedAt, this.now)
    return revokedAt
  }

  private recall(user: UserId, command: string): Results["recall"] {
    const log = this.of(user)
    const row = this.sql.command.get(user, command, Math.floor(this.now - this.settings.outcomeMs))
    const standings: ReadonlyArray<RunStanding> = log.standings()
    return {
      log: log.state,
      standings,
      known: row === undefined ? undefined : { digest: Rows.text(row, "digest"), outcome: Rows.text(row, "outcome") }
    }
  }

  private forget(user: UserId): void {
    const log = this.of(user)
    if (log.isEmpty) log.erase()
    this.drop(user)
  }

  private sweep(): Swept {
    const { maxAgeMs, outcomeMs, revocationMs } = this.settings
    const { now } = this
    const orphaned = this.hasOrphans ? this.users(this.sql.orphans.iterate(this.life.number, usersAtOnce)) : []
    for (const user of orphaned) this.of(user)
    this.hasOrphans = orphaned.length === usersAtOnce
    const aged = this.users(this.sql.aged.iterate(now - maxAgeMs, usersAtOnce))
    for (const user of aged) this.of(user).expire(now)
    const isOver = this.isOver()
    if (isOver) this.shrink()
    this.sql.dropCommands.run(now - outcomeMs, rowsAtOnce)
    this.sql.dropRevoked.run(now - revocationMs, rowsAtOnce)
    const empty = this.users(this.sql.forgettable.iterate(now - maxAgeMs, rowsAtOnce))
    return {
      fileBytes: this.usedBytes(),
      empty,
      hasMore: this.hasOrphans || isOver || aged.length === usersAtOnce
    }
  }

  // The oldest events of all go first, whoever's they are, and no more of them than there is no room for.
  private shrink(): void {
    for (let n = 0; n < shrinksAtOnce && this.isOver(); n++) {
      const [user] = this.users(this.sql.oldest.iterate())
      if (user === undefined) return
      const log = this.of(user)
      const { first, head } = log.state
      log.shrink(head > first ? 1 : 0, this.now)
    }
  }

  private isOver(): boolean {
    return this.usedBytes() > this.settings.maxTotalBytes
  }

  private usedBytes(): number {
    const row = this.sql.pages.get()
    return row === undefined ? 0 : (Rows.int(row, "pages") - Rows.int(row, "free")) * Rows.int(row, "size")
  }

  private users(rows: Iterable<Rows.Row>): ReadonlyArray<UserId> {
    return Array.from(rows, (row) => Rows.user(row, "name"))
  }
}
