/**
 * What the processes of the demo do when there are several: gateways serve devices, workers run the agent, and Redis or
 * Postgres is between them.
 */
import { Layer, type Redacted } from "effect"
import { HttpRouter } from "effect/http"
import { Gateway } from "../../gateway/index.ts"
import { EmitterLayer } from "../../index.ts"
import { PostgresBroker } from "../../broker/postgres/index.ts"
import { RedisBroker } from "../../broker/redis/index.ts"
import type { Library } from "../agent/Library.ts"
import * as Api from "../api.ts"
import type { PageFile } from "../build.ts"
import * as DemoUsers from "../DemoUsers.ts"
import * as Lines from "../Lines.ts"
import { Place } from "../Place.ts"
import * as Protocols from "../Protocols.ts"
import * as Runs from "../Runs.ts"
import * as Server from "../server.ts"
import * as ServerOutage from "./ServerOutage.ts"

/** What each process is told. */
export interface Options {
  readonly place: Place
  readonly server: ServerOutage.Server
  readonly secret: Redacted.Redacted
}

// The shortest lease that other settings allow: who kills the worker need not wait long for what becomes of its run.
const lease = "6 seconds"

const redis = (url: string) => RedisBroker.layer({ url, prefix: "demo", lease })
const postgres = (url: string) => PostgresBroker.layer({ url, schema: "demo", lease, migrate: true, connections: 5 })

const shared = ({ place, secret, server }: Options) =>
  Layer.mergeAll(
    Layer.succeed(Place, place),
    server.url.startsWith("redis:") ? redis(server.url) : postgres(server.url),
    ServerOutage.layer(server),
    DemoUsers.layerWith(secret)
  )

const serve = <A, E, R>(routes: Layer.Layer<A, E, R>) =>
  HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })

/** Serves the page and its devices. */
export const gateway = (options: Options & { readonly files: ReadonlyArray<PageFile> }) => {
  const routes = Layer.mergeAll(
    Lines.middleware,
    Server.localOnly,
    ...Api.ofGateway,
    ...Server.page(options.files)
  ).pipe(Layer.provide(Gateway.layer({ ...Server.gateway, name: options.place.name })))
  return serve(routes).pipe(
    Layer.provideMerge(Server.listen(0)),
    Layer.provide(Lines.layer),
    Layer.provide(shared(options))
  )
}

/** Runs the agent, also for the pages of other libraries, which sign in as devices do. */
export const worker = (options: Options & { readonly documents: Library }) => {
  const forOthers = Protocols.routes(options.documents).pipe(
    Layer.provide(Gateway.layer({ ...Server.gateway, name: options.place.name }))
  )
  return serve(Layer.mergeAll(Server.localOnly, forOthers, ...Api.ofWorker)).pipe(
    Layer.provideMerge(Server.listen(0)),
    Layer.provide(Runs.layer(options.documents)),
    Layer.provide(Server.sending),
    Layer.provide(EmitterLayer.layerConfig()),
    Layer.provide(shared(options))
  )
}
