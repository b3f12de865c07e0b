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
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { createHmac } from "node:crypto"
import type { Envelope } from "../protocol/Envelope.ts"
import type { UserId } from "../protocol/Identity.ts"
import {
  ChannelError,
  ChannelRefused,
  ChannelTimeout,
  ChannelUnavailable,
  type FallbackChannel
} from "./FallbackChannel.ts"
import * as Retry from "./Retry.ts"

/**
 * - `secret` is shared with the receiver: `whsec_` and base64, or any other
 *   text, which is then taken as it is.
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
  readonly secret: Redacted.Redacted
  readonly deadline?: Duration.Input
  readonly retry?: Retry.Options
  readonly name?: string
}

/**
 * Makes the channel.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<FallbackChannel, never, HttpClient.HttpClient> {
  const client = yield* HttpClient.HttpClient
  const name = options.name ?? "webhook"
  const deadline = Duration.fromInputUnsafe(options.deadline ?? "5 seconds")
  const retry = options.retry ?? { attempts: 2, base: "200 millis", cap: "1 second" }

  const post = Effect.fnUntraced(function*(id: string, body: string): Effect.fn.Return<Answer, ChannelError> {
    const timestamp = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
    const request = HttpClientRequest.post(options.url).pipe(
      HttpClientRequest.setHeaders({
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": sign(options.secret, id, timestamp, body)
      }),
      HttpClientRequest.bodyText(body, "application/json")
    )
    const response = yield* client.execute(request).pipe(
      Effect.mapError((cause) => new ChannelError({ channel: name, reason: new ChannelUnavailable({ cause }) }))
    )
    const { status } = response
    // The status has said it all, but the connection is free for others only when the rest was read or cancelled.
    const finish = Stream.runDrain(response.stream).pipe(Effect.timeoutOption(bodyTimeout), Effect.ignore)
    if (status >= 200 && status < 300) return { refused: undefined, finish }
    const reason = new ChannelRefused({ detail: `HTTP status ${status}`, status })
    const refused = new ChannelError({ channel: name, reason })
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
 * The value of `webhook-signature`, for receivers and their tests.
 *
 * @category conversions
 * @since 0.1.0
 */
export const sign = (secret: Redacted.Redacted, id: string, timestamp: number, body: string): string => {
  const text = Redacted.value(secret)
  const key = text.startsWith(prefix) ? Buffer.from(text.slice(prefix.length), "base64") : Buffer.from(text)
  return `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`
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
