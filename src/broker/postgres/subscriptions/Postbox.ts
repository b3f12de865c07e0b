/**
 * Hands to this process what it is told: to the subscriptions of users whose logs are
 * read here, and to the inbox of commands. Plain state, made before whoever tells.
 *
 * @since 0.2.0
 */
import type { Inbox } from "../../commands/Inbox.ts"
import type { Subscription } from "../../subscriptions/Subscription.ts"
import type { Line } from "./Message.ts"

/**
 * Where lines are delivered. `byUser` are the subscriptions, by the name of the user.
 *
 * @category models
 * @since 0.2.0
 */
export class Postbox {
  readonly byUser = new Map<string, Subscription>()
  private readonly inbox: Inbox

  constructor(inbox: Inbox) {
    this.inbox = inbox
  }

  /** Delivers a line; what is for nobody here is left. */
  deliver([kind, first = "", second = "", third = "", ...rest]: Line): void {
    if (kind === "m") {
      if (first === this.inbox.process) this.inbox.listen(["m", second, third].join("\n"))
      return
    }
    if (kind === "o") {
      if (first.split(",").includes(this.inbox.process)) this.inbox.listen(["o", second, third, ...rest].join("\n"))
      return
    }
    const one = this.byUser.get(first)
    if (one === undefined) return
    if (kind === "e") one.wake(`${second}:${third}`, rest[0] === "critical" ? "critical" : undefined)
    else if (kind === "a") one.release({ epoch: second, offset: Number(third) })
    else if (kind === "r") one.revoke(Number(second))
    else if (kind === "l") one.lag(Number(second))
  }
}
