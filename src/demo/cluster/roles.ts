/**
 * What the processes of the demo do when there are several: gateways serve devices, workers run the agent, and Redis is
 * between them.
 */
import { Layer, type Redacted } from "effect"
import { HttpRouter } from "effect/http"
import { Gateway } from "../../gateway/index.ts"
import { EmitterLayer } from "../../index.ts"
import { RedisBroker } from "../../broker/redis/index.ts"
import type { Library } from "../agent/Library.ts"
import * as Api from "../api.ts"
import type { PageFile } from "../build.ts"
import * as DemoUsers from "../DemoUsers.ts"
import * as Lines from "../Lines.ts"
import { Place } from "../Place.ts"
import * as Runs from "../Runs.ts"
import * as Server from "../server.ts"
import * as RedisOutage from "./RedisOutage.ts"

/** What each process is told. */
export interface Options {
  readonly place: Place
  readonly redis: string
  readonly secret: Redacted.Redacted
}

const shared = ({ place, redis, secret }: Options) =>
  Layer.mergeAll(
    Layer.succeed(Place, place),
    // The shortest lease that other settings allow: who kills the worker need not wait long for what becomes of its run.
    RedisBroker.layer({ url: redis, prefix: "demo", lease: "6 seconds" }),
    RedisOutage.layer(redis),
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

/** Runs the agent. */
export const worker = (options: Options & { readonly documents: Library }) =>
  serve(Layer.mergeAll(Server.localOnly, ...Api.ofWorker)).pipe(
    Layer.provideMerge(Server.listen(0)),
    Layer.provide(Runs.layer(options.documents)),
    Layer.provide(Server.sending),
    Layer.provide(EmitterLayer.layerConfig()),
    Layer.provide(shared(options))
  )
