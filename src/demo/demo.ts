/**
 * The demo in one process, from its settings to the address that it says.
 */
import { Console, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import * as Library from "./agent/Library.ts"
import { builtPage } from "./serving/build.ts"
import * as DemoConfig from "./settings/DemoConfig.ts"
import * as ModelConfig from "./settings/ModelConfig.ts"
import { Broker } from "../index.ts"
import * as Log from "./Log.ts"
import { root } from "./root.ts"
import * as Server from "./serving/server.ts"

const ready = Layer.effectDiscard(
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Console.log(
      `effect-emitter demo: http://127.0.0.1:${"port" in address ? address.port : ""}\nPress Ctrl-C to stop.`
    ))
)

/** Serves the demo on this port until it is interrupted. */
export const demo = Effect.fnUntraced(function*(port: number) {
  const model = yield* ModelConfig.model
  const log = yield* DemoConfig.log(port)
  const broker = log === undefined ? Broker.layerMemory() : Log.layer(root, log)
  // The pages are built by a process of their own, meanwhile.
  const { documents, files } = yield* Effect.all({ files: builtPage, documents: Library.fromPackage(root) }, {
    concurrency: "unbounded"
  })
  if (model !== undefined) yield* Console.log(`Answers are written by ${model.model}, at ${model.baseUrl}.`)
  return yield* Layer.launch(ready.pipe(
    Layer.provide(Server.layer({ port, broker, files, documents })),
    Layer.provide(ModelConfig.layer(model)),
    Layer.provide(DemoConfig.paceLayer)
  ))
})
