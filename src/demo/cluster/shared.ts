/**
 * What the demo's processes have in common when there are several: Redis or Postgres between them, and one secret.
 */
import { Effect, Layer, type Redacted } from "effect"
import { HttpRouter } from "effect/http"
import * as DemoUsers from "../users/DemoUsers.ts"
import { Place } from "../process/Place.ts"
import * as ServerOutage from "./ServerOutage.ts"

/** What each process is told. `page` is the folder of the pages, as they were built. */
export interface Options {
  readonly page: string
  readonly place: Place
  readonly server: ServerOutage.Server
  readonly secret: Redacted.Redacted
}

// The shortest lease that other settings allow: who kills the worker need not wait long for what becomes of its run.
const lease = "6 seconds"

const redis = Effect.fnUntraced(function*(url: string) {
  const { RedisBroker } = yield* Effect.promise(() => import("../../broker/redis/index.ts"))
  return RedisBroker.layer({ url, prefix: "demo", lease })
})

const postgres = Effect.fnUntraced(function*(url: string) {
  const { PostgresBroker } = yield* Effect.promise(() => import("../../broker/postgres/index.ts"))
  return PostgresBroker.layer({ url, schema: "demo", lease, migrate: true, connections: 5 })
})

/** Who this process is, the broker, its outages, and users. */
export const shared = ({ place, secret, server }: Options) =>
  Layer.mergeAll(
    Layer.succeed(Place, place),
    // No process needs both.
    server.url.startsWith("redis:") ? Layer.unwrap(redis(server.url)) : Layer.unwrap(postgres(server.url)),
    ServerOutage.layer(server),
    DemoUsers.layerWith(secret)
  )

/** Serves these routes, without a word of it. */
export const serve = <A, E, R>(routes: Layer.Layer<A, E, R>) =>
  HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })
