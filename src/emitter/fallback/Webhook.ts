/**
 * A fallback channel that posts batches to a URL, signed.
 *
 * Requests follow the Standard Webhooks specification, so receivers can check
 * them with a library: `webhook-id` names the batch and stays the same when it
 * is sent again, `webhook-timestamp` is the time in seconds, and
 * `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of
 * `<id>.<timestamp>.<body>`. The body is
 * `{"type":"events","user":"…","events":[{"id":"…","type":"…","at":…,"data":{…}}]}`,
 * with the events as devices would get them, without offsets.
 *
 * Any 2xx answer takes the batch. A transport failure and the answers 408, 429
 * and 5xx are retried within the deadline; any other answer is a refusal. The
 * receiver may get a batch more than once, and tells by `webhook-id`.
 *
 * A redirect is a refusal too, and is not followed: it would send users' events
 * and their signature to another place, or make the `POST` a `GET`. A client that
 * was wrapped in `HttpClient.followRedirects` follows by itself: what was taken
 * elsewhere does not count as delivered, but it has been sent. Do not wrap it.
 *
 * Secrets are changed without a gap by listing two of them: each batch is signed
 * with all, and a receiver accepts it when one signature is right. Give the
 * channel the old and the new secret, then the receiver the new one, then drop
 * the old one here.
 *
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { EmitterLayer, FallbackChannel, Webhook } from "effect-emitter"
 *
 * const webhook = Effect.gen(function*() {
 *   const secret = yield* Config.Redacted("WEBHOOK_SECRET")
 *   return yield* Webhook.make({ url: "https://example.com/agent-events", secret })
 * })
 *
 * const emitters = EmitterLayer().pipe(
 *   FallbackChannel.provide(webhook),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * ```
 *
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { createHmac } from "node:crypto"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import { ConfigError, type Issue } from "../../protocol/settings/ConfigError.ts"
import {
  ChannelError,
  ChannelRefused,
  ChannelTimeout,
  ChannelUnavailable,
  type FallbackChannel
} from "./FallbackChannel.ts"
import * as Retry from "../resilience/Retry.ts"

/**
 * How often and how soon a request is tried again.
 *
 * @category models
 * @since 0.1.0
 */
export type { Options as RetryOptions } from "../resilience/Retry.ts"

/**
 * - `url` is where batches are posted: `https:`, or `http:` within a network that
 *   can be trusted.
 * - `secret` is shared with the receiver: `whsec_` and base64, or any other text,
 *   which is then taken as it is. Its key has 24 bytes or more. Several secrets
 *   sign together, while one replaces another.
 * - `deadline` bounds a batch with all its retries, default 5 seconds.
 * - `retry` is 2 attempts after the first, up to 200 ms and 400 ms later, by
 *   default.
 * - `name` is `webhook` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly url: string | URL
  readonly secret: Redacted.Redacted | NonEmptyReadonlyArray<Redacted.Redacted>
  readonly deadline?: Duration.Input | undefined
  readonly retry?: Retry.Options | undefined
  readonly name?: string | undefined
}

/**
 * Makes the channel.
 *
 * Over `FetchHttpClient`, other options of `fetch` are those of the
 * `FetchHttpClient.RequestInit` that is there where the channel is made.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<FallbackChannel, ConfigError, HttpClient.HttpClient> {
  const client = yield* HttpClient.HttpClient
  const fetchOptions = yield* Effect.serviceOption(FetchHttpClient.RequestInit)
  const { issues, keys, url } = read(options)
  if (issues.length > 0 || url === undefined) return yield* new ConfigError({ of: "Webhook", issues })
  const name = options.name ?? "webhook"
  const deadline = Duration.fromInputUnsafe(options.deadline ?? "5 seconds")
  const retry = options.retry ?? { attempts: 2, base: "200 millis", cap: "1 second" }

  const refusal = (detail: string, status: number): ChannelError =>
    new ChannelError({ channel: name, reason: new ChannelRefused({ detail, status }) })

  const post = Effect.fnUntraced(function*(id: string, body: string): Effect.fn.Return<Answer, ChannelError> {
    const timestamp = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
    const request = HttpClientRequest.post(url).pipe(
      HttpClientRequest.setHeaders({
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": signatures(keys, id, timestamp, body)
      }),
      HttpClientRequest.bodyText(body, "application/json")
    )
    const response = yield* client.execute(request).pipe(
      Effect.provideService(FetchHttpClient.RequestInit, {
        ...Option.getOrUndefined(fetchOptions),
        redirect: "manual"
      }),
      Effect.mapError((cause) => new ChannelError({ channel: name, reason: new ChannelUnavailable({ cause }) }))
    )
    const { status } = response
    // The status has said it all, but the connection is free for others only when the rest was read or cancelled.
    const finish = Stream.runDrain(response.stream).pipe(Effect.timeoutOption(bodyTimeout), Effect.ignore)
    if (response.request.url !== request.url) {
      return { refused: refusal("the HTTP client followed a redirect, which it must not", status), finish }
    }
    if (status >= 200 && status < 300) return { refused: undefined, finish }
    if (isRedirect(status)) return { refused: refusal(redirectDetail(response, url), status), finish }
    const refused = refusal(`HTTP status ${status}`, status)
    if (!isPassing(status)) return { refused, finish }
    yield* finish
    return yield* refused
  })

  return {
    name,
    deliver: (user, batch) =>
      Effect.suspend(() => Retry.run(post(idOf(batch), bodyOf(user, batch)), retry)).pipe(
        Effect.timeoutOrElse({
          duration: deadline,
          orElse: () => {
            const reason = new ChannelTimeout({ withinMs: Duration.toMillis(deadline) })
            return Effect.fail(new ChannelError({ channel: name, reason }))
          }
        }),
        Effect.flatMap(({ finish, refused }) => refused === undefined ? finish : Effect.andThen(finish, refused))
      )
  }
})

/**
 * The value of `webhook-signature`, for receivers and their tests: a signature
 * for each secret, separated by spaces. It throws a `ConfigError` where
 * `make` fails with one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const sign = (secret: Options["secret"], id: string, timestamp: number, body: string): string => {
  const { issues, keys } = readSecrets(secret)
  if (issues.length > 0) throw new ConfigError({ of: "Webhook", issues })
  return signatures(keys, id, timestamp, body)
}

const signatures = (keys: ReadonlyArray<Buffer>, id: string, timestamp: number, body: string): string =>
  keys.map((key) => `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`).join(" ")

interface Keys {
  readonly keys: ReadonlyArray<Buffer>
  readonly issues: ReadonlyArray<Issue>
}

const read = ({ secret, url }: Options): Keys & { readonly url: URL | undefined } => {
  const { issues, keys } = readSecrets(secret)
  const parsed = URL.parse(String(url))
  return parsed !== null && (parsed.protocol === "https:" || parsed.protocol === "http:")
    ? { issues, keys, url: parsed }
    : {
      issues: [
        { path: "url", message: "it is no http or https URL", remedy: "give the receiver's whole address" },
        ...issues
      ],
      keys,
      url: undefined
    }
}

const readSecrets = (secret: Options["secret"]): Keys => {
  const keys: Array<Buffer> = []
  const issues: Array<Issue> = []
  const secrets = Redacted.isRedacted(secret) ? [secret] : secret
  if (secrets.length === 0) issues.push({ path: "secret", message: "there is none", remedy })
  for (const [index, one] of secrets.entries()) {
    const key = keyOf(Redacted.value(one))
    if (typeof key !== "string") keys.push(key)
    else issues.push({ path: secrets.length > 1 ? `secret.${index}` : "secret", message: key, remedy })
  }
  return { keys, issues }
}

// The key, or what is wrong with its secret.
const keyOf = (text: string): Buffer | string => {
  if (text.trim() === "") return "it is empty"
  if (text.trim() !== text) return "white space stands around it"
  const isEncoded = text.startsWith(prefix)
  const encoded = text.slice(prefix.length)
  // What is no base64 would be skipped, and leave a shorter key than meant.
  if (isEncoded && !base64.test(encoded)) return `what follows ${prefix} is no base64`
  const key = isEncoded ? Buffer.from(encoded, "base64") : Buffer.from(text)
  return key.length < leastKeyBytes ? `its key has ${key.length} bytes, and ${leastKeyBytes} are the least` : key
}

// The least that the specification allows.
const leastKeyBytes = 24

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/

const remedy = `make one with: echo "whsec_$(openssl rand -base64 32)"`

const isRedirect = (status: number): boolean => status >= 300 && status < 400

const redirectDetail = ({ headers, status }: HttpClientResponse.HttpClientResponse, from: URL): string => {
  // Of where it leads only the origin is told, since the rest may hold a secret.
  const to = headers["location"] === undefined ? null : URL.parse(headers["location"], from)
  const place = to === null ? "" : ` to ${to.origin === from.origin ? "another path there" : to.origin}`
  return `a redirect${place} (HTTP status ${status}), which is not followed; give the final address as the url`
}

// A refusal for good is an answer too: only what fails is tried again.
interface Answer {
  readonly refused: ChannelError | undefined
  readonly finish: Effect.Effect<void>
}

const bodyTimeout = "1 second"

const prefix = "whsec_"

const isPassing = (status: number): boolean => status === 408 || status === 429 || status >= 500

// Batches with the same first event are the same batch, if they are of one size too.
const idOf = (batch: NonEmptyReadonlyArray<Envelope>): string => `${batch[0].id}+${batch.length}`

const bodyOf = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): string =>
  `{"type":"events","user":${JSON.stringify(user)},"events":[${batch.map(({ body }) => `{${body}`).join(",")}]}`
