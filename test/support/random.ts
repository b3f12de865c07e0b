/**
 * A small seeded generator for property tests: a failing test names its seed, and the seed replays it.
 */
import { Cause, Effect, Random } from "effect"
import { Names } from "../../src/index.ts"

export interface Draw {
  /** A number in [0, 1). */
  readonly next: () => number
  /** An integer in [0, below). */
  readonly below: (below: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(from: ReadonlyArray<A>) => A
}

/** mulberry32 */
export const seeded = (seed: number): Draw => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (from) => {
      const picked = from[below(from.length)]
      if (picked === undefined) throw new RangeError("nothing to pick from")
      return picked
    }
  }
}

/**
 * Runs a property for many seeds, each with its own `Draw` and the same seed for Effect's own Random. What fails is
 * reported with the seed that replays it: `forSeeds({ from: seed, count: 1 }, …)`.
 */
export const forSeeds = <E, R>(
  options: { readonly from?: number; readonly count: number },
  property: (draw: Draw, seed: number) => Effect.Effect<void, E, R>
): Effect.Effect<void, never, R> => {
  const first = options.from ?? 1
  return Effect.forEach(
    Array.from({ length: options.count }, (_, i) => first + i),
    (seed) =>
      Effect.suspend(() => property(seeded(seed), seed)).pipe(
        Random.withSeed(seed),
        Effect.provideService(Names.Names, Names.sequence("test")),
        Effect.catchCause((cause) => Effect.die(new Error(`seed ${seed}: ${Cause.pretty(cause)}`, { cause })))
      ),
    { discard: true }
  )
}
