/**
 * Sends a canary: an event that goes the way of all events, from the broker's
 * log through a connection to a transport, for a user that exists for this
 * alone.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Broker, type BrokerError } from "../broker/Broker.ts"
import { frames } from "../hub/Encoding.ts"
import * as Hub from "../hub/Hub.ts"
import type { Revoked } from "../hub/Revoked.ts"
import type { Transport } from "../hub/Transport.ts"
import type { Envelope } from "../protocol/Envelope.ts"
import { ConnectionId, EventId, UserId } from "../protocol/Identity.ts"

/**
 * A canary did not come back within `afterMs` milliseconds.
 *
 * @category errors
 * @since 0.1.0
 */
export class CanaryLost extends Schema.TaggedError<CanaryLost>()("CanaryLost", { afterMs: Schema.Finite }) {
  override get message() {
    return `The canary event did not come back within ${this.afterMs} ms`
  }
}

const patient = { bytes: Infinity, ms: Infinity }

/**
 * Makes a probe, which gives the time of one round trip in milliseconds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly timeout: Duration.Duration
}): Effect.fn.Return<
  Effect.Effect<number, CanaryLost | BrokerError | Revoked | Hub.TooManyConnections>,
  never,
  Broker | Scope.Scope
> {
  const broker = yield* Broker
  // Its own hub, so that canaries show in no count of devices.
  const hub = yield* Hub.make({
    perUser: 1_000,
    perNode: 1_000,
    maxFrameBytes: 64 * 1024,
    slow: { volatile: patient, batched: patient, close: patient },
    degradedMs: Infinity
  })
  const source = `canary-${(yield* Random.next).toString(36).slice(2, 12)}`
  const user = UserId.make(source)
  let sequence = 0

  return Effect.gen(function*() {
    const canary = makeCanary(source, ++sequence, yield* Clock.currentTimeMillis)
    const seen = yield* Deferred.make<void>()
    const transport: Transport = {
      write: (messages) => {
        if (messages.some((message) => message.includes(canary.body))) Deferred.doneUnsafe(seen, Effect.void)
        return true
      },
      whenWritable: () => {},
      backlog: () => 0,
      close: () => {}
    }
    const id = ConnectionId.make(canary.id)
    const request = { id, user, resume: undefined, threads: undefined, encoding: frames, transport }
    const roundTrip = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        restore(hub.open(request, () => "")),
        (connection) =>
          restore(Effect.andThen(broker.append(user, [canary]), Deferred.await(seen))).pipe(
            Effect.ensuring(hub.release(connection))
          )
      )
    )
    const [took] = yield* Effect.timed(roundTrip)
    return Duration.toMillis(took)
  }).pipe(
    Effect.timeoutOrElse({
      duration: options.timeout,
      orElse: () => Effect.fail(new CanaryLost({ afterMs: Duration.toMillis(options.timeout) }))
    })
  )
})

const makeCanary = (source: string, sequence: number, at: number): Envelope => {
  const id = EventId.make(`${source}-${sequence}`)
  const data = { name: "canary", data: null }
  const body = JSON.stringify({ id, type: "custom", at, data }).slice(1)
  return {
    id,
    source,
    sequence,
    type: "custom",
    delivery: "critical",
    at,
    run: undefined,
    thread: undefined,
    confirm: false,
    body,
    bytes: body.length,
    data
  }
}
