/**
 * This package's engine, complete and with its defaults, on a broker in this process.
 */
import { Effect, Layer, ManagedRuntime } from "effect"
import { Broker, Emitter, EmitterLayer, Identity } from "../../src/index.ts"
import { Envelope } from "../../src/protocol/index.ts"

import type { WireEvent } from "./wire.ts"

export type Engine = ManagedRuntime.ManagedRuntime<Emitter.Emitters | Broker.Broker, unknown>

/**
 * Builds the engine for the time of `use`.
 */
export const withEngine = async <A>(
  use: (engine: Engine) => Promise<A>,
  retention: { readonly maxEvents?: number } = {}
): Promise<A> => {
  const engine = ManagedRuntime.make(EmitterLayer().pipe(Layer.provideMerge(Broker.layerMemory(retention))))
  try {
    return await use(engine)
  } finally {
    await engine.dispose()
  }
}

/**
 * The offset of the user's newest event.
 */
export const headOf = Effect.fnUntraced(function*(user: string) {
  const broker = yield* Broker.Broker
  return (yield* broker.head(Identity.UserId.make(user))).offset
})

/**
 * The newest events of the user, as devices get them.
 */
export const newestOf = Effect.fnUntraced(function*(user: string, count: number) {
  const broker = yield* Broker.Broker
  const id = Identity.UserId.make(user)
  const { epoch, offset } = yield* broker.head(id)
  const limits = { maxEvents: count, maxBytes: Number.MAX_SAFE_INTEGER }
  const { entries } = yield* broker.pull(id, { epoch, offset: offset - count }, limits)
  return entries.map((entry): WireEvent => JSON.parse(Envelope.toJson(entry.offset, entry.body)))
})
