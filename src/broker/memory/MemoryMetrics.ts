/**
 * What the memory broker holds, as metrics of Effect, for Prometheus or OTLP.
 *
 * | metric | kind |
 * |---|---|
 * | `emitter_memory_bytes` | gauge: about what all logs take, in bytes: what `maxTotalBytes` bounds |
 * | `emitter_memory_users` | gauge: users of whom there is a log |
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

/**
 * Takes what is held. It is cheap to call after every append: gauges follow once
 * it has changed by an eighth, or by 64 KiB, or by 64 users.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryMetrics {
  readonly set: (bytes: number, users: number) => void
}

const bytesHeld = Metric.gauge("emitter_memory_bytes", { description: "About what the logs in memory take" })
const usersHeld = Metric.gauge("emitter_memory_users", { description: "Users of whom there is a log in memory" })

/**
 * Makes the gauges, at zero.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<MemoryMetrics> = Effect.map(Effect.context<never>(), (context) => {
  let saidBytes = 0
  let saidUsers = 0
  const say = (bytes: number, users: number): void => {
    saidBytes = bytes
    saidUsers = users
    bytesHeld.updateUnsafe(bytes, context)
    usersHeld.updateUnsafe(users, context)
  }
  say(0, 0)
  return {
    set: (bytes, users) => {
      const byBytes = Math.abs(bytes - saidBytes)
      if (byBytes >= 65_536 || byBytes * 8 > saidBytes || Math.abs(users - saidUsers) >= 64) say(bytes, users)
    }
  }
})
