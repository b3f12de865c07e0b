/**
 * Notices that publications no longer come, on a connection that otherwise
 * looks well: a message to oneself, every second. When two in a row do not
 * come, the subscription is made anew.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Connection } from "./RedisConnection.ts"

/**
 * @category models
 * @since 0.1.0
 */
export class Canary {
  readonly channel: string
  private unseen = 0

  constructor(channel: string) {
    this.channel = channel
  }

  /** The message has come, or a new subscription begins. */
  seen(): void {
    this.unseen = 0
  }

  /**
   * Watches until the scope closes: publishes over `commands`, and restarts
   * `subscription` when nothing comes back.
   */
  watch(commands: Connection, subscription: Connection): Effect.Effect<void, never, Scope.Scope> {
    const publish = commands.call("canary", ({ client }) => client.sendCommand(["PUBLISH", this.channel, "c"])).pipe(
      Effect.map(() => {
        this.unseen++
      }),
      // While nothing can be published, nothing can be missed.
      Effect.catch(() => Effect.void)
    )
    const look = Effect.suspend(() => {
      if (this.unseen < 2) return publish
      this.seen()
      return Effect.andThen(
        Effect.logWarning("Redis publishes nothing to this process: subscribing anew"),
        subscription.restart
      )
    })
    return look.pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped, Effect.asVoid)
  }
}
