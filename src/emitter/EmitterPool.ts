/**
 * Keeps users' emitters between requests. It is rarely needed.
 *
 * Emitters are cheap, and those of one user share the user's outbox and order, so
 * make one per request with `Emitters.forUser` or `Emitter.layerUser`. Take a pool
 * where the same user emits in many short pieces of work, as from a queue consumer,
 * and closing the emitter after each, which delivers what it has pending, would send
 * too many small batches.
 *
 * - One emitter per context: the same user, thread and run share one.
 * - At most `capacity` are kept. When a new one needs room, the one that was
 *   unused for longest is closed first, which delivers what it has pending; when
 *   all are in use, `get` fails with `PoolExhausted`.
 * - One that was unused for `idleTimeToLive` is closed in the same way.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { AgentEvents, Broker, EmitterLayer, EmitterPool } from "effect-emitter"
 *
 * const handle = (userId: string) =>
 *   Effect.scoped(Effect.gen(function*() {
 *     const pool = yield* EmitterPool.EmitterPool
 *     const emitter = yield* pool.get({ userId })
 *     return yield* emitter.emit(AgentEvents.Custom.make({ name: "hello", data: null }))
 *   }))
 *
 * const emitters = EmitterLayer().pipe(Layer.provide(Broker.layerMemory()))
 * const pool = EmitterPool.layer({ capacity: 200, idleTimeToLive: "1 minute" }).pipe(Layer.provide(emitters))
 *
 * const program = Effect.forEach(["ada", "bob", "ada"], handle).pipe(Effect.provide(pool))
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RcMap from "effect/RcMap"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { EmissionContext } from "../protocol/values/Identity.ts"
import type { Given } from "../protocol/values/Present.ts"
import { type Emitter, Emitters, type InvalidContext } from "./Emitter.ts"

/**
 * - `capacity`: how many emitters are kept, 1,000 by default;
 * - `idleTimeToLive`: how long an unused one is kept, 5 minutes by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly capacity?: number | undefined
  readonly idleTimeToLive?: Duration.Input | undefined
}

/**
 * What a pool did: `open` and `inUse` now; `created`, `reused`, `evicted` (to
 * make room) and `exhausted` (calls that found all in use) since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface PoolStats {
  readonly open: number
  readonly inUse: number
  readonly created: number
  readonly reused: number
  readonly evicted: number
  readonly exhausted: number
}

/**
 * - `get` gives the context's emitter for as long as the scope is open.
 * - `stats` is one view of what the pool did.
 *
 * @category services
 * @since 0.1.0
 */
export class EmitterPool extends Context.Service<EmitterPool, {
  readonly get: (
    context: Given<typeof EmissionContext.Encoded>
  ) => Effect.Effect<Emitter["Service"], InvalidContext | PoolExhausted, Scope.Scope>
  readonly stats: Effect.Effect<PoolStats>
}>()("effect-emitter/EmitterPool") {}

/**
 * All `capacity` emitters are in use.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolExhausted extends Schema.TaggedError<PoolExhausted>()("PoolExhausted", { capacity: Schema.Int }) {
  override get message() {
    return `All ${this.capacity} emitters of the pool are in use`
  }
}

// The same fields in the same order give the same key, whatever order they were written in.
const keyOf = (context: Given<typeof EmissionContext.Encoded>): string =>
  JSON.stringify(
    Object.entries(context).filter(([, field]) => field !== undefined).toSorted(([a], [b]) => a < b ? -1 : 1)
  )

interface Use {
  readonly context: Given<typeof EmissionContext.Encoded>
  count: number
}

const make = Effect.fnUntraced(function*(options: Options) {
  const emitters = yield* Emitters
  const capacity = options.capacity ?? 1000
  // Least recently used first.
  const uses = new Map<string, Use>()
  const counted = { created: 0, reused: 0, evicted: 0, exhausted: 0 }

  const pool = yield* RcMap.make({
    // The entry's scope must close with the entry, and nothing of the first caller may live in it.
    lookup: (key: string) =>
      Effect.suspend(() => {
        const use = uses.get(key)
        if (use === undefined) return Effect.die(new Error(`no use was noted for ${key}`))
        return Effect.tap(
          emitters.forUser(use.context),
          Effect.addFinalizer(() => Effect.sync(() => forget(key, use)))
        )
      }),
    idleTimeToLive: options.idleTimeToLive ?? Duration.minutes(5)
  })

  const forget = (key: string, use: Use): void => {
    if (uses.get(key) === use && use.count === 0) uses.delete(key)
  }

  const makeRoom = Effect.suspend(() => {
    if (uses.size < capacity) return Effect.void
    for (const [key, { count }] of uses) {
      if (count > 0) continue
      uses.delete(key)
      counted.evicted++
      return RcMap.invalidate(pool, key)
    }
    counted.exhausted++
    return Effect.fail(new PoolExhausted({ capacity }))
  })

  const release = (key: string, use: Use) =>
    Effect.sync(() => {
      use.count--
      if (uses.get(key) !== use) return
      // Used just now, so it moves to the end.
      uses.delete(key)
      uses.set(key, use)
    })

  const get: EmitterPool["Service"]["get"] = (context) => {
    const key = keyOf(context)
    return Effect.gen(function*() {
      let use = uses.get(key)
      if (use === undefined) {
        yield* makeRoom
        use = { context, count: 0 }
        uses.set(key, use)
        counted.created++
      } else {
        counted.reused++
      }
      const held = use
      held.count++
      yield* Effect.addFinalizer(() => release(key, held))
      return yield* RcMap.get(pool, key).pipe(
        // RcMap remembers failures; a refused context must not take a place.
        Effect.onError(() => {
          uses.delete(key)
          return RcMap.invalidate(pool, key)
        })
      )
    })
  }

  const stats = Effect.sync((): PoolStats => {
    let inUse = 0
    for (const { count } of uses.values()) if (count > 0) inUse++
    return { open: uses.size, inUse, ...counted }
  })

  return EmitterPool.of({ get, stats })
})

/**
 * Provides an `EmitterPool` over the layer's `Emitters`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<EmitterPool, never, Emitters> =>
  Layer.effect(EmitterPool, make(options))
