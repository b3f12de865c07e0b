/**
 * Where an Effect program's token comes from.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { TokenAnswer } from "../session/SessionIO.ts"

/**
 * A token, a token with its end (milliseconds since the Unix epoch), or none.
 *
 * @category models
 * @since 0.1.0
 */
export type Token = string | Redacted.Redacted | TokenAnswer | undefined

/**
 * A token that stays the same, or an effect that gets one.
 *
 * @category models
 * @since 0.1.0
 */
export type TokenSource<E = never, R = never> = string | Redacted.Redacted | Effect.Effect<Token, E, R>

/**
 * Gets a token.
 *
 * @category constructors
 * @since 0.1.0
 */
export const get = <E, R>(source: TokenSource<E, R> | undefined): Effect.Effect<TokenAnswer | undefined, E, R> =>
  Effect.isEffect(source) ? Effect.map(source, toAnswer) : Effect.succeed(toAnswer(source))

const toAnswer = (token: Token): TokenAnswer | undefined => {
  if (typeof token === "string") return { token }
  return Redacted.isRedacted(token) ? { token: Redacted.value(token) } : token
}
