/**
 * Takes the demo's Redis away for real: it is told to answer nobody for a while.
 */
import { Clock, Duration, Effect, Layer } from "effect"
import { createClient } from "redis"
import { Outage } from "../Outage.ts"

/** An outage of all processes that use this Redis. */
export const layer = (url: string): Layer.Layer<Outage> =>
  Layer.sync(Outage, () => {
    let until = 0
    return {
      begin: (time) =>
        Effect.gen(function*() {
          const ms = Duration.toMillis(time)
          yield* Effect.acquireUseRelease(
            Effect.promise(() =>
              createClient({ url, socket: { reconnectStrategy: false } }).on("error", () => {}).connect()
            ),
            (client) => Effect.promise(() => client.sendCommand(["CLIENT", "PAUSE", String(ms), "ALL"])),
            (client) => Effect.sync(() => client.destroy())
          )
          until = (yield* Clock.currentTimeMillis) + ms
        }).pipe(
          Effect.timeoutOption("1 second"),
          Effect.catchCause((cause) => Effect.logWarning("Redis cannot be told to pause", cause))
        ),
      isUnder: Effect.map(Clock.currentTimeMillis, (now) => now < until)
    }
  })
