/**
 * A process of the demo that serves the page and its devices.
 */
import { Effect, Layer } from "effect"
import { Gateway } from "../../gateway/index.ts"
import { kill, ofDevices } from "../api/devices.ts"
import { readPage } from "../serving/build.ts"
import * as Lines from "../trouble/Lines.ts"
import * as Serving from "../serving/serving.ts"
import { type Options, serve, shared } from "./shared.ts"

/** Listens once it is built. */
export const layer = (options: Options) => {
  const routes = Layer.mergeAll(
    Lines.middleware,
    Serving.localOnly,
    ...ofDevices,
    kill,
    Layer.unwrap(Effect.map(readPage(options.page), Serving.page))
  ).pipe(Layer.provide(Gateway.layer({ ...Serving.gateway, name: options.place.name })))
  return serve(routes).pipe(
    Layer.provideMerge(Serving.listen(0)),
    Layer.provide(Lines.layer),
    Layer.provide(shared(options))
  )
}
