/**
 * How many commands are open, which is to say not decided yet: of each connection,
 * each user, and this node.
 *
 * @since 0.2.0
 */
import type { UserId } from "../../protocol/values/Identity.ts"
import { TokenBucket } from "../admission/TokenBucket.ts"

/**
 * How many commands may be open.
 *
 * @category models
 * @since 0.2.0
 */
export interface OpenLimits {
  readonly perConnection: number
  readonly perUser: number
  readonly perNode: number
}

/**
 * What one connection has sent of late. A connection that sends no commands has none.
 *
 * @category models
 * @since 0.2.0
 */
export class ConnectionLoad {
  open = 0
  private rate: TokenBucket | undefined

  /** Takes one command of `perSecond`, at `now` in milliseconds; `false` when there is none left. */
  take(perSecond: number, now: number): boolean {
    this.rate ??= new TokenBucket(perSecond, now)
    return this.rate.take(now)
  }
}

/**
 * The open commands of a node. It holds a number for each user with an open command.
 *
 * @category models
 * @since 0.2.0
 */
export class OpenCommands {
  private readonly limits: OpenLimits
  private readonly byUser = new Map<UserId, number>()
  private total = 0

  constructor(limits: OpenLimits) {
    this.limits = limits
  }

  /** How many are open. */
  get size(): number {
    return this.total
  }

  /** Opens one. Gives what is in the way, in words, if a limit is met; then none was opened. */
  open(user: UserId, load: ConnectionLoad | undefined): string | undefined {
    const { perConnection, perNode, perUser } = this.limits
    const ofUser = this.byUser.get(user) ?? 0
    if (load !== undefined && load.open >= perConnection) return `a connection may have ${perConnection} open commands`
    if (ofUser >= perUser) return `a user may have ${perUser} open commands`
    if (this.total >= perNode) return `this server takes ${perNode} open commands`
    this.total++
    this.byUser.set(user, ofUser + 1)
    if (load !== undefined) load.open++
    return undefined
  }

  /** One was decided. */
  close(user: UserId, load: ConnectionLoad | undefined): void {
    const left = (this.byUser.get(user) ?? 1) - 1
    this.total--
    if (left === 0) this.byUser.delete(user)
    else this.byUser.set(user, left)
    if (load !== undefined) load.open--
  }
}
