/**
 * The public keys of an identity provider, fetched and kept.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Jose from "jose"
import * as Monotonic from "../protocol/Monotonic.ts"
import type { KeyFor } from "./Jwt.ts"
import { AuthenticatorUnavailable, Unauthenticated } from "./Unauthenticated.ts"

/**
 * Where keys come from and how long they are kept. `algorithms` lists the
 * signatures that are accepted, all asymmetric ones of RFC 7518 and EdDSA by
 * default.
 *
 * @category config
 * @since 0.1.0
 */
export interface Options {
  readonly url: string
  readonly algorithms?: ReadonlyArray<string>
  readonly maxAge?: Duration.Input
  readonly cooldown?: Duration.Input
  readonly timeout?: Duration.Input
}

/**
 * The signatures that are accepted by default.
 *
 * @category constants
 * @since 0.1.0
 */
export const algorithms: ReadonlyArray<string> = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519"
]

const KeySet = Schema.Struct({ keys: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })

interface Fetched {
  readonly keyFor: ReturnType<typeof Jose.createLocalJWKSet>
  readonly at: number
}

/**
 * Makes a look-up of keys. One fetch is under way at a time; whoever waits for
 * it uses what it brought.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<KeyFor, never, HttpClient.HttpClient> {
  const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
  const clock = yield* Clock.Clock
  const maxAgeMs = Duration.toMillis(options.maxAge ?? "10 minutes")
  const cooldownMs = Duration.toMillis(options.cooldown ?? "30 seconds")
  const oneAtATime = Semaphore.makeUnsafe(1).withPermits(1)
  let fetched: Fetched | undefined
  let failure: AuthenticatorUnavailable | undefined
  let triedAt = Number.NEGATIVE_INFINITY

  const fetchKeys = client.get(options.url).pipe(
    Effect.flatMap(HttpClientResponse.schemaBodyJson(KeySet)),
    Effect.timeout(options.timeout ?? "5 seconds"),
    Effect.flatMap(({ keys }) => Effect.try(() => Jose.createLocalJWKSet({ keys: keys.map((key) => ({ ...key })) }))),
    Effect.mapError((cause) => new AuthenticatorUnavailable({ what: "the key set", cause }))
  )

  // Fetches unless somebody else did while this caller waited, or the last try was a moment ago.
  const refresh = (seen: Fetched | undefined): Effect.Effect<void, AuthenticatorUnavailable> =>
    oneAtATime(Effect.suspend((): Effect.Effect<void, AuthenticatorUnavailable> => {
      const now = Monotonic.millisUnsafe(clock)
      if (fetched !== seen) return Effect.void
      if (now - triedAt < (fetched === undefined ? retryMs : cooldownMs)) {
        return failure === undefined ? Effect.void : Effect.fail(failure)
      }
      triedAt = now
      return fetchKeys.pipe(
        Effect.map((keyFor) => {
          fetched = { keyFor, at: now }
          failure = undefined
        }),
        Effect.tapError((error) => Effect.sync(() => failure = error))
      )
    }))

  const lookUp = (keys: Fetched, header: Jose.JWTHeaderParameters) =>
    Effect.tryPromise({
      try: () => keys.keyFor(header).then(Option.some, (error: unknown) => missing(error)),
      catch: () => new Unauthenticated({ reason: "signature" })
    })

  return Effect.fnUntraced(function*(header) {
    const known = fetched
    if (known === undefined) {
      yield* refresh(known)
    } else if (Monotonic.millisUnsafe(clock) - known.at >= maxAgeMs) {
      yield* Effect.catch(refresh(known), (error) => Effect.logWarning("Keys were not renewed; known ones stay", error))
    }
    const kept: Fetched | undefined = fetched
    if (kept !== undefined) {
      const key = yield* lookUp(kept, header)
      if (Option.isSome(key)) return key.value
      yield* refresh(kept)
      const renewed: Fetched | undefined = fetched
      if (renewed !== undefined && renewed !== kept) {
        const newer = yield* lookUp(renewed, header)
        if (Option.isSome(newer)) return newer.value
      }
    }
    return yield* new Unauthenticated({ reason: "signature" })
  })
})

const missing = (error: unknown): Option.Option<Jose.CryptoKey> => {
  if (error instanceof Jose.errors.JWKSNoMatchingKey) return Option.none()
  throw error
}

/** How soon after a failed first fetch another is tried. */
const retryMs = 1_000
