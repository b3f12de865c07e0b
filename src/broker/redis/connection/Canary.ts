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
import type { Connection } from "./Connection.ts"
import type { RedisMetrics } from "../Metrics.ts"

/**
 * Counts the publications to a channel of its own that a connection should have
 * brought, and has not.
 *
 * @category models
 * @since 0.1.0
 */
export class Canary {
  readonly channel: string
  private readonly server: string
  private readonly metrics: RedisMetrics
  private unseen = 0

  constructor(channel: string, server: string, metrics: RedisMetrics) {
    this.channel = channel
    this.server = server
    this.metrics = metrics
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
      Effect.catch(() => Effect.void)
    )
    const check = Effect.suspend(() => {
      // While nothing can be published, nothing can be missed.
      if (this.unseen < 2) return Effect.andThen(commands.awaitLive, publish)
      this.seen()
      this.metrics.repaired("silent")
      return Effect.andThen(
        Effect.logWarning(`Redis at ${this.server} publishes nothing to this process: subscribing anew`),
        subscription.restart
      )
    })
    return check.pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped, Effect.asVoid)
  }
}
