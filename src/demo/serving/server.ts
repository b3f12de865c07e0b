/**
 * The demo's server: the page, what the page asks for, and the gateway that its events come through.
 */
import { Layer } from "effect"
import { HttpRouter } from "effect/http"
import { Gateway } from "../../gateway/index.ts"
import { type Broker, EmitterLayer } from "../../index.ts"
import type { Library } from "../agent/Library.ts"
import * as Sending from "../agent/Sending.ts"
import { ofDevices } from "../api/devices.ts"
import { ask } from "../api/runs.ts"
import type { PageFile } from "./build.ts"
import * as DemoUsers from "../users/DemoUsers.ts"
import * as Lines from "../trouble/Lines.ts"
import * as Outage from "../trouble/Outage.ts"
import * as Protocols from "../runs/Protocols.ts"
import { root } from "../root.ts"
import * as Runs from "../runs/Runs.ts"
import { gateway, listen, localOnly, page } from "./serving.ts"

/** The whole demo, listening once it is built. Logs are kept by `broker`. */
export const layer = <E = never>(options: {
  readonly port: number
  readonly broker: Layer.Layer<Broker.Broker, E>
  readonly files: ReadonlyArray<PageFile>
  readonly documents: Library
}) => {
  const routes = Layer.mergeAll(
    Lines.middleware,
    localOnly,
    ...ofDevices,
    ask,
    Protocols.routes(options.documents),
    page(options.files)
  ).pipe(Layer.provide(Gateway.layer(gateway)))
  // The server listens once everything that answers is there.
  return HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(listen(options.port)),
    Layer.provide(Runs.layer(options.documents)),
    Layer.provide(Sending.layer(root)),
    Layer.provide(EmitterLayer.layerConfig()),
    Layer.provide(Outage.broker.pipe(Layer.provide(options.broker))),
    Layer.provide(Outage.layer),
    Layer.provide(Lines.layer),
    Layer.provide(DemoUsers.layer)
  )
}
