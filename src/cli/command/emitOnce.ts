/**
 * One event, emitted by an emitter of its own: a file apart, since only this needs what emitters are made of.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import { Emitters } from "../../emitter/Emitter.ts"
import { EmitterLayer } from "../../emitter/EmitterLayer.ts"
import * as FallbackChannel from "../../emitter/fallback/FallbackChannel.ts"
import type { Event } from "../../protocol/event/Event.ts"

// A process that ends must not keep an event in its memory: what the broker does not take is told instead.
const engine = EmitterLayer().pipe(FallbackChannel.provide())

/**
 * Emits it, and gives its receipt.
 *
 * @category operations
 * @since 0.2.0
 */
export const emitOnce = (to: { readonly userId: string; readonly threadId: string | undefined }, event: Event) =>
  Emitters.pipe(
    Effect.flatMap(({ forUser }) => forUser(to)),
    Effect.flatMap((emitter) => emitter.emit(event)),
    Effect.scoped,
    Effect.provide(engine)
  )
