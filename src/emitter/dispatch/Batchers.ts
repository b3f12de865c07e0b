/**
 * One batcher for each window that a tier of the settings asks for; most often that
 * is one.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { EmitterConfig } from "../EmitterConfig.ts"
import * as Batcher from "./Batcher.ts"
import type { Outbox } from "./Outbox.ts"

/**
 * - `mark` notes that an outbox has something pending.
 * - `run` starts sending: `send` is called once for each that was marked, when the
 *   window of its tier is over. See `Batcher`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batchers {
  readonly mark: (outbox: Outbox) => void
  readonly run: (send: (outbox: Outbox) => void) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * Makes the batchers that the settings ask for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  config: Pick<EmitterConfig, "batching" | "tiers">
): Effect.fn.Return<Batchers> {
  const standard = yield* Batcher.make<Outbox>(config.batching.maxDelay)
  const byDelay = new Map([[Duration.toMillis(config.batching.maxDelay), standard]])
  for (const { batching: { maxDelay } } of Object.values(config.tiers)) {
    const millis = Duration.toMillis(maxDelay)
    if (!byDelay.has(millis)) byDelay.set(millis, yield* Batcher.make<Outbox>(maxDelay))
  }
  const batcherOf = byDelay.size === 1
    ? () => standard
    : ({ settings: { batching } }: Outbox) => byDelay.get(Duration.toMillis(batching.maxDelay)) ?? standard
  return {
    mark: (outbox) => batcherOf(outbox).mark(outbox),
    run: (send) => Effect.forEach(byDelay.values(), (batcher) => batcher.run(send), { discard: true })
  }
})
