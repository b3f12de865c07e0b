/**
 * The demo's users, and the tokens it hands them.
 *
 * Anybody who reaches the demo may be any of its users: it listens on this machine alone, and its users exist to show
 * that what one of them does never reaches another. Everything behind the token is as in a real program.
 */
import { Clock, Context, Effect, Layer, Redacted, Schema } from "effect"
import { SignJWT } from "jose"
import { Authenticator } from "../../gateway/index.ts"
import * as Secret from "./Secret.ts"

/** A user of the demo. The operator sees how the server is doing, and may take its broker away for a while. */
export const DemoUser = Schema.Literals(["ada", "grace", "operator"])

const issuer = "effect-emitter demo"
const audience = "effect-emitter"

/** How long a token is good for; the page renews it in time. */
const lifetimeMs = 10 * 60_000

/** Hands out tokens. */
export class Tokens extends Context.Service<Tokens, {
  readonly issue: (
    user: typeof DemoUser.Type
  ) => Effect.Effect<{ readonly token: string; readonly expiresAt: number }>
}>()("effect-emitter/demo/Tokens") {}

/** Tokens signed with this secret, and the authenticator that takes them. */
export const layerWith = (secret: Redacted.Redacted) => {
  const key = new TextEncoder().encode(Redacted.value(secret))
  const tokens = Layer.succeed(Tokens, {
    issue: (user) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const expiresAt = now + lifetimeMs
        const token = new SignJWT({})
          .setProtectedHeader({ alg: "HS256" })
          .setSubject(user)
          .setIssuer(issuer)
          .setAudience(audience)
          .setIssuedAt(Math.floor(now / 1000))
          .setExpirationTime(Math.floor(expiresAt / 1000))
        return Effect.map(Effect.promise(() => token.sign(key)), (text) => ({ token: text, expiresAt }))
      })
  })
  return Layer.merge(tokens, Authenticator.layerJwt({ secret, issuer, audience }))
}

/** The same with a secret made when the layer is built. */
export const layer = Layer.unwrap(Effect.map(Secret.make, layerWith))
