/**
 * How devices sign in to this package's servers.
 */
import { Redacted } from "effect"
import * as Jose from "jose"
import { Authenticator } from "../../src/gateway/index.ts"

const issuer = "bench"
const secret = "a secret for benchmarks, longer than 32 characters"

export const authenticator = Authenticator.layerJwt({ secret: Redacted.make(secret), issuer })

export const ticketFor = (user: string): Promise<string> =>
  new Jose.SignJWT({ sub: user })
    .setProtectedHeader({ alg: "HS256" })
    .setIssuer(issuer)
    .setExpirationTime("2 hours")
    .sign(new TextEncoder().encode(secret))
