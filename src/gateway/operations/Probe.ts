/**
 * Sends a canary: an event that goes the way of all events, from the broker's
 * log through a connection to a transport, for a user that exists for this
 * alone; one to each domain of the broker, if that has several.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Broker, type BrokerError, type Domains } from "../../broker/Broker.ts"
import { frames } from "../../hub/connection/FrameEncoder.ts"
import * as Hub from "../../hub/Hub.ts"
import type { Revoked } from "../../hub/Revocation.ts"
import type { Transport } from "../../hub/Transport.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import { ConnectionId, EventId, UserId } from "../../protocol/values/Identity.ts"
import * as Names from "../../protocol/values/Names.ts"

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
 * How long the slowest canary took that came back, in milliseconds, and the
 * domains whose canary did not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  readonly roundTripMs: number
  readonly silent: ReadonlyArray<string>
}

/**
 * Makes a probe. It fails only if no canary came back: where a part of the broker
 * is away, a gateway still serves all other users.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly timeout: Duration.Duration
}): Effect.fn.Return<
  Effect.Effect<Found, CanaryLost | BrokerError | Revoked | Hub.TooManyConnections>,
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
    backlog: { perConnection: Infinity, perNode: Infinity },
    degradedMs: Infinity
  })
  const source = `canary-${yield* Names.next}`
  const users = usersOf(source, broker.domains)
  let sequence = 0

  const roundTripOf = (user: UserId) =>
    Effect.gen(function*() {
      const canary = makeCanary(source, ++sequence, yield* Clock.currentTimeMillis)
      const seen = yield* Deferred.make<void>()
      const transport: Transport = {
        write: (messages) => {
          if (messages.some((message) => message.includes(canary.body))) Deferred.doneUnsafe(seen, Effect.void)
          return true
        },
        whenWritable: () => {},
        backlog: () => 0,
        close: () => {},
        destroy: () => {}
      }
      const id = ConnectionId.make(canary.id)
      const request = { id, user, resume: undefined, threads: undefined, encoder: frames, transport }
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

  return Effect.gen(function*() {
    const exits = yield* Effect.forEach(users, ({ user }) => Effect.exit(roundTripOf(user)), {
      concurrency: "unbounded"
    })
    const times = exits.flatMap((exit) => Exit.isSuccess(exit) ? [exit.value] : [])
    const failed = exits.find(Exit.isFailure)
    if (times.length === 0 && failed !== undefined) return yield* Effect.failCause(failed.cause)
    const silent = users.flatMap(({ domain }, at) => exits[at]?._tag === "Success" ? [] : [domain])
    return { roundTripMs: Math.max(...times), silent }
  })
})

// So many tries find a user even in a domain that is a thousandth of all.
const maxTries = 10_000

const usersOf = (
  source: string,
  domains: Domains | undefined
): ReadonlyArray<{ readonly domain: string; readonly user: UserId }> => {
  if (domains === undefined) return [{ domain: "", user: UserId.make(source) }]
  const found = new Map<string, UserId>()
  for (let n = 0; n < maxTries && found.size < domains.names.length; n++) {
    const user = UserId.make(`${source}-${n}`)
    const domain = domains.of(user)
    if (!found.has(domain)) found.set(domain, user)
  }
  return Array.from(found, ([domain, user]) => ({ domain, user }))
}

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
