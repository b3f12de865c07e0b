/**
 * Nodes over a Redis of the test's own.
 */
import { Context, Duration, Effect, Fiber, Layer, Logger, Option, Schedule, type Scope, Stream } from "effect"
import { Broker, type Position } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { Inbox } from "../../../src/broker/commands/Inbox.ts"
import * as RedisConnection from "../../../src/broker/redis/connection/Connection.ts"
import * as RedisLeases from "../../../src/broker/redis/leases/Leases.ts"
import * as RedisMetrics from "../../../src/broker/redis/Metrics.ts"
import { findProgram } from "../../support/program.ts"
import { type RedisServer, redisServer } from "../../support/redis.ts"
import { idOf, newUser } from "../events.ts"
import { patience } from "../../support/patience.ts"
import * as LogReader from "../../../src/broker/LogReader.ts"

/** Redis, or Valkey in the project of that name. */
export const program = findProgram(process.env["TESTED_SERVER"] === "valkey-server" ? "valkey-server" : "redis-server")

export type NodeOptions = Omit<Parameters<typeof RedisBroker.layer>[0], "url" | "urls">

/** A broker of its own, as another process would have it, until the scope closes. */
export const startNode = Effect.fnUntraced(function*(url: string, options: NodeOptions = {}) {
  return Context.get(yield* Layer.build(connected(Layer.fresh(RedisBroker.layer({ url, ...options })))), Broker.Broker)
})

/**
 * A broker that is connected. On a busy machine it is built before the first attempt to connect has come to anything, and
 * that attempt may take longer than a server is waited for.
 */
export const connected = <E>(layer: Layer.Layer<Broker.Broker, E>) =>
  Layer.tap(
    layer,
    (context) =>
      Effect.forEach(nobodies, (nobody) =>
        Effect.ignore(Effect.retry(Context.get(context, Broker.Broker).readers(nobody), {
          while: ({ message }) =>
            /the first try had no answer yet|said nothing for|ETIMEDOUT/u.test(message),
          schedule: Schedule.spaced("20 millis"),
          times: 100 * patience
        })))
  )

/** As many that, of several servers, each has some. */
const nobodies = Array.from({ length: 8 }, newUser)

/** A server, and what the test does with it. What the library logs about a broken server is left out. */
export const withServer = <E>(
  options: Parameters<typeof redisServer>[1],
  body: (server: RedisServer) => Effect.Effect<void, E, Scope.Scope>,
  seconds = 25
) =>
  Effect.flatMap(Effect.suspend(() => redisServer(program ?? "redis-server", options)), body).pipe(
    Effect.timeout(seconds * patience * 1_000),
    Effect.scoped,
    Effect.provide(Logger.layer([]))
  )

/** A server with a node over it, and a user of whom nothing is kept there. */
export const withNode = <E>(
  redis: Parameters<typeof withServer>[0],
  options: NodeOptions,
  body: (
    over: {
      readonly server: RedisServer
      readonly broker: Effect.Success<ReturnType<typeof startNode>>
      readonly user: ReturnType<typeof newUser>
    }
  ) => Effect.Effect<void, E, Scope.Scope>
) =>
  withServer(
    redis,
    (server) => Effect.flatMap(startNode(server.url, options), (broker) => body({ server, broker, user: newUser() }))
  )

/** Reads in the background, and keeps what came as `id` or as the gap it was. */
export const watch = Effect.fnUntraced(function*(
  broker: Broker.Broker["Service"],
  user: Parameters<Broker.Broker["Service"]["head"]>[0],
  from: Position.Position
) {
  const items: Array<string> = []
  const fiber = yield* LogReader.read(broker, user, Option.some(from)).pipe(
    Stream.runForEach((item) =>
      Effect.sync(() =>
        void items.push(item._tag === "Event" ? idOf(item.entry) : `${item.gap.reason} ${item.gap.from}-${item.gap.to}`)
      )
    ),
    Effect.forkScoped
  )
  return { items: Effect.sync(() => items.slice()), stop: Fiber.interrupt(fiber) }
})

/** Tries again, for 10 seconds at most, while the broker fails: what an emitter does. */
export const persist = <A, R>(effect: Effect.Effect<A, Broker.BrokerError, R>): Effect.Effect<A, never, R> =>
  effect.pipe(
    Effect.catch(() => Effect.andThen(Effect.sleep("20 millis"), Effect.suspend(() => persist(effect)))),
    Effect.timeoutOrElse({
      duration: 10_000 * patience,
      orElse: () => Effect.die(new Error("the broker never came back"))
    })
  )

/** Where leases are kept, under the prefix `p`, of a process with this inbox. */
export const startStore = Effect.fnUntraced(function*({ url }: RedisServer, inbox = new Inbox("test")) {
  const connection = yield* RedisConnection.make({
    name: "test",
    server: "test",
    kind: "commands",
    metrics: yield* RedisMetrics.make("test"),
    url,
    deadline: Duration.seconds(2),
    silence: Duration.seconds(5),
    onLive: () => Effect.void
  })
  yield* connection.awaitLive
  return RedisLeases.make({
    prefix: "p",
    ttlMs: 60_000,
    connection,
    inbox,
    endRuns: () => Effect.die(new Error("not part of this test"))
  })
})
