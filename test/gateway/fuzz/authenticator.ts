/**
 * An authenticator for fuzzing: quick with some tokens, slow with others, and unwell with a few.
 */
import { Effect, Layer, Option, Redacted } from "effect"
import type { HttpServerRequest } from "effect/http"
import * as Authenticator from "../../../src/gateway/authentication/Authenticator.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"

const refused = Effect.fail(new Authenticator.Unauthenticated({ reason: "malformed" }))
const away = Effect.fail(new Authenticator.AuthenticatorUnavailable({ what: "the key server", cause: "it is down" }))
const turns = Effect.repeat(Effect.yieldNow, { times: 5 })

export const principal = (name: string): Authenticator.Principal => ({
  userId: UserId.make(name),
  expiresAt: undefined
})

const verify = (token: Redacted.Redacted<string>) => {
  const [, how, name] = /^(ok|slow):(ann|bob|cyd)$/.exec(Redacted.value(token)) ?? []
  if (Redacted.value(token) === "down") return Effect.andThen(turns, away)
  if (Redacted.value(token) === "dies") return Effect.andThen(turns, Effect.die("a bug in the authenticator"))
  if (name === undefined) return refused
  const known = Effect.succeed(principal(name))
  return how === "slow" ? Effect.andThen(turns, known) : known
}

export const layer: Layer.Layer<Authenticator.Authenticator> = Layer.succeed(Authenticator.Authenticator, {
  verify,
  recognize: (_: HttpServerRequest.HttpServerRequest) => Effect.succeed(Option.none())
})
