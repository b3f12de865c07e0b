/**
 * One batcher for each window that a tier of the settings asks for; most often that
 * is one.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Batcher from "./Batcher.ts"
import type { EmitterConfig } from "../EmitterConfig.ts"
import type { Outbox } from "./Outbox.ts"

/**
 * Gives what notes that an outbox has something pending. `send` is called once for
 * it when the window of its tier is over; see `Batcher`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  config: EmitterConfig,
  send: (outbox: Outbox) => void
): Effect.fn.Return<(outbox: Outbox) => void, never, Scope.Scope> {
  const standard = yield* Batcher.make<Outbox>({ maxDelay: config.batching.maxDelay, send })
  const byDelay = new Map([[Duration.toMillis(config.batching.maxDelay), standard]])
  for (const { batching: { maxDelay } } of Object.values(config.tiers)) {
    const millis = Duration.toMillis(maxDelay)
    if (!byDelay.has(millis)) byDelay.set(millis, yield* Batcher.make<Outbox>({ maxDelay, send }))
  }
  if (byDelay.size === 1) return standard.mark
  return (outbox) => (byDelay.get(Duration.toMillis(outbox.settings.batching.maxDelay)) ?? standard).mark(outbox)
})
