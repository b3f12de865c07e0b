/**
 * A process of the demo that runs the agent, also for the pages of other libraries, which sign in as devices do.
 */
import { Effect, Layer } from "effect"
import { Gateway } from "../../gateway/index.ts"
import { EmitterLayer } from "../../index.ts"
import * as Library from "../agent/Library.ts"
import * as Sending from "../agent/Sending.ts"
import { kill, stats } from "../api/devices.ts"
import { ask } from "../api/runs.ts"
import * as Protocols from "../runs/Protocols.ts"
import { root } from "../root.ts"
import * as Runs from "../runs/Runs.ts"
import * as Serving from "../serving/serving.ts"
import * as DemoConfig from "../settings/DemoConfig.ts"
import * as ModelConfig from "../settings/ModelConfig.ts"
import { type Options, serve, shared } from "./shared.ts"

/** Listens once it is built. */
export const layer = (options: Options) =>
  Layer.unwrap(Effect.gen(function*() {
    const documents = yield* Library.fromPackage(root)
    const model = yield* ModelConfig.model
    const forOthers = Protocols.routes(documents).pipe(
      Layer.provide(Gateway.layer({ ...Serving.gateway, name: options.place.name }))
    )
    return serve(Layer.mergeAll(Serving.localOnly, forOthers, ask, stats, kill)).pipe(
      Layer.provideMerge(Serving.listen(0)),
      Layer.provide(Runs.layer(documents)),
      Layer.provide(Sending.layer(root)),
      Layer.provide(EmitterLayer.layerConfig()),
      Layer.provide(shared(options)),
      Layer.provide(ModelConfig.layer(model)),
      Layer.provide(DemoConfig.paceLayer)
    )
  }))
