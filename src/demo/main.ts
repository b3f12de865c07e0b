/**
 * Runs the demo: `npm start`. It builds the page, serves it, and says where. Ctrl-C stops it.
 */
import { Console, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { fileURLToPath } from "node:url"
import * as Library from "./agent/Library.ts"
import { builtPage } from "./build.ts"
import * as DemoConfig from "./settings/DemoConfig.ts"
import * as ModelConfig from "./settings/ModelConfig.ts"
import { Broker } from "../index.ts"
import * as Log from "./Log.ts"
import * as Options from "./settings/Options.ts"
import { runProgram } from "./program.ts"
import * as Server from "./server.ts"

const ready = Layer.effectDiscard(
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Console.log(
      `effect-emitter demo: http://127.0.0.1:${"port" in address ? address.port : ""}\nPress Ctrl-C to stop.`
    ))
)

const help =
  `Runs the demo: an agent's runs, on a page in the browser. Ctrl-C stops it; the next start shows the runs of before.

  npm start -- [--help]

PORT is the port that the page is at (4321). DEMO_LOG is the file that keeps the log, or "memory"
(.tmp/demo/events-<port>.db). DEMO_PACE is how many times as fast as a reader the agent goes (1). OPENAI_BASE_URL, OPENAI_MODEL and OPENAI_API_KEY name a model that answers (a small one of the
demo's own).
`

const program = Effect.gen(function*() {
  if ((yield* Options.read("start", {})).help) return yield* Console.log(help)
  const port = yield* DemoConfig.port
  const model = yield* ModelConfig.model
  const files = yield* builtPage
  const log = yield* DemoConfig.log(port)
  const broker = log === undefined
    ? Broker.layerMemory()
    : Log.layer(fileURLToPath(new URL("../..", import.meta.url)), log)
  const documents = yield* Library.fromPackage(fileURLToPath(new URL("../..", import.meta.url)))
  if (model !== undefined) yield* Console.log(`Answers are written by ${model.model}, at ${model.baseUrl}.`)
  return yield* Layer.launch(ready.pipe(
    Layer.provide(Server.layer({ port, broker, files, documents })),
    Layer.provide(ModelConfig.layer(model)),
    Layer.provide(DemoConfig.paceLayer)
  ))
})

// How long stopping may take, with runs to end and devices to say goodbye to.
runProgram(program, { stopWithinMs: 8_000 })
