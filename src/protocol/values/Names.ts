/**
 * Names that must be unique in the world: of engines and their sources,
 * processes, epochs, runs and connections.
 *
 * What two lives of a program call alike is taken for one thing: an event for
 * the repetition of another, an offset for one of another log. So these names
 * never come from `Random`, which a program may seed; they have their own
 * source, cryptographically random unless a test provides another.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * Where unique names come from.
 *
 * - `nextUnsafe` gives a name that nothing else has: letters and digits, always
 *   as many of them (16 by default, 80 random bits).
 *
 * @category services
 * @since 0.1.0
 */
export const Names = Context.Reference<{ readonly nextUnsafe: () => string }>("effect-emitter/Names", {
  defaultValue: () => ({ nextUnsafe: random })
})

/**
 * A name that nothing else has.
 *
 * @category getters
 * @since 0.1.0
 */
export const next: Effect.Effect<string> = Effect.map(Names, ({ nextUnsafe }) => nextUnsafe())

/**
 * Names in a sequence that is the same each time, for tests that replay:
 * `prefix`, of letters and digits, and a number. Provide one for all that runs
 * together.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Names } from "effect-emitter"
 *
 * const two = Effect.all([Names.next, Names.next]).pipe(Effect.provideService(Names.Names, Names.sequence("run")))
 * console.assert(Effect.runSync(two).join() === "run00000000,run00000001")
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const sequence = (prefix: string): typeof Names.Service => {
  let made = 0
  return { nextUnsafe: () => `${prefix}${(made++).toString(36).padStart(8, "0")}` }
}

const alphabet = "0123456789abcdefghijklmnopqrstuv"
const length = 16

const random = (): string => {
  let name = ""
  for (const byte of globalThis.crypto.getRandomValues(new Uint8Array(length))) name += alphabet[byte % alphabet.length]
  return name
}
