/**
 * Reads the body of a request, within bounds.
 *
 * @since 0.2.0
 */
import * as ByteSize from "effect/ByteSize"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type { HttpServerError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"

/**
 * `maxBytes` is the most that a body may have, and `timeout` how long it may take to
 * arrive. What `unless` fails with is the answer to a body that has not come by then.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options<E> {
  readonly maxBytes: number
  readonly timeout: Duration.Duration
  readonly unless: Effect.Effect<never, E>
}

/**
 * The text of a body. One that comes too late is cut, since nothing else ends it.
 *
 * @category operations
 * @since 0.2.0
 */
export const text = <E>(
  request: HttpServerRequest,
  { maxBytes, timeout, unless }: Options<E>
): Effect.Effect<string, HttpServerError | Cause.TimeoutError | E> =>
  request.text.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes)),
    Effect.timeout(timeout),
    // Whoever stops to read a body cuts its connection, and then nothing can be answered.
    Effect.forkDetach,
    Effect.flatMap((reading) => Effect.raceFirst(Fiber.join(reading), unless))
  )
