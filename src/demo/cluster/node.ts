/**
 * One process of the demo, started by `main.ts`, which tells it by `DEMO_…` what to be. It says where it listens, and stops
 * when it is asked to or when its parent is gone.
 */
import { Config, Console, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { fileURLToPath } from "node:url"
import * as Library from "../agent/Library.ts"
import { readPage } from "../build.ts"
import * as DemoConfig from "../settings/DemoConfig.ts"
import * as ModelConfig from "../settings/ModelConfig.ts"
import { runProgram } from "../program.ts"
import * as Roles from "./roles.ts"

const settings = Config.all({
  name: Config.String("DEMO_NAME"),
  role: Config.Literals(["gateway", "worker"], "DEMO_ROLE"),
  nodes: Config.String("DEMO_NODES"),
  url: Config.String("DEMO_SERVER"),
  pid: Config.Int("DEMO_SERVER_PROCESS"),
  secret: Config.Redacted("DEMO_SECRET"),
  page: Config.String("DEMO_PAGE")
})

const ready = Layer.effectDiscard(
  Effect.flatMap(
    HttpServer.HttpServer,
    ({ address }) => Console.log(`listening on ${"port" in address ? address.port : ""}`)
  )
)

const program = Effect.gen(function*() {
  const { name, nodes, page, pid, role, secret, url } = yield* settings
  const options = { place: { name, role, nodes: nodes.split(",") }, server: { url, pid }, secret }
  if (role === "gateway") {
    const files = yield* readPage(page)
    return yield* Layer.launch(ready.pipe(Layer.provide(Roles.gateway({ ...options, files }))))
  }
  const documents = yield* Library.fromPackage(fileURLToPath(new URL("../../..", import.meta.url)))
  const model = ModelConfig.layer(yield* ModelConfig.model)
  return yield* Layer.launch(
    ready.pipe(
      Layer.provide(Roles.worker({ ...options, documents })),
      Layer.provide(model),
      Layer.provide(DemoConfig.paceLayer)
    )
  )
})

process.stdin.on("end", () => process.kill(process.pid, "SIGTERM")).resume()
runProgram(program, { stopWithinMs: 5_000 })
