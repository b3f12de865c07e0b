/**
 * Everything that a program may hand over, with each optional field present and `undefined`. It compiles with and without
 * `exactOptionalPropertyTypes`; what is no option, no payload and no time does not.
 */
import { Effect, Layer, Redacted, Schema } from "effect"
import {
  AgentEvents,
  Broker,
  Emitter,
  EmitterLayer,
  EmitterPool,
  Emitters,
  Event,
  Notifier,
  OperatorAlert,
  Spool,
  type Webhook
} from "effect-emitter"
import { AsyncApi } from "effect-emitter/protocol"
import type { Client, ConnectOptions } from "effect-emitter/client"
import { Authenticator, Gateway, type Operations } from "effect-emitter/gateway"
import { RedisBroker } from "effect-emitter/redis"

const no = undefined

export const Trip = Event.make("trip_booked", {
  payload: {
    to: Schema.String,
    at: Schema.optionalKey(Schema.DateTimeUtcFromString),
    note: Schema.optionalKey(Schema.String),
    seat: Schema.optionalKey(Schema.Struct({ row: Schema.Int, side: Schema.optionalKey(Schema.String) })),
    legs: Schema.Array(Schema.Struct({ from: Schema.String, gate: Schema.optionalKey(Schema.String) }))
  },
  delivery: no,
  scope: no,
  coalesce: no,
  confirm: no
})

export const trip = Trip.make({
  to: "Oslo",
  at: no,
  note: no,
  seat: { row: 3, side: no },
  legs: [{ from: "Bergen", gate: no }]
})

export const usage = AgentEvents.UsageReported.make({ inputTokens: 1, outputTokens: 2, cost: no, operation: no })

export const context: Parameters<Emitters["Service"]["forUser"]>[0] = {
  userId: "ada",
  threadId: no,
  runId: no,
  tier: no,
  priority: no,
  requestId: no,
  trace: no
}

export const run = Effect.succeed(1).pipe(
  Emitter.run({ agentName: "a", input: no, result: no, describe: no, retryable: no, onEmitError: no })
)

export const tool = (emitter: Emitter.Emitter["Service"]) =>
  Effect.succeed(1).pipe(emitter.tool("search", { q: no }, { describe: no }))

export const confirmed = (emitter: Emitter.Emitter["Service"]) =>
  emitter.emitConfirmed(trip, { within: "1 second", attempts: no })

export const emitterLayer = EmitterLayer({
  profile: no,
  batching: { maxDelay: no, maxSize: no },
  closeTimeout: no,
  tiers: no
})

export const memory = Broker.layerMemory({ maxEvents: no, maxAge: no, maxTotalBytes: no, revocationMemory: no })

const redisUrl = "redis://127.0.0.1:6379/0"

export const redis: ReadonlyArray<Parameters<typeof RedisBroker.layer>[0]> = [
  { url: redisUrl, urls: no, prefix: no, maxEvents: no, deadline: no, lease: no, trustRestarts: no },
  { url: no, urls: [redisUrl, { url: "redis://127.0.0.1:6379/1", name: no, weight: no }] }
]

export const spool = Spool.memory({ maxEvents: no, maxBytes: no })

export const sqlite = (file: string) => Spool.sqlite({ file, maxEvents: no, maxBytes: no, sync: no, lockTimeout: no })

export const webhook: Webhook.Options = {
  url: "https://example.org",
  secret: Redacted.make("0123456789abcdef0123456789abcdef"),
  deadline: no,
  retry: no,
  name: no
}

export const notifier = Notifier.make({ notify: () => Effect.void, deadline: no, name: no })

export const emitters = EmitterLayer().pipe(
  OperatorAlert.provide({ notify: () => Effect.void, atMostEvery: no, timeout: no }),
  Layer.provide(Broker.layerMemory())
)

export const pool = EmitterPool.layer({ capacity: no, idleTimeToLive: no })

export const gateway = Gateway.layer({
  name: no,
  path: no,
  heartbeat: no,
  connections: { perUser: no },
  slow: { close: no }
})

export const jwt = Authenticator.layerJwt({
  secret: Redacted.make("0123456789abcdef0123456789abcdef"),
  issuer: no,
  audience: no,
  userClaim: no,
  clockTolerance: no,
  requireExpiry: no
})

export const jwks = Authenticator.layerJwks({
  url: "https://example.org",
  issuer: no,
  algorithms: no,
  maxAge: no,
  cooldown: no,
  timeout: no
})

export const operations: Operations.Options = { prefix: no, probeTimeout: no, asyncApi: no }

export const asyncApi = AsyncApi.make({ title: "t", version: "1", description: no, servers: no, path: no, catalog: no })

export const client: Client.Options = {
  url: "ws://127.0.0.1:9",
  token: no,
  threads: no,
  start: no,
  storage: no,
  backoff: { baseMs: no, capMs: no, stableAfterMs: no },
  connectTimeout: no,
  capacity: no,
  overflow: no,
  maxRuns: no
}

export const connection: ConnectOptions = {
  url: "ws://127.0.0.1:9",
  catalog: no,
  onEvent: no,
  maxRuns: no,
  token: no,
  onStatus: no,
  threads: no,
  start: no,
  storage: no,
  backoff: { baseMs: no, capMs: no, stableAfterMs: no },
  connectTimeoutMs: no,
  platform: no
}

/** Every part that can be built without a server. */
export const built = Layer.build(
  Layer.mergeAll(memory, jwt, pool.pipe(Layer.provide(emitterLayer), Layer.provide(memory)))
)

/** What must not compile, however options are spelt. */
export const wrong = [
  // @ts-expect-error: a field that is needed
  () => Trip.make({ to: no, legs: [] }),
  // @ts-expect-error: a field that is needed, deeper
  () => Trip.make({ to: "Oslo", legs: [{ from: no }] }),
  // @ts-expect-error: there is no such field
  () => Trip.make({ to: "Oslo", legs: [], with: no }),
  // @ts-expect-error: another type
  () => Trip.make({ to: "Oslo", legs: [], note: 1 }),
  // @ts-expect-error: there is no such unit
  () => EmitterLayer({ batching: { maxDelay: "20 milis" } }),
  // @ts-expect-error: there is no such unit
  () => Gateway.layer({ heartbeat: "20 secs" }),
  // @ts-expect-error: there is no such unit
  () => Broker.layerMemory({ maxAge: "1 hr" }),
  // @ts-expect-error: there is no such unit
  () => RedisBroker.layer({ url: redisUrl, deadline: "1 sec" }),
  // @ts-expect-error: either one server or several
  () => RedisBroker.layer({ url: redisUrl, urls: [redisUrl] }),
  // @ts-expect-error: there is no such unit
  () => Authenticator.layerJwt({ secret: Redacted.make("s"), clockTolerance: "5 secs" }),
  // @ts-expect-error: a plain value where a Config belongs
  () => RedisBroker.layerConfig({ prefix: "x" }),
  // @ts-expect-error: a plain value where a Config belongs, deeper
  () => EmitterLayer.layerConfig({ batching: { maxSize: 1 } }),
  // @ts-expect-error: there is no such unit
  (emitter: Emitter.Emitter["Service"]) => emitter.emitConfirmed(trip, { within: "5 secs" })
]
