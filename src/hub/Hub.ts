/**
 * The users and connections on this node.
 *
 * A hub knows who is connected here, holds the limits on how many may be, and
 * can end all connections of a user at once. It knows nothing of sockets: a
 * gateway gives it transports.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Broker, type BrokerError, type PullLimits, type Signal } from "../broker/Broker.ts"
import type { ConnectionId, UserId } from "../protocol/values/Identity.ts"
import * as Monotonic from "../protocol/values/Monotonic.ts"
import type { Position } from "../protocol/values/Position.ts"
import { Backlog, type BacklogLimits } from "./capacity/Backlog.ts"
import type { Limits } from "./capacity/SlowConsumer.ts"
import { Connection } from "./connection/Connection.ts"
import type { Opening, Request } from "./connection/ConnectRequest.ts"
import * as FrameEncoder from "./connection/FrameEncoder.ts"
import { DrainQueue } from "./connection/DrainQueue.ts"
import type { HubContext } from "./connection/HubContext.ts"
import { Recovery } from "./outage/Recovery.ts"
import { ConnectionRegistry } from "./registry/ConnectionRegistry.ts"
import { Eviction } from "./registry/Eviction.ts"
import * as Revoked from "./Revocation.ts"
import { makeCounters, type Stats } from "./Stats.ts"

/**
 * Options of a hub.
 *
 * - `perUser` and `perNode`: the most connections of one user, and of all;
 * - `maxFrameBytes`: the most bytes of one `events` frame. One event that is
 *   larger still goes out, alone;
 * - `slow`: when devices that read too slowly get less, or are closed;
 * - `backlog`: how many bytes may wait for the network, see `Backlog`;
 * - `degradedMs`: for how long connections are kept whose log cannot be read.
 *   Each is kept for up to a tenth longer, at random.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly perUser: number
  readonly perNode: number
  readonly maxFrameBytes: number
  readonly slow: Limits
  readonly backlog: BacklogLimits
  readonly degradedMs: number
}

/**
 * Serves the devices that are connected to this node.
 *
 * - `ensureRoom` fails while this node has as many connections as it takes, so that
 *   nobody need find out whose a further device is.
 * - `open` registers a device and writes its first messages: the greeting, then
 *   what it missed. It fails if a limit is met, the user's access was revoked or
 *   the log cannot be read; then nothing was registered. At the limit of a user it
 *   first looks for connections whose devices have gone, for some seconds.
 * - `release` forgets a connection whose transport has closed.
 * - `acknowledge` passes on what a device handled, outside of its connection: the
 *   events that it names by their offsets, as far as they are not past the position
 *   that it has come to, nor past the head of the log.
 * - `admit` fails if the user's access was revoked after `issuedAt`, when a
 *   credential was issued, in milliseconds since the Unix epoch; one that is not
 *   known lies before any revocation.
 * - `hear` notes a sign of life that came outside of the user's connections, for
 *   one of them or for all.
 * - `revoke` ends all connections of a user, those still being opened included,
 *   and returns how many there were on this node. They end here at once; the
 *   others hear of it through the broker, and if that fails may not have. Later
 *   ones are let in if their credentials were issued later, as far as is known.
 * - `look` has all connections look at their logs, whether a wake-up has come or not.
 * - `settled` tells whether all connections have written what they know of.
 *
 * @category services
 * @since 0.1.0
 */
export class Hub extends Context.Service<Hub, {
  readonly ensureRoom: Effect.Effect<void, TooManyConnections>
  readonly open: (
    request: Request,
    greeting: (opening: Opening) => string
  ) => Effect.Effect<Connection, TooManyConnections | Revoked.Revoked | BrokerError>
  readonly release: (connection: Connection) => Effect.Effect<void>
  readonly acknowledge: (
    user: UserId,
    position: Position,
    confirmed: ReadonlyArray<number>
  ) => Effect.Effect<void, BrokerError>
  readonly admit: (user: UserId, issuedAt: number | undefined) => Effect.Effect<void, Revoked.Revoked | BrokerError>
  readonly hear: (user: UserId, connection: ConnectionId | undefined) => void
  readonly revoke: (user: UserId) => Effect.Effect<number, BrokerError>
  readonly look: Effect.Effect<void>
  readonly settled: Effect.Effect<boolean>
  readonly stats: Effect.Effect<Stats>
}>()("effect-emitter/Hub") {}

/**
 * Makes a hub. When its scope closes, connections stop following their logs;
 * their transports are the gateway's to close.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Hub["Service"], never, Broker | Scope.Scope> {
  const broker = yield* Broker
  const run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E> = Effect.runForkWith(
    yield* Effect.context<never>()
  )
  const clock = yield* Clock.Clock
  const drains = new DrainQueue((yield* Scheduler.Scheduler).makeDispatcher(), () => Monotonic.millisUnsafe(clock))
  const counters = makeCounters()
  const registry = new ConnectionRegistry()
  const recovery = new Recovery()
  const backlog = new Backlog(options.backlog)
  const random = yield* Random.Random

  const context: HubContext = {
    broker,
    counters,
    clock,
    limits: pullLimits(options.maxFrameBytes),
    slow: options.slow,
    backlog,
    run,
    recovery,
    patienceMs: () => options.degradedMs * (1 + random.nextDoubleUnsafe() / 10),
    drains
  }

  const release = (connection: Connection): Effect.Effect<void> =>
    Effect.suspend(() => {
      registry.delete(connection)
      return connection.release()
    })

  const nodeLimitMet = (): TooManyConnections | undefined =>
    registry.size < options.perNode ? undefined : new TooManyConnections({ scope: "node", limit: options.perNode })

  const limitMet = (user: UserId): TooManyConnections | undefined => {
    const full = nodeLimitMet()
    if (full !== undefined) return full
    if (registry.countOf(user) < options.perUser) return undefined
    return new TooManyConnections({ scope: "user", limit: options.perUser })
  }

  const eviction = new Eviction({ registry, clock: context.clock, release, run, maxWaiting: options.perUser })

  const refuse = (refusal: TooManyConnections): Effect.Effect<never, TooManyConnections> =>
    Effect.suspend(() => {
      counters.refused[refusal.scope]++
      return Effect.fail(refusal)
    })

  const ensureRoom = Effect.suspend(() => {
    const full = nodeLimitMet()
    return full === undefined ? Effect.void : refuse(full)
  })

  const open: Hub["Service"]["open"] = (request, greeting) =>
    Effect.suspend((): Effect.Effect<Connection, TooManyConnections | Revoked.Revoked | BrokerError> => {
      const refusal = limitMet(request.user)
      if (refusal?.scope === "user") {
        return Effect.flatMap(
          eviction.makeRoom(request.user),
          (hasRoom) => hasRoom ? open(request, greeting) : refuse(refusal)
        )
      }
      if (refusal !== undefined) return refuse(refusal)
      const connection = new Connection(context, request)
      registry.add(connection)
      return connection.open(request, greeting).pipe(
        Effect.map(() => {
          counters.opened++
          return connection
        }),
        Effect.onError(() => Effect.andThen(release(connection), Effect.sync(() => connection.gone())))
      )
    })

  yield* Effect.forkScoped(recovery.run)
  yield* Effect.addFinalizer(() => Effect.forEach([...registry], release, { discard: true }))

  return {
    ensureRoom,
    open,
    release,
    acknowledge: (user, { epoch, offset: upTo }, confirmed) =>
      Effect.forEach(confirmed, (offset) => {
        if (offset > upTo) return Effect.void
        return Effect.andThen(
          broker.acknowledge(user, { epoch, offset }),
          Effect.sync(() => counters.acknowledgements++)
        )
      }, { discard: true }),
    admit: (user, issuedAt = 0) =>
      Effect.scoped(Effect.suspend(() => {
        let revokedAt = Number.NEGATIVE_INFINITY
        const hear = (signal?: Signal) => {
          if (typeof signal === "object" && "revokedAt" in signal) revokedAt = Math.max(revokedAt, signal.revokedAt)
        }
        return Effect.flatMap(
          broker.subscribe(user, hear),
          () => issuedAt < revokedAt ? Effect.fail(new Revoked.Revoked()) : Effect.void
        )
      })),
    hear: (user, id) => {
      for (const connection of registry.of(user)) {
        if (id === undefined || connection.id === id) connection.liveness?.heardElsewhere()
      }
    },
    revoke: (user) =>
      Effect.suspend(() => {
        const connections = registry.of(user)
        for (const connection of connections) connection.close(Revoked.closeReason)
        return Effect.as(broker.revoke(user), connections.length)
      }),
    look: Effect.sync(() => {
      for (const connection of registry) connection.wake()
    }),
    settled: Effect.sync(() => {
      for (const connection of registry) {
        if (!connection.isSettled) return false
      }
      return true
    }),
    stats: Effect.sync(() => {
      let behind = 0
      let degraded = 0
      let lag = 0
      for (const connection of registry) {
        if (connection.isBehind) behind++
        if (connection.isDegraded) degraded++
        lag = Math.max(lag, connection.lag)
        connection.count()
      }
      return {
        ...counters,
        refused: { ...counters.refused },
        gaps: { ...counters.gaps },
        leftOut: { ...counters.leftOut },
        users: registry.userCount,
        connections: registry.size,
        behind,
        degraded,
        lag,
        backlog: backlog.total,
        overfull: backlog.closedCount
      }
    })
  }
})

/**
 * A limit on connections was met: `limit` connections of the user, or of the
 * node, are open already.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyConnections extends Schema.TaggedError<TooManyConnections>()("TooManyConnections", {
  scope: Schema.Literals(["user", "node"]),
  limit: Schema.Int
}) {
  override get message() {
    return this.scope === "user"
      ? `a user may have ${this.limit} connections to this server: close one, or come back later`
      : `this server takes ${this.limit} connections, and all are in use`
  }
}

// So many events that what a frame adds to their bodies fits beside them.
const pullLimits = (maxFrameBytes: number): PullLimits => {
  const maxEvents = Math.max(1, Math.min(1024, Math.floor(maxFrameBytes / 128)))
  return { maxEvents, maxBytes: maxFrameBytes - maxEvents * FrameEncoder.overheadBytes - FrameEncoder.envelopeBytes }
}
