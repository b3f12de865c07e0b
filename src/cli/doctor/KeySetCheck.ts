/**
 * Looks whether the key set that tokens are signed with can be fetched.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as AuthenticatorOptions from "../../gateway/authentication/AuthenticatorOptions.ts"
import * as Jwks from "../../gateway/authentication/Jwks.ts"
import { fault, type Finding, ok } from "../output/Finding.ts"
import * as VariableNames from "./VariableNames.ts"

// Names no key of any set, so that the set is fetched and found not to have it.
const nobodys = { alg: "RS256", kid: "effect-emitter-doctor" }

const remedy =
  "correct JWKS_URL, or see that this machine reaches it: it must give the keys as JSON, without a redirect"

/**
 * What there is to say of the key set: nothing where none is set, or its settings
 * cannot be used, which another finding tells.
 *
 * @category operations
 * @since 0.2.0
 */
export const check: Effect.Effect<ReadonlyArray<Finding>> = Effect.gen(function*() {
  if ((yield* VariableNames.set("JWKS")).length === 0) return []
  const options = yield* Effect.option(AuthenticatorOptions.readJwks(AuthenticatorOptions.jwksConfig))
  if (options._tag === "None") return []
  // A second look follows the first at once: only then is a key that is not there told from one that may come.
  const keyFor = yield* Jwks.make({ ...options.value, cooldown: 0 })
  const problem = yield* keyFor(nobodys).pipe(
    Effect.map(() => undefined),
    Effect.catchTag("AuthenticatorUnavailable", ({ message }) => Effect.succeed(message)),
    Effect.catch(() => Effect.undefined)
  )
  return [problem === undefined ? ok("key set", "it can be fetched") : fault("key set", problem, remedy)]
}).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer))
