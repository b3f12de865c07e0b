/**
 * Tells in which style a combinator is called.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/**
 * Whether the effect, or the stream, is given with the options, and so comes first.
 * Behind the options it would be taken for nothing at all: that throws.
 *
 * @category checks
 * @since 0.1.0
 */
export const comesFirst =
  (combinator: "run" | "runStream", self: "effect" | "stream") => ({ 0: first, 1: second }: IArguments): boolean => {
    if (isProgram(first)) return true
    if (isProgram(second)) throw new TypeError(`The ${self} comes first: Emitter.${combinator}(${self}, options)`)
    return false
  }

const isProgram = (argument: unknown): boolean => Effect.isEffect(argument) || Stream.isStream(argument)
