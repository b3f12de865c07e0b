/**
 * The public keys of an identity provider, fetched and kept.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Jose from "jose"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { KeyFor } from "./Jwt.ts"
import { AuthenticatorUnavailable, Unauthenticated } from "./AuthenticationError.ts"

/**
 * Where keys come from and how long they are kept. `algorithms` lists the
 * signatures that are accepted, all asymmetric ones of RFC 7518 and EdDSA by
 * default. `maxAge` is 10 minutes, `cooldown` 30 seconds, `timeout` of a fetch 5
 * seconds, and `maxBytes` of the key set 1 MiB.
 *
 * @category config
 * @since 0.1.0
 */
export interface Options {
  readonly url: string
  readonly algorithms?: ReadonlyArray<string> | undefined
  readonly maxAge?: Duration.Input | undefined
  readonly cooldown?: Duration.Input | undefined
  readonly timeout?: Duration.Input | undefined
  readonly maxBytes?: number | undefined
}

/**
 * The signatures that are accepted by default.
 *
 * @category constants
 * @since 0.1.0
 */
export const algorithms: NonEmptyReadonlyArray<string> = [
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
const decodeKeySet = Schema.decodeUnknownEffect(Schema.fromJsonString(KeySet))

type Keys = ReturnType<typeof Jose.createLocalJWKSet>

interface Fetched {
  readonly keyFor: Keys
  readonly ids: ReadonlySet<string>
  readonly at: number
}

/**
 * Makes a look-up of keys.
 *
 * - A fetch belongs to the layer and not to whoever asked for it: one is under way
 *   at a time, and goes on when a device that waits for it hangs up.
 * - A key that is known never waits. Keys that are too old are fetched anew in
 *   the background.
 * - A key that is not known is looked for in a new key set, though not sooner than
 *   `cooldown` after the end of the last fetch; until then nobody can tell whether
 *   the key is good.
 * - A fetch follows no redirect, and reads `maxBytes` at most.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<KeyFor, never, HttpClient.HttpClient | Scope.Scope> {
  const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
  const requestInit = yield* Effect.serviceOption(FetchHttpClient.RequestInit)
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const maxAgeMs = Duration.toMillis(options.maxAge ?? "10 minutes")
  const cooldownMs = Duration.toMillis(options.cooldown ?? "30 seconds")
  const maxBytes = options.maxBytes ?? 1024 * 1024
  const unavailable = (cause: unknown) =>
    new AuthenticatorUnavailable({ what: `the key set at ${shown(options.url)}`, cause: reasonOf(cause, options.url) })
  const notKnownYet = unavailable("the token's key is not known, and the key set was fetched a moment ago")
  // Neither `Cache` nor `Resource` fits: both fetch in the fiber of whoever asks, so a device that hangs up ends the fetch of
  // all who wait, and `Cache` makes the users of a known key wait once it is too old.
  let fetched: Fetched | undefined
  let underWay: Deferred.Deferred<void, AuthenticatorUnavailable> | undefined
  let failure: AuthenticatorUnavailable | undefined
  let endedAt = Number.NEGATIVE_INFINITY
  // Ids of keys that were withdrawn, so that their tokens are refused without another look.
  let withdrawn: ReadonlySet<string> = new Set()

  const fetchKeys = client.get(options.url).pipe(
    Effect.flatMap((response) => readText(response, maxBytes)),
    Effect.flatMap(decodeKeySet),
    Effect.timeout(options.timeout ?? "5 seconds"),
    Effect.mapError(unavailable),
    Effect.flatMap(({ keys }) =>
      Effect.try({
        try: () => ({ keyFor: Jose.createLocalJWKSet({ keys: keys.map((key) => ({ ...key })) }), ids: idsOf(keys) }),
        catch: unavailable
      })
    ),
    // The client of `fetch` follows redirects unless it is told not to.
    Effect.provideService(FetchHttpClient.RequestInit, {
      ...Option.getOrUndefined(requestInit),
      redirect: "manual"
    })
  )

  const settle = (done: Deferred.Deferred<void, AuthenticatorUnavailable>) =>
    Effect.matchEffect(fetchKeys, {
      onFailure: (error) =>
        Effect.suspend(() => {
          failure = error
          return Deferred.fail(done, error)
        }),
      onSuccess: ({ ids, keyFor }) =>
        Effect.suspend(() => {
          failure = undefined
          if (fetched !== undefined) withdrawn = withdrawnFrom(withdrawn, fetched.ids, ids)
          fetched = { keyFor, ids, at: Monotonic.millisUnsafe(clock) }
          return Deferred.succeed(done, undefined)
        })
    }).pipe(
      Effect.onExit((exit) =>
        Effect.suspend(() => {
          underWay = undefined
          endedAt = Monotonic.millisUnsafe(clock)
          return exit._tag === "Success"
            ? Effect.void
            : Deferred.fail(done, unavailable(exit.cause))
        })
      )
    )

  // The fetch that is under way, begun if need be.
  const fetch: Effect.Effect<void, AuthenticatorUnavailable> = Effect.suspend(() => {
    if (underWay !== undefined) return Deferred.await(underWay)
    const done = Deferred.makeUnsafe<void, AuthenticatorUnavailable>()
    underWay = done
    return Effect.andThen(Effect.forkIn(settle(done), scope), Deferred.await(done))
  })

  const isCoolingDown = (): boolean => Monotonic.millisUnsafe(clock) - endedAt < cooldownMs

  const renewInBackground: Effect.Effect<void> = Effect.suspend(() => {
    if (fetched === undefined || underWay !== undefined || isCoolingDown()) return Effect.void
    if (Monotonic.millisUnsafe(clock) - fetched.at < maxAgeMs) return Effect.void
    return Effect.forkIn(
      Effect.catch(fetch, (error) => Effect.logWarning("Keys were not renewed; known ones stay", error)),
      scope
    )
  })

  const lookUp = (keys: Fetched, header: Jose.JWTHeaderParameters) =>
    Effect.tryPromise({
      try: () => keys.keyFor(header).then(Option.some, (error: unknown) => missing(error)),
      catch: () => new Unauthenticated({ reason: "signature" })
    })

  return Effect.fnUntraced(function*(header) {
    if (fetched === undefined) {
      // A failed first fetch is not repeated for each token.
      if (failure !== undefined && Monotonic.millisUnsafe(clock) - endedAt < retryMs) return yield* failure
      yield* fetch
    }
    const known: Fetched | undefined = fetched
    if (known === undefined) {
      return yield* unavailable("it has no keys")
    }
    const key = yield* lookUp(known, header)
    yield* renewInBackground
    if (Option.isSome(key)) return key.value
    if (header.kid !== undefined && withdrawn.has(header.kid)) return yield* new Unauthenticated({ reason: "key" })
    // The set that is under way may have been written before the key was; a later one tells.
    const isLate = underWay !== undefined
    if (!isLate && isCoolingDown()) return yield* notKnownYet
    yield* fetch
    const renewed: Fetched | undefined = fetched
    const newer = renewed === undefined ? Option.none() : yield* lookUp(renewed, header)
    if (Option.isSome(newer)) return newer.value
    return yield* isLate ? notKnownYet : new Unauthenticated({ reason: "key" })
  })
})

// What is at the bottom of an error, without the address, which errors of an HTTP client repeat.
const reasonOf = (error: unknown, url: string): string => {
  if (HttpClientError.isHttpClientError(error)) {
    const { reason } = error
    if (reason._tag === "StatusCodeError") return `it answered with status ${reason.response.status}`
    return reasonOf(reason.cause ?? reason._tag, url)
  }
  if (Cause.isCause(error)) return reasonOf(Cause.squash(error), url)
  if (error instanceof Error && error.cause !== undefined) return reasonOf(error.cause, url)
  const text = error instanceof Error ? error.message : String(error)
  return text.replaceAll(url, shown(url)).replaceAll(URL.parse(url)?.href ?? url, shown(url))
}

// Without what may be secret in an address.
const shown = (address: string): string => {
  const url = URL.parse(address)
  return url === null ? "an address that is no URL" : `${url.origin}${url.pathname}`
}

const idsOf = (keys: typeof KeySet.Type["keys"]): ReadonlySet<string> =>
  new Set(keys.flatMap(({ kid }) => typeof kid === "string" ? [kid] : []))

// The newest that are gone, and those of before that have not come back.
const withdrawnFrom = (
  before: ReadonlySet<string>,
  known: ReadonlySet<string>,
  now: ReadonlySet<string>
): ReadonlySet<string> => new Set([...known, ...before].filter((id) => !now.has(id)).slice(0, maxWithdrawn))

const maxWithdrawn = 100

const readText = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.Effect<string, HttpClientError.HttpClientError | KeySetTooLarge> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let bytes = 0
    let text = ""
    return response.stream.pipe(
      Stream.runForEach((chunk) =>
        Effect.suspend(() => {
          bytes += chunk.length
          if (bytes > maxBytes) return Effect.fail(new KeySetTooLarge({ limit: maxBytes }))
          text += decoder.decode(chunk, { stream: true })
          return Effect.void
        })
      ),
      Effect.map(() => text + decoder.decode())
    )
  })

/**
 * The key set is larger than `limit` bytes.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeySetTooLarge extends Schema.TaggedError<KeySetTooLarge>()("KeySetTooLarge", { limit: Schema.Int }) {
  override get message() {
    return `The key set has more than ${this.limit} bytes; raise maxBytes if it is meant to`
  }
}

const missing = (error: unknown): Option.Option<Jose.CryptoKey> => {
  if (error instanceof Jose.errors.JWKSNoMatchingKey) return Option.none()
  throw error
}

/** How soon after a failed first fetch another is tried. */
const retryMs = 1_000
