/**
 * Writes what a command has to say: lines for people, or JSON for programs.
 *
 * Lines go to the standard output, and what is about the command itself to the
 * standard error output, so that the first can be read on by another program.
 *
 * @since 0.2.0
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"

/**
 * A colour of a text, if texts have colours.
 *
 * @category models
 * @since 0.2.0
 */
export type Colour = "red" | "green" | "yellow" | "blue" | "dim" | "bold"

const codes: Record<Colour, readonly [number, number]> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  dim: [2, 22],
  bold: [1, 22]
}

/**
 * - `line` writes lines for people, and nothing where JSON is wanted.
 * - `value` writes one line of JSON where that is wanted, and nothing else.
 * - `aside` writes to the standard error output.
 * - `paint` colours a text, unless the terminal has no colours or `NO_COLOR` is set.
 *
 * @category models
 * @since 0.2.0
 */
export interface Out {
  readonly line: (...texts: ReadonlyArray<string>) => Effect.Effect<void>
  readonly value: (value: unknown) => Effect.Effect<void>
  readonly aside: (text: string) => Effect.Effect<void>
  readonly paint: (colour: Colour, text: string) => string
}

/**
 * How to write, by whether JSON is wanted.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (json: boolean): Effect.Effect<Out> =>
  Effect.map(TerminalCapabilities, ({ canColor }) => ({
    line: (...texts) => json ? Effect.void : Effect.forEach(texts, (text) => Console.log(text), { discard: true }),
    value: (value) => json ? Console.log(JSON.stringify(value)) : Effect.void,
    aside: (text) => Console.error(text),
    paint: (colour, text) => {
      const [on, off] = codes[colour]
      return canColor && !json ? `\u001B[${on}m${text}\u001B[${off}m` : text
    }
  }))

/**
 * A text that came from elsewhere, without what a terminal would act upon.
 *
 * @category conversions
 * @since 0.2.0
 */
export const plain = (text: string): string =>
  text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`)

/**
 * A text that tells what was given, without what nobody else may read: the password of
 * an address, and what has the form of a token.
 *
 * @category conversions
 * @since 0.2.0
 */
export const masked = (text: string): string =>
  text.replace(/:\/\/[^\s"]*@/gu, "://…@").replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]*/gu, "…")

/**
 * A text that came from elsewhere, as `plain` gives it, cut to a length.
 *
 * @category conversions
 * @since 0.2.0
 */
export const short = (text: string, length: number): string => {
  const shown = plain(text)
  return shown.length <= length ? shown : `${shown.slice(0, length - 1)}…`
}
